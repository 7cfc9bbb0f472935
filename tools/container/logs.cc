// SPDX-License-Identifier: Apache-2.0
// container logs: what the monitor has written down, and with -f what it goes on to write. --json prints an object an
// entry, on a line each, all on standard output:
//   {"time": "2026-01-31T12:00:00.123456789Z", "stream": "stdout"|"stderr", "full": true, "text": "..."}
// where "full": false is a part of a line, which the next object of its stream continues.
#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"

#include "commands.h"
#include "log_files.h"
#include "moment.h"
#include "view.h"

namespace cgx::launcher {
namespace {

constexpr std::size_t most_unprinted = 64U << 10U;

struct WantedLog {
  std::int64_t since = std::numeric_limits<std::int64_t>::min();  // microseconds since 1970
  std::int64_t until = std::numeric_limits<std::int64_t>::max();
  std::optional<std::uint64_t> tail;
  bool follow = false;
  bool times = false;
  bool details = false;
  bool json = false;

  [[nodiscard]] bool bounded() const {
    return since != std::numeric_limits<std::int64_t>::min() || until != std::numeric_limits<std::int64_t>::max();
  }
  [[nodiscard]] bool has(const LogEntry& entry) const {
    if (!bounded()) return true;
    const auto when = parse_rfc3339(entry.time);
    return !when || (*when >= since && *when < until);
  }
};

// All, or a number; a negative one is all, as docker has it.
Result<std::optional<std::uint64_t>> wanted_lines(std::string_view text) {
  if (text == "all") return std::nullopt;
  const auto negative = sys::parse_i64(text, std::numeric_limits<std::int64_t>::min(), -1);
  if (negative) return std::nullopt;
  const auto lines = sys::parse_u64(text);
  if (!lines) return bad_value(text, "is neither all nor a number of lines");
  return *lines;
}

Result<WantedLog> wanted_log(const Call& call) {
  WantedLog wanted{
      .follow = call.on("follow"), .times = call.on("timestamps"), .details = call.on("details"), .json = call.json};
  const std::int64_t now = now_usec();
  if (call.on("since")) wanted.since = CGX_TRY(located(parse_moment(call.get("since"), now), "", "--since"));
  if (call.on("until")) wanted.until = CGX_TRY(located(parse_moment(call.get("until"), now), "", "--until"));
  if (call.on("tail")) wanted.tail = CGX_TRY(located(wanted_lines(call.get("tail")), "", "--tail"));
  return wanted;
}

// Bytes to the two streams, in the order in which they come, as few writes as that allows.
class LogPrinter {
 public:
  explicit LogPrinter(const WantedLog& wanted) : wanted_(wanted) {}

  void print(const LogEntry& entry) {
    const LogStream to = wanted_.json ? LogStream::out : entry.stream;
    if (to != stream_ || text_.size() >= most_unprinted) flush();
    stream_ = to;
    if (wanted_.json) {
      sys::JsonWriter json;
      json.open_object().key("time").string(entry.time).key("stream").string(stream_word(entry.stream));
      json.key("full").boolean(entry.part == LogPart::full).key("text").string(entry.text).close_object();
      text_.append(json.take()).append("\n");
      return;
    }
    bool& within = within_.at(static_cast<std::size_t>(entry.stream));
    if (wanted_.times && !within) text_.append(entry.time).append(" ");
    if (wanted_.details && !within) text_ += ' ';  // docker's, behind its options of logs, of which there are none
    text_.append(entry.text);
    within = entry.part == LogPart::part;
    if (!within) text_ += '\n';
  }

  void flush() {
    if (stream_ == LogStream::out)
      tool::print(text_);
    else
      print_error(text_);
    text_.clear();
  }

 private:
  static void print_error(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = write(STDERR_FILENO, text.data(), text.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return;  // there is nowhere to tell
      text.remove_prefix(static_cast<std::size_t>(n));
    }
  }

  const WantedLog& wanted_;
  LogStream stream_ = LogStream::out;
  std::string text_;
  std::array<bool, 2> within_{};  // a line, by stream
};

// Wakes up when the log may have grown, or its monitor has ended.
class LogWaiter {
 public:
  static Result<LogWaiter> create(const Known& known) {
    LogWaiter waiter;
    const Record& r = known.record;
    auto monitor = container::open_process(r.monitor, r.monitor_start);
    if (!monitor && monitor.error().code != ESRCH) return std::unexpected(std::move(monitor.error()));
    if (monitor) waiter.monitor_ = std::move(*monitor);
    waiter.changes_ = sys::Fd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!waiter.changes_.valid()) return fail_errno(errno, "inotify");
    constexpr std::uint32_t of_log = IN_MODIFY | IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR;
    if (inotify_add_watch(waiter.changes_.get(), r.data.c_str(), of_log) < 0) return fail_errno(errno, r.data);
    return waiter;
  }

  [[nodiscard]] bool monitor_there() const { return monitor_.valid(); }

  // false: nobody reads any more.
  [[nodiscard]] Result<bool> wait(std::int64_t until) {
    std::array<pollfd, 3> fds{
        pollfd{monitor_.get(), POLLIN, 0}, pollfd{changes_.get(), POLLIN, 0}, pollfd{reader_, 0, 0}};
    const std::int64_t left = std::max<std::int64_t>(0, until - now_usec()) / 1000;
    const bool endless = until == std::numeric_limits<std::int64_t>::max();
    const int timeout = endless ? -1 : static_cast<int>(std::min<std::int64_t>(left + 1, 3'600'000));
    if (poll(fds.data(), fds.size(), timeout) < 0 && errno != EINTR) return fail_errno(errno, "poll");
    if ((fds[2].revents & (POLLERR | POLLHUP)) != 0) return false;
    if (fds[0].revents != 0) monitor_.reset(-1);
    // What has changed is asked of the directory itself.
    std::array<char, 4096> events{};
    while (read(changes_.get(), events.data(), events.size()) > 0) continue;
    return true;
  }

 private:
  sys::Fd monitor_, changes_;
  // A pipe whose reader has ended says so; what is closed would say it again and again.
  int reader_ = fcntl(STDOUT_FILENO, F_GETFD) < 0 ? -1 : STDOUT_FILENO;
};

class LogShow {
 public:
  LogShow(const WantedLog& wanted, sys::Fd dir) : wanted_(wanted), dir_(std::move(dir)), printer_(wanted) {}

  // What is there.
  Result<> begin() {
    std::vector<LogFile> files = CGX_TRY(open_log(dir_.get()));
    // Of a file that comes later all is new.
    if (wanted_.tail && !std::exchange(begun_, true))
      places_ = CGX_TRY(find_last_lines(files, *wanted_.tail, [&](const LogEntry& e) { return wanted_.has(e); }));
    const LogPlace first = std::min(places_[0], places_[1]);
    for (std::size_t i = first.file; i < files.size(); ++i) {
      index_ = i;
      if (i == first.file) files[i].start_at(first.offset);
      CGX_CHECK(show_next(std::move(files[i])));
    }
    places_ = {};
    return {};
  }

  // What has come since.
  Result<> go_on() {
    if (!file_) return begin();
    CGX_CHECK(read_file());
    for (auto next = CGX_TRY(open_log_after(dir_.get(), *file_)); !next.empty();
         next = CGX_TRY(open_log_after(dir_.get(), *file_))) {
      CGX_CHECK(read_file());  // what came before it was renamed
      for (LogFile& file : next) CGX_CHECK(show_next(std::move(file)));
    }
    return {};
  }

  // A line that its writer was killed in.
  void show_rest() {
    if (file_) show(file_->rest(), file_->rest_at());
  }
  void flush() { printer_.flush(); }

 private:
  Result<> show_next(LogFile file) {
    show_rest();
    file_ = std::move(file);
    return read_file();
  }
  Result<> read_file() {
    return file_->read([&](std::string_view line, std::uint64_t at) { show(line, at); });
  }
  void show(std::string_view line, std::uint64_t at) {
    const auto entry = parse_entry(line);
    if (!entry || !wanted_.has(*entry)) return;
    if (LogPlace{index_, at} >= places_.at(static_cast<std::size_t>(entry->stream))) printer_.print(*entry);
  }

  const WantedLog& wanted_;
  sys::Fd dir_;
  LogPrinter printer_;
  LogPlaces places_{};
  std::size_t index_ = 0;
  bool begun_ = false;
  std::optional<LogFile> file_;
};

Result<int> follow_log(LogShow& show, LogWaiter& waiter, std::int64_t until) {
  CGX_CHECK(show.begin());
  show.flush();
  while (true) {
    const bool last = !waiter.monitor_there();  // before it is read: what is written up to its end is shown
    CGX_CHECK(show.go_on());
    if (last) show.show_rest();
    show.flush();
    if (last || now_usec() >= until) return 0;
    if (!CGX_TRY(waiter.wait(until))) return 1;
  }
}

}  // namespace

Result<int> logs(const Call& call) {
  const WantedLog wanted = CGX_TRY(wanted_log(call));
  const Known known = CGX_TRY(find(call.words[0]));
  if (known.record.log_size == 0) {
    Error e{.code = ENOENT, .what = "has no log: it was started with --log-driver none", .group = known.record.id};
    e.hint = "cgx container attach " + known.record.id + " shows what it writes from now on";
    return std::unexpected(std::move(e));
  }
  const std::string& data = known.record.data;
  sys::Fd dir(open(data.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.valid() && errno == ENOENT && !known.monitored) return 0;  // nothing was written
  if (!dir.valid()) return fail_errno(errno, data.empty() ? "the container's log" : data);
  LogShow show(wanted, std::move(dir));
  if (wanted.follow && known.monitored) {
    LogWaiter waiter = CGX_TRY(LogWaiter::create(known));
    return follow_log(show, waiter, wanted.until);
  }
  const auto begun = show.begin();
  if (begun && !known.monitored) show.show_rest();
  show.flush();
  if (!begun) return located(Result<int>(std::unexpected(begun.error())), data);
  return 0;
}

}  // namespace cgx::launcher
