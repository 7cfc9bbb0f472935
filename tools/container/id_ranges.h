// SPDX-License-Identifier: Apache-2.0
// Ranges of host ids for `--userns auto`, one for each container of this host, wherever its record is: those of two
// containers that share ids could signal each other's processes and read each other's files. /run/cgx/ids has a link
// for each range in use, to the directory of the container's record.
#pragma once

#include <cstdint>
#include <string>

#include "cgx/sys/fd.h"

namespace cgx::launcher {

struct IdRange {
  std::uint32_t base = 0, size = 0;
  sys::Fd lock;  // as long as somebody has it open, the range is taken even where the record cannot be seen
};
// `record`: the directory of the container's record, which is there. The range is its own until that is removed; what
// is in the record does not matter. ENOSPC: all are taken.
[[nodiscard]] Result<IdRange> claim_ids(const std::string& record, std::string_view name);
// Gives back the ranges of records that are gone.
void release_ids();

}  // namespace cgx::launcher
