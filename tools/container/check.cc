// SPDX-License-Identifier: Apache-2.0
#include "check.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/place.h"
#include "cgx/container/root_dir.h"
#include "cgx/container/rootfs.h"
#include "cgx/sys/harmless.h"
#include "cgx/sys/text.h"

#include "devices.h"
#include "rootless.h"
#include "shared.h"
#include "view.h"

namespace cgx::launcher {
namespace {

std::unexpected<Error> refused(std::string_view flag, std::string value, int code, std::string what) {
  Error e{.code = code, .what = std::move(what), .knob = std::string(flag), .value = std::move(value)};
  return std::unexpected(std::move(e));
}

Result<> check_sources(const RunOptions& o) {
  for (const Bind& b : o.binds) {
    struct stat st{};
    if (!b.make_source && stat(b.source.c_str(), &st) != 0)
      return refused("--mount", b.source, errno, errno_text(errno));
  }
  return {};
}

// Those of Linux 6.18.
constexpr std::array<std::string_view, 8> tmpfs_values{
    "size", "nr_blocks", "nr_inodes", "mode", "uid", "gid", "huge", "mpol"};
constexpr std::array<std::string_view, 9> tmpfs_words{
    "inode32", "inode64", "noswap", "quota", "usrquota", "grpquota", "casefold", "strict_encoding", "tmpcopyup"};

Result<> check_tmpfs(const RunOptions& o) {
  const std::vector<std::string> known = container::known_mount_options();
  const auto is_known = [&](const std::string& option) {
    if (std::ranges::find(known, option) != known.end()) return true;
    if (std::ranges::find(tmpfs_words, option) != tmpfs_words.end()) return true;
    const std::size_t equals = option.find('=');
    if (equals == std::string::npos) return false;
    const std::string_view key = std::string_view(option).substr(0, equals);
    return std::ranges::find(tmpfs_values, key) != tmpfs_values.end() || key.find("quota_") != std::string_view::npos;
  };
  for (const TmpfsMount& m : o.tmpfs)
    for (const std::string& option : m.options)
      if (!is_known(option))
        return refused(
            "--tmpfs", m.destination, EINVAL, fmt::format("has the option \"{}\", which tmpfs does not know", option));
  return {};
}

// Only root of the host may give more than it has itself.
bool may_raise_limits() {
  if (in_user_namespace()) return false;
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> caps{};
  if (syscall(SYS_capget, &header, caps.data()) != 0) return true;  // then the kernel says it later
  return (caps[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective & CAP_TO_MASK(CAP_SYS_RESOURCE)) != 0;
}

Result<> check_rlimits(const RunOptions& o) {
  const bool may_raise = o.rlimits.empty() || may_raise_limits();
  for (const container::Rlimit& wanted : o.rlimits) {
    // Nobody has more descriptors than that.
    const auto most =
        wanted.resource == RLIMIT_NOFILE ? sys::read_path("/proc/sys/fs/nr_open") : Result<std::string>(std::string());
    const auto number = most ? sys::parse_u64(sys::trim(*most)) : std::unexpected(most.error());
    if (number && wanted.hard > *number)
      return refused("--ulimit",
                     wanted.type,
                     EPERM,
                     fmt::format("has the hard limit {}, above fs.nr_open, which is {}",
                                 wanted.hard == RLIM_INFINITY ? "-1 (none)" : std::to_string(wanted.hard),
                                 *number));
    if (may_raise) continue;
    rlimit own{};
    if (getrlimit(static_cast<__rlimit_resource>(wanted.resource), &own) != 0 || wanted.hard <= own.rlim_max) continue;
    return refused("--ulimit",
                   wanted.type,
                   EPERM,
                   fmt::format("has the hard limit {}, above this process' own of {}: raising it takes "
                               "CAP_SYS_RESOURCE",
                               wanted.hard,
                               own.rlim_max));
  }
  return {};
}

// Who may read the list of loaded profiles; for others the kernel says it later.
Result<> check_apparmor(const std::string& profile) {
  const auto loaded =
      profile.empty() ? Result<std::string>(std::string()) : sys::read_path("/sys/kernel/security/apparmor/profiles");
  if (profile.empty() || !loaded) return {};
  for (const std::string_view line : sys::lines(*loaded))
    if (line.starts_with(profile + " (")) return {};
  return refused("--security-opt", "apparmor=" + profile, ENOENT, "is not a loaded profile");
}

Result<> check_workdir(int root, const std::string& workdir) {
  const auto there = container::open_in_root(root, workdir, O_PATH);
  struct stat st{};
  const bool ends = there && fstat(there->get(), &st) == 0 && !S_ISDIR(st.st_mode);
  if (ends || (!there && there.error().code == ENOTDIR))
    return refused("--workdir", workdir, ENOTDIR, errno_text(ENOTDIR));
  return {};
}

}  // namespace

Result<ImageUser> check_request(const RunOptions& options, const Image& image) {
  CGX_CHECK(check_shared(options));
  CGX_CHECK(check_sources(options));
  CGX_CHECK(check_tmpfs(options));
  CGX_CHECK(check_rlimits(options));
  CGX_CHECK(check_apparmor(options.apparmor));
  (void)CGX_TRY(device_nodes(options));
  const std::string user = options.user.empty() ? image.user : options.user;
  // Layers are one tree only when they are mounted.
  if (image.layers.size() != 1) {
    const bool named = user.find_first_not_of("0123456789:") != std::string::npos;
    return find_user("", "", named ? "" : user);
  }
  const auto root = sys::open_path(image.layers[0], O_PATH | O_DIRECTORY);
  if (!root) return located(Result<ImageUser>(std::unexpected(root.error())), "", {}, image.name);
  CGX_CHECK(check_workdir(root->get(), workdir_of(options, image)));
  ImageUser found = CGX_TRY(located(find_user(root->get(), user), "", options.user.empty() ? "" : "--user"));
  const auto groups = CGX_TRY(located(find_groups(root->get(), options.group_add), "", "--group-add"));
  found.groups.insert(found.groups.end(), groups.begin(), groups.end());
  return found;
}

std::vector<std::string> left_out(const RunOptions& options, const Image& image) {
  std::vector<std::string> all;
  if (!image.warning.empty()) all.push_back(image.warning);
  for (const std::string& volume : image.volumes) {
    const auto holds = [&volume](const auto& mount) { return lies_in(volume, mount.destination); };
    if (std::ranges::any_of(options.binds, holds) || std::ranges::any_of(options.tmpfs, holds)) continue;
    const std::string shown = sys::harmless(volume);
    all.push_back(
        fmt::format("volumes of images are not supported: what is written to {0} is removed with the container; "
                    "-v DIR:{0} keeps it",
                    shown));
  }
  if (image.has_health_check && !options.no_health_check)
    all.emplace_back("its health check is not run, which is not supported; --no-healthcheck silences this");
  return all;
}

Error name_is_taken(const std::string& name) {
  Error e{.code = EEXIST, .what = "is the name of a container that is there already", .value = name};
  const auto other = find_exactly(name, Store::How::look);
  if (!other)
    e.hint = "choose another --name";
  else if (goes_on(*other))
    e.hint = fmt::format("it runs: cgx container rm -f {} kills and removes it; or choose another --name", name);
  else
    e.hint = fmt::format("it has ended: cgx container rm {} removes it; or choose another --name", name);
  return e;
}

}  // namespace cgx::launcher
