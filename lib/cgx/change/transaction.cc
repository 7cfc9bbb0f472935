// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/net_control.h"
#include "cgx/cgroupfs/presence.h"
#include "cgx/cgroupfs/tasks.h"
#include "cgx/change/explain.h"
#include "cgx/change/plan.h"
#include "cgx/change/restore.h"
#include "cgx/change/shrink.h"
#include "cgx/change/thread_root.h"
#include "cgx/change/why_cpu.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

// Twice as many groups are open, with a descriptor in each hierarchy: together at most an eighth of what the process
// may have, and not fewer than are in use at once.
std::size_t most_open_of(const Hierarchies& hierarchies) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 8;
  return std::clamp<std::size_t>(limit.rlim_cur / (16 * std::max<std::size_t>(hierarchies.all().size(), 1)), 2, 8);
}

bool changes_structure(const Plan& plan) {
  return std::ranges::any_of(plan.steps(),
                             [](const Step& s) { return s.verb == Verb::create || s.verb == Verb::enable; });
}

// Whether a limit is one of a v2 controller, which the group has only as long as the groups above give it.
bool relies_on_v2(const Hierarchies& hierarchies, const Desired& desired) {
  if (hierarchies.unified() == nullptr) return false;
  return std::ranges::any_of(desired.limits, [&](const Limit& l) {
    if (l.knob == nullptr) {
      const auto c = controller_of_file(l.file);
      return c && !row(*c).v2_name.empty() && hierarchies.of(*c) == hierarchies.unified();
    }
    const auto home = home_of(hierarchies, *l.knob);
    return home && home->hierarchy->version() == Version::v2 && !row(home->backing->controller).v2_name.empty();
  });
}

std::string ids_text(uid_t uid, gid_t gid) { return fmt::format("{}:{}", uid, gid); }

// `UID:GID`, where -1 leaves one as it is.
Result<> change_ids(const Cgroup& group, const Hierarchy& h, std::string_view file, std::string_view ids) {
  const std::size_t colon = ids.find(':');
  const auto id = [](std::string_view text) {
    return static_cast<unsigned>(sys::parse_i64(text, -1, 0xfffffffeLL).value_or(-1));
  };
  return sys::change_owner(CGX_TRY(group.dir(h)), file, id(ids.substr(0, colon)), id(ids.substr(colon + 1)));
}

// What the kernel says to a value that other groups or tasks forbid, or where the group is gone.
bool is_refusal(int code) { return code == EINVAL || code == EBUSY || code == ENOENT || code == ENODEV; }

std::uint64_t number_in(std::string_view text) {
  text = sys::trim(text);
  return sys::parse_size(text).value_or(sys::unlimited);  // --set may give suffixes, which the kernel takes too
}

// Once a cpuset of v2 has had a list and processes are in it, the kernel takes no empty one (ENOSPC). What the parent
// has leaves as much to the parent, until that changes. Answers that list; none: it was not this that was refused.
Result<std::string> leave_to_parent(const Cgroup& group, const Hierarchy& h, const FileWrite& w, const Error& error) {
  if (error.code != ENOSPC || h.version() != Version::v2 || !w.file.starts_with("cpuset.") ||
      !sys::trim(w.text).empty())
    return std::string();
  const Cgroup parent(group.hierarchies(), std::string(parent_of(group.name())));
  const std::string text = CGX_TRY(parent.read(h, w.file + ".effective"));
  CGX_CHECK(group.write(h, w.file, sys::trim(text)));
  return std::string(sys::trim(text));
}

// Whether no group is below; what cannot be listed may have some.
bool is_leaf(const Cgroup& group, const Hierarchy& h) {
  const auto dir = group.dir(h);
  const auto below = dir ? sys::list_dir(*dir, "", sys::Entries::directories)
                         : Result<std::vector<std::string>>(std::unexpected(dir.error()));
  return below && below->empty();
}

}  // namespace

Transaction::Transaction(const Hierarchies& hierarchies)
    : hierarchies_(&hierarchies), most_open_(most_open_of(hierarchies)) {}

bool Transaction::made(std::string_view name) {
  const auto at = made_.find(std::string(name));
  return at != made_.end() && std::ranges::all_of(group(at->first).present(), [&](const Hierarchy* h) {
           return std::ranges::find(at->second, h) != at->second.end();
         });
}

Result<> Transaction::apply(const Desired& desired) {
  // What an earlier apply() has opened may have been removed and made again meanwhile.
  group(desired.group).forget();
  if (auto done = change(desired); !done) return failed(done.error());
  note_losses(desired.limits);
  return {};
}

std::unexpected<Error> Transaction::failed(Error cause) {
  // Still under the lock: nobody can have come to rely on what is taken back.
  for (const std::string& left : undo()) cause.hint += (cause.hint.empty() ? "" : "; ") + left;
  return std::unexpected(std::move(cause));
}

void Transaction::note_losses(const std::vector<Limit>& limits) {
  for (const Limit& l : limits) {
    if (l.knob == nullptr) continue;
    if (const auto said = doubt(l)) notes_.push_back(fmt::format("--{}: {}", l.knob->flag, *said));
    const auto home = home_of(*hierarchies_, *l.knob);
    // A number that is kept reads back as it was given: nothing is lost.
    if (home && home->backing->fidelity == Fidelity::lossy && l.knob->kind != Kind::weight)
      notes_.push_back(fmt::format("--{}: {}", l.knob->flag, home->backing->note));
  }
}

Result<> Transaction::change(const Desired& desired) {
  const Plan structure = CGX_TRY(plan_structure(desired));
  CGX_CHECK(run(structure, desired.force));
  return run(CGX_TRY(plan_values(desired)), desired.force);
}

Result<Plan> Transaction::plan_values(const Desired& desired) {
  const auto at = made_.find(desired.group);
  const std::vector<const Hierarchy*> fresh = at != made_.end() ? at->second : std::vector<const Hierarchy*>{};
  Plan values = CGX_TRY(Plan::make_values(group(desired.group), desired, fresh));
  for (Step& s : values.steps_) s.fresh = std::ranges::find(fresh, s.hierarchy) != fresh.end();
  return values;
}

Result<Plan> Transaction::plan_structure(const Desired& desired) {
  if (desired.existing != Existing::require && desired.existing != Existing::follow)
    CGX_CHECK(lock_.take(*hierarchies_, TreeLock::How::alone));
  else if (desired.existing == Existing::require || relies_on_v2(*hierarchies_, desired))
    CGX_CHECK(lock_.take(*hierarchies_, TreeLock::How::shared));
  Plan plan = CGX_TRY(Plan::make_structure(*hierarchies_, desired));
  if (lock_.alone() || !changes_structure(plan)) return plan;
  CGX_CHECK(lock_.take(*hierarchies_, TreeLock::How::alone));
  return Plan::make_structure(*hierarchies_, desired);
}

void Transaction::commit() {
  for (Undo& u : done_) u.shared = u.shared || u.verb == Verb::enable;
  made_.clear();
  lock_.release();
}

Result<> Transaction::run(const Plan& plan, bool force) {
  std::vector<bool> skip(plan.steps_.size());
  for (std::size_t i = 0; i < plan.steps_.size(); ++i) {
    if (skip[i]) continue;
    if (stop_ != nullptr && *stop_) return fail(EINTR, "was interrupted");
    const Step& step = plan.steps_[i];
    auto done = write(step, force);
    if (!done && done.error().code == EINVAL && step.swappable) {
      // Quota and period are checked as a ratio against parent and children: the other order may pass.
      for (std::size_t j = i + 1; j < plan.steps_.size(); ++j) {
        if (plan.steps_[j].knob != step.knob || plan.steps_[j].group != step.group) continue;
        if (write(plan.steps_[j], force)) {
          skip[j] = true;
          done = write(step, force);
        }
        break;
      }
    }
    if (!done) return done;
  }
  for (const Step& step : plan.steps_)
    if (step.knob != nullptr && step.knob->kind == Kind::protection) note_protection(step);
  return {};
}

// A group of v2 is protected by no more than each group above it is (cgroup-v2.rst, "Memory Interface Files").
void Transaction::note_protection(const Step& step) {
  if (step.hierarchy->version() != Version::v2) return;
  const std::uint64_t wanted = number_in(step.text);
  for (std::string_view name = parent_of(step.group); !name.empty(); name = parent_of(name)) {
    const auto above = group(std::string(name)).read(*step.hierarchy, step.file);
    if (!above || number_in(*above) >= wanted) continue;
    notes_.push_back(fmt::format("{}: {}: {} protects no more than the {} of {} above",
                                 shown(step.group),
                                 step.file,
                                 sys::format_size(wanted),
                                 sys::format_size(number_in(*above)),
                                 name));
    return;
  }
}

Result<> Transaction::write(const Step& step, bool force) {
  Cgroup& g = group(step.group);
  switch (step.verb) {
    case Verb::create: {
      const auto done = sys::make_dir(CGX_TRY(step.hierarchy->root()), step.group);
      if (!done) {
        if (done.error().code == EEXIST && step.tolerant) return {};
        return std::unexpected(explain_create(*hierarchies_, step.group, *step.hierarchy, done.error()));
      }
      done_.push_back({Verb::create, step.hierarchy, step.group, {}});
      made_[step.group].push_back(step.hierarchy);
      g.forget();
      if (first_ && made_[step.group].size() == 1) {
        first_(step.group);
        g.forget();
      }
      return {};
    }
    case Verb::own:
      return own(g, step);
    case Verb::enable:
    case Verb::write:
    case Verb::remove:
      break;
  }
  return write_value(g, step, force);
}

Result<> Transaction::own(const Cgroup& g, const Step& step) {
  struct stat before{};
  const int dir = CGX_TRY(g.dir(*step.hierarchy));
  const bool known = fstatat(dir, step.file.c_str(), &before, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) == 0;
  const auto done = change_ids(g, *step.hierarchy, step.file, step.text);
  if (!done) {
    if (step.tolerant && done.error().code == ENOENT) return {};
    Error e = done.error();
    e.group = shown(step.group);
    e.knob = step.file;
    e.what = fmt::format("chown to {}: {}", step.text, e.what);
    return std::unexpected(std::move(e));
  }
  if (known)
    done_.push_back({Verb::own, step.hierarchy, step.group, {{step.file, ids_text(before.st_uid, before.st_gid)}}});
  return {};
}

Result<> Transaction::write_value(const Cgroup& g, const Step& step, bool force) {
  if (step.file.starts_with("@net.")) {
    const auto undo = set_net(CGX_TRY(g.dir(*step.hierarchy)), step.file, step.text);
    if (!undo) {
      Error e = undo.error();
      e.group = shown(g.name());
      e.knob = step.knob != nullptr ? step.knob->name : std::string_view(step.file);
      e.value = step.given;
      return std::unexpected(std::move(e));
    }
    done_.push_back({step.verb, step.hierarchy, step.group, {{"@net.restore", *undo, {}}}});
    return {};
  }
  std::vector<FileWrite> restore = step.fresh ? std::vector<FileWrite>{} : step.undo;
  if (!step.fresh && restore.empty()) {
    const auto before = g.read(*step.hierarchy, step.file);
    // A write-only file has no before; a missing one is explained by the write.
    // EACCES: it can only be written. Else what cannot be read could not be put back.
    if (!before && !says_absent(before.error()) && before.error().code != EACCES && before.error().code != EINVAL &&
        before.error().code != EOPNOTSUPP)
      return std::unexpected(before.error());
    if (before || step.file.starts_with('@'))
      restore = restoring_writes(step.knob, step.file, step.text, before ? *before : "");
  }
  if (step.file == "memory.max" && !force && step.hierarchy->version() == Version::v2 && !step.fresh) {
    if (auto shrunk = shrink_v2(g, step); !shrunk) {
      would_kill_ = shrunk.error().code == EBUSY;
      return shrunk;
    }
  }
  const bool plain_domain = step.verb == Verb::enable && CGX_TRY(is_plain_domain(g, step));
  auto done = g.write(*step.hierarchy, step.file, step.text);
  if (!done) {
    const auto all = leave_to_parent(g, *step.hierarchy, {step.file, step.text}, done.error());
    if (!all) return std::unexpected(explain_write(g, step, all.error()));
    if (!all->empty()) {
      done = {};
      notes_.push_back(
          fmt::format("{}: {}: has processes, and the kernel takes no empty list from it: {}, as its parent",
                      shown(step.group),
                      step.file,
                      *all));
    }
  }
  if (!done && done.error().code == EBUSY && step.file.ends_with("limit_in_bytes") &&
      step.file.starts_with("memory.")) {
    // v1 gives up on reclaim quickly: once more after dropping all that can be dropped.
    (void)g.write(*step.hierarchy, "memory.force_empty", "0");
    done = g.write(*step.hierarchy, step.file, step.text);
  }
  // A group that was removed counts until a grace period of RCU has passed (sched_release_group()), and nothing tells
  // its end. Where no group that is there has the share, it is that.
  std::string unused;
  for (unsigned pause = 1; !done && done.error().code == EINVAL && pause <= 64 && limits_bandwidth(step.file) &&
                           step.hierarchy->version() == Version::v1 && why_bandwidth(g, step, EINVAL, unused).empty();
       pause *= 2) {
    std::this_thread::sleep_for(std::chrono::milliseconds(pause));
    done = g.write(*step.hierarchy, step.file, step.text);
  }
  if (!done) {
    if (step.optional && is_refusal(done.error().code)) return {};
    if (step.tolerant && done.error().code == EBUSY) return {};  // another cgx filled the cpuset of the same new group
    return std::unexpected(explain_write(g, step, done.error()));
  }
  if (!restore.empty()) done_.push_back({step.verb, step.hierarchy, step.group, std::move(restore)});
  if (plain_domain) CGX_CHECK(check_still_domain(g, step));
  check_back(g, step);
  return {};
}

// The kernel rounds sizes to pages and clamps what it likes: what it made of the value is told.
void Transaction::check_back(const Cgroup& g, const Step& step) {
  if (step.knob == nullptr ||
      (step.knob->format != Format::size && step.knob->format != Format::number && step.knob->format != Format::count &&
       step.knob->format != Format::usec && step.knob->format != Format::flag && step.knob->format != Format::hugetlb))
    return;
  if (step.file.starts_with('@') || step.knob->kind == Kind::command) return;
  if (step.knob->name == "hugetlb.*.max" && step.file.find(".rsvd.") != std::string::npos) return;  // told once
  const auto text = g.read(*step.hierarchy, step.file);
  if (!text) return;
  const std::uint64_t wanted = number_in(step.text);
  std::uint64_t now = number_in(*text);
  if (step.hierarchy->version() == Version::v1 && now >= 0x7ffffffffffff000) now = sys::unlimited;
  if (wanted == sys::unlimited || wanted == now || (wanted >= 0x7ffffffffffff000 && now == sys::unlimited)) return;
  notes_.push_back(fmt::format("{}: {}: {} became {} (the kernel rounds)",
                               shown(step.group),
                               step.file,
                               step.text,
                               now == sys::unlimited ? "max" : std::to_string(now)));
}

std::vector<std::string> Transaction::undo(const std::function<bool(const std::string&)>& stays) {
  std::vector<std::string> left;
  for (Cgroup& g : groups_) g.forget();  // descriptors may be what was missing
  // Where it cannot be had, taking back goes on without: the groups made here are still not wanted.
  if (!done_.empty()) (void)lock_.take(*hierarchies_, TreeLock::How::alone);
  // Making a removed group again adds to what was done.
  const std::vector<Undo> done = std::exchange(done_, {});
  stop_ = nullptr;
  for (auto u = done.rbegin(); u != done.rend(); ++u)
    if (u->verb != Verb::create || !stays || !stays(u->group)) take_back(*u, left);
  done_.clear();
  made_.clear();
  left_behind_ = left_behind_ || !left.empty();
  for (Cgroup& g : groups_) g.forget();
  lock_.release();
  return left;
}

void Transaction::take_back(const Undo& u, std::vector<std::string>& left) {
  if (u.verb == Verb::remove) return make_again(u.group, *u.removed, left);
  const Cgroup g(*hierarchies_, u.group);
  if (u.verb == Verb::create) {
    const auto root = u.hierarchy->root();
    const auto gone = root ? sys::remove_dir(*root, u.group) : Result<>(std::unexpected(root.error()));
    // EBUSY: another process uses the parent that was made for this group; it is theirs now.
    if (!gone && gone.error().code != ENOENT && gone.error().code != EBUSY)
      left.push_back(fmt::format("{} could not be removed again: {}", u.hierarchy->path(u.group), gone.error().what));
    return;
  }
  if (u.shared && !is_leaf(g, *u.hierarchy)) return;
  for (const FileWrite& w : u.writes) {
    if (w.text.empty() && !w.file.starts_with('@')) continue;
    const auto back =
        u.verb == Verb::own ? change_ids(g, *u.hierarchy, w.file, w.text) : g.write(*u.hierarchy, w.file, w.text);
    if (back || (u.verb == Verb::enable && back.error().code == EBUSY)) continue;
    if (const auto all = leave_to_parent(g, *u.hierarchy, w, back.error()); all && !all->empty()) continue;
    // What the parent does not allow, this group did not have either: v1 lists no exceptions while it allows by
    // default.
    if (w.file == "devices.allow" && back.error().code == EPERM) continue;
    if (back.error().code == ENODEV || (back.error().code == ENOENT && !g.dir(*u.hierarchy))) continue;  // removed
    left.push_back(fmt::format("{} could not be put back to {}: {}",
                               u.hierarchy->path(u.group, w.file),
                               sys::trim(w.text),
                               back.error().what));
  }
}

}  // namespace cgx
