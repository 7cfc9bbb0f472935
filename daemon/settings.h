// SPDX-License-Identifier: Apache-2.0
// How cgxd is to run: /etc/cgx/cgxd.yaml, and over it the command line. Each setting is a row of one table, from which
// the flags, the keys of the file, --help and the manual are made.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/sys/result.h"

#include "daemon/log.h"

namespace cgx::daemon {

enum class BusChoice : std::uint8_t { system, session, off };
enum class ManagerChoice : std::uint8_t { automatic, systemd, cgroupfs };
enum class Mode : std::uint8_t { serve, check, release, help, version };

struct Settings {
  std::string config = "/etc/cgx/cgxd.yaml";       // none need be there
  std::string policy_dir = "/etc/cgx/policies.d";  // empty: off
  std::vector<std::string> policies;               // besides
  std::string metrics = "127.0.0.1:9753";          // ADDR:PORT, unix:PATH; empty: off
  std::string metrics_scope = "managed";
  std::uint64_t metrics_groups = 10'000;  // at most so many groups on a page
  bool metrics_required = false;          // no start without the address
  bool cadvisor = false;
  BusChoice bus = BusChoice::system;
  ManagerChoice manager = ManagerChoice::automatic;
  std::string state_dir = "/run/cgx";
  std::uint64_t drift_check = 30'000'000;  // microseconds; 0: off
  std::uint64_t kills_per_hour = 60;
  bool lock_memory = true;
  bool realtime = false;
  LogLevel log_level = LogLevel::info;
  LogFormat log_format = LogFormat::automatic;
  bool foreground = false;
  Mode mode = Mode::serve;
};

// One row. `key` in the file; `--key` with dashes on the command line.
struct SettingRow {
  std::string_view key;
  std::string_view value;  // "ADDR:PORT|unix:PATH|off"; empty: yes or no, and on the command line the flag alone
  std::string_view doc;
  bool list = false;  // may be given several times
  Result<> (*set)(Settings& settings, std::string_view text);
};
[[nodiscard]] std::span<const SettingRow> setting_rows();

// Lays the file over `settings`: keys that it does not have stay as they are. Errors (Fault::usage) are
// `FILE:LINE:COLUMN: KEY: ...`. ENOENT where there is no file.
[[nodiscard]] Result<> read_settings(Settings& settings, const std::string& path);
// The words after the program's name, over the file that they or the default name. Errors are Fault::usage.
[[nodiscard]] Result<Settings> settings_of(std::span<const std::string> words);
// What --help prints.
[[nodiscard]] std::string settings_help();

}  // namespace cgx::daemon
