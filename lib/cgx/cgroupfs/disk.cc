// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/disk.h"

#include <cerrno>

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

namespace cgx {

Result<std::string> disk_of(std::string_view path) {
  const std::string name(path);
  struct stat st{};
  if (name.find('\0') != std::string::npos || stat(name.c_str(), &st) != 0)
    return bad_value(path, errno == ENOENT ? "is not there" : "cannot be looked at: " + errno_text(errno));
  if (S_ISCHR(st.st_mode)) return bad_value(path, "is a character device, not a disk");
  const dev_t device = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
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
