// SPDX-License-Identifier: Apache-2.0
// Inside policy/: what values look like to a JSON Schema, which knows words by patterns and numbers by bounds.
#pragma once

#include <string_view>

#include "cgx/policy/keys.h"
#include "cgx/sys/json.h"

namespace cgx::policy::schema_value {

using Json = sys::JsonWriter;

// Parts of patterns. Ranges and whether things are there are the reader's part.
inline constexpr std::string_view decimal = R"([0-9]+(\.[0-9]+)?)";
inline constexpr std::string_view size_unit = "([kKmMgGtT]?[bB]|[kKmMgGtT]([iI][bB])?)?";
inline constexpr std::string_view time_unit = "([uUmM]?[sS]|[mM]([iI][nN])?|[hH])";

// A word of a pattern; where `number` is a type of JSON, also such a number from `low` on: YAML has read some words as
// numbers before anybody looks at them.
void words(Json& out, std::string_view pattern, std::string_view number = {}, std::uint64_t low = 0);
// A $ref to a definition.
void reference(Json& out, std::string_view name);
// One of "a|b|c".
void one_of_words(Json& out, std::string_view list);
// A whole number, also as a word; with `max`, that and -1 as well.
void integer(Json& out, std::uint64_t low, std::uint64_t high, bool max);
// What the key of a knob takes.
void value_of(Json& out, const Knob& knob);

}  // namespace cgx::policy::schema_value
