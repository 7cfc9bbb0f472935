// SPDX-License-Identifier: Apache-2.0
#include "daemon/memory/memory.h"

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <set>

#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"

#include "daemon/memory/build.h"
#include "daemon/memory/explain.h"
#include "daemon/memory/parts.h"

namespace cgx::daemon {

using memory::Held;
using memory::Job;

Result<std::unique_ptr<MemoryThread>> MemoryThread::start(const Hierarchies& hierarchies, Options options) {
  if (mkdir(options.state_dir.c_str(), 0755) != 0 && errno != EEXIST) return fail_errno(errno, options.state_dir);
  auto held = CGX_TRY(memory::read_held(options.state_dir));
  for (const Held& h : held)
    if (h.what == Held::What::frozen) (void)memory::give_back(hierarchies, h);
  std::erase_if(held, [](const Held& h) { return h.what == Held::What::frozen; });
  auto frozen = CGX_TRY(memory::FrozenLog::open(options.state_dir));
  sys::Fd decided(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!decided.valid()) return fail_errno(errno, "eventfd");
  auto parts = std::make_unique<Parts>(hierarchies, std::move(options), std::move(frozen), std::move(decided));
  parts->view.held = std::move(held);
  CGX_CHECK(parts->quick.start("cgxd-act"));
  CGX_CHECK(parts->slow.start("cgxd-slow"));
  parts->slow.set_epoll(parts->thread.epoll());
  CGX_CHECK(parts->thread.start(parts->quick, parts->slow));
  parts->running = true;
  return std::unique_ptr<MemoryThread>(new MemoryThread(std::move(parts)));
}

MemoryThread::MemoryThread(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

MemoryThread::~MemoryThread() {
  Parts& p = *parts_;
  p.running = false;  // from now on the slow worker looks for no new groups
  p.slow.stop();
  p.quick.stop();
  p.thread.stop();
  const std::scoped_lock lock(p.control);
  bool all = true;
  for (const Held& h : p.view.held) all = memory::give_back(*p.hierarchies, h).has_value() && all;
  if (all) (void)memory::write_held(p.options.state_dir, {});
}

MemoryThread::Parts::Parts(const Hierarchies& host, Options given, memory::FrozenLog frozen, sys::Fd decided_fd)
    : hierarchies(&host),
      options(std::move(given)),
      decided(std::move(decided_fd)),
      thread({.lock_memory = options.lock_memory,
              .fifo = options.fifo,
              .kills_per_hour = options.kills_per_hour,
              .decisions = options.decisions,
              .thresholds = options.thresholds,
              .stopper = options.stopper},
             std::move(frozen),
             decided.get()),
      quick(host, 256, decided.get(), thread.wake_fd(), nullptr),
      slow(host, 1024, decided.get(), thread.wake_fd(), [this] { rescan(); }) {}

std::vector<policy::Problem> MemoryThread::watch(const policy::Policies& policies,
                                                 std::span<const std::string> also,
                                                 const RaisedLimits& raised) {
  Parts& p = *parts_;
  const std::scoped_lock lock(p.control);
  p.policies = policies;
  p.also.assign(also.begin(), also.end());
  std::set<const memory::Node*> before;
  for (const memory::View::Entry& e : p.view.nodes) before.insert(e.node.get());
  std::vector<policy::Problem> problems = p.watch();
  RaisedLimits inherited = raised;
  std::erase_if(inherited, [&](const auto& limit) {
    const memory::View::Entry* const e = p.view.find(limit.first);
    return e == nullptr || before.contains(e->node.get());
  });
  p.lower_later(inherited);
  return problems;
}

// The raise that decays is the one that the limit is lowered by: it says how long that is tried.
void MemoryThread::Parts::lower_later(const RaisedLimits& raised) {
  const auto decaying = [](const memory::Actions& actions) -> const policy::Action* {
    const auto at = std::ranges::find_if(actions.list, [](const policy::Action& action) {
      const auto* const raise = std::get_if<policy::Raise>(&action.what);
      return raise != nullptr && raise->decay_after != 0;
    });
    return at == actions.list.end() ? nullptr : &*at;
  };
  for (const auto& [name, limit] : raised) {
    const memory::View::Entry* const e = view.find(name);
    if (e == nullptr || e->program == nullptr || limit.from == 0) continue;
    const policy::Action* action = decaying(e->program->oom);
    for (const memory::Actions& list : e->program->pressure)
      if (action == nullptr) action = decaying(list);
    std::uint64_t none = 0;
    if (action == nullptr || !e->node->base_limit.compare_exchange_strong(none, limit.from)) continue;
    e->node->raised_limit = limit.to;
    e->node->lower_at = memory::now_micros() + std::get<policy::Raise>(action->what).decay_after;
    Job job{.kind = Job::Kind::lower, .node = e->node, .program = e->program, .action = action, .decision = {}};
    job.at = e->node->lower_at;
    job.decision.group.set(name);
    job.decision.limit_of.set(name);
    job.decision.limit.set(memory::limit_file(*e->node));
    job.decision.policy_line = action->place.line;
    slow.hand(std::move(job));
  }
}

std::vector<policy::Problem> MemoryThread::Parts::watch() {
  std::vector<policy::Problem> problems;
  memory::Built built = memory::build(*hierarchies, policies, also, view, options.descriptors, problems);
  // What will be paused stands there before it is; what was, until it no longer is.
  std::vector<Held> both = built.view.held;
  both.insert(both.end(), view.held.begin(), view.held.end());
  if (const auto written = memory::write_held(options.state_dir, both); !written) {
    for (memory::Set::Entry& e : built.set.nodes) {
      if (e.program == nullptr || e.program->mode != policy::OomMode::pause) continue;
      auto harmless = std::make_shared<memory::Program>(*e.program);
      harmless->mode = policy::OomMode::kernel;
      e.program = harmless;
      problems.push_back({.place = {},
                          .path = "groups." + e.node->name,
                          .what = fmt::format("is not paused at its limit, since that cannot be written down: {}",
                                              written.error().text()),
                          .hint = {}});
    }
    built.view.held.clear();
    for (std::size_t i = 0; i < built.set.nodes.size(); ++i) built.view.nodes[i].program = built.set.nodes[i].program;
  }
  for (const memory::Set::Entry& e : built.set.nodes)
    if (e.program != nullptr) programs.push_back(e.program);
  thread.exchange(built.set);  // which is the old set from here on
  for (const Held& old : view.held) {
    const bool kept = std::ranges::any_of(built.view.held, [&](const Held& h) {
      return h.what == old.what && h.inode == old.inode && h.group == old.group;
    });
    if (kept) continue;
    if (const auto done = memory::give_back(*hierarchies, old); !done) {
      problems.push_back({.place = {}, .path = "groups." + old.group, .what = done.error().text(), .hint = {}});
      built.view.held.push_back(old);  // tried again the next time
    }
  }
  (void)memory::write_held(options.state_dir, built.view.held);
  if (options.thresholds)
    for (const memory::View::Entry& e : built.view.nodes)
      if (e.program != nullptr && e.program->raise_first && e.node->version == Version::v1)
        slow.hand({.kind = Job::Kind::threshold, .node = e.node, .decision = {}});
  bury(std::move(built.set));
  view = std::move(built.view);
  return problems;
}

// The memory thread may have taken an event of a group out of the kernel just before the group was taken from it. Two
// rounds of its loop later it has not.
void MemoryThread::Parts::bury(memory::Set old) {
  graves.push_back({thread.heartbeat(), std::move(old)});
  clear_graves();
}

// Programs live for as long as a run is made by them.
void MemoryThread::Parts::clear_graves() {
  const std::uint64_t beat = thread.heartbeat();
  std::erase_if(graves, [&](const Grave& g) { return beat > g.beat + 2; });
  std::erase_if(programs, [](const auto& program) { return program.use_count() == 1; });
}

// A group that was not there, or went, may have been made since: its policy holds for the new one too.
void MemoryThread::Parts::rescan() {
  if (!running) return;
  const std::unique_lock lock(control, std::try_to_lock);
  if (!lock.owns_lock()) return;
  const bool changed =
      std::ranges::any_of(view.missing, [&](const std::string& m) { return memory::inode_of(*hierarchies, m) != 0; }) ||
      std::ranges::any_of(view.nodes, [](const memory::View::Entry& e) { return e.node->gone.load(); });
  if (changed) (void)watch();
  clear_graves();
  const auto armed = [this](const std::string& name) {
    const memory::View::Entry* e = view.find(name);
    return e != nullptr && e->node->armed;
  };
  for (const memory::View::Entry& e : view.nodes)
    if (e.node->armed && e.node->version == Version::v1)
      memory::free_children(Cgroup(*hierarchies, e.node->name), armed);
}

int MemoryThread::fd() const { return parts_->decided.get(); }

std::size_t MemoryThread::take(std::vector<Decision>& out) {
  Parts& p = *parts_;
  const std::scoped_lock lock(p.reading);
  std::uint64_t count = 0;
  (void)!read(p.decided.get(), &count, sizeof count);
  const auto first = static_cast<std::ptrdiff_t>(out.size());
  std::size_t lost = 0;
  for (memory::Outbox* box : {&p.thread.outbox(), &p.quick.outbox(), &p.slow.outbox()}) {
    lost += box->lost.exchange(0);
    for (const Decision* d = box->ring.front(); d != nullptr; d = box->ring.front()) {
      out.push_back(*d);
      box->ring.pop();
    }
  }
  std::stable_sort(
      out.begin() + first, out.end(), [](const Decision& a, const Decision& b) { return a.time < b.time; });
  for (auto at = out.begin() + first; at != out.end(); ++at) at->id = ++p.ids;
  p.ids += lost;  // those that are missing leave a gap
  return lost;
}

std::uint64_t MemoryThread::heartbeat() const { return parts_->thread.heartbeat(); }

std::vector<std::string> MemoryThread::notes() const { return parts_->thread.notes(); }

std::size_t MemoryThread::watching() const {
  const std::scoped_lock lock(parts_->control);
  return static_cast<std::size_t>(std::ranges::count_if(
      parts_->view.nodes, [](const memory::View::Entry& e) { return e.program != nullptr && !e.node->gone; }));
}

std::vector<MemoryThread::Watched> MemoryThread::watched() const {
  const std::scoped_lock lock(parts_->control);
  std::vector<Watched> all;
  for (const memory::View::Entry& e : parts_->view.nodes) {
    if (e.program == nullptr || e.node->gone) continue;
    all.push_back(memory::state_of(*e.node, *e.program));
  }
  return all;
}

Result<std::vector<MemoryThread::Explained>> MemoryThread::explain(const std::string& group) const {
  const std::scoped_lock lock(parts_->control);
  const memory::View::Entry* e = parts_->view.find(group);
  if (e == nullptr || e->program == nullptr || e->node->gone)
    return located(Result<std::vector<Explained>>(fail(ENOENT, "memory events of it are not watched")), group);
  return memory::explain(*e->node, *e->program, parts_->thread);
}

Result<> MemoryThread::release(const std::string& group) {
  const std::scoped_lock lock(parts_->control);
  if (parts_->thread.release(group) != 0)
    return located(Result<>(fail(ENOENT, "memory events of it are not watched")), group);
  return {};
}

Result<std::vector<std::string>> release_paused(const Hierarchies& hierarchies, const std::string& state_dir) {
  std::vector<std::string> groups;
  Error first;
  std::vector<Held> left;
  for (Held& h : CGX_TRY(memory::read_held(state_dir))) {
    const auto done = memory::give_back(hierarchies, h);
    if (done && *done && std::ranges::find(groups, h.group) == groups.end()) groups.push_back(h.group);
    if (done) continue;
    if (first.code == 0) first = done.error();
    left.push_back(std::move(h));
  }
  if (first.code != 0) return std::unexpected(first);
  if (access(state_dir.c_str(), F_OK) != 0) return groups;
  CGX_CHECK(memory::write_held(state_dir, {}));
  (void)CGX_TRY(memory::FrozenLog::open(state_dir)).clear();
  return groups;
}

}  // namespace cgx::daemon
