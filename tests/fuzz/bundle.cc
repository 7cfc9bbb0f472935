// SPDX-License-Identifier: Apache-2.0
// config.json of a bundle: whatever it is, an error says where and why in one line; what is taken has what the launcher
// relies on.
#include <algorithm>
#include <cerrno>
#include <set>
#include <string>

#include "cgx/container/spec.h"

#include "fuzz.h"

namespace {

using namespace cgx::container;

bool whole(const std::string& text) { return text.find('\0') == std::string::npos; }
bool absolute(const std::string& path) { return path.starts_with('/') && whole(path); }

void check_error(const cgx::Error& error) {
  FUZZ_CHECK(error.code == EINVAL || error.code == E2BIG || error.code == ENOTSUP);
  FUZZ_CHECK(!error.what.empty());
  const std::string text = error.text();
  FUZZ_CHECK(std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }));
  FUZZ_CHECK(text.size() < 10'000);
}

void check_process(const Process& process) {
  FUZZ_CHECK(!process.args.empty() && std::ranges::all_of(process.args, whole));
  FUZZ_CHECK(absolute(process.cwd));
  for (const std::string& entry : process.env) FUZZ_CHECK(whole(entry) && entry.find('=') - 1 < entry.size());
  std::set<int> limits;
  for (const Rlimit& limit : process.rlimits)
    FUZZ_CHECK(limits.insert(limit.resource).second && limit.soft <= limit.hard);
}

void check_mappings(const std::vector<IdMapping>& mappings) {
  FUZZ_CHECK(mappings.size() <= 340);
  for (const IdMapping& m : mappings)
    FUZZ_CHECK(m.size != 0 && std::uint64_t{m.container_id} + m.size <= 1ULL << 32U &&
               std::uint64_t{m.host_id} + m.size <= 1ULL << 32U);
}

void check_spec(const Spec& spec) {
  FUZZ_CHECK(spec.oci_version.starts_with("1."));
  FUZZ_CHECK(absolute(spec.root.path));
  if (spec.process) check_process(*spec.process);
  for (const Mount& mount : spec.mounts) {
    FUZZ_CHECK(!mount.destination.empty() && whole(mount.destination));
    FUZZ_CHECK(mount.type != "bind" || absolute(mount.source));
    check_mappings(mount.uid_mappings);
    check_mappings(mount.gid_mappings);
  }
  for (const auto* hooks : {&spec.hooks.prestart,
                            &spec.hooks.create_runtime,
                            &spec.hooks.create_container,
                            &spec.hooks.start_container,
                            &spec.hooks.poststart,
                            &spec.hooks.poststop})
    for (const Hook& hook : *hooks) FUZZ_CHECK(absolute(hook.path));
  std::set<NamespaceType> types;
  for (const Namespace& space : spec.linux_.namespaces) {
    FUZZ_CHECK(types.insert(space.type).second);
    FUZZ_CHECK(space.path.empty() || absolute(space.path));
  }
  check_mappings(spec.linux_.uid_mappings);
  check_mappings(spec.linux_.gid_mappings);
  FUZZ_CHECK(spec.linux_.uid_mappings.empty() || types.contains(NamespaceType::user));
  FUZZ_CHECK(spec.hostname.empty() || types.contains(NamespaceType::uts));
  for (const auto& [name, value] : spec.linux_.sysctl)
    FUZZ_CHECK(!name.starts_with('/') && !name.starts_with('.') && name.find("..") == std::string::npos);
  for (const Device& device : spec.linux_.devices)
    FUZZ_CHECK(absolute(device.path) && (!device.mode || *device.mode <= 07777U));
  if (spec.linux_.resources)
    for (const auto& [file, value] : spec.linux_.resources->unified)
      FUZZ_CHECK(!file.empty() && file.find('/') == std::string::npos && !file.starts_with('.'));
}

}  // namespace

void cgx::fuzz::one(std::string_view input) {
  if (const auto spec = read_spec(input, "/bundle")) {
    check_spec(*spec);
  } else {
    check_error(spec.error());
  }
  if (const auto process = read_process(input)) {
    check_process(*process);
  } else {
    check_error(process.error());
  }
  if (const auto resources = read_resources(input); !resources) check_error(resources.error());
}
