// SPDX-License-Identifier: Apache-2.0
// The specification that `spec` writes as a start: what runc writes, by the name of cgx.
#include <array>
#include <initializer_list>

#include "cgx/container/spec_fill.h"
#include "cgx/sys/json.h"

namespace cgx::container {
namespace {

using sys::JsonWriter;
using Words = std::initializer_list<std::string_view>;

// One member or element a line, with tabs. `text` is what a JsonWriter wrote: no blanks outside of strings.
std::string indented(std::string_view text) {
  std::string out;
  std::size_t depth = 0;
  bool quoted = false;
  const auto line = [&] { out.append("\n").append(depth, '\t'); };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      out += c;
      if (c == '\\') out += text[++i];
      if (c == '"') quoted = false;
      continue;
    }
    const bool opens = c == '{' || c == '[';
    if (opens && i + 1 < text.size() && text[i + 1] == c + 2) {  // '}' and ']' are two behind their openings
      out += c;
      out += text[++i];
    } else if (opens) {
      ++depth;
      out += c;
      line();
    } else if (c == '}' || c == ']') {
      --depth;
      line();
      out += c;
    } else {
      out += c;
      if (c == ',') line();
      if (c == ':') out += ' ';
      quoted = c == '"';
    }
  }
  return out + '\n';
}

void write_list(JsonWriter& json, std::string_view key, Words words) {
  json.key(key).open_array();
  for (const std::string_view word : words) json.string(word);
  json.close_array();
}

void write_process(JsonWriter& json) {
  json.key("process").open_object().key("terminal").boolean(true);
  json.key("user").open_object().key("uid").number(0).key("gid").number(0).close_object();
  write_list(json, "args", {"sh"});
  write_list(json, "env", {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"});
  json.key("cwd").string("/");
  json.key("capabilities").open_object();
  for (const std::string_view set : {"bounding", "effective", "permitted"})
    write_list(json, set, {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"});
  json.close_object();
  json.key("rlimits").open_array().open_object().key("type").string("RLIMIT_NOFILE");
  json.key("hard").number(1024).key("soft").number(1024).close_object().close_array();
  json.key("noNewPrivileges").boolean(true).close_object();
}

void write_mount(
    JsonWriter& json, std::string_view destination, std::string_view type, std::string_view source, Words options) {
  json.open_object().key("destination").string(destination).key("type").string(type).key("source").string(source);
  if (options.size() != 0) write_list(json, "options", options);
  json.close_object();
}

void write_mounts(JsonWriter& json, bool rootless) {
  json.key("mounts").open_array();
  write_mount(json, "/proc", "proc", "proc", {});
  write_mount(json, "/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"});
  if (rootless) {  // group 5 is not mapped
    write_mount(
        json, "/dev/pts", "devpts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"});
  } else {
    write_mount(json,
                "/dev/pts",
                "devpts",
                "devpts",
                {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"});
  }
  write_mount(json, "/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"});
  write_mount(json, "/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"});
  if (rootless) {  // the host's network namespace is not the container's, and so its sysfs cannot be mounted anew
    write_mount(json, "/sys", "none", "/sys", {"rbind", "nosuid", "noexec", "nodev", "ro"});
  } else {
    write_mount(json, "/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"});
  }
  write_mount(json, "/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"});
  json.close_array();
}

void write_mapping(JsonWriter& json, std::string_view key, std::uint32_t id) {
  json.key(key).open_array().open_object().key("containerID").number(0).key("hostID").number(id);
  json.key("size").number(1).close_object().close_array();
}

void write_linux(JsonWriter& json, bool rootless, bool cgroup_namespace, uid_t uid, gid_t gid) {
  json.key("linux").open_object();
  if (rootless) {
    write_mapping(json, "uidMappings", uid);
    write_mapping(json, "gidMappings", gid);
  } else {
    json.key("resources").open_object().key("devices").open_array().open_object().key("allow").boolean(false);
    json.key("access").string("rwm").close_object().close_array().close_object();
  }
  json.key("namespaces").open_array();
  for (const std::string_view type : {"pid", "network", "ipc", "uts", "mount", "cgroup", "user"}) {
    if (rootless ? type == "network" : type == "user") continue;
    if (type == "cgroup" && !cgroup_namespace) continue;
    json.open_object().key("type").string(type).close_object();
  }
  json.close_array();
  write_list(json,
             "maskedPaths",
             {"/proc/acpi",
              "/proc/asound",
              "/proc/kcore",
              "/proc/keys",
              "/proc/latency_stats",
              "/proc/timer_list",
              "/proc/timer_stats",
              "/proc/sched_debug",
              "/sys/firmware",
              "/proc/scsi"});
  write_list(json, "readonlyPaths", {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"});
  json.close_object();
}

}  // namespace

std::string default_spec_json(bool rootless, bool cgroup_namespace, uid_t uid, gid_t gid) {
  JsonWriter json;
  json.open_object().key("ociVersion").string("1.3.0");
  write_process(json);
  json.key("root").open_object().key("path").string("rootfs").key("readonly").boolean(true).close_object();
  json.key("hostname").string("cgx");
  write_mounts(json, rootless);
  write_linux(json, rootless, cgroup_namespace, uid, gid);
  json.close_object();
  return indented(json.take());
}

}  // namespace cgx::container
