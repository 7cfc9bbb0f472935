// SPDX-License-Identifier: Apache-2.0
// CPU and node lists: normal form is stable and means the same.
#include "cgx/sys/text.h"

#include "fuzz.h"

using cgx::sys::IdSet;

void cgx::fuzz::one(std::string_view input) {
  const auto set = IdSet::parse(input);
  if (!set) {
    FUZZ_CHECK(set.error().fault == Fault::usage);
    return;
  }
  const std::string text = set->text();
  const auto again = IdSet::parse(text);
  FUZZ_CHECK(again.has_value() && *again == *set && again->text() == text);
  FUZZ_CHECK(set->within(*again) && set->empty() == text.empty());
  for (std::size_t i = 0; i < set->ids().size(); ++i) {
    FUZZ_CHECK(set->ids()[i] <= 65535);
    FUZZ_CHECK(i == 0 || set->ids()[i - 1] < set->ids()[i]);
  }
  if (!set->empty()) FUZZ_CHECK(set->contains(set->ids().front()) && set->contains(set->ids().back()));
}
