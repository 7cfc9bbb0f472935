// SPDX-License-Identifier: Apache-2.0
// The log of cgxd: a sentence and fields. Under systemd it goes to the journal, each field as one of the journal's own
// (CGX_GROUP=web); on a terminal or in a file it is a line for people; as JSON it is one object a line.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/sys/result.h"

#include "daemon/decision.h"

namespace spdlog {
class logger;  // NOLINT(readability-identifier-naming): spdlog's
}

namespace cgx::daemon {

enum class LogFormat : std::uint8_t { automatic, human, json, journal };
enum class LogLevel : std::uint8_t { debug, info, warning, error };

struct Field {
  std::string_view key;  // "group": CGX_GROUP in the journal
  std::string value;
};
using Fields = std::vector<Field>;

// Thread safe. Never fails once it is open: what cannot be written is lost.
class Log {
 public:
  // automatic: the journal where stderr is connected to it (JOURNAL_STREAM), else lines on stderr.
  [[nodiscard]] static Log open(LogFormat format, LogLevel level);

  void debug(std::string_view message, const Fields& fields = {}) const { say(LogLevel::debug, message, fields); }
  void info(std::string_view message, const Fields& fields = {}) const { say(LogLevel::info, message, fields); }
  void warning(std::string_view message, const Fields& fields = {}) const { say(LogLevel::warning, message, fields); }
  void error(std::string_view message, const Fields& fields = {}) const { say(LogLevel::error, message, fields); }
  void say(LogLevel level, std::string_view message, const Fields& fields) const;
  // One entry with everything that a decision holds.
  void decision(const Decision& decision) const;

 private:
  explicit Log(std::shared_ptr<spdlog::logger> logger) : logger_(std::move(logger)) {}
  std::shared_ptr<spdlog::logger> logger_;
};

// The sentence of a decision: `oom of web (limit of web, 64M): raise 64M -> 80M, done in 41us`.
[[nodiscard]] std::string sentence(const Decision& decision);
// All that a decision holds; empty texts and zeros are left out.
[[nodiscard]] Fields fields_of(const Decision& decision);

}  // namespace cgx::daemon
