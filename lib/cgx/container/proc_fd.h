// SPDX-License-Identifier: Apache-2.0
// A procfs that no mount of a container can stand before: what is written to /proc/self/attr, uid_map or a sysctl goes
// through it, and not to a file of the image that looks like it.
#pragma once

#include <string>

#include "cgx/sys/fd.h"

namespace cgx::container {

enum class ProcView : std::uint8_t {
  processes,  // subset=pid: no sysctl can be reached by a mistake
  whole,
};
// A new procfs of the caller's pid namespace that is attached nowhere; where the kernel refuses one (EPERM in a user
// namespace that sees a masked /proc), /proc itself if it is the root of a procfs. O_PATH.
[[nodiscard]] Result<sys::Fd> open_proc(ProcView view);

// "self/attr/exec", "sys/net/ipv4/ip_forward": beneath `proc`, over no mount and no magic link, and checked to be a
// file of procfs. EXDEV: something is mounted there.
[[nodiscard]] Result<sys::Fd> open_in_proc(const sys::Fd& proc, const std::string& path, int flags);

}  // namespace cgx::container
