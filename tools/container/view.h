// SPDX-License-Identifier: Apache-2.0
// What the commands that only look at containers share: checks, parts of their JSON.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/cgroupfs/cgroup.h"
#include "cgx/sys/json.h"

#include "record.h"

namespace cgx::launcher {

// As find(), but nothing less than the whole name: for names that were read and not given.
[[nodiscard]] Result<Known> find_exactly(const std::string& name, Store::How how);

[[nodiscard]] inline bool runs(const Known& known) {
  return known.status == Status::running || known.status == Status::created || known.status == Status::paused;
}
// Not at its end: its monitor may be about to start it again.
[[nodiscard]] inline bool goes_on(const Known& known) { return known.status != Status::stopped || known.monitored; }
// ESRCH: it does not run, and what it does; ENOTSUP: it has no group, which `verb` needs ("pause").
[[nodiscard]] Result<> needs_to_run(const Known& known);
[[nodiscard]] Result<> needs_group(const Known& known, std::string_view verb);

[[nodiscard]] std::int64_t now_usec();

// Its group by the name that everybody else has for it; empty: it has none.
[[nodiscard]] std::string group_of(const Known& known);

// A string, or null where it is empty.
void write_optional(sys::JsonWriter& json, std::string_view text);
// The members `pid` and `exit_status`, of which one at most is no null.
void write_process(sys::JsonWriter& json, const Known& known);
// The member `labels`. Of a name that is there twice the last one counts.
void write_labels(sys::JsonWriter& json, const Pairs& labels);

}  // namespace cgx::launcher
