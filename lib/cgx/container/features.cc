// SPDX-License-Identifier: Apache-2.0
// features.md and features-linux.md of the specification. It says what the program knows, whatever the host has.
#include <algorithm>

#include "cgx/container/rootfs.h"
#include "cgx/container/seccomp_words.h"
#include "cgx/container/spec_fill.h"
#include "cgx/sys/json.h"

namespace cgx::container {
namespace {

using sys::JsonWriter;

template <class List>
void write_sorted(JsonWriter& json, std::string_view key, const List& words) {
  std::vector<std::string> sorted(words.begin(), words.end());
  std::ranges::sort(sorted);
  json.key(key).open_array();
  for (const std::string& word : sorted) json.string(word);
  json.close_array();
}

std::vector<std::string> words_of(std::span<const Word> words) {
  std::vector<std::string> list;
  for (const Word& word : words) list.emplace_back(word.word);
  return list;
}

void write_switch(JsonWriter& json, std::string_view key, bool enabled) {
  json.key(key).open_object().key("enabled").boolean(enabled).close_object();
}

void write_seccomp(JsonWriter& json) {
  std::vector<std::string> supported;
  for (const Word& flag : seccomp_flags())
    if (kernel_knows_seccomp_flag(flag.value)) supported.emplace_back(flag.word);
  json.key("seccomp").open_object().key("enabled").boolean(true);
  write_sorted(json, "actions", words_of(seccomp_actions()));
  write_sorted(json, "operators", words_of(seccomp_operators()));
  write_sorted(json, "archs", words_of(seccomp_architectures()));
  write_sorted(json, "knownFlags", words_of(seccomp_flags()));
  write_sorted(json, "supportedFlags", supported);
  json.close_object();
}

void write_linux(JsonWriter& json) {
  json.key("linux").open_object();
  write_sorted(json, "namespaces", namespace_words());
  json.key("capabilities").open_array();  // in the order of their numbers
  for (const std::string_view name : capability_words()) json.string(name);
  json.close_array();
  json.key("cgroup").open_object();
  for (const std::string_view key : {"v1", "v2", "systemd"}) json.key(key).boolean(true);
  json.key("systemdUser").boolean(false).key("rdma").boolean(true).close_object();
  write_seccomp(json);
  write_switch(json, "apparmor", true);
  write_switch(json, "selinux", true);
  json.key("intelRdt").open_object();
  for (const std::string_view key : {"enabled", "schemata", "monitoring"}) json.key(key).boolean(false);
  json.close_object();
  json.key("memoryPolicy").open_object();
  write_sorted(json, "modes", words_of(memory_policy_modes()));
  write_sorted(json, "flags", words_of(memory_policy_flags()));
  json.close_object();
  json.key("mountExtensions").open_object();
  write_switch(json, "idmap", true);
  json.close_object();
  write_switch(json, "netDevices", true);
  json.close_object();
}

}  // namespace

std::string features_json() {
  JsonWriter json;
  json.open_object().key("ociVersionMin").string("1.0.0").key("ociVersionMax").string("1.3.0");
  json.key("hooks").open_array();
  for (const std::string_view hook :
       {"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"})
    json.string(hook);
  json.close_array();
  write_sorted(json, "mountOptions", known_mount_options());
  write_linux(json);
  json.key("annotations").open_object().key("org.cgx.version").string(CGX_VERSION);
  // Engines look for it before they offer checkpoints.
  json.key("org.opencontainers.runc.checkpoint.enabled").string("false").close_object();
  // What a bundle may say that is not safe to take from an image.
  json.key("potentiallyUnsafeConfigAnnotations").open_array();
  for (const std::string_view name :
       {"org.cgx.", "run.oci.hooks.stderr", "run.oci.hooks.stdout", "run.oci.keep_original_groups"})
    json.string(name);
  json.close_array();
  json.close_object();
  return json.take() + '\n';
}

}  // namespace cgx::container
