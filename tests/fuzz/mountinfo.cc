// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/cgroupfs/mount.h"
#include "cgx/sys/text.h"

#include "fuzz.h"

void cgx::fuzz::one(std::string_view input) {
  const auto mounts = parse_mountinfo(input);
  FUZZ_CHECK(mounts.size() <= sys::lines(input).size());
  const Hierarchies h = Hierarchies::of_mounts(mounts);
  FUZZ_CHECK(h.all().size() + h.named().size() <= mounts.size());
  for (std::size_t i = 0; i < h.all().size(); ++i) {
    FUZZ_CHECK(h.all()[i].index() == i);
    FUZZ_CHECK(h.all()[i].version() == Version::v2 || !h.all()[i].controllers().empty());
    FUZZ_CHECK(!h.all()[i].label().empty());
  }
}
