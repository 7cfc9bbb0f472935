// SPDX-License-Identifier: Apache-2.0
// Which whole disk is behind a path: the kernel limits IO by whole disks only.
#pragma once

#include <string>
#include <string_view>

#include "cgx/sys/result.h"

namespace cgx {

// `MAJ:MIN` of the disk that the block device node `path` is (or is a partition of), or that the file system of `path`
// is on. Errors: Fault::usage with the path as value, where it is missing, on no disk (tmpfs, overlay, network), or on
// several (btrfs).
[[nodiscard]] Result<std::string> disk_of(std::string_view path);

}  // namespace cgx
