// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/disk.h"

#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

namespace cgx {

namespace {

// Files of btrfs have a device number of their subvolume. The file system knows its disks: BTRFS_IOC_FS_INFO and
// BTRFS_IOC_DEV_INFO need no privileges.
Result<dev_t> disk_of_btrfs(std::string_view path, const sys::Fd& fd) {
  btrfs_ioctl_fs_info_args info{};
  if (ioctl(fd.get(), BTRFS_IOC_FS_INFO, &info) != 0)
    return bad_value(path, "is on btrfs, which does not name its disks: " + errno_text(errno));
  std::vector<dev_t> disks;
  std::string names;
  for (std::uint64_t id = 0; id <= info.max_id && disks.size() < info.num_devices; ++id) {
    btrfs_ioctl_dev_info_args one{};
    one.devid = id;
    struct stat st{};
    if (ioctl(fd.get(), BTRFS_IOC_DEV_INFO, &one) != 0) continue;
    const char* name = reinterpret_cast<const char*>(one.path);
    if (stat(name, &st) != 0 || !S_ISBLK(st.st_mode)) continue;
    disks.push_back(st.st_rdev);
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  if (disks.empty()) return bad_value(path, "is on btrfs, whose disks cannot be seen from here");
  if (disks.size() > 1) return bad_value(path, fmt::format("is on several disks: name one of {}", names));
  return disks.front();
}

// The device number of the disk, or of the partition, that the file system of `path` is on.
Result<dev_t> device_behind(std::string_view path, const std::string& name, const struct stat& st) {
  struct statfs fs{};
  if ((!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) || statfs(name.c_str(), &fs) != 0 ||
      fs.f_type != BTRFS_SUPER_MAGIC)
    return st.st_dev;
  const sys::Fd fd(open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd.valid())
    return bad_value(path, "is on btrfs, and cannot be opened to ask for its disk: " + errno_text(errno));
  return disk_of_btrfs(path, fd);
}

}  // namespace

Result<std::string> disk_of(std::string_view path) {
  const std::string name(path);
  struct stat st{};
  if (name.find('\0') != std::string::npos || stat(name.c_str(), &st) != 0)
    return bad_value(path, errno == ENOENT ? "is not there" : "cannot be looked at: " + errno_text(errno));
  if (S_ISCHR(st.st_mode)) return bad_value(path, "is a character device, not a disk");
  const dev_t device = S_ISBLK(st.st_mode) ? st.st_rdev : CGX_TRY(device_behind(path, name, st));
  std::string number = fmt::format("{}:{}", major(device), minor(device));
  const std::string sysfs = fmt::format("/sys/dev/block/{}", number);
  if (access(sysfs.c_str(), F_OK) != 0)
    return bad_value(path, "is on no block device (its file system has none of its own)");
  // A partition's directory lies in that of its disk.
  if (access((sysfs + "/partition").c_str(), F_OK) != 0) return number;
  const auto whole = sys::read_path(sysfs + "/../dev");
  if (!whole) return bad_value(path, "is a partition whose disk is not known");
  return std::string(sys::trim(*whole));
}

}  // namespace cgx
