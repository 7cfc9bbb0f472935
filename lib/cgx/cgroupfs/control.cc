// SPDX-License-Identifier: Apache-2.0
// Freezing and thawing whole subtrees (cgroup-v2.rst, cgroup-v1/freezer-subsystem.rst).
#include "cgx/cgroupfs/control.h"

#include <algorithm>
#include <cerrno>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/place.h"
#include "cgx/cgroupfs/tasks.h"
#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

using Clock = std::chrono::steady_clock;

// v1 tells of no change: the state is read until it is there. FREEZING can last while tasks join or sit in the kernel,
// and then writing again helps (runc does the same).
Result<> freeze_v1(const Cgroup& group, const Hierarchy& h, Deadline deadline) {
  for (unsigned round = 0;; ++round) {
    if (round % 16 == 0) CGX_CHECK(group.write(h, "freezer.state", "FROZEN"));
    if (sys::trim(CGX_TRY(group.read(h, "freezer.state"))) == "FROZEN") return {};
    if (Clock::now() >= deadline) return fail(ETIMEDOUT, "");
    if (round > 8) std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
}

// The process that keeps a group from stopping, for the error: one in an uninterruptible wait.
std::string culprit(const Cgroup& group) {
  const auto ids = tasks_below(group);
  if (!ids) return {};
  for (const pid_t id : *ids) {
    const auto stat = sys::stat_of(id);
    if (!stat || stat->state != 'D') continue;
    // A frozen process of v1 shows as D too; it waits in the freezer.
    const auto where = sys::read_path(fmt::format("/proc/{}/wchan", id)).value_or("");
    if (where.find("refrigerator") != std::string::npos || where.find("freeze") != std::string::npos) continue;
    const auto comm = sys::read_path(fmt::format("/proc/{}/comm", id)).value_or("?");
    return fmt::format("process {} ({}) is in an uninterruptible wait in the kernel", id, sys::trim(comm));
  }
  return {};
}

std::unexpected<Error> no_freezer(const Cgroup& group) {
  const Hierarchy* h = group.hierarchies().of(Controller::freezer);
  if (h == nullptr) return with_group({.code = ENOTSUP, .what = "no freezer controller is mounted here"}, group);
  return with_group({.code = ENOTSUP, .what = fmt::format("is not in the hierarchy of the freezer ({})", h->dir())},
                    group);
}

}  // namespace

int milliseconds_to(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000));
}

std::unexpected<Error> with_group(Error e, const Cgroup& group) {
  e.group = shown(group.name());
  return std::unexpected(std::move(e));
}

// The kernel wakes POLLPRI at each change, at most every 10 ms, so a short spin comes first: freezing takes some 60
// microseconds.
Result<> wait_for_event(
    const Cgroup& group, const Hierarchy& h, std::string_view key, std::uint64_t value, Deadline deadline) {
  const sys::Fd fd = CGX_TRY(sys::open_beneath(CGX_TRY(group.dir(h)), "cgroup.events", O_RDONLY));
  const auto spin_until = Clock::now() + std::chrono::microseconds(200);
  while (true) {
    if (lseek(fd.get(), 0, SEEK_SET) < 0) return fail_errno(errno, "cgroup.events");
    const auto text = sys::read_all(fd.get());
    if (!text) return text.error().code == ENODEV ? Result<>{} : Result<>(std::unexpected(text.error()));  // removed
    if (sys::keyed_u64(*text, key) == value) return {};
    if (Clock::now() < spin_until) continue;
    pollfd p{.fd = fd.get(), .events = POLLPRI, .revents = 0};
    const int left = milliseconds_to(deadline);
    if (left == 0) return fail(ETIMEDOUT, fmt::format("{} did not become {} in time", key, value));
    (void)poll(&p, 1, left);  // a time-out or EINTR is found by reading again
  }
}

const Hierarchy* freezer_of(const Cgroup& group) {
  const Hierarchy* h = group.hierarchies().of(Controller::freezer);
  if (h != nullptr && group.dir(*h)) return h;
  // A group may be in the unified hierarchy alone, though the v1 freezer is mounted.
  const Hierarchy* unified = group.hierarchies().unified();
  return unified != nullptr && group.dir(*unified) ? unified : nullptr;
}

// Where the caller's group cannot be named, the subtree is asked for its members.
Result<bool> holds_caller(const Cgroup& group, const Hierarchy& h) {
  for (const Place& place : CGX_TRY(places_of(group.hierarchies(), 0)))
    if (place.hierarchy == &h && lies_in(place.group, group.name())) return true;
  const auto unnamed = CGX_TRY(unnamed_of(group.hierarchies(), 0));
  if (std::ranges::find(unnamed, &h) == unnamed.end()) return false;
  return std::ranges::binary_search(CGX_TRY(tasks_below(group)), getpid());
}

Result<bool> told_to_freeze(const Cgroup& group, const Hierarchy& h) {
  const auto text = group.read(h, h.version() == Version::v1 ? "freezer.self_freezing" : "cgroup.freeze");
  if (text) return sys::trim(*text) == "1";
  if (text.error().code == ENOENT || text.error().code == ENODEV) return false;
  return with_group(text.error(), group);
}

Result<std::string> frozen_ancestor(const Cgroup& group, const Hierarchy& h) {
  for (std::string_view name = parent_of(group.name()); !name.empty(); name = parent_of(name))
    if (CGX_TRY(told_to_freeze(Cgroup(group.hierarchies(), std::string(name)), h))) return std::string(name);
  return {};
}

Result<bool> frozen(const Cgroup& group) {
  CGX_CHECK(group.require());
  const Hierarchy* h = freezer_of(group);
  if (h == nullptr || group.name().empty()) return false;
  if (h->version() == Version::v1) return sys::trim(CGX_TRY(group.read(*h, "freezer.state"))) == "FROZEN";
  return sys::keyed_u64(CGX_TRY(group.read(*h, "cgroup.events")), "frozen") == 1;
}

Result<> freeze(const Cgroup& group, Deadline deadline) {
  CGX_CHECK(group.require());
  if (group.name().empty()) return with_group({.code = EINVAL, .what = "the root cannot be frozen"}, group);
  const Hierarchy* h = freezer_of(group);
  if (h == nullptr) return no_freezer(group);
  if (CGX_TRY(holds_caller(group, *h)))
    return with_group({.code = EINVAL,
                       .what = "this very process is in it and would stop too",
                       .hint = "move the shell out first: cgx move / $$"},
                      group);
  const bool before = CGX_TRY(told_to_freeze(group, *h));
  const bool v1 = h->version() == Version::v1;
  const auto done = [&]() -> Result<> {
    if (v1) return freeze_v1(group, *h, deadline);
    CGX_CHECK(group.write(*h, "cgroup.freeze", "1"));
    return wait_for_event(group, *h, "frozen", 1, deadline);
  }();
  if (done) return {};
  Error e = done.error();
  // Half frozen is worse than not frozen. Of the state before, only what this call asked for is taken back.
  if (!before) (void)group.write(*h, v1 ? "freezer.state" : "cgroup.freeze", v1 ? "THAWED" : "0");
  if (e.code == ETIMEDOUT) {
    e.what = before ? "the processes have not all stopped in time" : "the processes did not stop in time; they run on";
    if (const std::string who = culprit(group); !who.empty()) e.what += ": " + who;
  }
  return with_group(std::move(e), group);
}

Result<> thaw(const Cgroup& group, Deadline deadline) {
  CGX_CHECK(group.require());
  if (group.name().empty()) return with_group({.code = EINVAL, .what = "the root is never frozen"}, group);
  const Hierarchy* h = freezer_of(group);
  if (h == nullptr) return no_freezer(group);
  const bool before = CGX_TRY(told_to_freeze(group, *h));
  const bool v1 = h->version() == Version::v1;
  const auto done = [&]() -> Result<> {
    CGX_CHECK(group.write(*h, v1 ? "freezer.state" : "cgroup.freeze", v1 ? "THAWED" : "0"));
    if (const std::string up = CGX_TRY(frozen_ancestor(group, *h)); !up.empty()) {
      auto error = fail(EBUSY, fmt::format("stays frozen, since {} above it is", up));
      error.error().hint = fmt::format("cgx thaw {}", up);
      return error;
    }
    if (!v1) return wait_for_event(group, *h, "frozen", 0, deadline);
    while (sys::trim(CGX_TRY(group.read(*h, "freezer.state"))) != "THAWED") {
      if (Clock::now() >= deadline) return fail(ETIMEDOUT, "did not thaw in time");
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
    return {};
  }();
  if (done) return done;
  // That a group above is frozen is no reason to freeze this one again: both would have to be thawed then.
  if (before && done.error().code != EBUSY)
    (void)group.write(*h, v1 ? "freezer.state" : "cgroup.freeze", v1 ? "FROZEN" : "1");
  return with_group(done.error(), group);
}

}  // namespace cgx
