// SPDX-License-Identifier: Apache-2.0
// What several commands need of a call: names, limits, owners, times.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/change/plan.h"
#include "cgx/sys/json.h"

#include "command.h"

namespace cgx::tool {

// The limit flags of the call as values; a repeated flag adds to the one before where the knob has rows or rules.
[[nodiscard]] Result<std::vector<Limit>> limits_of(const Call& call);
// Names of groups, checked; all of them before anything is done.
[[nodiscard]] Result<std::vector<std::string>> names_of(const Call& call, std::size_t from = 0);
// A name that a user has given, of a group that has to be there: where systemd is PID 1 and has made a slice for the
// policy of that name, the group of the slice ("my-app": "my\x2dapp.slice"). Other names stay as they are.
[[nodiscard]] Result<std::string> existing_name(const Hierarchies& hierarchies, std::string_view word);
// The same of a name that is parsed; the root is empty.
[[nodiscard]] std::string existing_group(const Hierarchies& hierarchies, std::string name);
// --controllers.
[[nodiscard]] Result<std::optional<ControllerSet>> only_of(const Call& call);
// USER[:GROUP], by name (/etc/passwd and /etc/group, then NSS through getent) or number.
[[nodiscard]] Result<Owner> parse_owner(std::string_view text);
// --timeout, or `otherwise`.
[[nodiscard]] Result<Deadline> deadline_of(const Call& call,
                                           std::chrono::milliseconds otherwise = std::chrono::seconds(10));
// The object `knobs` of get --json of a group: every limit that is in force. Writes nothing where one cannot be read.
[[nodiscard]] Result<> write_knobs(sys::JsonWriter& json, const Cgroup& group);
// Whether a flag given again adds to what it set before, as --device does.
[[nodiscard]] bool adds(Format format);
// EBUSY where the group or one above it was told to freeze: a command would wait there in silence and, on v1, not even
// die of SIGKILL.
[[nodiscard]] Result<> refuse_frozen(const Cgroup& group);
// Notes of a transaction, on stderr.
void print_notes(const Call& call, const std::vector<std::string>& notes);

}  // namespace cgx::tool
