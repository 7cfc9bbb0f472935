// SPDX-License-Identifier: Apache-2.0
// What to write so that a file holds again what it held. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cgx/model/knob.h"

namespace cgx {

// The writes that take back the write of `text` to `file`, which held `before`. Empty: it cannot be taken back
// (cgroup.type, cgroup.kill, memory.reclaim). `knob` is the row of the file, nullptr where there is none.
[[nodiscard]] std::vector<FileWrite> restoring_writes(const Knob* knob,
                                                      std::string_view file,
                                                      std::string_view text,
                                                      std::string_view before);

}  // namespace cgx
