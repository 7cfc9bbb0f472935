// SPDX-License-Identifier: Apache-2.0
// cgx doctor: what the kernel can do. Tried, not inferred from its version.
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/walk.h"
#include "cgx/sys/count.h"
#include "cgx/sys/text.h"

#include "doctor.h"

namespace cgx::tool {
namespace {

void add(Checks& checks,
         bool good,
         std::string_view name,
         std::string yes,
         std::string no,
         std::string todo,
         Level bad = Level::warn) {
  checks.push_back({good ? Level::ok : bad,
                    std::string(name),
                    good ? std::move(yes) : std::move(no),
                    good ? std::string() : std::move(todo)});
}

// A system call answered `code`: 0 and it is there, or it is not in this kernel (ENOSYS; EINVAL or E2BIG: not with that
// flag), or a filter is in the way (EPERM). Any other code is of this process' own and tells nothing of the kernel.
Result<bool> works(std::string_view call, int code) {
  if (code == 0) return true;
  if (code == ENOSYS || code == EINVAL || code == E2BIG || code == EPERM) return false;
  return fail_errno(code, call);
}

void add(Checks& checks,
         const Result<bool>& good,
         std::string_view name,
         std::string yes,
         std::string no,
         std::string todo) {
  if (!good) return could_not_look(checks, name, good.error());
  add(checks, *good, name, std::move(yes), std::move(no), std::move(todo));
}

Result<bool> has_openat2() {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  const long fd = syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how);
  if (fd < 0) return works("openat2", errno);
  (void)close(static_cast<int>(fd));
  return true;
}

// A descriptor that is none: a kernel that knows the flag says EBADF, and no child is made in any case.
Result<bool> has_clone_into_cgroup() {
  clone_args args{};
  args.flags = CLONE_INTO_CGROUP;
  args.cgroup = 0x7fffffff;
  (void)syscall(SYS_clone3, &args, sizeof args);
  return works("clone3", errno == EBADF ? 0 : errno);
}

Result<bool> has_pidfd() {
  const long fd = syscall(SYS_pidfd_open, getpid(), 0);
  if (fd < 0) return works("pidfd_open", errno);
  (void)close(static_cast<int>(fd));
  return true;
}

// Whether there is such a file of the kernel's.
Result<bool> has_file(const std::string& path) {
  const auto text = sys::read_path(path);
  if (text || text.error().code == ENOENT || text.error().code == EOPNOTSUPP) return text.has_value();
  return located(Result<bool>(std::unexpected(text.error())), "", path);
}

// Loads `return 1` as a device program; it is attached nowhere and goes with its descriptor. 0 or an errno.
int load_device_program() {
  std::array<bpf_insn, 2> program{};
  program[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  program[0].imm = 1;
  program[1].code = BPF_JMP | BPF_EXIT;
  constexpr std::string_view license = "Apache-2.0";
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insns = reinterpret_cast<std::uintptr_t>(program.data());
  attr.insn_cnt = program.size();
  attr.license = reinterpret_cast<std::uintptr_t>(license.data());
  const long fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
  if (fd < 0) return errno;
  (void)close(static_cast<int>(fd));
  return 0;
}

// Whether some group below the root of v2 has `file`; nullopt: there is no group to look at.
Result<std::optional<bool>> in_some_group(const Hierarchies& hierarchies,
                                          const Hierarchy& h,
                                          std::string_view file,
                                          std::string_view beside) {
  std::optional<bool> seen;
  for (const Listed& l : CGX_TRY(walk(Cgroup(hierarchies, ""), Depth::children))) {
    if (!l.in(h)) continue;
    const Cgroup group(hierarchies, l.name);
    const auto dir = group.dir(h);
    if (!dir && dir.error().code == ENOENT) continue;  // removed meanwhile
    if (!sys::exists(CGX_TRY(dir), beside)) continue;
    seen = sys::exists(*dir, file);
    if (*seen) break;
  }
  return seen;
}

void check_v2_file(Checks& checks,
                   const Hierarchies& hierarchies,
                   std::string_view file,
                   std::string_view beside,
                   std::string otherwise) {
  const auto seen = in_some_group(hierarchies, *hierarchies.unified(), file, beside);
  if (!seen) return could_not_look(checks, file, seen.error());
  if (!*seen)
    checks.push_back({Level::ok, std::string(file), "not known: no group on v2 to look at", ""});
  else
    add(checks, **seen, file, "there", "not in this kernel", std::move(otherwise));
}

Result<std::uint64_t> dying(const Hierarchies& hierarchies) {
  const Hierarchy* h = hierarchies.of(Controller::memory);
  if (h == nullptr) return 0;
  if (h->version() == Version::v2)
    return sys::keyed_u64(CGX_TRY(Cgroup(hierarchies, "").read(*h, "cgroup.stat")), "nr_dying_descendants").value_or(0);
  const std::string text = CGX_TRY(sys::read_path("/proc/cgroups"));
  for (const std::string_view line : sys::lines(text)) {
    const auto fields = sys::words(line);
    if (fields.size() == 4 && fields[0] == "memory") {
      std::uint64_t living = 1;
      for (const Listed& l : CGX_TRY(walk(Cgroup(hierarchies, ""), Depth::all))) living += l.in(*h) ? 1 : 0;
      const std::uint64_t all = sys::parse_u64(fields[2]).value_or(0);
      return all > living ? all - living : 0;
    }
  }
  return 0;
}

void check_swap(Checks& checks, const Hierarchies& hierarchies) {
  const Hierarchy* h = hierarchies.of(Controller::memory);
  if (h == nullptr) return;
  const bool v1 = h->version() == Version::v1;
  const Cgroup root(hierarchies, "");
  const auto v1_file = [&]() -> Result<std::optional<bool>> {
    return sys::exists(CGX_TRY(root.dir(*h)), "memory.memsw.limit_in_bytes");
  };
  const auto looked = v1 ? v1_file() : in_some_group(hierarchies, *h, "memory.swap.max", "memory.max");
  if (!looked) return could_not_look(checks, "swap accounting", looked.error());
  const std::optional<bool> there = *looked;
  if (!there) {
    checks.push_back({Level::ok, "swap accounting", "not known: no group with the memory controller to look at", ""});
    return;
  }
  add(checks,
      *there,
      "swap accounting",
      v1 ? "memory.memsw files are there" : "memory.swap files are there",
      "swap is not counted by group",
      "boot with swapaccount=1, or build with CONFIG_SWAP and CONFIG_MEMCG");
}

}  // namespace

void check_kernel(Checks& checks, const Hierarchies* hierarchies, const KernelConfig& config) {
  utsname name{};
  (void)uname(&name);  // cannot fail with a good pointer
  checks.push_back({Level::ok, "kernel", fmt::format("{} {}", name.sysname, name.release), ""});
  add(checks,
      has_openat2(),
      "openat2",
      "there: group names cannot lead out of a hierarchy",
      "not there: paths are walked part by part, slower",
      "a kernel from 5.6, or a seccomp filter that lets openat2 pass");
  add(checks,
      has_clone_into_cgroup(),
      "clone3",
      "CLONE_INTO_CGROUP works: exec starts processes inside their v2 group",
      "CLONE_INTO_CGROUP does not work: exec moves the child before it starts",
      "a kernel from 5.7, or a seccomp filter that lets clone3 pass");
  add(checks,
      has_pidfd(),
      "pidfd",
      "there: signals reach the process that was meant",
      "not there: signals go by number",
      "a kernel from 5.3");
  add(checks,
      has_file("/proc/pressure/cpu"),
      "pressure",
      "PSI is on",
      "PSI is off: no pressure in stat and events",
      config.value("PSI") == 'n' ? "build the kernel with CONFIG_PSI=y" : "boot with psi=1");
  if (hierarchies == nullptr) return;

  const Hierarchy* v2 = hierarchies->unified();
  if (v2 != nullptr) {
    check_v2_file(
        checks, *hierarchies, "cgroup.kill", "cgroup.type", "a kernel from 5.14; cgx kill freezes and signals instead");
    if (v2->controllers().has(Controller::memory))
      check_v2_file(checks,
                    *hierarchies,
                    "memory.reclaim",
                    "memory.max",
                    "a kernel from 5.19; limits are lowered by memory.high instead");
    const int code = load_device_program();
    if (code == EMFILE || code == ENFILE || code == ENOMEM)
      could_not_look(checks, "device programs", fail_errno(code, "bpf").error());
    else if (hierarchies->of(Controller::devices) == v2)
      add(checks,
          code == 0,
          "device programs",
          "BPF programs for --device can be loaded",
          fmt::format("--device cannot work: {}", errno_text(code)),
          code == EPERM ? "it needs CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN"
                        : "build the kernel with CONFIG_CGROUP_BPF=y");
    else if (code != 0)
      checks.push_back({Level::ok,
                        "device programs",
                        fmt::format("cannot be loaded ({}), but devices are on v1", errno_text(code)),
                        ""});
  }
  const auto delegate = sys::read_path("/sys/kernel/cgroup/delegate");
  std::string files = delegate.value_or("");
  for (char& c : files) c = c == '\n' ? ' ' : c;
  const bool found = delegate.has_value();
  if (!found && delegate.error().code != ENOENT)
    could_not_look(checks, "delegation", delegate.error());
  else
    add(checks,
        found,
        "delegation",
        fmt::format("an owner is given: {}", sys::trim(files)),
        "/sys/kernel/cgroup/delegate is not there",
        "cgx gives the usual three files");
  const auto dynamic = [](const Hierarchy& h) {
    for (const std::string_view option : sys::split(h.mount().options, ','))
      if (option == "favordynmods") return true;
    return false;
  };
  bool all = true;
  for (const Hierarchy& h : hierarchies->all()) all = all && dynamic(h);
  const bool known =
      sys::read_path("/sys/kernel/cgroup/features").value_or("").find("favordynmods") != std::string::npos;
  checks.push_back({Level::ok,
                    "favordynmods",
                    all ? "on: moving processes is fast, fork and exit a little slower"
                        : "off: the first move of a running process after a pause waits 10 to 20 ms (exec does not)",
                    all || !known ? "" : "mount -o remount,favordynmods DIR turns it on; it slows down every fork"});
  check_swap(checks, *hierarchies);
  const auto looked = dying(*hierarchies);
  if (!looked) return could_not_look(checks, "dying groups", looked.error());
  const std::uint64_t gone = *looked;
  add(checks,
      gone < 10'000,
      "dying groups",
      sys::counted(gone, "removed memory group waits for its", "removed memory groups wait for their") +
          " pages to be freed",
      fmt::format("{} removed memory groups wait for their pages; 65535 are the most on v1", gone),
      "echo 3 > /proc/sys/vm/drop_caches frees them");
}

}  // namespace cgx::tool
