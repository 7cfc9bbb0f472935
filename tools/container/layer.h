// SPDX-License-Identifier: Apache-2.0
// DATA/containers/NAME: the writable layer of a container, its log, its files for /etc. The directory of the records
// and DATA are named by different variables ($XDG_RUNTIME_DIR, $XDG_DATA_HOME), so containers with records in several
// directories may have their layers below one DATA. Who uses a layer is therefore noted in it: in its file `user`,
// which the monitor keeps locked.
#pragma once

#include <string>

#include "cgx/sys/fd.h"
#include "cgx/sys/result.h"

namespace cgx::launcher {

struct Layer {
  std::string run_root, data_root, name;
  [[nodiscard]] std::string path() const { return data_root + "/containers/" + name; }
};

// Makes it, empty; what nobody uses is removed first. The lock goes with the descriptor. EEXIST: it is in use.
[[nodiscard]] Result<sys::Fd> claim_layer(const Layer& layer);
// EBUSY, with the reason: it is a container's of another directory of records, or a monitor has it. `own_lock`: the
// lock is the caller's.
[[nodiscard]] Result<> check_unused(const Layer& layer, bool own_lock = false);
// The same check, then it goes. ENOENT is no error.
[[nodiscard]] Result<> remove_layer(const Layer& layer, bool own_lock = false);

}  // namespace cgx::launcher
