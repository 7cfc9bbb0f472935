// SPDX-License-Identifier: Apache-2.0
// Policies carried out: the difference between what sources name and what is there, as a plan that can be printed, and
// its application as one transaction. What a policy managed and no longer names goes: a group that was made for it is
// removed, and its processes move to the nearest group above that stays; a limit goes back to what it was before. What
// no policy managed is never touched. An adopted group is somebody else's: it is set while it is there, in the
// hierarchies where it is, and never made or removed. What is managed is recorded in the state directory (record.h).
//
// Rules, on_oom, on_pressure and `oom: pause` are the daemon's: nothing here looks at them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "cgx/policy/policy.h"

namespace cgx::policy {

// What was given at once and is managed as one: a file or a directory, by absolute path, or "-" for stdin. The next
// apply() of the same name replaces it; a group belongs to one source at a time.
struct Source {
  std::string name;
  Policies policies;
};

struct ApplyOptions {
  std::string state_dir = "/run/cgx";
  bool keep = false;  // what is no longer named stays, and stays managed
  // A group stays as it is where it cannot go, where it is adopted and cannot be set, or where something is mounted
  // over its directory; all else is applied.
  bool lenient = false;
  const std::atomic<bool>* stop = nullptr;  // once true, apply() takes all back and answers EINTR
};

struct Change {
  enum class Sign : std::uint8_t { add, modify, remove };
  Sign sign = Sign::modify;
  std::string group;
  std::string key;  // "memory.max", "owner"; of add and remove empty
  std::string from;
  std::string to;
  // `+ web`, `~ web memory.max 1G -> 2G`, `- old`
  [[nodiscard]] std::string text() const;
};
// `1 group added, 2 values changed, 1 group removed`, or `no changes`.
[[nodiscard]] std::string summary(std::span<const Change> changes);

struct Difference;

class PolicyPlan {
 public:
  // Reads the record and the groups; writes nothing. Errors: Fault::usage where two sources, or a source and one that
  // was applied before and is still there, name the same group; EBADMSG: the record cannot be understood; EBUSY: a
  // group that is to go has groups below it that nobody manages (not with `lenient`); what Plan::make() finds wrong
  // with a limit.
  [[nodiscard]] static Result<PolicyPlan> make(const Hierarchies& hierarchies,
                                               std::span<const Source> sources,
                                               const ApplyOptions& options);
  PolicyPlan(PolicyPlan&&) noexcept;
  PolicyPlan& operator=(PolicyPlan&&) noexcept;
  PolicyPlan(const PolicyPlan&) = delete;
  PolicyPlan& operator=(const PolicyPlan&) = delete;
  ~PolicyPlan();

  [[nodiscard]] bool empty() const { return changes().empty(); }
  [[nodiscard]] std::span<const Change> changes() const;
  [[nodiscard]] const std::vector<std::string>& notes() const;
  [[nodiscard]] std::string text() const;  // a line a change
  [[nodiscard]] std::string summary()
      const;  // `1 group to add, 2 values to change, 1 group to remove`, or `no changes`
  [[nodiscard]] std::string json() const;
  // Each write, in order, as Plan::text().
  [[nodiscard]] Result<std::string> steps(const Hierarchies& hierarchies) const;

 private:
  explicit PolicyPlan(std::unique_ptr<Difference> difference);
  std::unique_ptr<Difference> difference_;
};

// A group that is left as it is.
struct Stay {
  std::string text;  // the whole sentence
  Error why;

  // Of two with the same group, knob and code the second tells nothing new: numbers in the text may differ.
  [[nodiscard]] std::tuple<std::string, std::string, int> about() const { return {why.group, why.knob, why.code}; }
};

struct Applied {
  std::vector<Change> changes;
  std::vector<std::string> notes;  // what the kernel rounded, what a conversion loses, what could not be put back
  std::vector<Stay> stays;         // lenient: the groups that stay as they are, and why
  std::vector<std::string> unset;  // those of them that are to be set
};
// All or nothing over all sources. A second call for the same sources makes no write. The record says what is about to
// be done before it is done: where the process is killed, the next call goes on from there. Waits for another apply()
// of the same state directory. Where a new group shows that the kernel lacks a limit's file, a group of best_effort
// goes without that limit, and a note says so. Errors: those of PolicyPlan::make() and of Transaction::apply(); on any
// of them all is as it was, or the hint names what is not.
[[nodiscard]] Result<Applied> apply(const Hierarchies& hierarchies,
                                    std::span<const Source> sources,
                                    const ApplyOptions& options);
// {"changes": [...], "added": N, ...} of what was done.
[[nodiscard]] std::string json(const Applied& applied);

// The groups of all sources, parents first; none where there is no record, or none that can be read.
[[nodiscard]] std::vector<std::string> managed_groups(const std::string& state_dir);
// Their sources, each once.
[[nodiscard]] std::vector<std::string> managed_sources(const std::string& state_dir);

}  // namespace cgx::policy
