// SPDX-License-Identifier: Apache-2.0
// Inside cgx explain: what is looked at, and what is found for each resource.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <sys/types.h>

#include "cgx/cgroupfs/cgroup.h"
#include "cgx/cgroupfs/place.h"
#include "cgx/cgroupfs/presence.h"

namespace cgx::tool {

// The group that is explained, in each hierarchy: of a process they may differ.
struct Target {
  const Hierarchies* hierarchies;
  std::optional<pid_t> pid;
  std::string name;
  std::vector<Place> places;
  std::vector<std::string> unnamed;  // hierarchies in which the group of the process cannot be named

  // The group in the hierarchy of `controller` and those above it, innermost first, with the root. Empty: in none.
  [[nodiscard]] std::vector<Cgroup> path(Controller controller) const;
};

using Amount = std::variant<std::monostate, std::uint64_t, double, std::string>;

// Something that happened at a limit, since the group was made.
struct Event {
  std::string group;
  std::string knob;  // the kernel's file
  std::uint64_t count = 0;
  std::string what;  // "processes killed"
};

struct Resource {
  std::string name;
  std::string unit;  // bytes, cpus, percent; empty: none
  Amount limit;      // none: nothing binds
  std::string group;
  std::string knob;
  std::string file;
  Amount usage;
  Amount headroom;
  std::vector<Event> lately;
  std::string note;
};

// Reads what is explained, and keeps what could not be read: without it, a limit would be taken for none.
class Look {
 public:
  // The trimmed text of one file; empty where there is none.
  std::string text(const Cgroup& group, Controller controller, std::string_view file);
  // A number of one file; nullopt where it has none. `max` is sys::unlimited.
  std::optional<std::uint64_t> number(const Cgroup& group, Controller controller, std::string_view file);
  // A row's value; nullopt where it has none here.
  std::optional<Value> value(const Cgroup& group, std::string_view knob);
  std::optional<std::uint64_t> number(const Cgroup& group, std::string_view knob);
  std::optional<Table> table(const Cgroup& group, std::string_view knob);
  // The value, or nothing, and the error is kept unless it says that there is no value.
  template <class T>
  std::optional<T> kept(Result<T> read) {
    if (read) return *std::move(read);
    if (!says_no_value(read.error())) unread_.push_back(std::move(read).error());
    return {};
  }
  [[nodiscard]] const std::vector<Error>& unread() const { return unread_; }

 private:
  std::vector<Error> unread_;
};

// Blocks for the time that CPU use is measured over (100 ms).
[[nodiscard]] std::vector<Resource> explain_cpu(const Target& target, Look& look);
[[nodiscard]] std::vector<Resource> explain_memory(const Target& target, Look& look);
[[nodiscard]] std::vector<Resource> explain_others(const Target& target, Look& look);

// The limit of `knob` that leaves the least room on the path, against `usage` (a row's name) of the same group.
[[nodiscard]] Resource tightest(Look& look,
                                const std::vector<Cgroup>& path,
                                std::string_view name,
                                std::string_view unit,
                                std::string_view knob,
                                std::string_view usage);
// Adds an event where `count` is not 0.
void happened(
    Resource& r, const Cgroup& group, std::string_view knob, std::optional<std::uint64_t> count, std::string_view what);

}  // namespace cgx::tool
