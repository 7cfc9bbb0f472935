// SPDX-License-Identifier: Apache-2.0
// container wait: the end of containers, or of what is left of them.
//
// --json: {"containers": [{"name": "web", "status": 0}, ...]}
#include <array>
#include <cerrno>
#include <optional>

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/json.h"

#include "commands.h"
#include "ended.h"
#include "making.h"
#include "relay.h"
#include "view.h"
#include "waiting.h"

namespace cgx::launcher {
namespace {

enum class Condition : std::uint8_t { not_running, next_exit, removed };

struct ConditionRow {
  std::string_view word;
  Condition condition;
};
// Those of docker's API, and podman's words for the first of them.
constexpr std::array condition_rows{ConditionRow{"not-running", Condition::not_running},
                                    ConditionRow{"next-exit", Condition::next_exit},
                                    ConditionRow{"removed", Condition::removed},
                                    ConditionRow{"stopped", Condition::not_running},
                                    ConditionRow{"exited", Condition::not_running}};

Result<Condition> condition_of(const Call& call) {
  const std::string_view word = call.get("condition", condition_rows[0].word);
  for (const ConditionRow& row : condition_rows)
    if (row.word == word) return row.condition;
  return located(Result<Condition>(bad_value(word, "is not not-running, next-exit or removed")), "", "--condition");
}

// What is told of one that has been removed. `watch` is there before it is looked at, so that nothing is missed.
class Removal {
 public:
  static Result<Removal> create() {
    Removal made;
    made.queue_ = sys::Fd(inotify_init1(IN_CLOEXEC));
    if (!made.queue_.valid()) return fail_errno(errno, "inotify");
    const std::string root = CGX_TRY(run_root());
    if (inotify_add_watch(made.queue_.get(), root.c_str(), IN_DELETE | IN_MOVED_FROM) < 0)
      return fail_errno(errno, root);
    return made;
  }

  // Another container of that name is another one.
  [[nodiscard]] Result<> wait_for(const std::string& id, const std::string& created) {
    while (CGX_TRY(is_there(id, created))) {
      std::array<char, 4096> events;
      if (read(queue_.get(), events.data(), events.size()) < 0 && errno != EINTR) return fail_errno(errno, "inotify");
    }
    return {};
  }

 private:
  // What is damaged is there.
  static Result<bool> is_there(const std::string& id, const std::string& created) {
    const auto known = find_exactly(id, Store::How::look);
    if (known) return known->record.created == created;
    return known.error().code != ENOENT;
  }

  sys::Fd queue_;
};

class Waiting {
 public:
  explicit Waiting(Condition condition) : condition_(condition) {}

  // The name and the status.
  [[nodiscard]] Result<std::pair<std::string, int>> wait_for(const std::string& name) const {
    std::optional<Removal> removal;
    if (condition_ == Condition::removed) removal = CGX_TRY(Removal::create());
    auto found = find(name);
    if (!found) {
      const bool gone = found.error().code == ENOENT && condition_ != Condition::next_exit;
      const auto kept = gone ? kept_ending(CGX_TRY(run_root()), name) : std::nullopt;
      if (!kept) return std::unexpected(std::move(found).error());
      return std::pair(name, kept->status);
    }
    const Known known = std::move(*found);
    const std::string& id = known.record.id;
    if (condition_ == Condition::next_exit && !goes_on(known)) {
      Error e{.code = ESRCH, .what = "has ended, and is not started again", .group = id};
      e.hint = "without --condition, wait tells the status that it ended with";
      return std::unexpected(std::move(e));
    }
    const int status = CGX_TRY(end_of(known));
    if (removal) CGX_CHECK(located(removal->wait_for(id, known.record.created), id));
    return std::pair(id, status);
  }

 private:
  [[nodiscard]] Result<int> end_of(const Known& known) const {
    const sys::Fd process = CGX_TRY(open_monitor(known));
    const auto monitor = connect_in(known.entry.directory());
    while (monitor) {
      const auto packet = CGX_TRY(receive_packet(monitor->get()));
      if (!packet) break;
      if (packet->word == Word::ended && condition_ != Condition::removed) return data_number(packet->data);
      if (packet->word != Word::last) continue;
      // `rm` wants the monitor gone, which is so in a moment.
      if (process.valid()) (void)CGX_TRY(ended_within(process, 1000));
      return data_number(packet->data);
    }
    // It had ended before, or its monitor was killed.
    const sys::Fd init = CGX_TRY(if_there(oci::open_init(known.state)));
    if (init.valid()) (void)CGX_TRY(ended_within(init, -1));
    if (process.valid()) (void)CGX_TRY(ended_within(process, 10'000));
    auto ending = read_ending(known.entry);
    if (!ending)
      if (auto kept = kept_ending(CGX_TRY(run_root()), known.record.id)) ending = *std::move(kept);
    if (ending) return ending->status;
    Error e{.code = ECHILD, .what = "ended, and nobody saw how: its monitor was killed", .group = known.record.id};
    return std::unexpected(std::move(e));
  }

  Condition condition_;
};

}  // namespace

Result<int> wait(const Call& call) {
  const Waiting waiting(CGX_TRY(condition_of(call)));
  sys::JsonWriter json;
  json.open_object().key("containers").open_array();
  const int status = for_each_name(call, [&](const std::string& name) -> Result<> {
    const auto [id, ended] = CGX_TRY(waiting.wait_for(name));
    if (call.json)
      json.open_object().key("name").string(id).key("status").integer(ended).close_object();
    else
      tool::print(fmt::format("{}\n", ended));
    return {};
  });
  if (call.json) tool::print(json.close_array().close_object().take() + "\n");
  return status;
}

}  // namespace cgx::launcher
