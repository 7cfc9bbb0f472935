// SPDX-License-Identifier: Apache-2.0
// What cgx-net prints: JSON, one line, and the way back from it. Pure.
#pragma once

#include <string>
#include <string_view>

#include "cgx/net/record.h"
#include "cgx/net/shaper.h"
#include "cgx/sys/json.h"
#include "cgx/sys/result.h"

namespace cgx::net {

// {"class": "10:1", "allocated": false, "classifier": ..., "rates": {"eth0": 10000000}, "prios": {"eth1": 5}}
void write_record(sys::JsonWriter& json, const Record& record);
// {"key":...,"now":RECORD,"replaced":RECORD,"elsewhere":[...],"undo":"..."}; `undo` is for parse_undo() alone.
[[nodiscard]] std::string change_json(const Change& change);
// The record to restore, from a line that change_json() wrote. Refuses everything else.
[[nodiscard]] Result<Record> parse_undo(std::string_view json);

}  // namespace cgx::net
