// SPDX-License-Identifier: Apache-2.0
// Inside container/: what the files of resources share.
#pragma once

#include <string>
#include <string_view>

#include "cgx/container/resources.h"

namespace cgx::container {

struct Collected {
  const Hierarchies& hierarchies;
  const Cgroup* existing;  // nullptr: the container is new
  Limits result;

  // One limit by its row; `field` is the specification's, below linux.resources. ENOTSUP with the reason where this
  // host does not have it.
  [[nodiscard]] Result<> add(std::string_view knob, std::string_view field, Value value, std::string given);
  [[nodiscard]] Result<> number(std::string_view knob, std::string_view field, std::uint64_t n);
  void note(std::string_view field, std::string_view why);
};

[[nodiscard]] std::unexpected<Error> refuse(int code, std::string_view field, std::string value, std::string what);

// blockIO, hugepageLimits, rdma, network.
[[nodiscard]] Result<> take_tables(Collected& all, const Resources& resources);
// Files of cgroup2; where v1 has the controller, by the row of the knob that the file is.
[[nodiscard]] Result<> take_unified(Collected& all, const Pairs& unified);

}  // namespace cgx::container
