// SPDX-License-Identifier: Apache-2.0
#include "config.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <initializer_list>
#include <optional>
#include <unordered_map>

#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/seccomp.h"
#include "cgx/sys/json.h"

#include "devices.h"
#include "tools/mount_points.h"

namespace cgx::launcher {
namespace {

using sys::JsonWriter;

std::optional<winsize> terminal_size() {
  winsize size{};
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO})
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row != 0 && size.ws_col != 0) return size;
  return std::nullopt;
}

constexpr std::array<std::string_view, 12> masked{"/proc/acpi",
                                                  "/proc/asound",
                                                  "/proc/interrupts",
                                                  "/proc/kcore",
                                                  "/proc/keys",
                                                  "/proc/latency_stats",
                                                  "/proc/sched_debug",
                                                  "/proc/scsi",
                                                  "/proc/timer_list",
                                                  "/proc/timer_stats",
                                                  "/sys/devices/virtual/powercap",
                                                  "/sys/firmware"};
constexpr std::array<std::string_view, 5> readonly_ones{
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

template <class Words>
void put_list(JsonWriter& json, std::string_view key, const Words& words) {
  json.key(key).open_array();
  for (const auto& word : words) json.string(word);
  json.close_array();
}

struct MountRow {
  std::string destination;
  std::string_view type;
  std::string source;
  std::vector<std::string> options;
};

// The last one that names a variable counts, in the place of the first.
std::vector<std::string> merged(const std::vector<std::string>& first, const std::vector<std::string>& then) {
  std::vector<std::string> all;
  std::unordered_map<std::string_view, std::size_t> places;
  for (const auto* list : {&first, &then})
    for (const std::string& variable : *list) {
      const std::string_view name = std::string_view(variable).substr(0, variable.find('='));
      const auto [place, is_new] = places.emplace(name, all.size());
      if (is_new)
        all.push_back(variable);
      else
        all[place->second] = variable;
    }
  return all;
}

void put_seccomp(JsonWriter& json, const container::Seccomp& rules) {
  json.key("seccomp").open_object().key("defaultAction").string(rules.default_action);
  if (rules.default_errno_ret) json.key("defaultErrnoRet").number(*rules.default_errno_ret);
  put_list(json, "architectures", rules.architectures);
  put_list(json, "flags", rules.flags);
  json.key("syscalls").open_array();
  for (const container::SeccompSyscall& call : rules.syscalls) {
    json.open_object();
    put_list(json, "names", call.names);
    json.key("action").string(call.action);
    if (call.errno_ret) json.key("errnoRet").number(*call.errno_ret);
    if (!call.args.empty()) {
      json.key("args").open_array();
      for (const container::SeccompArg& arg : call.args)
        json.open_object()
            .key("index")
            .number(arg.index)
            .key("value")
            .number(arg.value)
            .key("valueTwo")
            .number(arg.value_two)
            .key("op")
            .string(arg.op)
            .close_object();
      json.close_array();
    }
    json.close_object();
  }
  json.close_array().close_object();
}

class ConfigWriter {
 public:
  explicit ConfigWriter(const ConfigParts& parts) : p_(parts), o_(*parts.options) {}

  Result<std::string> run() {
    json_.open_object().key("ociVersion").string("1.3.0");
    CGX_CHECK(process());
    json_.key("root").open_object().key("path").string(p_.root).key("readonly").boolean(o_.readonly).close_object();
    if (o_.uts == "private") json_.key("hostname").string(p_.host);
    if (!o_.domainname.empty()) json_.key("domainname").string(o_.domainname);
    CGX_CHECK(mounts());
    CGX_CHECK(linux_part());
    json_.close_object();
    // The labels are in the record, which is JSON too.
    JsonWriter labels;
    labels.open_object();
    for (const auto& [name, value] : o_.labels) labels.key(name).string(value);
    for (const std::string& text : {json_.replaced(), labels.replaced()})
      if (!text.empty())
        return fail(
            EINVAL,
            fmt::format("\"{}\" is not UTF-8, which arguments, environment, paths and labels of containers have "
                        "to be",
                        escaped(text)));
    return json_.take();
  }

 private:
  // Its bytes that are not ASCII in hexadecimal.
  static std::string escaped(std::string_view text) {
    std::string shown;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      shown += byte >= 0x20 && byte < 0x7f ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
    }
    return shown;
  }
  Result<> process() {
    json_.key("process").open_object().key("terminal").boolean(o_.terminal);
    // A program may ask for the size before the first message of the client is there.
    if (const auto size = o_.terminal ? terminal_size() : std::nullopt)
      json_.key("consoleSize")
          .open_object()
          .key("height")
          .number(size->ws_row)
          .key("width")
          .number(size->ws_col)
          .close_object();
    json_.key("user").open_object().key("uid").number(p_.user.uid).key("gid").number(p_.user.gid);
    json_.key("umask").number(022).key("additionalGids").open_array();
    for (const std::uint32_t gid : p_.user.groups) json_.number(gid);
    json_.close_array().close_object();
    std::vector<std::string> args = CGX_TRY(command_of(o_, *p_.image));
    if (!p_.init.empty()) args.insert(args.begin(), {init_path, "--"});
    put_list(json_, "args", args);
    put_list(json_, "env", environment());
    json_.key("cwd").string(workdir_of(o_, *p_.image));
    const std::uint64_t kept = capabilities_of(o_);
    json_.key("capabilities").open_object();
    for (const std::string_view set : {"bounding", "effective", "permitted"}) put_capabilities(set, kept);
    json_.close_object();
    if (!o_.rlimits.empty()) {
      json_.key("rlimits").open_array();
      for (const container::Rlimit& r : o_.rlimits)
        json_.open_object()
            .key("type")
            .string(r.type)
            .key("soft")
            .number(r.soft)
            .key("hard")
            .number(r.hard)
            .close_object();
      json_.close_array();
    }
    json_.key("noNewPrivileges").boolean(o_.no_new_privileges);
    if (!o_.apparmor.empty()) json_.key("apparmorProfile").string(o_.apparmor);
    if (o_.oom_score_adj) json_.key("oomScoreAdj").integer(*o_.oom_score_adj);
    if (!o_.label.empty()) json_.key("selinuxLabel").string(o_.label);
    json_.close_object();
    return {};
  }

  void put_capabilities(std::string_view set, std::uint64_t kept) {
    json_.key(set).open_array();
    for (int i = 0; !container::capability_name(i).empty(); ++i)
      if ((kept >> static_cast<unsigned>(i) & 1U) != 0) {
        std::string name = "CAP_";
        const std::string_view word = container::capability_name(i);
        name += word.starts_with("CAP_") ? word.substr(4) : word;
        json_.string(name);
      }
    json_.close_array();
  }

  [[nodiscard]] std::vector<std::string> environment() const {
    std::vector<std::string> usual{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                   "HOSTNAME=" + p_.host};
    if (o_.terminal) usual.emplace_back("TERM=xterm");
    // No HOME: whoever executes a program looks it up for its user, which need not be this one.
    return merged(merged(usual, p_.image->env), o_.env);
  }

  Result<> mounts() {
    using Words = std::vector<std::string>;
    std::vector<MountRow> rows;
    const auto add =
        [&](std::string destination, std::string_view type, std::string source, std::vector<std::string> options) {
          rows.push_back({std::move(destination), type, std::move(source), std::move(options)});
        };
    add("/proc", "proc", "proc", Words{"nosuid", "noexec", "nodev"});
    add("/dev", "tmpfs", "tmpfs", Words{"nosuid", "strictatime", "mode=755", "size=65536k"});
    add("/dev/pts",
        "devpts",
        "devpts",
        p_.nested && p_.maps.gids.empty()
            ? Words{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}
            : Words{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"});
    if (o_.ipc == "host")
      add("/dev/shm", "bind", "/dev/shm", Words{"rbind", "nosuid", "noexec", "nodev", "rprivate"});
    else if (o_.ipc != "none")
      add("/dev/shm",
          "tmpfs",
          "shm",
          Words{"nosuid", "noexec", "nodev", "mode=1777", fmt::format("size={}", o_.shm_size)});
    add("/dev/mqueue", "mqueue", "mqueue", Words{"nosuid", "noexec", "nodev"});
    // The sysfs of the host's network cannot be mounted anew by a user namespace.
    if (o_.network == "host" && (p_.nested || !p_.maps.uids.empty()))
      add("/sys", "none", "/sys", Words{"rbind", "nosuid", "noexec", "nodev", o_.privileged ? "rw" : "rro"});
    else
      add("/sys", "sysfs", "sysfs", Words{"nosuid", "noexec", "nodev", o_.privileged ? "rw" : "ro"});
    add("/sys/fs/cgroup",
        "cgroup",
        "cgroup",
        Words{"nosuid", "noexec", "nodev", "relatime", o_.privileged ? "rw" : "ro"});
    for (const std::string& file : p_.host_files) {
      const std::string destination = fmt::format("/etc/{}", file);
      add(destination,
          "bind",
          fmt::format("{}/{}", p_.data, file),
          Words{"bind", o_.readonly ? "ro" : "rw", "rprivate"});
    }
    if (!p_.init.empty()) add(init_path, "bind", p_.init, Words{"bind", "ro", "rprivate"});
    // What was asked for stands in the place of what every container has.
    const auto is_asked = [&](const MountRow& row) {
      const auto same = [&](const auto& asked) { return tool::mount_point(asked.destination) == row.destination; };
      return std::ranges::any_of(o_.tmpfs, same) || std::ranges::any_of(o_.binds, same);
    };
    std::erase_if(rows, is_asked);
    for (const TmpfsMount& m : o_.tmpfs) add(m.destination, "tmpfs", "tmpfs", m.options);
    for (const Bind& b : o_.binds) add(b.destination, "bind", b.source, b.options);
    std::ranges::stable_sort(rows, {}, [](const MountRow& row) { return tool::mount_depth(row.destination); });
    json_.key("mounts").open_array();
    for (const MountRow& row : rows) {
      json_.open_object().key("destination").string(row.destination).key("type").string(row.type);
      json_.key("source").string(row.source);
      put_list(json_, "options", row.options);
      json_.close_object();
    }
    json_.close_array();
    return {};
  }

  Result<> linux_part() {
    json_.key("linux").open_object();
    if (!p_.maps.uids.empty()) {
      put_maps("uidMappings", p_.maps.uids);
      put_maps("gidMappings", p_.maps.gids);
    }
    json_.key("namespaces").open_array();
    put_namespace("pid", o_.pid == "private");
    put_namespace("ipc", o_.ipc != "host");
    put_namespace("uts", o_.uts == "private");
    put_namespace("mount", true);
    put_namespace("cgroup", o_.cgroupns == "private");
    put_namespace("user", !p_.maps.uids.empty());
    put_namespace("network", o_.network == "none");
    json_.close_array();
    CGX_CHECK(devices());
    if (!p_.group.empty()) json_.key("cgroupsPath").string(p_.group);
    sysctls();
    CGX_CHECK(seccomp());
    if (o_.system_paths) {
      put_list(json_, "maskedPaths", masked);
      put_list(json_, "readonlyPaths", readonly_ones);
    }
    json_.close_object();
    return {};
  }

  // Neither its own nor another container's: the host's.
  void put_namespace(std::string_view type, bool own) {
    const auto shared = p_.shared.paths.find(std::string(type));
    if (!own && shared == p_.shared.paths.end()) return;
    json_.open_object().key("type").string(type);
    if (!own) json_.key("path").string(shared->second);
    json_.close_object();
  }

  void put_maps(std::string_view key, const std::vector<container::IdMapping>& maps) {
    json_.key(key).open_array();
    for (const container::IdMapping& m : maps)
      json_.open_object()
          .key("containerID")
          .number(m.container_id)
          .key("hostID")
          .number(m.host_id)
          .key("size")
          .number(m.size)
          .close_object();
    json_.close_array();
  }

  void sysctls() {
    json_.key("sysctl").open_object();
    // What an own network needs no capability for.
    const auto usual = [&](std::string_view name, std::string_view value) {
      if (o_.network != "none" || std::ranges::find(o_.sysctls, name, &Pairs::value_type::first) != o_.sysctls.end())
        return;
      json_.key(name).string(value);
    };
    usual("net.ipv4.ip_unprivileged_port_start", "0");
    usual("net.ipv4.ping_group_range", p_.nested ? "0 0" : p_.maps.uids.empty() ? "0 2147483647" : "0 65535");
    for (const auto& [name, value] : o_.sysctls) json_.key(name).string(value);
    json_.close_object();
  }

  Result<> devices() {
    const std::vector<DeviceNode> nodes = CGX_TRY(device_nodes(o_));
    json_.key("devices").open_array();
    for (const DeviceNode& node : nodes) {
      json_.open_object().key("path").string(node.path).key("type").string(S_ISBLK(node.st.st_mode) ? "b" : "c");
      json_.key("major").number(major(node.st.st_rdev)).key("minor").number(minor(node.st.st_rdev));
      json_.key("fileMode").number(node.st.st_mode & 0777).key("uid").number(node.st.st_uid);
      json_.key("gid").number(node.st.st_gid).close_object();
    }
    json_.close_array().key("resources").open_object().key("devices").open_array();
    json_.open_object().key("allow").boolean(o_.privileged).key("access").string("rwm").close_object();
    if (!o_.privileged) {
      for (const DeviceNode& node : nodes)
        put_device_rule({.type = S_ISBLK(node.st.st_mode) ? 'b' : 'c',
                         .major = major(node.st.st_rdev),
                         .minor = minor(node.st.st_rdev),
                         .access = node.access});
      for (const DeviceRuleText& rule : o_.device_rules) put_device_rule(rule);
    }
    json_.close_array().close_object();
    return {};
  }

  void put_device_rule(const DeviceRuleText& rule) {
    json_.open_object().key("allow").boolean(true).key("type").string(std::string(1, rule.type));
    if (rule.major) json_.key("major").number(*rule.major);
    if (rule.minor) json_.key("minor").number(*rule.minor);
    json_.key("access").string(rule.access).close_object();
  }

  Result<> seccomp() {
    if (o_.seccomp == "unconfined") return {};
    if (o_.seccomp == "default") {
      put_seccomp(json_, container::default_seccomp(capabilities_of(o_)));
      return {};
    }
    const auto refuse_it = [&](std::string what) {
      Error e{.code = EINVAL, .what = std::move(what), .knob = "--security-opt", .value = "seccomp=" + o_.seccomp};
      e.fault = Fault::usage;
      return std::unexpected(std::move(e));
    };
    const auto rules = container::read_seccomp(o_.seccomp_text, capabilities_of(o_));
    if (!rules) return refuse_it(rules.error().text());
    put_seccomp(json_, *rules);
    return {};
  }

  const ConfigParts& p_;
  const RunOptions& o_;
  JsonWriter json_;
};

}  // namespace

Result<std::string> config_text(const ConfigParts& parts) { return ConfigWriter(parts).run(); }

}  // namespace cgx::launcher
