// SPDX-License-Identifier: Apache-2.0
#include "events_monitor.h"

#include <algorithm>
#include <cerrno>

#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/count.h"
#include "cgx/sys/text.h"

namespace cgx::tool {
namespace {

using std::chrono::milliseconds;

// Thousands of groups need some descriptors each.
std::uint64_t raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur < limit.rlim_max) {
    const rlimit raised{.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return raised.rlim_cur;
  }
  return limit.rlim_cur;
}

constexpr std::array memory_kinds{
    EventKind::oom, EventKind::under_oom, EventKind::oom_kill, EventKind::low, EventKind::high, EventKind::max};
constexpr std::array state_kinds{EventKind::populated, EventKind::empty, EventKind::frozen, EventKind::thawed};

}  // namespace

EventsMonitor::EventsMonitor(const Hierarchies& hierarchies, EventsRequest request, Tell tell)
    : hierarchies_(&hierarchies), request_(std::move(request)), tell_(std::move(tell)) {}

EventSet EventsMonitor::tells() const {
  EventSet all;
  for (const auto& [name, group] : groups_) {
    for (const auto& s : group.sources) all |= s->watch.tells();
    if (!name.empty()) all.set(bit(EventKind::removed));
  }
  if (request_.recursive) all.set(bit(EventKind::created));
  return all;
}

Result<> EventsMonitor::begin() {
  open_files_ = raise_descriptor_limit();
  if (request_.timeout) end_ = Watch::Clock::now() + *request_.timeout;
  epoll_ = sys::Fd(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return fail_errno(errno, "epoll_create1");
  tree_ = CGX_TRY(TreeWatch::open(*hierarchies_));
  epoll_event e{.events = EPOLLIN, .data = {.ptr = &tree_}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, tree_->fd(), &e) != 0) return fail_errno(errno, "epoll_ctl");
  // With no events asked for, it reports that the reader of a pipe has gone. Files cannot be polled: EPERM.
  e = {.events = 0, .data = {.ptr = nullptr}};
  (void)epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, STDOUT_FILENO, &e);

  for (const std::string& name : request_.names) {
    const Cgroup group(*hierarchies_, name);
    CGX_CHECK(group.require());
    // Without a v2 tree, whether a group is empty takes knowing of the groups below.
    const Hierarchy* v2 = hierarchies_->unified();
    const bool below = request_.recursive || v2 == nullptr || !group.dir(*v2);
    CGX_CHECK(tree_->add(name, below ? TreeWatch::Depth::below : TreeWatch::Depth::group));
    groups_.try_emplace(name);
  }
  if (request_.recursive)
    for (std::string& name : tree_->groups()) groups_.try_emplace(std::move(name));
  named_left_ = request_.names.size();
  std::size_t armed = 0;
  for (auto& [name, group] : groups_) {
    group.named = std::ranges::find(request_.names, name) != request_.names.end();
    auto done = arm(name, Since::now);
    if (!done && (done.error().code == EMFILE || done.error().code == ENFILE))
      done.error().what += fmt::format(" after {} of {}", armed, sys::counted(groups_.size(), "group"));
    CGX_CHECK(done);
    ++armed;
  }
  return check_until();
}

// An event that cannot come is an error, not a wait for ever.
Result<> EventsMonitor::check_until() const {
  if (!request_.until || tells().test(bit(*request_.until))) return {};
  const EventKind kind = *request_.until;
  const auto usage = [&](std::string_view flag) -> Result<> {
    auto error = bad_value(name_of(kind), fmt::format("comes with {} only", flag));
    error.error().knob = "--until";
    return error;
  };
  if (kind == EventKind::threshold) return usage("--mem-threshold");
  if (kind == EventKind::pressure) return usage("--pressure");
  if (kind == EventKind::created) return usage("-r");
  Error e = lacking_[bit(kind)].value_or(Error{.code = ENOTSUP, .group = std::string(shown(request_.names.front()))});
  if (e.what.empty()) {
    if (kind == EventKind::removed) {
      e.what = "the root is never removed";
    } else if (kind == EventKind::under_oom) {
      e.what = "v2 never pauses a group at its limit";
      e.hint = "wait for high, max or oom";
    } else {
      e.what = "v1 does not tell of it: its memory controller tells of oom, oom_kill and under_oom";
      e.hint = "--mem-threshold SIZE tells of memory in use";
    }
  }
  e.what = fmt::format("the event {} cannot come: {}", name_of(kind), e.what);
  return std::unexpected(std::move(e));
}

Result<Watch> EventsMonitor::make(
    const Cgroup& cgroup, Part part, std::size_t number, Occupancy occupancy, Since since) const {
  switch (part) {
    case Part::memory:
      return watch_memory(cgroup, since);
    case Part::state:
      return watch_state(cgroup, since);
    case Part::v1_state:
      return watch_v1_state(cgroup, occupancy, since);
    case Part::threshold:
      return watch_threshold(cgroup, request_.thresholds[number]);
    case Part::pressure:
      break;
  }
  const Pressure& pressure = request_.pressures[number];
  if (const auto* trigger = std::get_if<PressureTrigger>(&pressure)) return watch_pressure(cgroup, *trigger);
  return watch_level(cgroup, std::get<PressureLevel>(pressure));
}

// Makes a source of the group that it does not have yet. What a group lacks is no error, unless it was asked for.
Result<> EventsMonitor::arm_part(Group& group, const Cgroup& cgroup, Part part, std::size_t number, Since since) {
  const auto same = [&](const std::unique_ptr<Source>& s) { return s->part == part && s->number == number; };
  const auto old = std::ranges::find_if(group.sources, same);
  const Hierarchy* v2 = hierarchies_->unified();
  const bool occupancy = part == Part::v1_state && (v2 == nullptr || !cgroup.dir(*v2));
  if (old != group.sources.end()) {
    // The group is now in the v2 tree too, which tells better of its processes.
    if (part != Part::v1_state || group.occupancy == occupancy) return {};
    drop(**old);
  }
  auto watch = make(cgroup, part, number, occupancy ? Occupancy::watch : Occupancy::ignore, since);
  if (watch) {
    if (part == Part::v1_state) group.occupancy = occupancy;
    return add(group, {*std::move(watch), part, number});
  }
  if (watch.error().code == ENOENT || watch.error().code == ENODEV)
    return {};  // removed meanwhile, as the tree will tell
  if (watch.error().code == EMFILE) {
    watch.error().what = fmt::format("this process may have {}, and has them", sys::counted(open_files_, "open file"));
    watch.error().hint = "raise the hard limit (ulimit -Hn, LimitNOFILE=), or watch fewer groups: each takes 2 to 4";
  } else if (watch.error().code == ENFILE) {
    watch.error().what = "the system has no more open files to give";
    watch.error().hint = "raise the sysctl fs.file-max";
  }
  if (watch.error().code != ENOTSUP) return std::unexpected(watch.error());
  if ((part == Part::threshold || part == Part::pressure) && group.named && since == Since::now)
    return std::unexpected(watch.error());
  const auto note = [&](EventKind kind) {
    if (!lacking_[bit(kind)]) lacking_[bit(kind)] = watch.error();
  };
  if (part == Part::memory) std::ranges::for_each(memory_kinds, note);
  if (part == Part::state) std::ranges::for_each(state_kinds, note);
  return {};
}

Result<> EventsMonitor::arm(const std::string& name, Since since) {
  Group& group = groups_[name];
  const Cgroup cgroup(*hierarchies_, name);
  for (const Part part : {Part::memory, Part::state, Part::v1_state})
    CGX_CHECK(arm_part(group, cgroup, part, 0, since));
  for (std::size_t i = 0; i < request_.thresholds.size(); ++i)
    CGX_CHECK(arm_part(group, cgroup, Part::threshold, i, since));
  for (std::size_t i = 0; i < request_.pressures.size(); ++i)
    CGX_CHECK(arm_part(group, cgroup, Part::pressure, i, since));
  return {};
}

Result<> EventsMonitor::add(Group& group, Source source) {
  auto owned = std::make_unique<Source>(std::move(source));
  const Watch& watch = owned->watch;
  if (watch.fd() >= 0) {
    epoll_event e{.events = static_cast<std::uint32_t>(watch.poll_events()), .data = {.ptr = owned.get()}};
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, watch.fd(), &e) != 0) {
      auto error = fail_errno(errno, "epoll_ctl");
      if (errno == ENOSPC) error.error().hint = "raise the sysctl fs.epoll.max_user_watches";
      return located(Result<>(error), shown(watch.group()));
    }
  }
  if (watch.due()) late_.push_back(owned.get());
  group.sources.push_back(std::move(owned));
  return {};
}

// The source stays until the round is over: epoll may have told of it already.
void EventsMonitor::drop(Source& source) {
  std::erase(late_, &source);
  if (source.watch.fd() >= 0) (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, source.watch.fd(), nullptr);
  const auto group = groups_.find(source.watch.group());
  const auto at = std::ranges::find_if(group->second.sources, [&](const auto& s) { return s.get() == &source; });
  dropped_.push_back(std::move(*at));
  group->second.sources.erase(at);
}

void EventsMonitor::tell(const Event& event) {
  if (done_) return;
  tell_(event);
  done_ = request_.until == event.kind;
}

Result<> EventsMonitor::read(Source& source, Watch::Wake wake) {
  if (source.watch.ended()) return {};
  for (const Event& e : CGX_TRY(source.watch.read(wake))) tell(e);
  std::erase(late_, &source);
  if (source.watch.ended())
    drop(source);
  else if (source.watch.due())
    late_.push_back(&source);
  return {};
}

Result<> EventsMonitor::removed(std::string_view name) {
  const auto group = groups_.find(name);
  if (group == groups_.end()) return {};
  // What was to tell before the end.
  while (!group->second.sources.empty()) {
    Source& source = *group->second.sources.back();
    CGX_CHECK(read(source, Watch::Wake::late));
    if (!group->second.sources.empty() && group->second.sources.back().get() == &source) drop(source);
  }
  tell({.time = std::chrono::system_clock::now(), .group = group->first, .kind = EventKind::removed});
  if (group->second.named) --named_left_;
  groups_.erase(group);
  return {};
}

Result<> EventsMonitor::read_tree() {
  for (const TreeEvent& e : CGX_TRY(tree_->read())) {
    if (done_) break;
    const auto group = groups_.find(e.group);
    if (e.change == TreeEvent::Change::removed) {
      CGX_CHECK(removed(e.group));
    } else if (e.change == TreeEvent::Change::written) {
      if (group == groups_.end()) continue;
      for (const auto& s : group->second.sources)
        if (s->part == Part::v1_state) {
          CGX_CHECK(read(*s, Watch::Wake::late));
          break;  // the list may have changed
        }
    } else if (request_.recursive || group != groups_.end()) {
      const std::string name(e.group);
      if (group == groups_.end()) {
        const auto made = groups_.try_emplace(name).first;
        tell({.time = e.time, .group = made->first, .kind = EventKind::created});
      }
      CGX_CHECK(arm(name, Since::birth));
    }
  }
  if (tree_->trouble()) return std::unexpected(*tree_->trouble());
  return {};
}

int EventsMonitor::milliseconds_to_wait() const {
  std::optional<Watch::Clock::time_point> next = end_;
  for (const Source* s : late_)
    if (const auto due = s->watch.due(); due && (!next || *due < *next)) next = due;
  if (!next) return -1;
  const auto left = std::chrono::ceil<milliseconds>(*next - Watch::Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000'000));
}

// One wait and what came of it; a status where it was the last.
Result<std::optional<int>> EventsMonitor::step() {
  std::array<epoll_event, 64> ready;
  const int n = epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), milliseconds_to_wait());
  if (n < 0 && errno != EINTR) return fail_errno(errno, "epoll_wait");
  bool tree = false;
  for (int i = 0; i < n && !done_; ++i) {
    void* const what = ready[static_cast<std::size_t>(i)].data.ptr;
    if (what == nullptr) return 1;
    if (what == &tree_)
      tree = true;  // last, so that a group's own events stand before its removal
    else
      CGX_CHECK(read(*static_cast<Source*>(what), Watch::Wake::ready));
  }
  const auto now = Watch::Clock::now();
  const std::vector<Source*> late = late_;
  for (Source* s : late)
    if (const auto due = s->watch.due(); due && *due <= now && !done_) CGX_CHECK(read(*s, Watch::Wake::late));
  if (tree) CGX_CHECK(read_tree());
  dropped_.clear();
  if (done_ || named_left_ == 0) return 0;
  if (end_ && Watch::Clock::now() >= *end_) return 0;
  return std::nullopt;
}

Result<int> EventsMonitor::run() {
  std::optional<int> status;
  while (!status) status = CGX_TRY(step());
  if (*status != 0 || done_ || !request_.until) return *status;
  const bool gone = named_left_ == 0;
  const std::string what = fmt::format(
      "{} before the event {} came",
      gone ? "all groups were removed"
           : fmt::format("{} went by", sys::format_time(static_cast<std::uint64_t>(request_.timeout->count()))),
      name_of(*request_.until));
  return located(Result<int>(fail(gone ? ENOENT : ETIMEDOUT, what)), shown(request_.names.front()));
}

}  // namespace cgx::tool
