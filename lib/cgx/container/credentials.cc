// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/credentials.h"

#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/root_dir.h"
#include "cgx/sys/accounts.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

constexpr std::uint64_t bit(int number) { return std::uint64_t{1} << number; }

struct Sets {
  std::uint64_t effective = 0, permitted = 0, inheritable = 0;
};

Result<Sets> sets_now() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return fail_errno(errno, "capget");
  const auto joined = [](std::uint32_t low, std::uint32_t high) { return std::uint64_t{high} << 32U | low; };
  return Sets{.effective = joined(data[0].effective, data[1].effective),
              .permitted = joined(data[0].permitted, data[1].permitted),
              .inheritable = joined(data[0].inheritable, data[1].inheritable)};
}

Result<> set(const Sets& sets) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  for (std::size_t i = 0; i < 2; ++i) {
    const std::size_t shift = 32 * i;
    data[i].effective = static_cast<std::uint32_t>(sets.effective >> shift);
    data[i].permitted = static_cast<std::uint32_t>(sets.permitted >> shift);
    data[i].inheritable = static_cast<std::uint32_t>(sets.inheritable >> shift);
  }
  if (syscall(SYS_capset, &header, data.data()) != 0) return fail_errno(errno, "capset");
  return {};
}

Result<> drop_bounding(std::uint64_t kept) {
  for (int number = 0; number < 64; ++number) {
    if ((kept & bit(number)) != 0) continue;
    if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) break;  // the kernel has no more
    // Without CAP_SETPCAP nothing can be dropped; what is not there need not be.
    const int code = errno;
    if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1)
      return fail_errno(code, fmt::format("bounding set without {}", capability_name(number)));
  }
  return {};
}

Result<> raise_ambient(std::uint64_t wanted) {
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL)
    return fail_errno(errno, "ambient set");
  for (int number = 0; number < 64; ++number)
    if ((wanted & bit(number)) != 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) != 0)
      return fail_errno(errno, fmt::format("ambient {}", capability_name(number)));
  return {};
}

Result<> set_groups(const User& user) {
  const std::vector<gid_t> groups(user.additional_gids.begin(), user.additional_gids.end());
  if (setgroups(groups.size(), groups.data()) == 0) return {};
  const int code = errno;
  // A user without privileges has had to give up setgroups for its user namespace: the groups stay as they are there.
  if (code == EPERM && groups.empty()) {
    if (getgroups(0, nullptr) == 0) return {};
    if (const auto said = sys::read_path("/proc/self/setgroups"); said && sys::trim(*said) == "deny") return {};
  }
  if (code == EINVAL && !groups.empty() && groups.size() <= NGROUPS_MAX)
    return fail(code, fmt::format("one of the gids {} is not mapped into the container", fmt::join(groups, ", ")));
  return fail_errno(code, "setgroups");
}

// EINVAL is the kernel's word for an id that the user namespace has no number for.
std::unexpected<Error> id_refused(std::string_view kind, std::uint32_t id, int code) {
  if (code == EINVAL) return fail(code, fmt::format("{} {} is not mapped into the container", kind, id));
  return fail_errno(code, fmt::format("{} {}", kind, id));
}

Result<> set_ids(const User& user, bool keep, bool keep_groups) {
  if (!keep_groups) CGX_CHECK(set_groups(user));
  if (setresgid(user.gid, user.gid, user.gid) != 0) return id_refused("gid", user.gid, errno);
  if (keep && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return fail_errno(errno, "keepcaps");
  if (setresuid(user.uid, user.uid, user.uid) != 0) return id_refused("uid", user.uid, errno);
  return {};
}

std::string names_of(std::uint64_t set) {
  std::string names;
  for (int number = 0; number < 64; ++number)
    if ((set & bit(number)) != 0) {
      const std::string_view name = capability_name(number);
      names += names.empty() ? "" : ", ";
      names += name.empty() ? fmt::format("capability {}", number) : std::string(name);
    }
  return names;
}

}  // namespace

Result<std::string> become(const Process& process, Keeps keeps) {
  std::string warning;
  const std::uint64_t for_filter = keeps.filter ? bit(CAP_SYS_ADMIN) : 0;
  if (process.keeps_capabilities) {
    CGX_CHECK(set_ids(process.user, keeps.filter, keeps.groups));
    if (!keeps.filter) return warning;
    // Who was root and is not any more has lost the effective ones, and would have lost the permitted ones.
    Sets left = CGX_TRY(sets_now());
    if (left.effective != 0) return warning;
    left.permitted &= for_filter;
    left.effective = left.permitted;
    CGX_CHECK(set(left));
    return warning;
  }
  const Capabilities capabilities = process.capabilities.value_or(Capabilities());
  const Sets now = CGX_TRY(sets_now());
  const std::uint64_t wanted = capabilities.bounding | capabilities.permitted | capabilities.effective |
                               capabilities.inheritable | capabilities.ambient;
  if (const std::uint64_t missing = wanted & ~now.permitted; missing != 0)
    warning = fmt::format("capabilities that cannot be granted are left out: {}", names_of(missing));
  if (!capabilities.unknown.empty())
    warning += fmt::format(
        "{}unknown capabilities are ignored: {}", warning.empty() ? "" : "; ", fmt::join(capabilities.unknown, ", "));
  Sets granted;
  granted.permitted = capabilities.permitted & now.permitted;
  granted.effective = capabilities.effective & granted.permitted;
  granted.inheritable = capabilities.inheritable & now.permitted;
  // The kernel raises only what is permitted and inheritable too. Engines name the rest all the same, and leave it at
  // that: it is no cause to warn.
  const std::uint64_t ambient = capabilities.ambient & granted.permitted & granted.inheritable;
  granted.permitted |= for_filter & now.permitted;
  granted.effective |= for_filter & now.permitted;
  CGX_CHECK(drop_bounding(capabilities.bounding));
  CGX_CHECK(set_ids(process.user, true, keeps.groups));
  CGX_CHECK(set(granted));
  CGX_CHECK(raise_ambient(ambient));
  return warning;
}

std::string home_of(uid_t uid) {
  constexpr std::size_t most = 1U << 20U;
  std::string root = "/";
  const sys::Fd top(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  const auto file = open_in_root(top.get(), "etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY);
  struct stat st{};
  if (!file || fstat(file->get(), &st) != 0 || !S_ISREG(st.st_mode)) return root;
  const auto text = sys::read_all(file->get(), most);
  if (!text) return root;
  for (const std::string_view line : sys::lines(*text)) {
    const auto account = sys::parse_passwd_line(line);
    if (account && account->uid == uid && !account->home.empty()) return std::string(account->home);
  }
  return root;
}

void own_standard_streams(const User& user, bool terminal) {
  for (int fd = 0; fd < 3; ++fd) {
    struct stat st{};
    if (fstat(fd, &st) != 0) continue;
    const bool pipe = S_ISFIFO(st.st_mode);
    if (!pipe && !(terminal && S_ISCHR(st.st_mode))) continue;
    // The group of a terminal is that of its devpts.
    if (st.st_uid == user.uid && (!pipe || st.st_gid == user.gid)) continue;
    // Not possible for ids that are not mapped, on read-only file systems and without rights: then it stays.
    (void)!fchown(fd, user.uid, pipe ? user.gid : static_cast<gid_t>(-1));
  }
}

}  // namespace cgx::container
