// SPDX-License-Identifier: Apache-2.0
// What the tests of memory events need: small groups, programs that use memory in them, and policies made by hand.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/policy/policy.h"

#include "daemon/memory/memory.h"
#include "groups.h"
#include "scratch.h"
#include "skip.h"

namespace cgx::test {

// Why such tests cannot run here; empty: they can.
[[nodiscard]] std::string no_memory_events();
[[nodiscard]] bool memory_on_v1(const Hierarchies& hierarchies);

// A group with a limit of memory, in all hierarchies, or several of one tree; removed at the end.
class MemoryGroup {
 public:
  explicit MemoryGroup(const std::string& limit = "20M", const std::string& below = {});
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;
  ~MemoryGroup() = default;
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const Hierarchies& hierarchies() const { return hierarchies_; }
  // Makes a group below; empty limit: none.
  std::string child(const std::string& name, const std::string& limit) const;
  void remove() const { group_.remove(); }
  void make(const std::string& name, const std::string& limit) const;
  // A file of the memory hierarchy, by its v1 or its v2 name; `group` empty: this one.
  [[nodiscard]] std::string read(const std::string& v1, const std::string& v2, const std::string& group = {}) const;
  void write(const std::string& v1, const std::string& v2, const std::string& text) const;
  [[nodiscard]] std::uint64_t limit(const std::string& group = {}) const;
  [[nodiscard]] std::uint64_t kills(const std::string& group = {}) const;
  [[nodiscard]] bool under_oom() const;  // v1
  [[nodiscard]] bool v1() const { return memory_on_v1(hierarchies_); }
  // Directory of the memory hierarchy, for paths.
  [[nodiscard]] std::string path(const std::string& file, const std::string& group = {}) const;

 private:
  Hierarchies hierarchies_;
  TestGroup group_;
  std::string name_;
};

// A program that uses memory in a group (tests/support/eater.c); killed at the end.
class Eater {
 public:
  Eater(const Hierarchies& hierarchies,
        const std::string& group,
        const std::string& mode,
        unsigned size,
        unsigned pause_us = 0);
  Eater(const MemoryGroup& group, const std::string& mode, unsigned size, unsigned pause_us = 0)
      : Eater(group.hierarchies(), group.name(), mode, size, pause_us) {}
  Eater(const Eater&) = delete;
  Eater& operator=(const Eater&) = delete;
  ~Eater();
  [[nodiscard]] pid_t pid() const { return pid_; }
  // Whether it says so in time; what it said so far is kept.
  [[nodiscard]] bool says(const std::string& text, std::chrono::milliseconds limit = std::chrono::seconds(20));
  [[nodiscard]] const std::string& said() const { return said_; }
  // Its end in time: a wait status, or -1.
  [[nodiscard]] int ends(std::chrono::milliseconds limit = std::chrono::seconds(20));
  void go();  // mode wait
  void signal(int number) const;

 private:
  pid_t pid_ = -1;
  int status_ = -1;
  sys::Fd output_, input_;
  std::string said_;
};

[[nodiscard]] bool wait_until(const std::function<bool()>& true_yet,
                              std::chrono::milliseconds limit = std::chrono::seconds(20));

// A memory thread with a state directory of its own, and all that it has decided.
class Daemon {
 public:
  explicit Daemon(const Hierarchies& hierarchies, daemon::MemoryThread::Options options = {});
  [[nodiscard]] daemon::MemoryThread& memory() { return *memory_; }
  std::vector<policy::Problem> watch(const std::vector<policy::GroupPolicy>& groups,
                                     const std::vector<std::string>& also = {});
  // All decisions so far.
  const std::vector<daemon::Decision>& decisions();
  // Waits for one; nullptr: none came. Empty texts match anything.
  const daemon::Decision* decided(const std::string& event,
                                  const std::string& action = {},
                                  const std::string& result = {},
                                  std::chrono::milliseconds limit = std::chrono::seconds(20));
  // How many there are now.
  std::size_t count(const std::string& event, const std::string& action = {}, const std::string& result = {});
  [[nodiscard]] std::string text();  // a line each, for failures
  [[nodiscard]] const std::string& state_dir() const { return state_.path(); }
  void stop() { memory_.reset(); }

 private:
  ScratchDir state_;
  std::unique_ptr<daemon::MemoryThread> memory_;
  std::vector<daemon::Decision> decisions_;
};

// Policies by hand.
[[nodiscard]] policy::GroupPolicy pausing(const std::string& group, std::vector<policy::Action> actions);
[[nodiscard]] policy::GroupPolicy observing(const std::string& group, std::vector<policy::Action> actions = {});
[[nodiscard]] policy::Action raise(std::uint64_t bytes, std::uint64_t up_to);
[[nodiscard]] policy::Action killing(policy::Pick pick = policy::Pick::largest,
                                     int signal = 9,
                                     std::uint64_t grace = 0);
[[nodiscard]] policy::Action exec(std::vector<std::string> argv, std::uint64_t timeout = 0);
template <class T>
[[nodiscard]] policy::Action action(T what) {
  policy::Action a;
  a.what = std::move(what);
  return a;
}
inline constexpr std::uint64_t mib = std::uint64_t{1} << 20U;

}  // namespace cgx::test

#define NEEDS_MEMORY_EVENTS() \
  if (const std::string why = ::cgx::test::no_memory_events(); !why.empty()) CGX_SKIP(why)
