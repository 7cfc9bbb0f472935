// SPDX-License-Identifier: Apache-2.0
#include "cgx/net/group.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"
#include "cgx/sys/xattr.h"

namespace cgx::net {

namespace {

constexpr const char* class_file = "net_cls.classid";

Result<ClassId> read_class(int dir) {
  auto text = sys::read_file(dir, class_file);
  if (!text) return fail_errno(text.error().code, fmt::format("read {}", class_file));
  return ClassId{static_cast<std::uint32_t>(CGX_TRY(sys::parse_u64(sys::trim(*text), 0, 0xffffffffU)))};
}

// A mounted directory of the hierarchy that `key` belongs to.
sys::Fd mounted_root(bool v2) {
  const auto table = sys::read_path("/proc/self/mountinfo");
  if (!table) return {};
  for (const std::string_view line : sys::lines(*table)) {
    const std::vector<std::string_view> words = sys::words(line);
    const auto dash = std::ranges::find(words, std::string_view("-"));
    if (words.size() < 6 || words.end() - dash < 4) continue;
    const std::vector<std::string_view> options = sys::split(*(dash + 3), ',');
    const bool wanted = v2 ? *(dash + 1) == "cgroup2"
                           : *(dash + 1) == "cgroup" && std::ranges::find(options, "net_cls") != options.end();
    if (!wanted) continue;
    if (auto fd = sys::open_path(sys::unescape_octal(words[4]), O_RDONLY | O_DIRECTORY)) return std::move(*fd);
  }
  return {};
}

}  // namespace

Result<Group> Group::open(int fd) {
  struct statfs system = {};
  struct stat info = {};
  // Opened anew: extended attributes cannot be used through an O_PATH descriptor.
  sys::Fd dir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.valid()) return bad_value(fmt::format("{}", fd), "is not a descriptor of a directory: " + errno_text(errno));
  if (fstatfs(dir.get(), &system) != 0 || fstat(dir.get(), &info) != 0) return fail_errno(errno, "stat the group");
  const bool v2 = system.f_type == CGROUP2_SUPER_MAGIC;
  if (!v2 && system.f_type != CGROUP_SUPER_MAGIC)
    return bad_value(fmt::format("{}", fd), "is not a descriptor of a cgroup directory");
  if (!v2 && !sys::exists(dir.get(), class_file))
    return bad_value(fmt::format("{}", fd), "is a group of a v1 hierarchy without net_cls");
  return Group(std::move(dir), v2 ? Version::v2 : Version::v1, fmt::format("{}-{}", v2 ? "v2" : "v1", info.st_ino));
}

Result<bool> Group::marked() const {
  const auto value = sys::get_xattr(fd(), marker_name);
  if (!value) return fail_errno(value.error().code, fmt::format("read the attribute {} of the group", marker_name));
  return value->has_value();
}

Result<> Group::set_marker(ClassId id) const {
  const auto set = sys::set_xattr(fd(), marker_name, id.value == 0 ? "-" : format_class(id));
  if (!set) return fail_errno(set.error().code, fmt::format("set the attribute {} of the group", marker_name));
  return {};
}

Result<> Group::remove_marker() const {
  const auto removed = sys::remove_xattr(fd(), marker_name);
  if (!removed)
    return fail_errno(removed.error().code, fmt::format("remove the attribute {} of the group", marker_name));
  return {};
}

Result<ClassId> Group::class_id() const { return read_class(fd()); }

Result<ClassId> Group::parent_class_id() const {
  const sys::Fd parent(openat(fd(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct statfs system = {};
  if (!parent.valid() || fstatfs(parent.get(), &system) != 0) return fail_errno(errno, "open the parent group");
  if (system.f_type != CGROUP_SUPER_MAGIC || !sys::exists(parent.get(), class_file)) return ClassId{};
  return read_class(parent.get());
}

Result<> Group::write_class_id(ClassId id) const {
  const std::string value = fmt::format("{:#x}", id.value);
  auto written = sys::write_file(fd(), class_file, value);
  if (!written) {
    auto error = fail_errno(written.error().code, "was refused");
    error.error().knob = class_file;
    error.error().value = value;
    return error;
  }
  return {};
}

Life life_of(const std::string& key) {
  const bool v2 = key.starts_with("v2-");
  const auto id = sys::parse_u64(std::string_view(key).substr(std::min<std::size_t>(3, key.size())));
  if (!id || (!v2 && !key.starts_with("v1-"))) return Life::unknown;
  const sys::Fd root = mounted_root(v2);
  if (!root.valid()) return Life::unknown;
  // kernfs hands out and takes file handles that are the 64-bit id alone (FILEID_KERNFS, since Linux 5.5).
  constexpr int fileid_kernfs = 0xfe;
  alignas(file_handle) std::array<char, sizeof(file_handle) + sizeof(std::uint64_t)> buffer{};
  auto* handle = reinterpret_cast<file_handle*>(buffer.data());
  handle->handle_bytes = sizeof(std::uint64_t);
  handle->handle_type = fileid_kernfs;
  std::memcpy(buffer.data() + sizeof(file_handle), &*id, sizeof(std::uint64_t));
  const sys::Fd group(open_by_handle_at(root.get(), handle, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!group.valid()) return errno == ESTALE || errno == ENOENT ? Life::gone : Life::unknown;
  const auto opened = Group::open(group.get());
  if (!opened) return Life::unknown;
  const auto marked = opened->marked();
  if (!marked) return Life::unknown;
  return *marked ? Life::alive : Life::gone;  // without the mark it is another group with that id
}

}  // namespace cgx::net
