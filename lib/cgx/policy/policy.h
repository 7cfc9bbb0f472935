// SPDX-License-Identifier: Apache-2.0
// Policies as values: which groups there are to be with which limits, what happens when memory runs short in them, and
// which process goes where. Pure: no I/O, no clock, no YAML; yaml.h makes these values out of files, apply.h carries
// them out on a host, the daemon acts on events by them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cgx/change/plan.h"

namespace cgx::policy {

// Where something stands in a policy file. Lines and columns count from 1; 0: the file as a whole.
struct Place {
  std::string file;
  unsigned line = 0;
  unsigned column = 0;
  bool operator==(const Place&) const = default;
};

// Something wrong with a policy. `path` is the key's way from the top: "groups.web.memory.max".
struct Problem {
  Place place;
  std::string path;
  std::string what;
  std::string hint;
  bool warning = false;  // worth knowing, but the policy stands; under best_effort what is told of is left out of it
  // `web.yaml:12:15: groups.web.memory.max: "2GG" is not a size (like 512M, 2G, max)`
  [[nodiscard]] std::string text() const;
};

// One limit of a group. `limit.given` is the text of the file.
struct PolicyLimit {
  Limit limit;
  std::string key;  // "memory.max"; "raw.cpu.uclamp.min"
  Place place;
  bool left = false;  // the group's owner keeps another value: neither written nor put back
};

// Bytes that the kernel keeps of a command's name (TASK_COMM_LEN).
inline constexpr std::size_t most_command = 15;

// An amount of memory: a size, or a percentage of what is in force.
struct Amount {
  std::uint64_t bytes = 0;
  unsigned percent = 0;  // 0: bytes counts
  bool operator==(const Amount&) const = default;
};

struct Raise {
  Amount by;
  std::uint64_t up_to = 0;        // bytes; never above it
  std::uint64_t decay_after = 0;  // microseconds; 0: it stays
};
enum class Pick : std::uint8_t { largest, newest, oldest, all, kernel };
struct Kill {
  Pick pick = Pick::largest;
  std::vector<std::string> protect;  // names as in /proc/PID/comm
  int signal = 9;
  std::uint64_t grace = 0;  // microseconds until SIGKILL, where signal is another one
};
struct Freeze {
  std::string group;           // empty: the group of the event
  std::uint64_t duration = 0;  // microseconds (`for`); 0: until a thaw
};
struct Thaw {
  std::string group;
};
struct Set {
  std::string group;
  std::vector<PolicyLimit> limits;
};
struct Exec {
  std::vector<std::string> argv;
  std::string user;  // empty: nobody
};
struct Log {
  std::string message;
};
struct Reclaim {
  Amount amount;  // a percentage is one of what is used
};

struct Action {
  std::variant<Raise, Kill, Freeze, Thaw, Set, Exec, Log, Reclaim> what;
  std::uint64_t timeout = 0;  // microseconds; 0: the action's own default
  struct Budget {             // `limit: 3/10m`
    unsigned times = 0;       // 0: no bound
    std::uint64_t within = 0;
  } limit;
  Place place;
  [[nodiscard]] std::string_view name() const;  // "raise"
};

// `on_pressure`: stalled for `stall` within `window` (microseconds), of memory, cpu or io.
struct PressureRule {
  std::string resource = "memory";
  bool full = false;
  std::uint64_t stall = 0;
  std::uint64_t window = 0;
  std::vector<Action> actions;
  Place place;
};

enum class OomMode : std::uint8_t { kernel, pause, group };

// Values that this host holds in another form, which loses something (a weight as v1's shares): taken and told of,
// taken, or an error.
enum class Lossy : std::uint8_t { tell, allow, refuse };

struct GroupPolicy {
  std::string name;  // "web/api"
  std::string path;  // of its key in the file: "groups.web.children.api"
  Place place;
  std::string description;
  std::vector<PolicyLimit> limits;  // memory.oom is not among them where it is `pause`: the daemon sets that one
  std::optional<Owner> owner;
  std::string owner_text;
  OomMode oom = OomMode::kernel;
  std::uint64_t pause_max = 5'000'000;  // microseconds
  std::vector<Action> on_oom;
  std::vector<PressureRule> on_pressure;
  bool best_effort = false;
  bool adopt = false;  // somebody else makes and removes the group: only its limits are set, where it is
  Lossy lossy = Lossy::tell;
};

// All fields that are there must match; an empty one matches anything.
struct Rule {
  std::string user;     // a name or number
  std::string group;    // a group of users (`user: "@students"`)
  std::string command;  // glob on /proc/PID/comm
  std::string exe;      // glob on the path of the program
  std::string cgroup;   // glob on the group that the process is in
  std::string target;   // with %u %U %g %G %p %c %%; empty (`leave: true`): it stays where it is
  Place place;
};

struct Policies {
  std::vector<GroupPolicy> groups;  // parents before children, each name once
  std::vector<Rule> rules;          // in order; the first that matches counts
  [[nodiscard]] const GroupPolicy* find(std::string_view name) const;
};

}  // namespace cgx::policy
