// SPDX-License-Identifier: Apache-2.0
#include "remove.h"

#include <cerrno>

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/presence.h"
#include "cgx/container/tracking_group.h"

#include "id_ranges.h"
#include "layer.h"
#include "making.h"
#include "relay.h"
#include "rootless.h"
#include "view.h"

namespace cgx::launcher {

Result<> remove_container(Known&& known, bool by_monitor) {
  // What the record says is not removed unless it is where this container's files are.
  const Layer layer{.run_root = CGX_TRY(run_root()), .data_root = CGX_TRY(data_root()), .name = known.entry.id()};
  if (known.record.data != layer.path()) {
    Error e{.code = EPERM, .what = fmt::format("its files are in {}, not in {}", known.record.data, layer.path())};
    const std::string ending = "/containers/" + layer.name;
    if (known.record.data.ends_with(ending))
      e.hint = fmt::format("CGX_DATA={} where it was started so",
                           known.record.data.substr(0, known.record.data.size() - ending.size()));
    return std::unexpected(std::move(e));
  }
  CGX_CHECK(check_unused(layer, by_monitor));
  CGX_CHECK(oci::end_and_remove(known.state));
  CGX_CHECK(remove_left_group(known.state));
  // The record last: who is killed here finds it again.
  CGX_CHECK(remove_layer(layer, by_monitor));
  CGX_CHECK(known.entry.remove());
  release_ids();
  return {};
}

namespace {

// Its pid is that of who listens: the record that would say it cannot be read.
Result<sys::Fd> process_behind(const sys::Fd& socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return fail_errno(errno, "SO_PEERCRED");
  sys::Fd process(static_cast<int>(syscall(SYS_pidfd_open, peer.pid, 0)));
  if (!process.valid()) return fail_errno(errno, fmt::format("its monitor, process {}", peer.pid));
  return process;
}

bool readable_within(const sys::Fd& fd, int ms) {
  pollfd one{.fd = fd.get(), .events = POLLIN, .revents = 0};
  int n = 0;
  while ((n = poll(&one, 1, ms)) < 0 && errno == EINTR) continue;
  return n > 0;
}

// The monitor ends with the container, which it does not start again. Its answer shows that the process is its own.
Result<> end_monitored(const Store::Entry& entry, const State& state) {
  const auto socket = connect_in(entry.directory());
  const auto process = socket ? process_behind(*socket) : Result<sys::Fd>(sys::Fd());
  const bool answers = socket && send_packet(socket->get(), Word::stop) && readable_within(*socket, 10'000) &&
                       receive_packet(socket->get()).value_or(std::nullopt);
  CGX_CHECK(oci::end_processes(state));
  if (!answers) return {};
  if (!process) return std::unexpected(process.error());
  return readable_within(*process, 60'000) ? Result<>() : fail(ETIMEDOUT, "its monitor does not end");
}

}  // namespace

Result<> remove_damaged(const std::string& id) {
  CGX_CHECK(enter_own_namespace());
  Store store = CGX_TRY(Store::open(CGX_TRY(run_root())));
  {
    const auto entry = CGX_TRY(store.find(id, Store::How::look));
    if (const auto state = entry.read())
      CGX_CHECK(end_monitored(entry, *state));
    else if (state.error().code != ENOENT)  // nobody knows which processes are its own
      return std::unexpected(state.error());
  }
  // The monitor may have written what was damaged anew; one that goes on is another one of that name.
  if (auto known = find_exactly(id, Store::How::change))
    return goes_on(*known) ? Result<>() : remove_container(std::move(*known));
  auto entry = store.find(id, Store::How::change);
  if (!entry) return entry.error().code == ENOENT ? Result<>() : std::unexpected(entry.error());
  if (const auto state = entry->read()) {
    CGX_CHECK(oci::end_and_remove(*state));
    CGX_CHECK(remove_left_group(*state));
  } else if (state.error().code != ENOENT) {
    return std::unexpected(state.error());
  }
  CGX_CHECK(remove_layer({.run_root = CGX_TRY(run_root()), .data_root = CGX_TRY(data_root()), .name = id}));
  CGX_CHECK(entry->remove());
  release_ids();
  return {};
}

std::string hint_at_damaged(const std::string& id) {
  const auto root = run_root();
  auto store = root ? Store::open(*root) : std::unexpected(root.error());
  const auto entry = store ? store->find(id, Store::How::look) : std::unexpected(store.error());
  if (!entry) return {};
  const auto state = entry->read();
  if (state || state.error().code == ENOENT)
    return fmt::format("cgx container rm -f {}{} removes it", id.starts_with('-') ? "-- " : "", id);
  if (state.error().code != EBADMSG) return {};
  return fmt::format("when no process of it is left: rm -r {}/{} && cgx gc", *root, id);
}

Result<> remove_left_group(const State& state) {
  const Hierarchies hierarchies = CGX_TRY(container::hierarchies_of(state));
  const Cgroup top(hierarchies, std::string(group_top));
  // In a named hierarchy it is the last one's too; with groups below it, it stays.
  if (!CGX_TRY(is_there(top))) return container::remove_empty_tracking_groups(hierarchies, {top.name()}), Result<>();
  const auto used = populated(top);
  const auto below = children_of(top);
  if (!used || *used || !below || !below->empty()) return {};
  if (remove_group(top, Below::keep)) container::remove_empty_tracking_groups(hierarchies, {top.name()});
  return {};
}

}  // namespace cgx::launcher
