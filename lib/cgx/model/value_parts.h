// SPDX-License-Identifier: Apache-2.0
// Values of which the caller has the parts in places of their own, as a file has `DEV: {rbps: N}`: what is wrong is
// told of the part.
#pragma once

#include <string_view>

#include "cgx/model/knob.h"
#include "cgx/model/value.h"

namespace cgx {

// As parse_value(), with the part of `text` that is wrong as the error's value: the device of `DEV:rbps=N`.
[[nodiscard]] Result<Value> parse_parts(const Knob& knob, std::string_view text, const DeviceNames& names);
// What parse_value() says of that error: `"TEXT" has "PART", which ...`.
[[nodiscard]] Error of_whole(const Knob& knob, Error part, std::string_view text);

}  // namespace cgx
