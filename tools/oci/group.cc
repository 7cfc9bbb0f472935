// SPDX-License-Identifier: Apache-2.0
// The cgroup of a container: by cgx's own transactions, or a scope that systemd makes.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/lock.h"
#include "cgx/change/slice.h"
#include "cgx/container/resources.h"
#include "cgx/container/tracking_group.h"
#include "cgx/sys/program.h"
#include "cgx/sys/text.h"
#include "cgx/sys/xattr.h"

#include "container.h"

namespace cgx::oci {
namespace {

// A process that does nothing, for as long as this object lives: systemd starts no scope without one, and removes the
// scope when it has ended.
class Placeholder {
 public:
  Placeholder() {
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ != 0) return;
    sys::close_all_but({});
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0);  // it has ended before that
    for (;;) (void)pause();
  }
  Placeholder(const Placeholder&) = delete;
  Placeholder& operator=(const Placeholder&) = delete;
  ~Placeholder() {
    if (pid_ <= 0) return;
    (void)kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

// `group` and those above it, where they are not there yet. `nowhere`: it is known to be in no hierarchy.
Result<std::vector<Base>> missing_groups(const Hierarchies& hierarchies, const std::string& group, bool nowhere) {
  std::vector<Base> missing;
  for (const Hierarchy& h : hierarchies.all())
    for (std::string_view name = group; !name.empty(); name = parent_of(name)) {
      if (!(nowhere && name == group) && CGX_TRY(is_in(h, name))) break;
      missing.push_back({.hierarchy = h.label(), .group = std::string(name)});
    }
  return missing;
}

// Groups above a container's that were made for it carry a note: the last container below them takes them away, which
// need not be the one that made them.
constexpr const char* made_note = "above-container";

std::vector<const Hierarchy*> with_groups_of_containers(const Hierarchies& hierarchies) {
  std::vector<const Hierarchy*> all;
  for (const Hierarchy& h : hierarchies.all()) all.push_back(&h);
  for (const Hierarchy& h : hierarchies.named())
    if (h.mount().name == "systemd") all.push_back(&h);
  return all;
}

void note_made(const Hierarchies& hierarchies, const State& state) {
  const auto note = [](const Hierarchy& h, const std::string& group) {
    const auto root = h.root();
    const auto dir = root ? sys::open_beneath(*root, group, O_RDONLY | O_DIRECTORY) : Result<sys::Fd>(sys::Fd());
    // Where there are no notes, who has made it takes it away, as long as it is the last.
    if (dir && dir->valid()) (void)sys::set_note(dir->get(), made_note, "1");
  };
  for (const Hierarchy* h : with_groups_of_containers(hierarchies)) {
    for (const Base& made : state.made)
      if (made.hierarchy == h->label() && made.group != state.group) note(*h, made.group);
    if (h->mount().name != "systemd") continue;
    for (const std::string& made : state.tracking_made)
      if (made != state.group) note(*h, made);
  }
}

// Whether a process that joins the group stops there: it is frozen, or told to be. One process that waits in the kernel
// keeps a group from being frozen (v1: FREEZING), and each that comes is stopped all the same.
Result<bool> stops_newcomers(const Cgroup& group) {
  if (!CGX_TRY(is_there(group))) return false;  // it has gone meanwhile
  const Hierarchy* h = freezer_of(group);
  if (h == nullptr) return false;
  const bool v1 = h->version() == Version::v1;  // its state counts the groups above too
  for (std::string_view name = group.name(); !name.empty(); name = v1 ? std::string_view() : parent_of(name)) {
    const auto text = Cgroup(group.hierarchies(), std::string(name)).read(*h, v1 ? "freezer.state" : "cgroup.freeze");
    if (!text && !says_absent(text.error())) return std::unexpected(text.error());
    if (text && sys::trim(*text) != (v1 ? "THAWED" : "0")) return true;
  }
  return false;
}

void forget_group(State& state) {
  state.group.clear();
  state.bases.clear();
  state.group_made = false;
  state.made.clear();
  state.tracking_made.clear();
}

// As far as nothing is in them.
Result<> remove_noted(const Hierarchies& hierarchies, const State& state) {
  if (parent_of(state.group).empty()) return {};
  TreeLock lock;
  CGX_CHECK(lock.take(hierarchies, TreeLock::How::alone));
  for (const Hierarchy* h : with_groups_of_containers(hierarchies)) {
    const auto root = h->root();
    if (!root) return std::unexpected(root.error());
    for (std::string_view name = parent_of(state.group); !name.empty(); name = parent_of(name)) {
      const auto dir = sys::open_beneath(*root, name, O_RDONLY | O_DIRECTORY);
      if (!dir && dir.error().code == ENOENT) continue;
      const auto note = dir ? sys::get_note(dir->get(), made_note) : std::unexpected(dir.error());
      if (!note || !*note || unlinkat(*root, std::string(name).c_str(), AT_REMOVEDIR) != 0) break;
    }
  }
  return {};
}

// Takes away what was made and is empty now: of groups above the container's, others may have come to make use.
Result<> remove_made(const Hierarchies& hierarchies, const State& state) {
  TreeLock lock;
  for (const Base& made : state.made) {
    const auto h =
        std::ranges::find_if(hierarchies.all(), [&](const Hierarchy& h) { return h.label() == made.hierarchy; });
    const auto root = h != hierarchies.all().end() ? h->root() : Result<int>(-1);
    if (h == hierarchies.all().end()) continue;
    if (!root) return std::unexpected(root.error());
    const bool own = made.group == state.group;
    // A process that has ended may still count for a moment.
    for (auto pause = std::chrono::milliseconds(1);; pause *= 2) {
      CGX_CHECK(lock.take(hierarchies, TreeLock::How::alone));
      if (own) {
        auto gone = container::remove_directory(*h, made.group);
        if (gone) break;
        if (gone.error().code == EMFILE || gone.error().code == ENFILE || gone.error().code == ENOMEM)
          return located(std::move(gone), shown(made.group));
      }
      if (!own && (unlinkat(*root, made.group.c_str(), AT_REMOVEDIR) == 0 || errno != EBUSY)) break;
      if (!own || pause > std::chrono::milliseconds(256)) break;
      lock.release();
      std::this_thread::sleep_for(pause);
    }
  }
  return {};
}

Result<std::vector<Limit>> wanted_limits(const Invocation& call, const Spec& spec, const Hierarchies& hierarchies) {
  const container::Resources none;
  const auto& resources = spec.linux_.resources ? *spec.linux_.resources : none;
  container::Limits limits = CGX_TRY(container::limits_of(resources, hierarchies));
  for (const std::string& note : limits.notes) call.log->warning(note);
  auto more = CGX_TRY(container::annotated_limits(spec.annotations, limits.limits));
  std::ranges::move(more, std::back_inserter(limits.limits));
  // Rules of devices take rights that only root outside has, and without those nobody can make a node anyway.
  if (without_rights())
    std::erase_if(limits.limits, [](const Limit& l) { return l.knob != nullptr && l.knob->name == "devices"; });
  return std::move(limits.limits);
}

// cgx-bus, with limits as words.
Result<std::string> ask_systemd(std::vector<std::string> words, const std::vector<Limit>& limits) {
  for (const Limit& limit : limits) {
    if (limit.knob == nullptr) {
      words.insert(words.end(), {limit.file, limit.given});
      continue;
    }
    // A row may stand for several values of the flag: a line each.
    const std::string text = exact(*limit.knob, limit.value);
    for (const std::string_view line : sys::lines(text))
      words.insert(words.end(), {fmt::format("={}", limit.knob->name), std::string(line)});
  }
  const std::string helper = CGX_TRY(sys::helper_path("cgx-bus"));
  return sys::run_program(helper, words, -1);
}

}  // namespace

Result<> set_scope_limits(const State& state, const std::vector<Limit>& limits) {
  CGX_CHECK(ask_systemd({"set-scope", state.systemd_scope}, limits));
  return {};
}

Result<std::string_view> cgroup_manager(const Invocation& call) {
  if (call.global_on("systemd-cgroup")) return "systemd";
  const std::string_view manager = call.global("cgroup-manager", "cgroupfs");
  if (manager != "cgroupfs" && manager != "systemd" && manager != "disabled")
    return bad_value(manager, "is no cgroup manager: cgroupfs, systemd or disabled");
  return manager;
}

// Without rights to make groups a container may do without, where nothing but the default was asked for.
bool GroupMaker::may_do_without(const Error& error) const {
  if (error.code != EACCES && error.code != EPERM && error.code != EROFS && error.code != ENOENT) return false;
  if (!more_.empty()) return false;
  const std::string_view rootless = call_.global("rootless", "auto");
  if (rootless == "true") return true;
  if (rootless == "false" || !without_rights() || !spec_.linux_.cgroups_path.empty()) return false;
  return desired_.limits.empty();
}

Result<> GroupMaker::make(State& state, const std::function<Result<>()>& save) {
  const std::string_view manager = CGX_TRY(cgroup_manager(call_));
  if (manager == "disabled") return save();
  auto found = Hierarchies::discover();
  if (!found) {
    if (may_do_without(found.error())) return save();
    return std::unexpected(std::move(found.error()));
  }
  hierarchies_ = std::move(*found);
  desired_.limits = CGX_TRY(wanted_limits(call_, spec_, *hierarchies_));
  desired_.limits.insert(desired_.limits.end(), more_.begin(), more_.end());
  if (manager == "systemd") return make_scope(state, save);
  if (spec_.linux_.cgroups_path.find(':') != std::string::npos &&
      spec_.linux_.cgroups_path.find('/') == std::string::npos)
    call_.log->warning("linux.cgroupsPath has the form that --systemd-cgroup takes, and names a group here");
  return make_plain(state, save);
}

// With controllers for statistics and updates. A group that has processes can give its children none on cgroup2, and
// one that is somebody else's takes no child: a container without limits needs neither.
Result<> GroupMaker::make_plain(State& state, const std::function<Result<>()>& save) {
  const std::vector<container::Placement> places =
      CGX_TRY(container::placements_of(spec_.linux_.cgroups_path, state.id, *hierarchies_));
  const Hierarchies all = std::move(*hierarchies_);
  const auto make_at = [&](const container::Placement& place) {
    transaction_.reset();
    group_.reset();
    hierarchies_ = place.bases.empty() ? all.nested({}) : all.nested(place.bases);
    desired_.group = place.group;
    state.bases = place.bases;
    return make_there(state, save);
  };
  for (const Controller c : {Controller::cpu, Controller::memory, Controller::io, Controller::pids})
    desired_.need.add(c);
  std::optional<Error> first;
  for (const container::Placement& place : places) {
    auto made = make_at(place);
    if (made) return made;
    if (!first) first = std::move(made.error());
    if (first->code != EBUSY) break;
  }
  const bool without = may_do_without(*first);
  desired_.need = {};
  if (first->code == EBUSY || (without && !spec_.linux_.cgroups_path.starts_with('/'))) {
    // Last below the caller's own group, which is the narrowest.
    if (auto made = make_at(places.front())) {
      call_.log->debug(first->text());
      return made;
    }
  }
  if (!without) return std::unexpected(*std::move(first));
  const std::string what = fmt::format("the container has no cgroup of its own: {}", first->text());
  // What was asked for and is left out is told of; that there is no group where nothing needs one is not.
  desired_.limits.empty() ? call_.log->debug(what) : call_.log->warning(what);
  state.bases.clear();
  return save();
}

Result<> GroupMaker::make_tracking(const State& state) {
  auto made = container::make_tracking_group(*hierarchies_, desired_.group);
  if (made) return made;
  for (const std::string& left : transaction_->undo()) call_.log->warning(left);
  container::remove_empty_tracking_groups(*hierarchies_, state.tracking_made);
  return made;
}

Result<> GroupMaker::make_there(State& state, const std::function<Result<>()>& save) {
  for (int round = 0; round < 10; ++round) {
    state.group = desired_.group;
    state.group_made = !CGX_TRY(is_there(Cgroup(*hierarchies_, desired_.group)));
    state.made = CGX_TRY(missing_groups(*hierarchies_, desired_.group, state.group_made));
    state.tracking_made = CGX_TRY(container::missing_tracking_groups(*hierarchies_, desired_.group));
    // First the note, then the deed: a kill in between leaves a note of what may be there.
    CGX_CHECK(save());
    if (!state.group_made) CGX_CHECK(refuse_used(state));
    desired_.existing = state.group_made ? Existing::refuse : Existing::allow;
    transaction_ = std::make_unique<Transaction>(*hierarchies_);
    auto done = transaction_->apply(desired_);
    if (done) done = make_tracking(state);
    if (!done) {
      transaction_.reset();
      if (done.error().code == EEXIST && container::is_name_of_file(state.group.substr(state.group.rfind('/') + 1)) &&
          !is_there(Cgroup(*hierarchies_, desired_.group)).value_or(true)) {
        Error e{.code = EINVAL, .what = "is a file of the kernel, and no group", .group = state.group};
        e.hint = "give the container another name, or another linux.cgroupsPath";
        done = std::unexpected(std::move(e));
      } else if (done.error().code == EEXIST && state.group_made) {
        continue;  // somebody made it meanwhile
      }
      forget_group(state);
      return done;
    }
    note_made(*hierarchies_, state);
    for (const std::string& note : transaction_->notes()) call_.log->debug(note);
    group_ = std::make_unique<Cgroup>(*hierarchies_, desired_.group);
    const auto opened = group_->require();
    transaction_->commit();
    return opened;
  }
  return fail(EBUSY, fmt::format("the group {} comes and goes", desired_.group));
}

// A container in a frozen group would never start, and one beside others is told of.
Result<> GroupMaker::refuse_used(const State& state) const {
  const Cgroup group(*hierarchies_, state.group);
  if (CGX_TRY(stops_newcomers(group))) return fail(EBUSY, "container's cgroup unexpectedly frozen");
  const auto used = populated(group);
  if (!used && !says_absent(used.error())) return std::unexpected(used.error());
  if (used && *used) call_.log->warning(fmt::format("container's cgroup is not empty: {}", shown(state.group)));
  return {};
}

// `slice:prefix:name`; the slice may be empty. systemd removes the scope when its last process has ended.
Result<> GroupMaker::make_scope(State& state, const std::function<Result<>()>& save) {
  if (!systemd_is_manager())
    return fail(ENOTSUP, "systemd cgroup flag passed, but systemd support for managing cgroups is not available");
  const std::string& path = spec_.linux_.cgroups_path;
  const auto parts = sys::split(path.empty() ? ":cgx:" : std::string_view(path), ':');
  if (parts.size() != 3)
    return fail(EINVAL,
                fmt::format("expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got "
                            "\"{}\" instead",
                            path));
  const std::string slice(parts[0].empty() ? "system.slice" : parts[0]);
  const std::string name(parts[2].empty() ? std::string_view(state.id) : parts[2]);
  state.systemd_scope = parts[1].empty() ? fmt::format("{}.scope", name) : fmt::format("{}-{}.scope", parts[1], name);
  CGX_CHECK(save());
  const auto placeholder = std::make_shared<Placeholder>();
  if (placeholder->pid() < 0) return fail_errno(errno, "fork");
  placeholder_ = placeholder;
  const std::string answer = CGX_TRY(
      ask_systemd({"start-scope", state.systemd_scope, slice, std::to_string(placeholder->pid())}, desired_.limits));
  state.group = sys::trim(answer);
  state.group_made = true;
  CGX_CHECK(save());
  group_ = std::make_unique<Cgroup>(*hierarchies_, state.group);
  return group_->require();
}

Result<> GroupMaker::undo(const State& state) {
  if (group_ == nullptr) return {};
  group_.reset();
  if (transaction_ == nullptr) return remove_groups(state);
  // The removal may be in need of their descriptors.
  for (std::string_view name = state.group; !name.empty(); name = parent_of(name))
    transaction_->group(std::string(name)).forget();
  // First, since the controllers of a group above can be taken back when nothing is below it.
  auto removed = remove_groups(state);
  for (const std::string& left : transaction_->undo()) call_.log->warning(left);
  transaction_.reset();
  return removed;
}

Result<> remove_groups(const State& state) {
  GroupPlace place(state);
  return remove_groups(state, place);
}

Result<> remove_groups(const State& state, GroupPlace& place) {
  if (state.group.empty()) return {};
  const Hierarchies& hierarchies = *CGX_TRY(place.hierarchies());
  const Cgroup group(hierarchies, state.group);
  // It first: systemd does not hear of a group that is removed under its hands, and would keep the unit.
  if (!state.systemd_scope.empty() && state.group_made) (void)ask_systemd({"stop-scope", state.systemd_scope}, {});
  if (state.group_made) CGX_CHECK(container::remove_tracking_group(hierarchies, state.group));
  container::remove_empty_tracking_groups(hierarchies, state.tracking_made);
  // Not begun yet, or gone already.
  if (state.group_made && CGX_TRY(is_there(group))) CGX_CHECK(remove_group(group, Below::remove));
  CGX_CHECK(remove_made(hierarchies, state));
  return remove_noted(hierarchies, state);
}

}  // namespace cgx::oci
