// SPDX-License-Identifier: Apache-2.0
// What commands share: a container that is there, the making of one, its end.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/cgroupfs/presence.h"
#include "cgx/cgroupfs/tasks.h"
#include "cgx/change/plan.h"
#include "cgx/container/launch.h"
#include "cgx/container/state.h"

#include "oci.h"

namespace cgx::oci {

using container::Spec;
using container::State;
using container::Status;
using container::Store;

struct Container {
  Store::Entry entry;
  State state;
  Status status = Status::stopped;
};
[[nodiscard]] Result<Container> find_container(const Invocation& call, const std::string& id, Store::How how);
// Those whose ids match the extended regular expression, whole; with --regex, else the one of that id.
[[nodiscard]] Result<std::vector<std::string>> ids_meant(const Invocation& call);

inline Deadline in_seconds(int seconds) { return std::chrono::steady_clock::now() + std::chrono::seconds(seconds); }

// The container's group, which `hierarchies` outlives; nullptr: it has none.
[[nodiscard]] std::unique_ptr<Cgroup> group_of(const State& state, const Hierarchies& hierarchies);

// A descriptor of the container's first process; ESRCH where it has ended.
[[nodiscard]] Result<sys::Fd> open_init(const State& state);
[[nodiscard]] Result<> send_signal(const sys::Fd& pidfd, int signal);

// The hierarchies that a container's group is in, looked for when they are first asked for, and once.
class GroupPlace {
 public:
  explicit GroupPlace(const State& state) : state_(state) {}
  [[nodiscard]] Result<const Hierarchies*> hierarchies();

 private:
  const State& state_;
  std::optional<Hierarchies> found_;
};

// Ends all processes that are the container's own and waits for it: those of a group that was made for it, and its
// first process with its pid namespace.
[[nodiscard]] Result<> end_processes(const State& state);
[[nodiscard]] Result<> end_processes(const State& state, GroupPlace& place);
// Removes a container's group and the groups that were made above it for it, as far as nobody else uses those.
[[nodiscard]] Result<> remove_groups(const State& state);
[[nodiscard]] Result<> remove_groups(const State& state, GroupPlace& place);
// The one, and where that is done the other.
[[nodiscard]] Result<> end_and_remove(const State& state);
// Ends a container: processes, group, state; then runs its poststop hooks.
[[nodiscard]] Result<> destroy(const Invocation& call, Container& container);
void run_poststop(const Invocation& call, const Spec& spec, const State& state);

// The group of a new container, with its limits in force and nobody in it.
class GroupMaker {
 public:
  GroupMaker(const Invocation& call, const Spec& spec) : call_(call), spec_(spec) {}
  // Writes what it is about to make into `state` first, by `save`.
  [[nodiscard]] Result<> make(State& state, const std::function<Result<>()>& save);
  // Limits of flags, beside those of the specification. Before make().
  void add(std::vector<Limit> limits, bool force) {
    more_ = std::move(limits);
    desired_.force = force;
  }
  // nullptr: the container has no group of its own.
  [[nodiscard]] const Cgroup* group() const { return group_.get(); }
  [[nodiscard]] const Hierarchies* hierarchies() const { return hierarchies_ ? &*hierarchies_ : nullptr; }
  // Takes it away again, with what was made above it. On an error some of it may be left, and the record has to stay.
  [[nodiscard]] Result<> undo(const State& state);

 private:
  [[nodiscard]] Result<> make_scope(State& state, const std::function<Result<>()>& save);
  [[nodiscard]] Result<> make_plain(State& state, const std::function<Result<>()>& save);
  [[nodiscard]] Result<> make_there(State& state, const std::function<Result<>()>& save);
  [[nodiscard]] Result<> make_tracking(const State& state);
  [[nodiscard]] Result<> refuse_used(const State& state) const;
  [[nodiscard]] bool may_do_without(const Error& error) const;

  const Invocation& call_;
  const Spec& spec_;
  std::optional<Hierarchies> hierarchies_;
  Desired desired_;
  std::vector<Limit> more_;
  std::unique_ptr<Transaction> transaction_;
  std::unique_ptr<Cgroup> group_;
  std::shared_ptr<void> placeholder_;  // keeps a scope of systemd until the container is in it
};
// Changes limits of a group that systemd made: by its properties, so that it does not take the change back.
[[nodiscard]] Result<> set_scope_limits(const State& state, const std::vector<Limit>& limits);
// "cgroupfs", "systemd" or "disabled".
[[nodiscard]] Result<std::string_view> cgroup_manager(const Invocation& call);

// A whole number of a flag; 0 where it is not given.
[[nodiscard]] Result<int> count_of(const Invocation& call, std::string_view flag);
// As runc does: written beside it and renamed.
[[nodiscard]] Result<> write_pid_file(std::string_view file, pid_t pid);

}  // namespace cgx::oci
