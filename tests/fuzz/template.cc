// SPDX-License-Identifier: Apache-2.0
// Templates of --format: any text is one, or is refused with a reason; what runs ends, and does the same again. The
// first line of the input is the template, what follows is JSON.
#include "tools/container/template.h"

#include "fuzz.h"

namespace launcher = cgx::launcher;

void cgx::fuzz::one(std::string_view input) {
  const std::size_t end = input.find('\n');
  const auto parsed = launcher::Template::parse(input.substr(0, end));
  if (!parsed) {
    FUZZ_CHECK(!parsed.error().what.empty());
    return;
  }
  const auto tree = container::json::parse(end == std::string_view::npos
                                               ? R"({"a": "text", "b": [1, -2, 3.5, null], "c": {"d": true}})"
                                               : input.substr(end + 1));
  if (!tree) return;
  const launcher::Value value = launcher::value_of(container::json::Value(*tree, 0));
  FUZZ_CHECK(container::json::parse(launcher::json_of(value)).has_value());
  const auto once = parsed->run(value);
  const auto again = parsed->run(value);
  FUZZ_CHECK(once.has_value() == again.has_value());
  if (once)
    FUZZ_CHECK(*once == *again);
  else
    FUZZ_CHECK(once.error().code != 0 && !once.error().what.empty());
}
