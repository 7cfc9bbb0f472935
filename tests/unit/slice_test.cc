// SPDX-License-Identifier: Apache-2.0
#include "cgx/change/slice.h"

#include <doctest/doctest.h>

namespace slice_test {

using namespace cgx;

TEST_CASE("slice_of: parts are escaped and nested as systemd does") {
  CHECK(slice_of("web")->unit == "web.slice");
  CHECK(slice_of("web")->group == "web.slice");
  CHECK(slice_of("web/api")->unit == "web-api.slice");
  CHECK(slice_of("web/api")->group == "web.slice/web-api.slice");
  CHECK(slice_of("web/api/v1.2")->group == "web.slice/web-api.slice/web-api-v1.2.slice");
  // As systemd-escape(1) has them; a dash of a name must not nest.
  CHECK(slice_of("cgx-test")->unit == "cgx\\x2dtest.slice");
  CHECK(slice_of("a b/ä")->unit == "a\\x20b-\\xc3\\xa4.slice");
  CHECK(slice_of(".x/.y")->unit == "\\x2ex-\\x2ey.slice");
  CHECK(slice_of("systems")->unit == "systems.slice");
  CHECK(slice_of("web/system")->unit == "web-system.slice");
}

TEST_CASE("slice_of: what cannot be a slice is refused") {
  for (const char* group : {"", "system", "user/1000", "machine", "init", "web.slice", "web/x.service", "a.scope/b"}) {
    CAPTURE(group);
    const auto slice = slice_of(group);
    REQUIRE_FALSE(slice);
    CHECK(slice.error().fault == Fault::usage);
    CHECK(slice.error().code == EINVAL);
  }
  CHECK(slice_of(std::string(249, 'x')));
  CHECK_FALSE(slice_of(std::string(250, 'x')));
}

TEST_CASE("systemd_sets: every knob that has a property is systemd's on v2") {
  CHECK(systemd_sets(*find_knob("mem"), Version::v2));
  CHECK(systemd_sets(*find_knob("mem"), Version::v1));
  CHECK(systemd_sets(*find_knob("cpus"), Version::v2));
  CHECK_FALSE(systemd_sets(*find_knob("cpus"), Version::v1));
  CHECK(systemd_sets(*find_knob("io-max"), Version::v2));
  CHECK_FALSE(systemd_sets(*find_knob("cpu-burst"), Version::v2));
  CHECK_FALSE(systemd_sets(*find_knob("hugetlb"), Version::v2));
  for_each_knob([](const Knob& knob) {
    if (knob.property.empty() || knob.flag == "device") return;
    CAPTURE(knob.name);
    CHECK(systemd_sets(knob, Version::v2));
  });
}

}  // namespace slice_test
