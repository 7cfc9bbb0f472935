// SPDX-License-Identifier: Apache-2.0
#include "cgx/image/tree.h"

#include <algorithm>
#include <cerrno>
#include <climits>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/remove_tree.h"
#include "cgx/sys/xattr.h"

namespace cgx::image {
namespace {

constexpr std::string_view whiteout_prefix = ".wh.";
constexpr std::string_view metadata_prefix = ".wh..wh.";  // of aufs; `.wh..wh..opq` alone has a meaning in images
constexpr std::string_view opaque_name = ".wh..wh..opq";
constexpr std::size_t most_names = 256U << 20U;  // bytes of the names of directories, kept until the end

// None but hide() makes one: an entry that asks for it is refused.
bool is_whiteout(const struct stat& st) { return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0); }

Result<uid_t> checked_id(std::int64_t id, std::string_view kind) {
  // The last one means "none" to the kernel.
  if (id < 0 || id >= static_cast<std::int64_t>(UINT_MAX)) return fail(EINVAL, fmt::format("has the {} {}", kind, id));
  return static_cast<uid_t>(id);
}

// `name` empty: `fd` itself.
Result<> give_to(int fd, const char* name, const Attributes& attributes) {
  const uid_t uid = CGX_TRY(checked_id(attributes.uid, "uid"));
  const gid_t gid = CGX_TRY(checked_id(attributes.gid, "gid"));
  const int flags = AT_SYMLINK_NOFOLLOW | (*name == '\0' ? AT_EMPTY_PATH : 0);
  if (fchownat(fd, name, uid, gid, flags) == 0) return {};
  const int code = errno;
  if (code == EINVAL) {  // ids that this user namespace has no number for
    if (fchownat(fd, name, uid, static_cast<gid_t>(-1), flags) != 0)
      return fail(EINVAL, fmt::format("has the uid {}, which is not mapped in this user namespace", uid));
    return fail(EINVAL, fmt::format("has the gid {}, which is not mapped in this user namespace", gid));
  }
  auto error = fail_errno(code, fmt::format("cannot be given to {}:{}", uid, gid));
  if (code == EPERM) error.error().hint = "unpack as root, or as root of a user namespace";
  return error;
}

timespec time_of(std::int64_t seconds, long nanoseconds) {
  return {static_cast<time_t>(seconds), std::clamp(nanoseconds, 0L, 999'999'999L)};
}

Result<> set_time(int parent, const std::string& name, std::int64_t seconds, long nanoseconds) {
  const timespec both[2] = {time_of(seconds, nanoseconds), time_of(seconds, nanoseconds)};
  if (utimensat(parent, name.c_str(), both, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno(errno, "cannot set its time");
  return {};
}

bool starts_with_mark(const std::string& part) { return part.starts_with(whiteout_prefix); }

}  // namespace

bool may_have_xattr(std::string_view name) {
  if (name == "security.capability") return true;
  return name.starts_with("user.") && !name.starts_with("user.overlay.");
}

LayerTree::LayerTree(int root, const TreeOptions& options) : root_(root), options_(options) {}

Result<> LayerTree::count() {
  if (++report_.entries > options_.entries)
    return fail(E2BIG, fmt::format("is one more than the {} entries that a layer may have", options_.entries));
  return {};
}

Result<LayerTree::Place> LayerTree::place_of(const std::vector<std::string>& parts) {
  if (parts.empty()) return fail(EINVAL, "is the layer's root, which must be a directory");
  std::string path = joined(parts, parts.size() - 1);
  if (!parent_known_ || path != parent_path_) {
    parent_known_ = false;
    const std::vector<std::string> above(parts.begin(), parts.end() - 1);
    hid_ = false;
    const Making making{.replace = [this](int parent, const std::string& name) -> Result<bool> {
                          struct stat st{};
                          if (fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
                            return fail_errno(errno, name);
                          if (!is_whiteout(st)) return false;
                          if (unlinkat(parent, name.c_str(), 0) != 0) return fail_errno(errno, name);
                          hid_ = true;
                          return true;
                        },
                        .made = [this](int parent, const std::string& name) -> Result<> {
                          CGX_CHECK(count());
                          if (!std::exchange(hid_, false)) return {};
                          const sys::Fd made = CGX_TRY(sys::open_beneath(parent, name, O_RDONLY | O_DIRECTORY));
                          return make_opaque(made.get());
                        }};
    parent_ = CGX_TRY(make_directory_in(root_, above, making));
    parent_path_ = std::move(path);
    parent_known_ = true;
  }
  return Place{parent_.get(), parts.back()};
}

Result<> LayerTree::take_away(int parent, const std::string& name) {
  struct stat st{};
  if (fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno(errno, "cannot be replaced");
  CGX_CHECK(sys::remove_tree(parent, name));
  // The directory that is kept open may be gone, or may be another one where a link was.
  if (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode)) parent_known_ = false;
  return {};
}

// False: EPERM, which is the caller's to judge.
template <class Make>
Result<bool> LayerTree::make(const Place& place, Make create) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (create() >= 0) return true;
    if (errno == EPERM) return false;
    if (errno != EEXIST || attempt != 0) break;
    CGX_CHECK(take_away(place.parent, place.name));
  }
  return fail_errno(errno, "cannot be made");
}

Result<> LayerTree::make_opaque(int directory) {
  const std::string name = options_.opaque == Opaque::trusted ? "trusted.overlay.opaque" : "user.overlay.opaque";
  if (const auto set = sys::set_xattr(directory, name, "y"); !set) {
    auto error = fail(set.error().code, "cannot be marked as opaque by " + name + ": " + set.error().what);
    if (set.error().code == EPERM) error.error().hint = "unpack as root, or with --userxattr";
    return error;
  }
  ++report_.opaque;
  return {};
}

// A whiteout is of layers below: what this layer has of that name stays. A directory among it must not be merged.
Result<> LayerTree::hide(const Place& place, const std::string& name) {
  struct stat st{};
  if (fstatat(place.parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
    if (!S_ISDIR(st.st_mode)) return {};
    const sys::Fd directory = CGX_TRY(sys::open_beneath(place.parent, name, O_RDONLY | O_DIRECTORY));
    return make_opaque(directory.get());
  }
  if (errno != ENOENT) return fail_errno(errno, "cannot be hidden");
  if (mknodat(place.parent, name.c_str(), S_IFCHR, makedev(0, 0)) != 0)
    return fail_errno(errno, "cannot be hidden by a device 0:0, which the store's file system must take");
  return {};
}

Result<bool> LayerTree::mark(const std::vector<std::string>& parts) {
  CGX_CHECK(count());
  if (parts.empty()) return false;
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    if (parts[i].starts_with(metadata_prefix)) return true;
    if (starts_with_mark(parts[i])) return fail(EINVAL, "is below a name that begins with .wh.");
  }
  const std::string& name = parts.back();
  if (!starts_with_mark(name)) return false;
  if (name == opaque_name) {
    const Place place = CGX_TRY(place_of(parts));
    const sys::Fd directory = CGX_TRY(sys::open_beneath(place.parent, ".", O_RDONLY | O_DIRECTORY));
    report_.root_opaque = report_.root_opaque || parts.size() == 1;
    CGX_CHECK(make_opaque(directory.get()));
    return true;
  }
  if (name.starts_with(metadata_prefix)) return true;
  const std::string hidden = name.substr(whiteout_prefix.size());
  if (hidden.empty() || hidden == "." || hidden == "..") return fail(EINVAL, "is a whiteout of nothing");
  CGX_CHECK(hide(CGX_TRY(place_of(parts)), hidden));
  return true;
}

Result<> LayerTree::set_xattrs(int fd, const Attributes& attributes) {
  for (const auto& [name, value] : attributes.xattrs) {
    if (may_have_xattr(name)) {
      const auto set = sys::set_xattr(fd, name, value);
      if (set) continue;
      // A file system without them, or a user namespace that gives no capability of files.
      if (set.error().code != EOPNOTSUPP && set.error().code != EPERM)
        return fail(set.error().code, "cannot have the attribute " + name + ": " + set.error().what);
    }
    if (report_.xattrs++ == 0) report_.xattr = name;
  }
  return {};
}

Result<> LayerTree::directory(const std::vector<std::string>& parts, const Attributes& attributes) {
  sys::Fd directory;
  bool hid = false;
  if (parts.empty()) {
    directory = CGX_TRY(sys::open_beneath(root_, ".", O_RDONLY | O_DIRECTORY));
  } else {
    const Place place = CGX_TRY(place_of(parts));
    struct stat st{};
    if (fstatat(place.parent, place.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode)) {
      hid = is_whiteout(st);
      CGX_CHECK(take_away(place.parent, place.name));
    }
    if (mkdirat(place.parent, place.name.c_str(), 0700) != 0 && errno != EEXIST)
      return fail_errno(errno, "cannot be made");
    directory = CGX_TRY(sys::open_beneath(place.parent, place.name, O_RDONLY | O_DIRECTORY));
  }
  if (hid) CGX_CHECK(make_opaque(directory.get()));
  CGX_CHECK(give_to(directory.get(), "", attributes));
  if (fchmod(directory.get(), attributes.mode & 07777U) != 0) return fail_errno(errno, "cannot have its mode");
  CGX_CHECK(set_xattrs(directory.get(), attributes));
  times_.push_back({joined(parts, parts.size()), attributes.mtime, attributes.mtime_nsec});
  times_bytes_ += times_.back().path.size();
  if (times_bytes_ > most_names) return fail(E2BIG, "is one directory too many: their names are longer than 256 MiB");
  return {};
}

Result<sys::Fd> LayerTree::begin_file(const std::vector<std::string>& parts) {
  const Place place = CGX_TRY(place_of(parts));
  sys::Fd file;
  const bool made = CGX_TRY(make(place, [&] {
    file.reset(openat(place.parent, place.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    return file.get();
  }));
  if (!made) return fail_errno(EPERM, "cannot be made");
  return file;
}

Result<> LayerTree::end_file(const sys::Fd& file, std::uint64_t size, const Attributes& attributes) {
  // Ends with a hole; or is longer than any file.
  if (size > static_cast<std::uint64_t>(LLONG_MAX) || ftruncate(file.get(), static_cast<off_t>(size)) != 0)
    return fail_errno(size > static_cast<std::uint64_t>(LLONG_MAX) ? EFBIG : errno, "cannot be that long");
  CGX_CHECK(give_to(file.get(), "", attributes));
  // After the owner, whose change takes setuid bits and capabilities away.
  if (fchmod(file.get(), attributes.mode & 07777U) != 0) return fail_errno(errno, "cannot have its mode");
  CGX_CHECK(set_xattrs(file.get(), attributes));
  const timespec time = time_of(attributes.mtime, attributes.mtime_nsec);
  const timespec both[2] = {time, time};
  if (futimens(file.get(), both) != 0) return fail_errno(errno, "cannot set its time");
  return {};
}

Result<> LayerTree::symlink(const std::vector<std::string>& parts, const std::string& target, const Attributes& a) {
  if (target.empty() || target.size() >= PATH_MAX) return fail(EINVAL, "is a link whose text is empty, or too long");
  const Place place = CGX_TRY(place_of(parts));
  const bool made = CGX_TRY(make(place, [&] { return symlinkat(target.c_str(), place.parent, place.name.c_str()); }));
  if (!made) return fail_errno(EPERM, "cannot be made");
  CGX_CHECK(give_to(place.parent, place.name.c_str(), a));
  return set_time(place.parent, place.name, a.mtime, a.mtime_nsec);
}

Result<> LayerTree::hard_link(const std::vector<std::string>& parts, const std::vector<std::string>& target) {
  if (target.empty()) return fail(EINVAL, "is a hard link to the layer's root");
  const Place place = CGX_TRY(place_of(parts));
  const auto missing = [&] {
    return fail(ENOENT, "is a hard link to \"" + joined(target, target.size()) + "\", which this layer does not have");
  };
  const auto above = open_directory_in(root_, joined(target, target.size() - 1));
  if (!above) return missing();
  struct stat st{};
  struct stat here{};
  if (fstatat(above->get(), target.back().c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 || is_whiteout(st)) return missing();
  if (S_ISDIR(st.st_mode)) return fail(EINVAL, "is a hard link to a directory");
  // To itself, or a link that is there already: taking the name away first would lose the file.
  if (fstatat(place.parent, place.name.c_str(), &here, AT_SYMLINK_NOFOLLOW) == 0 && here.st_ino == st.st_ino) return {};
  const bool made = CGX_TRY(
      make(place, [&] { return linkat(above->get(), target.back().c_str(), place.parent, place.name.c_str(), 0); }));
  if (!made) return fail_errno(EPERM, "cannot be linked");
  return {};
}

Result<> LayerTree::node(const std::vector<std::string>& parts, mode_t type, dev_t device, const Attributes& a) {
  const Place place = CGX_TRY(place_of(parts));
  const bool is_device = type != S_IFIFO;
  if (type == S_IFCHR && device == makedev(0, 0))
    return fail(EINVAL, "is a device 0:0, which overlayfs would take for a whiteout");
  const bool made = CGX_TRY(make(place, [&] {
    if (!is_device || options_.devices) return mknodat(place.parent, place.name.c_str(), type | 0600U, device);
    errno = EPERM;
    return -1;
  }));
  if (!made && is_device) {
    ++report_.devices;
    // Nor does an older one stay.
    return sys::remove_tree(place.parent, place.name);
  }
  if (!made) return fail_errno(EPERM, "cannot be made");
  CGX_CHECK(give_to(place.parent, place.name.c_str(), a));
  if (fchmodat(place.parent, place.name.c_str(), a.mode & 07777U, 0) != 0)
    return fail_errno(errno, "cannot have its mode");
  return set_time(place.parent, place.name, a.mtime, a.mtime_nsec);
}

Result<> LayerTree::finish() {
  for (const Time& time : times_) {
    const std::size_t slash = time.path.rfind('/');
    const bool top = slash == std::string::npos;
    // What a later entry has replaced has its own time.
    const auto parent = open_directory_in(root_, top ? "" : time.path.substr(0, slash));
    if (!parent) continue;
    const std::string name = time.path.empty() ? "." : time.path.substr(top ? 0 : slash + 1);
    struct stat st{};
    if (fstatat(parent->get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode)) continue;
    CGX_CHECK(set_time(parent->get(), name, time.seconds, time.nanoseconds));
  }
  return {};
}

}  // namespace cgx::image
