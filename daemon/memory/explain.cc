// SPDX-License-Identifier: Apache-2.0
#include "daemon/memory/explain.h"

#include <fmt/format.h>

#include "cgx/sys/count.h"
#include "cgx/sys/text.h"

#include "daemon/memory/exec.h"

namespace cgx::daemon::memory {
namespace {

using Explained = MemoryThread::Explained;

std::string exact(std::uint64_t bytes) {
  FixedText<64> text;
  Words<64>(text).size(bytes);
  return std::string(text.view());
}

void explain_one(Explained& e, const policy::Raise& r, const Node& node, const Thread& thread, std::uint64_t& limit) {
  const policy::Raised raised = raise_to(
      r,
      {.limit = limit, .above = limit_above(node), .host = thread.host_total(), .available = thread.host_available()});
  if (raised.limit == limit)
    e.what = fmt::format("{} stays at {}: {}", limit_file(node), exact(limit), raised.why_not);
  else
    e.what = fmt::format("{} {} -> {}", limit_file(node), exact(limit), exact(raised.limit));
  if (raised.limit != limit && r.decay_after != 0)
    e.what += fmt::format(", lowered again after {}", sys::format_time(r.decay_after));
  limit = raised.limit;
}

void explain_one(Explained& e, const policy::Kill& k, const Node& node, const Thread& thread) {
  const Victim v = find_victim(node.files.dir.get(), k).victim;
  e.what = fmt::format("signal {}", k.signal);
  if (k.signal != 9) e.what += fmt::format(", and 9 after {}", sys::format_time(k.grace));
  if (!thread.may_kill(now_micros())) e.what = "the kills of this hour are used up";
  if (k.pick == policy::Pick::all) e.what += " to every process that is not protected";
  if (v.pid == 0) {
    e.what = "there is no process that may be killed";
    return;
  }
  FixedText<128> command;
  command_of(v.pid, command);
  e.victim = v.pid;
  e.command = command.view().empty() ? v.comm.view() : command.view();
  e.what +=
      fmt::format(" ({} in memory, {} old)", sys::format_size(v.rss), sys::format_time(v.age / 1'000'000 * 1'000'000));
}

Explained explain_action(const policy::Action& a, const Node& node, const Thread& thread, std::uint64_t& limit) {
  Explained e{.step = std::string(a.name()), .what = {}, .command = {}};
  const auto named = [&](const std::string& group) { return group.empty() ? node.name : group; };
  if (const auto* raise = std::get_if<policy::Raise>(&a.what)) explain_one(e, *raise, node, thread, limit);
  if (const auto* kill = std::get_if<policy::Kill>(&a.what)) explain_one(e, *kill, node, thread);
  if (const auto* freeze = std::get_if<policy::Freeze>(&a.what))
    e.what = named(freeze->group) + (freeze->duration != 0 ? " for " + sys::format_time(freeze->duration) : "");
  if (const auto* thaw = std::get_if<policy::Thaw>(&a.what)) e.what = named(thaw->group);
  if (const auto* log = std::get_if<policy::Log>(&a.what)) e.what = log->message;
  if (const auto* exec = std::get_if<policy::Exec>(&a.what)) {
    e.command = fmt::format("{}", fmt::join(exec->argv, " "));
    const auto words = words_of(*exec);
    e.what = words ? fmt::format("as {}, for {} at most",
                                 exec->user.empty() ? "nobody" : exec->user,
                                 sys::format_time(policy::timeout_of(a)))
                   : words.error().text();
  }
  if (const auto* set = std::get_if<policy::Set>(&a.what)) {
    e.what = named(set->group) + ":";
    for (const policy::PolicyLimit& l : set->limits) e.what += fmt::format(" {}={}", l.key, l.limit.given);
  }
  if (const auto* reclaim = std::get_if<policy::Reclaim>(&a.what))
    e.what = reclaim->amount.percent != 0 ? fmt::format("{}% of what is in use", reclaim->amount.percent)
                                          : exact(reclaim->amount.bytes);
  if (a.limit.times != 0)
    e.what += fmt::format("; {} in {} at most", sys::counted(a.limit.times, "time"), sys::format_time(a.limit.within));
  return e;
}

}  // namespace

std::vector<Explained> explain(const Node& node, const Program& program, const Thread& thread) {
  std::vector<Explained> steps;
  std::uint64_t limit = read_number(node.files.limit.get()).value;
  for (const policy::Action& a : program.oom.list) steps.push_back(explain_action(a, node, thread, limit));
  if (program.mode == policy::OomMode::pause)
    steps.push_back(
        {.step = "release",
         .what = fmt::format("the kernel's own killer, after {} at the latest", sys::format_time(program.pause_max)),
         .command = {}});
  else
    steps.push_back({.step = "none", .what = "the kernel's own killer does not wait for any of this", .command = {}});
  return steps;
}

MemoryThread::Watched state_of(const Node& node, const Program& program) {
  MemoryThread::Watched w{.group = node.name, .mode = {}};
  w.mode = program.observed                         ? "observe"
           : program.mode == policy::OomMode::pause ? "pause"
           : program.mode == policy::OomMode::group ? "group"
                                                    : "kernel";
  w.usage = read_number(node.files.usage.get()).value;
  w.limit = read_number(node.files.limit.get()).value;
  w.base_limit = node.base_limit;
  w.acting = node.paused;
  if (node.version == Version::v1) {
    const OomState oom = read_oom(node);
    w.under_oom = oom.under_oom;
    w.paused = oom.under_oom && oom.disabled;
    w.oom_kill = oom.oom_kill;
    w.oom = read_failures(node).value;
  } else {
    const Counts counts = read_counts(node.files.events.get());
    w.paused = node.paused;
    w.under_oom = w.paused;
    w.oom_kill = counts.oom_kill;
    w.oom = counts.oom;
  }
  return w;
}

}  // namespace cgx::daemon::memory
