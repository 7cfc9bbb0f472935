// SPDX-License-Identifier: Apache-2.0
// CPU quotas and real-time bandwidths: what is taken, the kernel takes.
#include "cgx/sys/text.h"

#include "fuzz.h"

namespace sys = cgx::sys;

void cgx::fuzz::one(std::string_view input) {
  if (const auto q = sys::parse_quota(input)) {
    FUZZ_CHECK(q->quota >= 1000);
    FUZZ_CHECK(q->quota == sys::unlimited || q->quota <= std::uint64_t{1} << 44U);
    FUZZ_CHECK(q->period == 0 || (q->period >= 1000 && q->period <= 1'000'000));
    const std::string text = (q->quota == sys::unlimited ? "max" : std::to_string(q->quota)) + "/" +
                             std::to_string(q->period == 0 ? 100'000 : q->period);
    FUZZ_CHECK(sys::parse_quota(text).value().quota == q->quota);
  }
  if (const auto q = sys::parse_rt(input)) {
    FUZZ_CHECK(q->quota <= q->period && q->period > 0);
    FUZZ_CHECK(sys::parse_rt(sys::format_time(q->quota) + "/" + sys::format_time(q->period)).value() == *q);
  }
}
