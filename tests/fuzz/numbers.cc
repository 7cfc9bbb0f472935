// SPDX-License-Identifier: Apache-2.0
// Integers, sizes, times, rates and device numbers: in range where taken, and the same after formatting.
#include "cgx/sys/text.h"

#include "fuzz.h"

namespace sys = cgx::sys;

void cgx::fuzz::one(std::string_view input) {
  constexpr std::uint64_t most63 = std::numeric_limits<std::int64_t>::max();
  if (const auto n = sys::parse_u64(input, 10, 1000)) FUZZ_CHECK(*n >= 10 && *n <= 1000);
  if (const auto n = sys::parse_u64(input)) {
    FUZZ_CHECK(sys::parse_u64(std::to_string(*n)).value() == *n);
    FUZZ_CHECK(sys::parse_any_base(input, sys::unlimited).value() == *n);
  }
  if (const auto n = sys::parse_i64(input, -20, 19)) FUZZ_CHECK(*n >= -20 && *n <= 19);
  if (const auto n = sys::parse_any_base(input, 0xffffffff)) FUZZ_CHECK(*n <= 0xffffffff);
  if (const auto n = sys::parse_size(input)) {
    FUZZ_CHECK(*n == sys::unlimited || *n <= most63);
    FUZZ_CHECK(!sys::format_size(*n).empty());
    if (*n != sys::unlimited) FUZZ_CHECK(sys::parse_size(std::to_string(*n)).value() == *n);
  }
  if (const auto n = sys::parse_time(input)) {
    FUZZ_CHECK(*n <= most63);
    FUZZ_CHECK(sys::parse_time(sys::format_time(*n)).value() == *n);
  }
  if (const auto n = sys::parse_rate(input)) {
    FUZZ_CHECK(*n >= 8 && *n <= most63);
    FUZZ_CHECK(sys::parse_rate(sys::format_rate(*n)).value() == *n);
  }
  if (const auto d = sys::parse_dev_number(input)) FUZZ_CHECK(d->major <= 4095 && d->minor <= 1048575);
  // Any number can be shown, also those that no input can give.
  std::uint64_t any = 0;
  for (const char c : input.substr(0, 8)) any = any << 8U | static_cast<unsigned char>(c);
  FUZZ_CHECK(!sys::format_size(any).empty() && !sys::format_time(any).empty() && !sys::format_rate(any).empty());
}
