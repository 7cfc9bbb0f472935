// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/keys.h"

#include <algorithm>
#include <array>

namespace cgx::policy {

std::string_view section_of(std::string_view key) { return key.substr(0, key.find('.')); }

std::string_view name_of(std::string_view key) {
  const std::size_t dot = key.find('.');
  return dot == std::string_view::npos ? std::string_view() : key.substr(dot + 1);
}

std::span<const Section> sections() {
  static const std::vector<Section> all = [] {
    std::vector<Section> made;
    for_each_knob([&](const Knob& k) {
      if (k.key.empty()) return;
      auto at = std::ranges::find(made, section_of(k.key), &Section::name);
      if (at == made.end()) at = made.insert(made.end(), Section{section_of(k.key), {}, name_of(k.key).empty()});
      at->knobs.push_back(&k);
    });
    return made;
  }();
  return all;
}

const Knob* find_key(std::string_view key) {
  for (const Section& s : sections()) {
    if (s.name != section_of(key)) continue;
    const auto at = std::ranges::find(s.knobs, key, [](const Knob* k) { return k->key; });
    return at == s.knobs.end() ? nullptr : *at;
  }
  return nullptr;
}

std::size_t key_index(const Knob& knob) {
  std::size_t index = 0;
  for (const Section& s : sections())
    for (const Knob* k : s.knobs) {
      if (k == &knob) return index;
      ++index;
    }
  return index;
}

// clang-format off
namespace {

constexpr std::array file_rows{
    Field{"version",  Takes::word,    "the version of the format, 1", "1", true},
    Field{"defaults", Takes::defaults, "merged under every group of the file; what a group says itself counts"},
    Field{"groups",   Takes::groups,  "the groups that there are to be, by name"},
    Field{"rules",    Takes::rules,   "which process goes where; the first rule that matches counts"},
};

constexpr std::array group_rows{
    Field{"description", Takes::text,     "for people"},
    Field{"raw",         Takes::files,    "any other files of the kernel, written as they are"},
    Field{"adopt",       Takes::boolean,  "somebody else makes and removes the group; its limits are set while it is there, in the hierarchies where it is", {}, false, true},
    Field{"owner",       Takes::owner,    "who may change the group and make others below it"},
    Field{"on_oom",      Takes::actions,  "what is done when memory runs out, in this order, until there is some"},
    Field{"on_pressure", Takes::pressure, "what is done when processes wait for memory, CPUs or disks"},
    Field{"best_effort", Takes::boolean,  "leave out what this host cannot do, with a warning, in place of an error"},
    Field{"lossy",       Takes::word,     "what to do with a value that this host holds in another form only: take it and tell, take it, or make it an error", "tell|allow|refuse"},
    Field{"children",    Takes::groups,   "groups below this one, by name", {}, false, true},
};

constexpr std::array memory_rows{
    Field{"pause_max", Takes::time, "with `oom: pause`, how long processes may wait before the kernel's killer has the group again; 5s if not given"},
};

constexpr std::array raise_rows{
    Field{"memory",      Takes::amount, "by how much: a size, or a percentage of the limit", {}, true},
    Field{"up_to",       Takes::size,   "the size that it never raises above", {}, true},
    Field{"decay_after", Takes::time,   "when to lower the limit again; not given: it stays"},
};
constexpr std::array kill_rows{
    Field{"pick",    Takes::word,   "whom: who has the most memory, the youngest, the oldest, all, or whom the kernel would take (by oom_score, which counts oom_score_adj); largest if not given", "largest|newest|oldest|all|kernel"},
    Field{"protect", Takes::names,  "names of commands that are never killed"},
    Field{"signal",  Takes::signal, "the signal; KILL if not given"},
    Field{"grace",   Takes::time,   "how long another signal has before KILL; 5s if not given"},
};
constexpr std::array freeze_rows{
    Field{"group", Takes::group, "which group; not given: the one of the event"},
    Field{"for",   Takes::time,  "when to thaw it again; not given: at a thaw"},
};
constexpr std::array thaw_rows{
    Field{"group", Takes::group, "which group; not given: the one of the event"},
};
constexpr std::array set_rows{
    Field{"group", Takes::group, "which group; not given: the one of the event"},
    Field{"raw",   Takes::files, "any other files of the kernel, written as they are"},
};
constexpr std::array exec_rows{
    Field{"argv", Takes::program, "the program and its arguments; no shell", {}, true},
    Field{"user", Takes::user,    "who runs it; nobody if not given"},
};
constexpr std::array log_rows{
    Field{"message", Takes::text, "what to say"},
};
constexpr std::array reclaim_rows{
    Field{"memory", Takes::amount, "how much: a size, or a percentage of what is used; 10% if not given"},
};
constexpr std::array actions{
    ActionRow{"raise",   raise_rows,   "raises the memory limit, never above what a parent or the host has"},
    ActionRow{"kill",    kill_rows,    "kills a process of the group", true},
    ActionRow{"freeze",  freeze_rows,  "freezes a group", true},
    ActionRow{"thaw",    thaw_rows,    "thaws a group", true},
    ActionRow{"set",     set_rows,     "sets limits of a group, written as those of groups", false, true},
    ActionRow{"exec",    exec_rows,    "runs a program, with the event in CGX_* variables"},
    ActionRow{"log",     log_rows,     "writes an entry into the log", true},
    ActionRow{"reclaim", reclaim_rows, "asks the kernel to give memory of the group back", true},
};
constexpr std::array common_rows{
    Field{"timeout", Takes::time,   "how long the action may take before the next one has its turn"},
    Field{"limit",   Takes::budget, "how often it may run in what time: 3/10m; past it the next action has its turn"},
};

constexpr std::array pressure_rows{
    Field{"when", Takes::trigger, "what has to happen", {}, true},
    Field{"do",   Takes::actions, "what is done then", {}, true},
};
constexpr std::array trigger_rows{
    Field{"memory", Takes::word, "some: one process waits for memory; full: all do", "some|full"},
    Field{"cpu",    Takes::word, "the same for CPUs", "some|full"},
    Field{"io",     Takes::word, "the same for disks", "some|full"},
    Field{"stall",  Takes::time, "how long they have waited, all together", {}, true},
    Field{"window", Takes::time, "within which time, 500ms to 10s", {}, true},
};

constexpr std::array rules{
    Field{"user",    Takes::match,     "the name or number of the user; @NAME: members of a group of users; \"*\": everybody"},
    Field{"command", Takes::glob,      "a pattern for the name of the command, as in /proc/PID/comm"},
    Field{"exe",     Takes::glob,      "a pattern for the path of the program"},
    Field{"cgroup",  Takes::glob,      "a pattern for the group that the process is in"},
    Field{"group",   Takes::target,    "where it goes; %u and %U are the name and number of the user, %g and %G of its group, %p the process, %c the command, %% a percent sign"},
    Field{"leave",   Takes::boolean,   "in place of group: it stays where it is, and the rules below do not count for it"},
};

constexpr std::array device_rows{
    Field{"default", Takes::word, "what holds for all other devices", "allow|deny"},
    Field{"allow",   Takes::devices, "rules that allow: `c 1:3 rwm`, `/dev/null:rw`"},
    Field{"deny",    Takes::devices, "rules that deny"},
    Field{"rules",   Takes::devices, "in place of all these: rules as --device takes them, in their order"},
};

}  // namespace
// clang-format on

std::span<const Field> file_fields() { return file_rows; }
std::span<const Field> group_fields() { return group_rows; }
std::span<const Field> memory_fields() { return memory_rows; }
std::span<const ActionRow> action_rows() { return actions; }
std::span<const Field> action_fields() { return common_rows; }
std::span<const Field> pressure_fields() { return pressure_rows; }
std::span<const Field> trigger_fields() { return trigger_rows; }
std::span<const Field> rule_fields() { return rules; }
std::span<const Field> device_fields() { return device_rows; }

}  // namespace cgx::policy
