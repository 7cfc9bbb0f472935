// SPDX-License-Identifier: Apache-2.0
// Carries one group from a record to another: the steps behind shaper.h, which is what other code calls.
#pragma once

#include <string>
#include <vector>

#include "cgx/net/bpf.h"
#include "cgx/net/group.h"
#include "cgx/net/nft.h"
#include "cgx/net/record.h"
#include "cgx/net/shaper.h"
#include "cgx/net/tc.h"
#include "cgx/sys/result.h"

namespace cgx::net {

class Transition {
 public:
  // `group` is null for one that is removed already; it and `store` outlive the transition.
  [[nodiscard]] static Result<Transition> open(const Store& store, const Group* group, std::string key);

  [[nodiscard]] const Tc& tc() const { return tc_; }
  [[nodiscard]] std::uint64_t netns() const { return netns_; }
  [[nodiscard]] const std::vector<KeyedRecord>& others() const { return others_; }  // of all other groups

  // `force` names the classifier to use, none leaves the choice to what the kernel has.
  [[nodiscard]] Result<Change> run(const Record& before, Record wanted, Classifier force, Write write);

 private:
  Transition(const Store& store,
             const Group* group,
             std::string key,
             Tc tc,
             std::uint64_t netns,
             std::vector<KeyedRecord> others)
      : store_(store),
        group_(group),
        key_(std::move(key)),
        tc_(std::move(tc)),
        netns_(netns),
        others_(std::move(others)) {}

  [[nodiscard]] Result<> check(const Record& before, Record& wanted) const;
  [[nodiscard]] Result<> check_shape(const Record& before, Shape& shape) const;
  [[nodiscard]] Result<> apply(const Record& before,
                               Record& wanted,
                               Classifier force,
                               std::vector<std::string>& elsewhere);
  [[nodiscard]] Result<> make_shape(const Shape& shape) const;
  [[nodiscard]] Result<> drop_shape(const Shape& shape,
                                    const Record& wanted,
                                    std::vector<std::string>& elsewhere) const;
  [[nodiscard]] Result<> classify_v1(Record& wanted, Classifier force);
  [[nodiscard]] Result<> classify_v2(Record& wanted, Classifier force);
  [[nodiscard]] Result<> use_nft(const NftMatch& match, Record& wanted);
  [[nodiscard]] Result<> declassify(const Record& before, const Record& wanted) const;
  [[nodiscard]] Result<> keep(const Record& record) const;
  [[nodiscard]] std::vector<std::string> describe(const Record& before, const Record& wanted) const;
  [[nodiscard]] std::string table() const { return "cgx-net-" + key_; }

  const Store& store_;
  const Group* group_;
  std::string key_;
  Tc tc_;
  std::uint64_t netns_;
  std::vector<KeyedRecord> others_;
  Record in_force_;  // while run() is at work: all that may be in force, as the store has it
};

// What the program or rules on a group with `record` write. Pure, for tests.
[[nodiscard]] Mark mark_of(const Record& record);

}  // namespace cgx::net
