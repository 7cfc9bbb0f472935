// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/mount.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>

#include "cgx/sys/text.h"

namespace cgx {

std::vector<Mount> parse_mountinfo(std::string_view text) {
  // 36 35 98:0 /root /mount/point rw,noatime master:1 - fstype source super,options   (proc_pid_mountinfo(5))
  std::vector<Mount> found;
  for (const std::string_view line : sys::lines(text)) {
    // Most lines are of other file systems: look before splitting, since hosts with thousands of mounts exist.
    const std::size_t dash = line.find(" - cgroup");
    if (dash == std::string_view::npos) continue;
    const auto left = sys::words(line.substr(0, dash));
    const auto right = sys::words(line.substr(dash + 3));
    if (left.size() < 6 || right.size() < 3 || (right[0] != "cgroup" && right[0] != "cgroup2")) continue;
    Mount m;
    m.version = right[0] == "cgroup" ? Version::v1 : Version::v2;
    m.id = sys::parse_u64(left[0]).value_or(0);
    m.root = sys::unescape_octal(left[3]);
    m.dir = sys::unescape_octal(left[4]);
    m.options = right[2];
    if (const std::size_t colon = left[2].find(':'); colon != std::string_view::npos)
      m.device = static_cast<unsigned>(sys::parse_u64(left[2].substr(colon + 1), 0, 0xffffff).value_or(0));
    if (m.version == Version::v1)
      for (const std::string_view option : sys::split(right[2], ',')) {
        if (option.starts_with("name=")) m.name = sys::unescape_octal(option.substr(5));
        if (const auto c = find_controller(option); c && row(*c).v1_name == option) m.controllers.add(*c);
      }
    found.push_back(std::move(m));
  }
  return found;
}

bool is_hidden(const Mount& mount) {
  struct statx st{};
  if (statx(AT_FDCWD, mount.dir.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_MNT_ID, &st) != 0)
    return errno == ENOENT || errno == ENOTDIR;
  return mount.id != 0 && (st.stx_mask & STATX_MNT_ID) != 0 && st.stx_mnt_id != mount.id;
}

}  // namespace cgx
