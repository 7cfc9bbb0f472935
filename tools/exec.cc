// SPDX-License-Identifier: Apache-2.0
// exec: a command inside a group.
#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <map>
#include <optional>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/lock.h"
#include "cgx/cgroupfs/maker_note.h"
#include "cgx/cgroupfs/place.h"
#include "cgx/cgroupfs/presence.h"
#include "cgx/cgroupfs/report.h"
#include "cgx/cgroupfs/spawn.h"
#include "cgx/change/explain.h"
#include "cgx/change/owner.h"
#include "cgx/change/slice.h"
#include "cgx/sys/process.h"
#include "cgx/sys/program.h"

#include "exec_memory.h"
#include "exec_note.h"
#include "exec_rules.h"
#include "exec_signals.h"
#include "groups.h"
#include "isolation.h"
#include "usage_text.h"

namespace cgx::tool {
namespace {

void say(std::string_view text) { (void)!write(STDERR_FILENO, text.data(), text.size()); }

Error told(const Cgroup& group, const SpawnError& failed, const std::string& program) {
  if (failed.stage == SpawnStage::place) return explain_attach(group, failed.error);
  Error e = failed.error;
  e.group = shown(group.name());
  e.value = program;
  e.what = e.code == ENOENT ? "was not found" : "cannot be executed: " + errno_text(e.code);
  return explain_exec(group, std::move(e));
}

// 126 and 127 as shells have them; 125 for what failed before.
int status_of(const SpawnError& failed) {
  if (failed.stage == SpawnStage::place) return 125;
  return failed.error.code == ENOENT ? 127 : 126;
}

class Exec {
 public:
  Exec(const Call& call, const Hierarchies& hierarchies)
      : call_(call), hierarchies_(hierarchies), transaction_(hierarchies) {}

  Result<int> run() {
    CGX_CHECK(prepare());
    if (unplaced_) return run_here();
    if (!slice_.empty()) return exec_in_scope();
    if (call_.dry_run) return show();
    const Signals signals;
    // Somebody else may remove the group between making and joining it: then once more.
    for (int round = 0;; ++round) {
      CGX_CHECK(make());
      auto status = start(signals, round < 1000);
      if (!status || *status != again) return status;
    }
  }

 private:
  static constexpr int again = -1;

  Result<int> start(const Signals& signals, bool may_try_again) {
    const Cgroup& group = transaction_.group(desired_.group);
    if (const int signal = signals.ending(); signal != 0) {
      clean(group);
      return 128 + signal;  // the destructor of `signals` lets it through, and it ends this process before that
    }
    const bool stays = !remove_ && !call_.on("report");
    // Nothing is left to do afterwards: become the command, as cgexec does. In cgroup2 a move from outside is slow.
    if (stays && only_v1(group)) {
      signals.restore();
      const SpawnError failed = exec_in(group, program_);
      return finish_failed(group, failed);
    }
    return supervise(group, signals, may_try_again);
  }

  Result<> prepare() {
    if (call_.program.empty())
      return std::unexpected(
          Error{.code = EINVAL,
                .what = "no command is given",
                .hint = call_.words.empty() || call_.has_program
                            ? "cgx exec [NAME] [LIMITS] -- CMD [ARG...]"
                            : fmt::format("\"{0}\" is the group's NAME; for a command: cgx exec -- {0}",
                                          call_.words[0].substr(0, 80)),
                .fault = Fault::usage});
    CGX_CHECK(find_program());
    if (call_.on("by-rules")) return prepare_by_rules();
    if (call_.on("policy"))
      return std::unexpected(
          Error{.code = EINVAL, .what = "belongs to --by-rules", .knob = "--policy", .fault = Fault::usage});
    desired_.limits = CGX_TRY(limits_of(call_));
    desired_.force = call_.on("force");
    desired_.only = CGX_TRY(only_of(call_));
    fresh_ = call_.words.empty();
    // Numbered by process: unique among the living of this pid namespace, and one in another retries.
    desired_.group = fresh_ ? child_of(above_fresh(hierarchies_), fmt::format("cgx-exec-{}", getpid()))
                            : CGX_TRY(parse_group_name(call_.words[0]));
    if (CGX_TRY(find_slice())) return {};
    CGX_CHECK(refuse_unit());
    const bool changes = fresh_ || !desired_.limits.empty() || call_.on("rm");
    desired_.existing = fresh_ ? Existing::refuse : changes ? Existing::allow : Existing::require;
    if (call_.on("report"))
      for (const Controller c : {Controller::cpu, Controller::memory, Controller::io, Controller::pids})
        desired_.need.add(c);
    return {};
  }

  // The namespaces are made by a helper, in the group: what they cost is the group's.
  Result<> find_program() {
    program_ = call_.program;
    if (!isolates(call_)) return {};
    const auto words = CGX_TRY(isolation_words(call_));
    program_ = {CGX_TRY(sys::helper_path("cgx-isolate")),
                call_.words.empty() ? "" : call_.words[0],
                call_.json ? "json" : "text",
                std::to_string(words.size() / 2)};
    program_.insert(program_.end(), words.begin(), words.end());
    program_.insert(program_.end(), call_.program.begin(), call_.program.end());
    return {};
  }

  // The group may be one that a template asks for: it is made where the group above it is, as cgxd does, and stays as
  // it would there.
  Result<> prepare_by_rules() {
    const auto group = CGX_TRY(group_by_rules(call_));
    unplaced_ = !group;
    if (unplaced_) return {};
    desired_.group = *group;
    if (CGX_TRY(find_slice())) return {};
    desired_.existing = Existing::allow;
    desired_.only = CGX_TRY(controllers_above(hierarchies_, desired_.group));
    keep_ = true;
    return refuse_unit();
  }

  // No rule is about the command: it runs where this process is.
  Result<int> run_here() {
    if (call_.dry_run) {
      print_steps(call_, exec_line());
      return 0;
    }
    if (call_.on("report"))
      say("cgx: exec: note: no rule is about this command, so that there is no group to report on\n");
    std::vector<char*> argv;
    for (const std::string& word : program_) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    sys::restore_child_signal();
    (void)execvp(argv[0], argv.data());
    const int code = errno;
    return finish_failed(Cgroup(hierarchies_, ""), {SpawnStage::execute, {.code = code, .what = errno_text(code)}});
  }

  Result<> refuse_unit() const {
    if (const auto unit = systemd_unit_of(hierarchies_, desired_.group)) {
      Error e = refuse_for_systemd(desired_.group, *unit, nullptr, "");
      e.what = fmt::format("belongs to systemd's unit {}, which starts its processes itself", *unit);
      if (unit->ends_with(".slice")) e.hint = fmt::format("systemd-run --scope --slice={} -- CMD", *unit);
      return std::unexpected(std::move(e));
    }
    return {};
  }

  // Where systemd makes the groups, NAME may be a slice, by its own name or by that of the group that it was made for.
  Result<bool> find_slice() {
    if (fresh_ || !systemd_is_manager()) return false;
    const bool there = CGX_TRY(is_there(Cgroup(hierarchies_, desired_.group)));
    if (desired_.group.ends_with(".slice")) {
      if (there) slice_ = desired_.group.substr(desired_.group.rfind('/') + 1);
    } else if (const auto slice = slice_of(desired_.group);
               slice && !there && is_marked_slice(hierarchies_, slice->group)) {
      slice_ = slice->unit;
    }
    return !slice_.empty();
  }

  // The limits are then the scope's: systemd removes it when the command ends. Comes back only where it fails.
  Result<int> exec_in_scope() {
    const char* cannot = call_.on("report") ? "--report" : call_.on("controllers") ? "--controllers" : nullptr;
    if (cannot != nullptr) {
      Error e{.code = ENOTSUP,
              .what = fmt::format("is not for groups of systemd ({})", slice_),
              .group = desired_.group,
              .knob = cannot};
      return std::unexpected(std::move(e));
    }
    std::vector<std::string> words{"scope", desired_.group, slice_, call_.json ? "json" : "text"};
    words.push_back(std::to_string(call_.limits.size()));
    for (const LimitFlag& flag : call_.limits) {
      words.push_back(flag.knob != nullptr ? fmt::format("--{}", flag.knob->flag) : flag.file);
      words.push_back(flag.text);
    }
    words.insert(words.end(), program_.begin(), program_.end());
    if (call_.dry_run) {
      std::string text = fmt::format("systemd: a scope in {}\n", slice_);
      for (const LimitFlag& flag : call_.limits)
        text += fmt::format("  {} <- {}\n", flag.knob != nullptr ? flag.knob->flag : flag.file, flag.text);
      print_steps(call_, text + exec_line());
      return 0;
    }
    return located(Result<int>(sys::become_helper("cgx-bus", std::move(words))), desired_.group);
  }

  Result<int> show() {
    std::string text;
    if (desired_.existing != Existing::require || !desired_.limits.empty())
      text = CGX_TRY(Plan::make(hierarchies_, desired_)).text();
    else
      CGX_CHECK(Cgroup(hierarchies_, desired_.group).require());
    for (const Hierarchy& h : hierarchies_.all())
      text += fmt::format("{} <- 0\n", h.path(desired_.group, h.version() == Version::v1 ? "tasks" : "cgroup.procs"));
    print_steps(call_, text + exec_line());
    return 0;
  }

  std::string exec_line() const {
    std::string text = "exec";
    for (const std::string& word : program_) text += ' ' + word;
    return text + '\n';
  }

  Result<> make() {
    if (desired_.existing == Existing::require && desired_.limits.empty()) {
      TreeLock lock;  // not while another cgx is removing it, directory by directory
      CGX_CHECK(lock.take(hierarchies_, TreeLock::How::shared));
      CGX_CHECK(transaction_.group(desired_.group).require());
      return refuse_frozen(transaction_.group(desired_.group));
    }
    made_.erase(desired_.group);
    // At once: from then on `cgx gc` knows what is left where this process is killed. Without a note, which there need
    // not be for who has no rights, it leaves the group alone.
    transaction_.on_first([this](const std::string& name) {
      if (transaction_.made(name)) made_[name] = !keep_ && note_maker(transaction_.group(name));
    });
    auto done = transaction_.apply(desired_);
    const std::string first = desired_.group;
    for (int round = 2; fresh_ && !done && done.error().code == EEXIST && round < 100; ++round) {
      desired_.group = fmt::format("{}-{}", first, round);
      done = transaction_.apply(desired_);
    }
    if (!done) return done;
    // Opens the directories: to join these very ones.
    auto opened = transaction_.group(desired_.group).require();
    if (opened) opened = refuse_frozen(transaction_.group(desired_.group));
    if (!opened) {
      (void)transaction_.undo();  // what it would tell of is why this failed
      return opened;
    }
    if (keep_) forget_maker(transaction_.group(desired_.group));
    transaction_.commit();
    print_notes(call_, transaction_.notes());
    remove_ = !keep_ && (call_.on("rm") || is_new());
    const auto below = children_of(transaction_.group(desired_.group));
    clear_below_ = remove_ && below && below->empty();
    return {};
  }

  static bool only_v1(const Cgroup& group) {
    for (const Hierarchy* h : group.present())
      if (h->version() == Version::v2) return false;
    return true;
  }

  int finish_failed(const Cgroup& group, const SpawnError& failed) {
    (void)report(told(group, failed, program_[0]), "exec", call_.json);
    clean(group);
    return status_of(failed);
  }

  Result<int> supervise(const Cgroup& group, const Signals& signals, bool may_try_again) {
    std::optional<ReportStart> report_start;
    if (call_.on("report"))
      report_start =
          CGX_TRY(start_report(hierarchies_, desired_.group, is_new() ? Counted::from_zero : Counted::from_now));
    const Result<std::uint64_t> kills_before = is_new() ? Result<std::uint64_t>(0) : container::memory_kills(group);
    const auto child = spawn_in(group, program_, signals.before());
    if (!child) {
      const SpawnError& failed = child.error();
      const bool gone =
          failed.stage == SpawnStage::place && (failed.error.code == ENODEV || failed.error.code == ENOENT);
      // `cgx gc` may take a fresh one that is still empty for one that was left behind.
      if (gone && may_try_again && (fresh_ || desired_.existing == Existing::allow)) return again;
      return finish_failed(group, failed);
    }
    const auto status = wait_and_pass_on(*child, signals.set());
    if (status && *status == 128 + SIGKILL)
      tell_of_memory(kills_before, group, {"exec", shown(group.name()), call_.json});
    if (report_start) print_report(*report_start);
    clean(group);
    return status;
  }

  void print_report(const ReportStart& start) const {
    const auto used = finish_report(hierarchies_, start);
    if (used)
      say(call_.json ? report_json(*used) + "\n" : report_text(*used));
    else
      (void)report(used.error(), "exec", call_.json);  // the command has run: its status counts
  }

  // Processes that the command has left behind keep the group: they are running under its limits.
  void clean(const Cgroup& group) {
    if (!remove_) return;
    bool claimed = false;
    std::size_t had = 0;
    const auto still = [&]() -> Result<> {
      // A try that the kernel stopped has removed the first of the directories, and the note with it.
      const std::size_t has = directories_of(hierarchies_, desired_.group);
      claimed = has >= had && is_claimed(desired_.group);
      had = std::max(had, has);
      return claimed ? fail(ECANCELED, "is somebody's") : Result<>();
    };
    if (clear_below_) clear_below(group, still);
    const auto gone = remove_group(group, Below::keep, still);
    if (claimed) return;
    if (!gone) {
      Error e = gone.error();
      e.what = "the group stays: it " + e.what;
      e.hint = has_tasks(group)
                   ? fmt::format("cgx delete {} --kill ends what the command has left behind", desired_.group)
                   : fmt::format("cgx delete -r {}", desired_.group);
      (void)report(e, "exec", false);
    }
    // The parents that were made for it, and what a removal that failed has left of the group itself.
    std::map<std::string, bool> stays;  // asked once each: the note may be in a directory that goes
    const auto asked = [&](const std::string& name) {
      const auto at = stays.find(name);
      if (at != stays.end()) return at->second;
      return stays[name] = name != desired_.group && (!made_.contains(name) || is_claimed(name));
    };
    for (const std::string& left : transaction_.undo(asked))
      say(fmt::format("cgx: exec {}: {}\n", desired_.group, left));
  }

  [[nodiscard]] bool is_new() const { return made_.contains(desired_.group); }

  // Whether somebody has taken the note away meanwhile, who wants the group to stay, or has made the group anew.
  [[nodiscard]] bool is_claimed(const std::string& name) const {
    const auto at = made_.find(name);
    if (at == made_.end() || !at->second) return false;
    // What cannot be read, with no descriptors left, has not been seen to be somebody's.
    return directories_of(hierarchies_, name) > 0 && !is_maker(hierarchies_, name).value_or(true);
  }

  // Groups that the command made below its own go with it. What cannot go is told of with the group itself.
  void clear_below(const Cgroup& group, const std::function<Result<>()>& still) const {
    if (has_tasks(group)) return;
    const auto names = groups_below(group);
    if (!names) return;
    for (auto name = names->rbegin(); name != names->rend(); ++name)
      (void)remove_group(Cgroup(hierarchies_, *name), Below::keep, still);
  }

  static bool has_tasks(const Cgroup& group) {
    const auto ids = tasks_below(group);
    return ids && !ids->empty();
  }

  const Call& call_;
  const Hierarchies& hierarchies_;
  Transaction transaction_;
  Desired desired_;
  // Groups that no hierarchy had before this process made them, and whether a note on them says so.
  std::map<std::string, bool> made_;
  bool fresh_ = false;
  bool unplaced_ = false;  // no rule is about the command
  bool keep_ = false;      // a group of rules stays
  bool remove_ = false;
  std::vector<std::string> program_;  // the command, or the helper that isolates it
  std::string slice_;                 // a unit of systemd, in which the command becomes a scope
  bool clear_below_ = false;          // no group was below it before the command ran
};

}  // namespace

Result<int> run_exec(const Call& call) {
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  return Exec(call, hierarchies).run();
}

}  // namespace cgx::tool
