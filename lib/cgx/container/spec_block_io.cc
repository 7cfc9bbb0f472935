// SPDX-License-Identifier: Apache-2.0
// `linux.resources.blockIO`: config-linux.md, "Block IO".
#include "cgx/container/spec_fill.h"

namespace cgx::container {
namespace {

Result<> fill_device(std::int64_t& major, std::int64_t& minor, const json::Value& from) {
  constexpr std::int64_t most_major = 0xfff, most_minor = 0xfffff;
  CGX_CHECK(from.expect(json::Kind::object));
  for (const std::string_view key : {"major", "minor"})
    if (!from[key].there()) return from[key].missing();
  CGX_CHECK(json::fill_within(major, from["major"], std::int64_t{0}, most_major));
  return json::fill_within(minor, from["minor"], std::int64_t{0}, most_minor);
}

}  // namespace

static Result<> fill(WeightDevice& to, const json::Value& from) {
  CGX_CHECK(fill_device(to.major, to.minor, from));
  CGX_CHECK(json::fill(to.weight, from["weight"]));
  CGX_CHECK(json::fill(to.leaf_weight, from["leafWeight"]));
  if (!to.weight && !to.leaf_weight) return from.wrong("has neither weight nor leafWeight");
  return {};
}

static Result<> fill(ThrottleDevice& to, const json::Value& from) {
  CGX_CHECK(fill_device(to.major, to.minor, from));
  return json::need(to.rate, from["rate"]);
}

Result<> fill(BlockIoLimits& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  CGX_CHECK(json::fill(to.weight, from["weight"]));
  CGX_CHECK(json::fill(to.leaf_weight, from["leafWeight"]));
  CGX_CHECK(json::fill(to.weight_device, from["weightDevice"]));
  CGX_CHECK(json::fill(to.read_bps, from["throttleReadBpsDevice"]));
  CGX_CHECK(json::fill(to.write_bps, from["throttleWriteBpsDevice"]));
  CGX_CHECK(json::fill(to.read_iops, from["throttleReadIOPSDevice"]));
  return json::fill(to.write_iops, from["throttleWriteIOPSDevice"]);
}

}  // namespace cgx::container
