// SPDX-License-Identifier: Apache-2.0
// events: statistics at intervals, and a line for each OOM, until the container ends.
#include <algorithm>
#include <array>
#include <cerrno>

#include <poll.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/watch.h"
#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

#include "container.h"
#include "stats.h"

namespace cgx::oci {
namespace {

using Clock = std::chrono::steady_clock;

// The data is JSON already.
std::string event_line(std::string_view type, std::string_view id, std::string_view data) {
  sys::JsonWriter json;
  json.open_object().key("type").string(type).key("id").string(id).close_object();
  std::string text = json.take();
  if (!data.empty()) {
    text.pop_back();
    text += fmt::format(",\"data\":{}}}", data);
  }
  return text + "\n";
}

int milliseconds_until(Clock::time_point when) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(when - Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

class Follower {
 public:
  Follower(const State& state, const Cgroup& group, sys::Fd init, std::chrono::microseconds interval)
      : state_(state), group_(group), init_(std::move(init)), interval_(interval) {}

  Result<int> run(const Invocation& call) {
    auto watch = watch_memory(group_);
    if (!watch) call.log->warning(fmt::format("no notifications of OOM: {}", watch.error().text()));
    Clock::time_point next = Clock::now() + interval_;
    for (;;) {
      Clock::time_point wake = next;
      if (watch && watch->due()) wake = std::min(wake, *watch->due());
      const bool has_fd = watch && watch->fd() >= 0 && !watch->ended();
      std::array<pollfd, 2> fds{
          pollfd{.fd = init_.get(), .events = POLLIN, .revents = 0},
          pollfd{.fd = has_fd ? watch->fd() : -1, .events = has_fd ? watch->poll_events() : short{0}, .revents = 0}};
      if (poll(fds.data(), fds.size(), milliseconds_until(wake)) < 0 && errno != EINTR)
        return fail_errno(errno, "poll");
      if (watch && !watch->ended()) {
        const bool ready = fds[1].revents != 0;
        if (ready || (watch->due() && *watch->due() <= Clock::now()) || fds[0].revents != 0)
          CGX_CHECK(tell(*watch, ready ? Watch::Wake::ready : Watch::Wake::late));
      }
      if (fds[0].revents != 0) return 0;
      if (Clock::now() < next) continue;
      print(event_line("stats", state_.id, stats_json(group_)));
      next = Clock::now() + interval_;
    }
  }

 private:
  // v1 tells of the OOM, v2 counts the kills; one line for each.
  Result<> tell(Watch& watch, Watch::Wake wake) {
    const Hierarchy* h = group_.hierarchies().of(Controller::memory);
    const bool v1 = h != nullptr && h->version() == Version::v1;
    for (const Event& event : CGX_TRY(watch.read(wake)))
      if (event.kind == (v1 ? EventKind::oom : EventKind::oom_kill)) print(event_line("oom", state_.id, {}));
    return {};
  }

  const State& state_;
  const Cgroup& group_;
  sys::Fd init_;
  std::chrono::microseconds interval_;
};

}  // namespace

Result<int> run_events(const Invocation& call) {
  const std::string_view text = call.get("interval", "5s");
  const auto interval = sys::parse_time(text);
  if (!interval || *interval == 0) return fail(EINVAL, "duration interval must be greater than 0");
  const Container container = CGX_TRY(find_container(call, call.words[0], Store::How::look));
  if (container.status == Status::stopped)
    return fail(ESRCH, fmt::format("container with id {} is not running", container.state.id));
  if (container.state.group.empty())
    return fail(ENOTSUP, "a container that has no cgroup of its own has no statistics");
  const Hierarchies hierarchies = CGX_TRY(container::hierarchies_of(container.state));
  const Cgroup group(hierarchies, container.state.group);
  CGX_CHECK(group.require());
  if (call.on("stats")) {
    print(event_line("stats", container.state.id, stats_json(group)));
    return 0;
  }
  auto init = open_init(container.state);
  if (!init && init.error().code == ESRCH) return 0;  // it has just ended
  if (!init) return std::unexpected(std::move(init.error()));
  return Follower(container.state, group, std::move(*init), std::chrono::microseconds(*interval)).run(call);
}

}  // namespace cgx::oci
