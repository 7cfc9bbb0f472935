// SPDX-License-Identifier: Apache-2.0
#include "daemon/log.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <ctime>

#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/sinks/base_sink.h>
// sd-journal.h makes macros of its functions that pass the caller's file and line, which are of no use here.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "cgx/sys/harmless.h"
#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

namespace cgx::daemon {
namespace {

// What the fields of the entry in hand are: spdlog hands its sinks a text alone.
thread_local const Fields* current_fields = nullptr;

int priority_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::err:
    case spdlog::level::critical:
      return LOG_ERR;
    case spdlog::level::warn:
      return LOG_WARNING;
    case spdlog::level::info:
      return LOG_INFO;
    default:
      return LOG_DEBUG;
  }
}

class JournalSink final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    std::vector<std::string> entries{
        fmt::format("MESSAGE={}", std::string_view(message.payload.data(), message.payload.size())),
        fmt::format("PRIORITY={}", priority_of(message.level)),
        "SYSLOG_IDENTIFIER=cgxd"};
    if (current_fields != nullptr)
      for (const Field& field : *current_fields) {
        std::string name = "CGX_";
        for (const char c : field.key) name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        entries.push_back(name + "=" + field.value);
      }
    std::vector<iovec> parts;
    parts.reserve(entries.size());
    for (std::string& entry : entries) parts.push_back({entry.data(), entry.size()});
    (void)sd_journal_sendv(parts.data(), static_cast<int>(parts.size()));  // there is nowhere else to say it
  }
  void flush_() override {}
};

bool stderr_is_journal() {
  const char* const stream = std::getenv("JOURNAL_STREAM");  // DEVICE:INODE; systemd.exec(5)
  struct stat status{};
  if (stream == nullptr || fstat(STDERR_FILENO, &status) != 0) return false;
  return fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      break;
  }
  return spdlog::level::err;
}

// RFC 3339 in UTC with milliseconds.
std::string time_text(std::chrono::system_clock::time_point time) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  const time_t seconds = ms / 1000;
  tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                     parts.tm_year + 1900,
                     parts.tm_mon + 1,
                     parts.tm_mday,
                     parts.tm_hour,
                     parts.tm_min,
                     parts.tm_sec,
                     ms % 1000);
}

class JsonSink final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    sys::JsonWriter json;
    json.open_object().key("time").string(time_text(message.time)).key("level");
    const auto word = spdlog::level::to_string_view(message.level);
    json.string({word.data(), word.size()}).key("message").string({message.payload.data(), message.payload.size()});
    if (current_fields != nullptr)
      for (const Field& field : *current_fields) json.key(field.key).string(field.value);
    const std::string line = json.close_object().take() + "\n";
    (void)!write(STDERR_FILENO, line.data(), line.size());  // one write a line: several processes may share the file
  }
  void flush_() override {}
};

// Control characters would let a command name draw lines of its own into the log.
std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = sys::shown_length(text);
    if (text[0] == '\n')
      out += "\\n";
    else if (length == 0)
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
    else
      out += text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

}  // namespace

Log Log::open(LogFormat format, LogLevel level) {
  if (format == LogFormat::automatic) format = stderr_is_journal() ? LogFormat::journal : LogFormat::human;
  spdlog::sink_ptr sink;
  switch (format) {
    case LogFormat::journal:
      sink = std::make_shared<JournalSink>();
      break;
    case LogFormat::json:
      sink = std::make_shared<JsonSink>();
      break;
    default:
      sink = std::make_shared<spdlog::sinks::ansicolor_stderr_sink_mt>(
          std::getenv("NO_COLOR") != nullptr ? spdlog::color_mode::never : spdlog::color_mode::automatic);
      sink->set_pattern("%H:%M:%S.%e %^%l%$ %v");
  }
  auto logger = std::make_shared<spdlog::logger>("cgxd", std::move(sink));
  logger->set_level(level_of(level));
  logger->flush_on(spdlog::level::debug);
  return Log(std::move(logger));
}

void Log::say(LogLevel level, std::string_view message, const Fields& fields) const {
  const auto at = level_of(level);
  if (!logger_->should_log(at)) return;
  const std::string text = printable(message);
  current_fields = &fields;
  logger_->log(at, spdlog::string_view_t(text.data(), text.size()));
  current_fields = nullptr;
}

std::string sentence(const Decision& d) {
  std::string text = fmt::format("{} of {}", d.event.view(), d.group.view());
  if (!d.limit_of.view().empty() || d.limit_bytes != 0) {
    text += " (";
    if (!d.limit.view().empty()) text += fmt::format("{} of ", d.limit.view());
    text += d.limit_of.view().empty() ? d.group.view() : d.limit_of.view();
    if (d.limit_bytes != 0) text += fmt::format(", {}", sys::format_size(d.limit_bytes));
    text += ")";
  }
  if (d.action.view() == "none") {
    text += d.event.view() == "oom_kill" ? fmt::format(": the kernel has killed in it, {} in all", d.count) : ": told";
    return text + (d.detail.view().empty() ? "" : fmt::format("; {}", d.detail.view()));
  }
  text += fmt::format(": {}", d.action.view());
  if (!d.detail.view().empty()) text += fmt::format(" {}", d.detail.view());
  if (d.pid != 0) text += fmt::format(" of {} ({})", d.pid, d.command.view());
  text += fmt::format(", {}", d.result.view());
  if (d.took != 0) text += fmt::format(" in {}", sys::format_time(d.took));
  return text;
}

Fields fields_of(const Decision& d) {
  Fields fields;
  const auto text = [&](std::string_view key, std::string_view value) {
    if (!value.empty()) fields.push_back({key, std::string(value)});
  };
  const auto number = [&](std::string_view key, std::uint64_t value) {
    if (value != 0) fields.push_back({key, std::to_string(value)});
  };
  number("id", d.id);
  text("event_time", time_text(d.time));
  text("group", d.group.view());
  text("event", d.event.view());
  text("limit_of", d.limit_of.view());
  text("limit", d.limit.view());
  number("usage_bytes", d.usage);
  number("limit_bytes", d.limit_bytes);
  number("count", d.count);
  text("action", d.action.view());
  text("result", d.result.view());
  text("detail", d.detail.view());
  number("old_value", d.old_value);
  number("new_value", d.new_value);
  number("pid", static_cast<std::uint64_t>(d.pid));
  text("command", d.command.view());
  number("rss_bytes", d.rss);
  number("age_usec", d.age);
  number("took_usec", d.took);
  number("policy_line", d.policy_line);
  return fields;
}

void Log::decision(const Decision& d) const {
  const bool bad = d.result.view() == "failed" || d.event.view() == "oom_kill";
  say(bad ? LogLevel::warning : LogLevel::info, sentence(d), fields_of(d));
}

}  // namespace cgx::daemon
