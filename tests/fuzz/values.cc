// SPDX-License-Identifier: Apache-2.0
// Values of every knob: what is taken prints in a form that means the same.
#include <string>

#include "cgx/model/knob.h"

#include "fuzz.h"

void cgx::fuzz::one(std::string_view input) {
  if (input.empty()) return;
  const auto pick = static_cast<unsigned char>(input[0]);
  const std::string_view text = input.substr(1);
  const DeviceNames names{.disk = [](std::string_view) { return Result<std::string>("8:0"); },
                          .node = [](const std::string&) { return Result<NodeType>(NodeType{'b', 8, 0}); }};
  unsigned index = 0;
  unsigned count = 0;
  for_each_knob([&](const Knob&) { ++count; });
  for_each_knob([&](const Knob& k) {
    if (index++ != pick % count) return;
    const auto value = parse_value(k, text, names);
    if (!value) {
      FUZZ_CHECK(value.error().fault == Fault::usage);
      FUZZ_CHECK(!value.error().what.empty());
      return;
    }
    (void)display(k, *value);
    const std::string again = exact(k, *value);
    const auto back = parse_value(k, again, names);
    FUZZ_CHECK(back.has_value());
    FUZZ_CHECK(*back == *value);
    FUZZ_CHECK(exact(k, *back) == again);
    Value merged = *value;
    FUZZ_CHECK(merge_value(merged, *back).has_value());
  });
}
