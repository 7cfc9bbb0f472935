// SPDX-License-Identifier: Apache-2.0
// Inside daemon/memory/: the actions of a policy as they are carried out, and how far they are.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cgx/policy/engine.h"
#include "cgx/sys/fd.h"

#include "daemon/decision.h"
#include "daemon/memory/io.h"
#include "daemon/memory/victim.h"

namespace cgx::daemon::memory {

class Node;
struct Pressure;

// What an epoll event belongs to.
struct Source {
  enum class Kind : std::uint8_t { control, memory, threshold, pressure, victim };
  Kind kind = Kind::control;
  Node* node = nullptr;
  Pressure* pressure = nullptr;
};

// Whether the group is at its limit, of v1's memory or memory and swap; `usage` and `limit` are of what is short.
struct Fill {
  int code = 0;
  bool full = false;
  bool with_swap = false;  // v1: it is the limit of memory and swap
  std::uint64_t usage = 0, limit = 0;
};

// A list of actions, with the groups that they name. Immutable.
struct Actions {
  std::vector<policy::Action> list;
  std::vector<std::shared_ptr<Node>> targets;  // by action; nullptr: the group itself
  std::string text;                            // what is the same of two lists that are the same
  // How often each was done: the memory thread's. One for all lists of a group that are the same, over reloads.
  std::shared_ptr<std::vector<policy::Allowance>> allowances;
};

// What a policy says of one group. Immutable.
struct Program {
  std::string group;
  policy::OomMode mode = policy::OomMode::kernel;
  Micros pause_max = 5'000'000;
  Actions oom;
  bool raise_first = false;  // the first action that does something is a raise
  bool observed = false;     // no policy, only watched
  std::vector<policy::PressureRule> rules;
  std::vector<Actions> pressure;  // by rule
};

// One run of a list. The decision is filled in as the action goes on.
struct Run {
  policy::Progress progress;
  std::shared_ptr<const Program> program;
  const Actions* actions = nullptr;
  Node* node = nullptr;
  Pressure* pressure = nullptr;  // whose run it is; nullptr: the group's
  Micros woke = 0;
  Micros due = never;
  std::uint64_t token = 0;        // of what a worker does for it; 0: nothing
  bool told_again = false;        // pressure: the trigger fired since the action
  std::uint64_t raised_from = 0;  // the limit before the last raise of this shortage; 0: none
  Micros window = 0;              // pressure: of the rule
  unsigned told = 0;              // decisions
  bool pauses = false;            // tasks wait until the run ends
  bool stuck = false;             // v1: it began because tasks waited for long, whatever room there seemed to be
  bool held = false;              // v2: frozen in place of a pause
  bool refreeze = false;          // v1: thawed for a kill alone
  Fill fill;                      // as looked at last
  Victim victim;
  Few few;  // of a kill of all
  sys::Fd victim_fd;
  Source victim_source{.kind = Source::Kind::victim, .node = nullptr, .pressure = nullptr};
  Micros kill_at = never;       // when a signal that was ignored becomes SIGKILL
  std::shared_ptr<Node> froze;  // by a freeze without end; thawed when the run ends
  Decision decision;
};

// A trigger of a pressure rule: PSI, or v1's memory.pressure_level.
struct Pressure {
  std::shared_ptr<Node> node;
  std::shared_ptr<const Program> program;
  std::size_t rule = 0;
  sys::Fd fd;
  Source source{.kind = Source::Kind::pressure, .node = nullptr, .pressure = this};
  bool level = false;  // an eventfd of memory.pressure_level
  bool retired = false;
  Run run;
};

}  // namespace cgx::daemon::memory
