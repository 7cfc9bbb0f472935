// SPDX-License-Identifier: Apache-2.0
#include "daemon/rules/sorting.h"

#include <algorithm>
#include <cerrno>
#include <climits>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/change/explain.h"
#include "cgx/sys/text.h"

namespace cgx::daemon {
namespace {

constexpr std::size_t most_failures = 32;

const Place* in(const std::vector<Place>& places, const Hierarchy& h) {
  const auto at = std::ranges::find(places, &h, &Place::hierarchy);
  return at == places.end() ? nullptr : &*at;
}

// Nobody else's child can be waited for. Asks without taking the status, and is far cheaper than to read who its parent
// is.
bool is_own_child(pid_t pid) {
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0;
}

}  // namespace

Sorting::Sorting(const Hierarchies& hierarchies, sys::Fd proc)
    : hierarchies_(&hierarchies), proc_(std::move(proc)), self_(getpid()), targets_(hierarchies) {}

Result<std::unique_ptr<Sorting>> Sorting::make(const Hierarchies& hierarchies) {
  sys::Fd proc = CGX_TRY(sys::open_path("/proc", O_RDONLY | O_DIRECTORY));
  return std::unique_ptr<Sorting>(new Sorting(hierarchies, std::move(proc)));
}

pid_t Sorting::number(std::string_view name) {
  if (name.empty() || name[0] < '1' || name[0] > '9') return 0;
  const auto n = sys::parse_u64(name, 1, INT_MAX);
  return n ? static_cast<pid_t>(*n) : 0;
}

void Sorting::set_rules(std::vector<policy::Rule> rules) {
  rules_ = std::move(rules);
  names_.forget();
  targets_.forget_all();
}

Result<Process> Sorting::open(pid_t pid) {
  auto process = Process::open(*hierarchies_, proc_.get(), pid);
  if (process || (process.error().code != EMFILE && process.error().code != ENFILE)) return process;
  targets_.forget_all();  // they can be had again
  return Process::open(*hierarchies_, proc_.get(), pid);
}

Sorting::Outcome Sorting::sort(pid_t pid) {
  if (pid <= 1 || pid == self_) return Outcome::left;
  const auto process = open(pid);
  if (!process) return Outcome::gone;
  const policy::Rule* rule = policy::first_match(rules_, *process, names_);
  if (process->gone()) return Outcome::gone;
  if (rule == nullptr || rule->target.empty()) return Outcome::left;
  if (!process->runs_program() || is_own_child(pid)) return process->gone() ? Outcome::gone : Outcome::left;
  const auto group = policy::expand(rule->target, *process, names_);
  if (process->gone()) return Outcome::gone;
  if (!group) {
    failed(*process, group.error());
    return Outcome::failed;
  }
  return move(*process, *group, policy::is_template(rule->target), true);
}

Sorting::Outcome Sorting::move(const Process& process, const std::string& group, bool by_template, bool again) {
  // Where it is now is read right before the write, so that a number given anew meanwhile is not taken for it.
  const auto target = targets_.open(group, by_template);
  if (!target) {
    failed(process, target.error());
    return Outcome::failed;
  }
  const std::vector<Place>& places = process.places();
  if (process.gone()) return Outcome::gone;
  const std::string pid = std::to_string(process.pid());
  std::vector<const Hierarchy*> moved_in;
  for (const Targets::File& file : (*target)->files) {
    // Being there already is no move, and writing would wait for the kernel's lock of all forks.
    const Place* place = in(places, *file.hierarchy);
    if (place != nullptr && place->group == group) continue;
    const auto done = sys::write_fd(file.procs.get(), pid);
    if (done) {
      moved_in.push_back(file.hierarchy);
      continue;
    }
    if (done.error().code == ESRCH) return look_again(process.pid());
    // The group was removed underneath; somebody may have made it anew.
    if (done.error().code == ENODEV && again) {
      targets_.forget(group);
      return move(process, group, by_template, false);
    }
    Error e = done.error();
    e.value = pid;
    e.group = group;
    e.knob = "cgroup.procs";
    put_back(process, moved_in);
    failed(process, explain_attach(Cgroup(*hierarchies_, group), e));
    return Outcome::failed;
  }
  if (moved_in.empty()) return Outcome::left;
  return process.alive() ? Outcome::moved : look_again(process.pid());
}

// The process has ended. If its number belongs to another one by now, it is not certain which of the two was moved: the
// new one is put where it belongs, which without a rule is where its parent is, as it was when it was born.
Sorting::Outcome Sorting::look_again(pid_t pid) {
  const auto process = Process::open(*hierarchies_, proc_.get(), pid);
  if (!process || !process->runs_program()) return Outcome::gone;
  if (policy::first_match(rules_, *process, names_) != nullptr) return sort(pid);
  const auto parent = Process::open(*hierarchies_, proc_.get(), process->parent());
  if (!parent) return Outcome::gone;
  for (const Place& home : parent->places()) {
    const Place* place = in(process->places(), *home.hierarchy);
    if (place == nullptr || place->group == home.group) continue;
    (void)Cgroup(*hierarchies_, home.group).write(*home.hierarchy, "cgroup.procs", std::to_string(pid));
  }
  return Outcome::gone;
}

void Sorting::put_back(const Process& process, const std::vector<const Hierarchy*>& moved_in) const {
  for (const Hierarchy* h : moved_in)
    if (const Place* place = in(process.places(), *h); place != nullptr)
      // It may have ended: there is nothing to tell then.
      (void)Cgroup(*hierarchies_, place->group).write(*h, "cgroup.procs", std::to_string(process.pid()));
}

void Sorting::failed(const Process& process, const Error& error) {
  Error e = error;
  e.value.clear();  // the number of the process would make each sentence another one
  std::string text = fmt::format("rules: {}: {}", process.comm(), e.text());
  if (failures_.size() < most_failures && std::ranges::find(failures_, text) == failures_.end())
    failures_.push_back(std::move(text));
}

std::vector<std::string> Sorting::take_failures() { return std::exchange(failures_, {}); }

}  // namespace cgx::daemon
