// SPDX-License-Identifier: Apache-2.0
#include "root.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/launch.h"
#include "cgx/container/mount_calls.h"
#include "cgx/container/root_dir.h"
#include "cgx/sys/accounts.h"
#include "cgx/sys/text.h"

namespace cgx::launcher {
namespace {

Result<sys::Fd> open_layer(const std::string& path) {
  auto fd = sys::open_path(path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  if (!fd) return fail_errno(fd.error().code, "layer " + path);
  return fd;
}

std::string by_number(const sys::Fd& fd) { return fmt::format("/proc/self/fd/{}", fd.get()); }

Result<> make_new_directory(const std::string& path, unsigned mode) {
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) return fail_errno(errno, "mkdir " + path);
  return {};
}

// The root of the whole has the attributes of the writable layer's: they are the image's.
Result<> copy_attributes(const sys::Fd& from, const std::string& to, const container::IdMaps& maps) {
  struct stat st{};
  if (fstat(from.get(), &st) != 0) return fail_errno(errno, "stat");
  const std::uint32_t uid_base = maps.uids.empty() ? 0 : maps.uids[0].host_id;
  const std::uint32_t gid_base = maps.gids.empty() ? 0 : maps.gids[0].host_id;
  // EINVAL: of nobody in this user namespace, as what belongs to the host's root; then it is the caller's.
  if ((st.st_uid != 0 || st.st_gid != 0 || uid_base != 0) &&
      lchown(to.c_str(), st.st_uid + uid_base, st.st_gid + gid_base) != 0 && errno != EINVAL)
    return fail_errno(errno, "chown " + to);
  if (chmod(to.c_str(), st.st_mode & 07777) != 0) return fail_errno(errno, "chmod " + to);
  return {};
}

// Strings of fsconfig(2) have 255 bytes: paths by number are short, and no path is resolved twice.
std::vector<std::string> lower_options(const std::vector<sys::Fd>& top_first) {
  std::string all = "lowerdir=";
  for (const sys::Fd& fd : top_first) all += (all.back() == '=' ? "" : ":") + by_number(fd);
  if (all.size() - 9 <= container::longest_value) return {all};
  std::vector<std::string> each;  // Linux 6.8
  each.reserve(top_first.size());
  for (const sys::Fd& fd : top_first) each.push_back("lowerdir+=" + by_number(fd));
  return each;
}

constexpr std::size_t most_account_bytes = 1U << 20U;

// Empty where there is none, or what is there is no file.
Result<std::string> account_file(int root, const std::string& path) {
  auto fd = container::open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!fd) {
    // There is no such file in the image, or it is none that can be read.
    constexpr std::array none{ENOENT, ENOTDIR, ELOOP, ENXIO};
    if (std::ranges::find(none, fd.error().code) != none.end()) return std::string();
    return located(Result<std::string>(std::unexpected(fd.error())), "", path);
  }
  struct stat st{};
  if (fstat(fd->get(), &st) != 0) return fail_errno(errno, path);
  if (!S_ISREG(st.st_mode)) return std::string();
  if (st.st_size > static_cast<off_t>(most_account_bytes))
    return fail(EFBIG, fmt::format("{} of the container is larger than 1 MiB", path));
  return sys::read_all(fd->get(), most_account_bytes);
}

bool is_numeric(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

Result<std::uint32_t> id_of(std::string_view text, std::string_view what) {
  const auto n = sys::parse_u64(text, 0, 0xfffffffe);
  if (!n) return bad_value(text, fmt::format("is no number of a {} from 0 to 4294967294", what));
  return static_cast<std::uint32_t>(*n);
}

constexpr std::size_t most_fields_line = 64U << 10U;

std::vector<std::string_view> fields_of(std::string_view line, std::size_t least) {
  if (line.size() > most_fields_line) return {};
  auto fields = sys::split(line, ':');
  if (fields.size() < least) fields.clear();
  return fields;
}

constexpr std::size_t most_layers = 500;  // of the kernel (OVL_MAX_STACK)

// Which of the lower layers overlayfs refuses, each tried with an empty one; empty: none of them.
std::string refused_layer(const LayerPlan& plan, const std::vector<sys::Fd>& top_first) {
  const auto empty = container::make_tree({.type = "tmpfs", .source = "tmpfs", .data = {}});
  if (!empty) return {};
  for (std::size_t i = 0; i < plan.lower.size() && i < top_first.size(); ++i) {
    const std::string both = fmt::format("lowerdir={}:{}", by_number(top_first[i]), by_number(*empty));
    const auto tried = container::make_tree({.type = "overlay", .source = "overlay", .data = {both}});
    if (!tried && tried.error().code == EINVAL) return plan.lower[plan.lower.size() - 1 - i];
  }
  return {};
}

Result<std::uint32_t> group_id(std::string_view group, std::string_view name) {
  if (is_numeric(name)) return id_of(name, "group");
  for (const std::string_view line : sys::lines(group)) {
    const auto fields = fields_of(line, 3);
    if (!fields.empty() && fields[0] == name && !name.empty()) return id_of(fields[2], "group");
  }
  return bad_value(name, "is not a group in the container: its /etc/group has no such name");
}

// The kernel answers EINVAL to all that it does not like, and says to its log alone what that was.
Error no_overlay(const LayerPlan& plan, const std::vector<sys::Fd>& lower, const sys::Fd& upper, const Error& error) {
  const std::string& data = plan.data;
  Error e{.code = error.code, .what = fmt::format("overlay of {}: {}", data, error.text())};
  struct statfs fs{};
  if (error.code == EINVAL && fstatfs(upper.get(), &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC) {
    e.what = fmt::format("{} is on an overlay, which cannot hold the writable layer of another one", data);
    e.hint = "CGX_DATA names a directory on ext4, xfs, btrfs or tmpfs, such as a volume of a container";
  } else if (error.code == EINVAL && lower.size() > most_layers) {
    e.what = fmt::format("the image has {} layers, and overlayfs stacks {} at most", lower.size(), most_layers);
  } else if (const std::string layer = error.code == EINVAL ? refused_layer(plan, lower) : ""; !layer.empty()) {
    e.what = fmt::format("{} is on a file system that overlayfs takes no layer from", layer);
  } else if (error.code == EINVAL) {
    e.hint =
        "the writable layer needs a file system with d_type and extended attributes: CGX_DATA names another directory";
  }
  return e;
}

}  // namespace

Result<sys::Fd> mount_layers(const LayerPlan& plan) {
  const std::string upper = plan.data + "/upper", work = plan.data + "/work";
  std::vector<sys::Fd> lower;
  for (auto path = plan.lower.rbegin(); path != plan.lower.rend(); ++path) lower.push_back(CGX_TRY(open_layer(*path)));
  if (lower.empty()) {  // of an image without layers
    CGX_CHECK(make_new_directory(plan.data + "/empty", 0755));
    lower.push_back(CGX_TRY(open_layer(plan.data + "/empty")));
  }
  CGX_CHECK(make_new_directory(upper, 0755));
  CGX_CHECK(make_new_directory(work, 0700));
  CGX_CHECK(copy_attributes(lower.front(), upper, plan.maps));
  if (!plan.maps.uids.empty()) {
    const sys::Fd mapping = CGX_TRY(container::mapping_namespace(plan.maps));
    for (sys::Fd& layer : lower) {
      sys::Fd tree = CGX_TRY(container::clone_tree(layer.get(), "", container::Below::none, AT_EMPTY_PATH));
      const auto mapped = container::set_attributes(
          tree.get(), container::Below::none, {.set = MOUNT_ATTR_IDMAP, .user_namespace = mapping.get()});
      if (!mapped) {
        Error e = mapped.error();
        e.what = fmt::format("the file system of the image cannot be mapped to other ids: {}", e.what);
        e.hint = "--userns host, or the image on ext4, xfs or btrfs";
        return std::unexpected(std::move(e));
      }
      layer = std::move(tree);
    }
  }
  const sys::Fd upper_fd = CGX_TRY(open_layer(upper)), work_fd = CGX_TRY(open_layer(work));
  container::NewMount wanted{.type = "overlay", .source = "overlay", .data = lower_options(lower)};
  wanted.data.push_back("upperdir=" + by_number(upper_fd));
  wanted.data.push_back("workdir=" + by_number(work_fd));
  // What an image says of renamed directories is not believed.
  wanted.data.emplace_back("redirect_dir=nofollow");
  wanted.data.emplace_back("metacopy=off");
  if (plan.throw_away) wanted.data.emplace_back("volatile");
  // Without the host's root there are no attributes of the class `trusted`.
  auto tree = container::make_tree(wanted);
  if (!tree && (tree.error().code == EPERM || tree.error().code == EINVAL)) {
    std::erase(wanted.data, "redirect_dir=nofollow");
    wanted.data.emplace_back("userxattr");
    auto second = container::make_tree(wanted);
    // With the host's root it is the first refusal that counts; the second one may come of it (`volatile`).
    if (second || container::in_user_namespace()) tree = std::move(second);
  }
  if (!tree) return std::unexpected(no_overlay(plan, lower, upper_fd, tree.error()));
  struct statvfs fs{};
  if (fstatvfs(tree->get(), &fs) == 0 && (fs.f_flag & ST_RDONLY) != 0)
    return fail(EROFS, fmt::format("overlay of {}: the kernel made it read-only", plan.data));
  return tree;
}

Result<ImageUser> find_user(int root, std::string_view text) {
  const std::string passwd = CGX_TRY(account_file(root, "/etc/passwd"));
  const std::string group = CGX_TRY(account_file(root, "/etc/group"));
  return find_user(passwd, group, text);
}

Result<ImageUser> find_user(std::string_view passwd, std::string_view group, std::string_view text) {
  ImageUser user;
  const std::size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  std::string account;
  bool found = false;
  const bool numeric = is_numeric(name) || name.empty();
  if (numeric && !name.empty()) user.uid = CGX_TRY(id_of(name, "user"));
  for (const std::string_view line : sys::lines(passwd)) {
    const auto there = sys::parse_passwd_line(line);
    if (!there || (numeric ? there->uid != user.uid : there->name != name)) continue;
    user.uid = there->uid;
    user.gid = there->gid;
    user.home = there->home;
    account = there->name;
    found = true;
    break;
  }
  if (!found && !numeric) return bad_value(name, "is no user of the container: /etc/passwd has no such name");
  if (colon != std::string_view::npos) {
    const std::string_view wanted = text.substr(colon + 1);
    if (wanted.empty()) return bad_value(text, "is not USER or USER:GROUP");
    user.gid = CGX_TRY(group_id(group, wanted));
    return user;
  }
  if (account.empty()) return user;
  for (const std::string_view line : sys::lines(group)) {
    const auto fields = fields_of(line, 4);
    if (fields.empty() || user.groups.size() >= 1024) continue;
    const auto members = sys::split(fields[3], ',');
    const auto gid = sys::parse_u64(fields[2], 0, 0xfffffffe);
    if (gid && std::ranges::find(members, account) != members.end())
      user.groups.push_back(static_cast<std::uint32_t>(*gid));
  }
  return user;
}

Result<std::vector<std::uint32_t>> find_groups(int root, const std::vector<std::string>& names) {
  std::vector<std::uint32_t> ids;
  if (names.empty()) return ids;
  const std::string group = CGX_TRY(account_file(root, "/etc/group"));
  for (const std::string& name : names) {
    const std::uint32_t id = CGX_TRY(group_id(group, name));
    if (std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
  }
  return ids;
}

Result<> make_directories(const std::string& path, unsigned mode) {
  for (std::size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    if (mkdir(part.c_str(), mode) != 0 && errno != EEXIST && errno != EISDIR) return fail_errno(errno, "mkdir " + part);
    if (at == std::string::npos) return {};
  }
}

}  // namespace cgx::launcher
