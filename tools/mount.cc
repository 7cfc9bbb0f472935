// SPDX-License-Identifier: Apache-2.0
// cgx mount, cgx umount.
//
// mount --json: {"mounted": "/sys/fs/cgroup/net", "type": "cgroup", "options": "net_cls,net_prio"}
// umount --json: {"unmounted": "/sys/fs/cgroup/net", "released": true}; false: the hierarchy lives on, since it is
// mounted elsewhere or has groups.
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <thread>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

#include "command.h"

namespace cgx::tool {
namespace {

struct Wanted {
  std::string type;
  std::string options;
  ControllerSet controllers;
};

struct Counted {
  std::uint64_t hierarchy = 0;  // 0: none of its own
  std::uint64_t groups = 0;
  bool enabled = true;
};

// The line of /proc/cgroups of a v1 controller; nullopt: this kernel does not have it.
Result<std::optional<Counted>> counted(std::string_view v1_name) {
  const auto text = sys::read_path("/proc/cgroups");
  if (!text && text.error().code == ENOENT) return std::optional<Counted>();  // a kernel without v1
  if (!text) return std::unexpected(text.error());
  for (const std::string_view line : sys::lines(*text)) {
    const auto fields = sys::words(line);
    if (fields.size() == 4 && fields[0] == v1_name)
      return std::optional(
          Counted{sys::parse_u64(fields[1]).value_or(0), sys::parse_u64(fields[2]).value_or(0), fields[3] == "1"});
  }
  return std::optional<Counted>();
}

Result<std::vector<Mount>> cgroup_mounts() { return parse_mountinfo(CGX_TRY(sys::read_path("/proc/self/mountinfo"))); }

// The options of cgroup2 as they stand: there is one cgroup2 on a host, and a further mount sets its options anew for
// all of them (cgroup-v2.rst, "Mounting"), so that leaving them out would take nsdelegate from everybody.
Result<std::string> v2_options() {
  std::string kept;
  for (const Mount& m : CGX_TRY(cgroup_mounts())) {
    if (m.version != Version::v2) continue;
    for (const std::string_view option : sys::split(m.options, ','))
      if (option != "rw" && option != "ro") kept.append(kept.empty() ? "" : ",").append(option);
    break;
  }
  return kept;
}

std::unexpected<Error> wrong(std::string_view flag, std::string_view value, std::string what, std::string hint = {}) {
  Error e{.code = EINVAL, .what = std::move(what), .knob = std::string(flag), .value = std::string(value)};
  e.hint = std::move(hint);
  e.fault = Fault::usage;
  return std::unexpected(std::move(e));
}

Result<Wanted> wanted_of(const Call& call) {
  const int kinds = int{call.on("v1")} + int{call.on("v2")} + int{call.on("named")};
  if (kinds != 1) return wrong("", "", "needs one of --v1 LIST, --v2 and --named NAME");
  if (call.on("v2")) return Wanted{"cgroup2", CGX_TRY(v2_options()), {}};
  if (call.on("named")) {
    const std::string_view name = call.get("named");
    const bool fine = !name.empty() && name.size() < 64 &&
                      std::ranges::all_of(
                          name,
                          [](char c) {
                            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                   c == '_' || c == '.' || c == '-';
                          });
    if (!fine) return wrong("--named", name, "is not a name of a hierarchy (1 to 63 letters, digits, _ . -)");
    return Wanted{"cgroup", fmt::format("none,name={}", name), {}};
  }
  Wanted w{"cgroup", "", CGX_TRY(located(ControllerSet::parse(call.get("v1")), "", "--v1"))};
  for (const ControllerRow& c : controllers()) {
    if (!w.controllers.has(c.id)) continue;
    if (c.v1_name.empty()) return wrong("--v1", c.name, "is no v1 controller");
    if (!w.options.empty()) w.options += ',';
    w.options += c.v1_name;
  }
  if (w.options.empty()) return wrong("--v1", call.get("v1"), "names no controller");
  return w;
}

// The absolute name of a directory that may be missing; its parent has to be there.
Result<std::string> absolute(const std::string& dir) {
  if (dir.empty() || dir.find('\0') != std::string::npos) return wrong("", dir, "is not a directory's name");
  std::array<char, PATH_MAX> buffer{};
  if (realpath(dir.c_str(), buffer.data()) != nullptr) return std::string(buffer.data());
  if (errno != ENOENT) return located(Result<std::string>(fail(errno, errno_text(errno))), "", "", dir);
  const std::size_t end = dir.find_last_not_of('/');
  const std::string bare = dir.substr(0, end + 1);
  const std::size_t slash = bare.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : bare.substr(0, slash);
  const std::string last = slash == std::string::npos ? bare : bare.substr(slash + 1);
  if (realpath(parent.c_str(), buffer.data()) == nullptr || last == "." || last == "..")
    return located(Result<std::string>(fail(ENOENT, "the directory to make it in is not there")), "", "", dir);
  const std::string base = buffer.data();
  return (base == "/" ? "" : base) + "/" + last;
}

// Why a controller cannot be mounted, from where it is now.
Result<Error> explain_busy(const Wanted& w) {
  const std::vector<Mount> mounts = CGX_TRY(cgroup_mounts());
  for (const ControllerRow& c : controllers()) {
    if (!w.controllers.has(c.id)) continue;
    const auto now = CGX_TRY(counted(c.v1_name));
    if (!now) continue;
    for (const Mount& m : mounts)
      if (m.version == Version::v1 && m.controllers.has(c.id) && !(m.controllers == w.controllers))
        return Error{.code = EBUSY,
                     .what = fmt::format(
                         "{} is mounted at {} already, as {}", c.v1_name, m.dir, m.controllers.text(Version::v1)),
                     .hint = fmt::format(
                         "a controller is in one hierarchy; mount the same list again, or cgx umount {} first", m.dir)};
    if (now->hierarchy != 0)
      return Error{
          .code = EBUSY,
          .what = fmt::format(
              "{} is in v1 hierarchy {} already, which is not mounted here with this list", c.v1_name, now->hierarchy),
          .hint =
              "another mount namespace has it, or groups are left in it; mount the same list, remove them, unmount"};
  }
  for (const Mount& m : mounts) {
    if (m.version != Version::v2) continue;
    const std::string given = CGX_TRY(sys::read_path(m.dir + "/cgroup.subtree_control"));
    for (const std::string_view name : sys::words(given))
      if (const auto c = find_controller(name); c && w.controllers.has(*c))
        return Error{
            .code = EBUSY,
            .what = fmt::format(
                "{} is in use in the v2 hierarchy: {}/cgroup.subtree_control gives it to groups", name, m.dir),
            .hint = fmt::format("take it back there first: echo -{} > {}/cgroup.subtree_control", name, m.dir)};
  }
  return Error{.code = EBUSY, .what = "is in use: the mount point is busy, or groups being removed hold a controller"};
}

// What cannot be looked at takes no part in the explanation.
Error explain_mount(const Wanted& w, int code) {
  Error e{.code = code, .what = errno_text(code)};
  for (const ControllerRow& c : controllers()) {
    if (!w.controllers.has(c.id)) continue;
    const auto now = counted(c.v1_name);
    if (!now || (*now && (*now)->enabled)) continue;
    e.what = fmt::format(
        "{} {}",
        c.v1_name,
        *now ? "is switched off (kernel parameter cgroup_disable=)" : "is not in this kernel's v1 controllers");
    return e;
  }
  if (code == EBUSY) return explain_busy(w).value_or(e);
  if (code == EPERM || code == EACCES) e.what = "mounting needs CAP_SYS_ADMIN";
  if (code == ENODEV) e.what = fmt::format("this kernel has no {} file system", w.type);
  if (code == EINVAL) e.what = fmt::format("the kernel refuses the options \"{}\"", w.options);
  return e;
}

// Waits until only the root is left of the hierarchy: freed groups count for some milliseconds after rmdir, and a
// hierarchy that is unmounted meanwhile stays for good (the kernel tears down only one without groups).
void wait_for_release(const Mount& m) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  std::string_view controller;
  for (const ControllerRow& c : controllers())
    if (m.version == Version::v1 && m.controllers.has(c.id)) controller = c.v1_name;
  if (controller.empty()) {
    // The kernel counts no groups of a named hierarchy; 50 ms were always enough.
    if (m.version == Version::v1) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return;
  }
  while (std::chrono::steady_clock::now() < end) {
    const auto now = counted(controller);
    if (now && (!*now || (*now)->groups <= 1)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

bool has_groups(const std::string& dir) {
  struct stat st{};
  return stat(dir.c_str(), &st) == 0 && st.st_nlink > 2;
}

// Whether the kernel holds the hierarchy or its controllers still.
Result<bool> is_held(const Mount& m) {
  for (const ControllerRow& c : controllers()) {
    if (!m.controllers.has(c.id)) continue;
    const auto now = CGX_TRY(counted(c.v1_name));
    if (now && now->hierarchy != 0) return true;
  }
  if (m.name.empty()) return false;
  // A named one shows in /proc/self/cgroup as long as it lives.
  return CGX_TRY(sys::read_path("/proc/self/cgroup")).find(":name=" + m.name + ":") != std::string::npos;
}

// Whether the kernel let the hierarchy go: its controllers are free again.
Result<bool> released(const Mount& m) {
  if (std::ranges::any_of(CGX_TRY(cgroup_mounts()), [&](const Mount& other) { return other.device == m.device; }))
    return false;
  if (m.version == Version::v2) return true;
  for (int tries = 0; tries < 20; ++tries) {
    if (!CGX_TRY(is_held(m))) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace

Result<int> run_mount(const Call& call) {
  const Wanted w = CGX_TRY(wanted_of(call));
  const std::string dir = CGX_TRY(absolute(call.words[0]));
  struct stat st{};
  const bool missing = stat(dir.c_str(), &st) != 0;
  if (!missing && !S_ISDIR(st.st_mode)) return wrong("", dir, "is not a directory");
  for (const Mount& m : CGX_TRY(cgroup_mounts()))
    if (m.dir == dir)
      return located(Result<int>(fail(EBUSY,
                                      fmt::format("a cgroup hierarchy ({}) is mounted there already",
                                                  m.version == Version::v2 ? "cgroup2" : m.options))),
                     "",
                     "",
                     dir);
  if (call.dry_run) {
    print_steps(call,
                (missing ? fmt::format("mkdir {}\n", dir) : std::string()) +
                    fmt::format("mount -t {}{}{} none {}\n", w.type, w.options.empty() ? "" : " -o ", w.options, dir));
    return 0;
  }
  if (missing && mkdir(dir.c_str(), 0755) != 0)
    return located(Result<int>(fail(errno, "cannot be made: " + errno_text(errno))), "", "", dir);
  if (::mount("none",
              dir.c_str(),
              w.type.c_str(),
              MS_NOSUID | MS_NODEV | MS_NOEXEC,
              w.options.empty() ? nullptr : w.options.c_str()) != 0) {
    Error e = explain_mount(w, errno);
    if (missing) (void)rmdir(dir.c_str());  // it is empty and ours; the error of the mount is the one to tell
    e.value = dir;
    return std::unexpected(std::move(e));
  }
  if (call.json) {
    sys::JsonWriter json;
    json.open_object()
        .key("mounted")
        .string(dir)
        .key("type")
        .string(w.type)
        .key("options")
        .string(w.options)
        .close_object();
    print(json.take() + "\n");
  }
  return 0;
}

Result<int> run_umount(const Call& call) {
  const std::string dir = CGX_TRY(absolute(call.words[0]));
  const std::vector<Mount> mounts = CGX_TRY(cgroup_mounts());
  // Of several at one place the last one is on top.
  const auto top = std::ranges::find(mounts.rbegin(), mounts.rend(), dir, &Mount::dir);
  if (top == mounts.rend()) {
    auto error = fail(EINVAL, "is no cgroup mount point");
    error.error().hint = "cgx controllers lists where hierarchies are mounted";
    return located(Result<int>(std::move(error)), "", "", dir);
  }
  const Mount& m = *top;
  if (call.dry_run) {
    print_steps(call, fmt::format("umount {}\n", dir));
    return 0;
  }
  const auto same = std::ranges::count(mounts, m.device, &Mount::device);
  const bool groups = has_groups(dir);
  if (same == 1 && !groups) wait_for_release(m);
  if (umount2(dir.c_str(), UMOUNT_NOFOLLOW) != 0) {
    Error e{.code = errno, .what = errno_text(errno), .value = dir};
    if (e.code == EBUSY) {
      e.what = "is busy: a process has its working directory or an open file in it, or something is mounted below it";
      e.hint = fmt::format("fuser -vm {} lists processes", dir);
    }
    if (e.code == EPERM || e.code == EACCES) e.what = "unmounting needs CAP_SYS_ADMIN";
    return std::unexpected(std::move(e));
  }
  if (call.json) {
    const bool free = CGX_TRY(located(released(m), "", "", dir));
    sys::JsonWriter json;
    json.open_object().key("unmounted").string(dir).key("released").boolean(free).close_object();
    print(json.take() + "\n");
  }
  return 0;
}

}  // namespace cgx::tool
