// SPDX-License-Identifier: Apache-2.0
#include "daemon/settings.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <optional>

#include <fcntl.h>

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

namespace cgx::daemon {
namespace {

template <class T>
struct Word {
  std::string_view text;
  T value;
};
template <class T, std::size_t N>
Result<> choose(T& target, std::string_view text, const std::array<Word<T>, N>& words) {
  std::vector<std::string_view> known;
  for (const Word<T>& word : words) {
    if (word.text == text) {
      target = word.value;
      return {};
    }
    known.push_back(word.text);
  }
  return bad_value(text, fmt::format("is not one of {}", fmt::join(known, ", ")));
}

Result<> choose_bool(bool& target, std::string_view text) {
  return choose(target,
                text,
                std::array<Word<bool>, 6>{
                    {{"yes", true}, {"no", false}, {"true", true}, {"false", false}, {"on", true}, {"off", false}}});
}

Result<std::string> absolute(std::string_view text) {
  if (text.empty()) return bad_value(text, "is not a path");
  std::error_code code;
  const auto path = std::filesystem::absolute(std::filesystem::path(text), code);
  if (code) return fail(code.value(), "no working directory");
  std::string out = path.lexically_normal().string();
  while (out.size() > 1 && out.ends_with('/')) out.pop_back();
  return out;
}

Result<> set_metrics(Settings& s, std::string_view text) {
  if (text == "off") {
    s.metrics.clear();
    return {};
  }
  if (text.starts_with("unix:")) {
    if (!text.substr(5).starts_with('/')) return bad_value(text, "is not unix: and an absolute path");
    s.metrics = text;
    return {};
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0)
    return bad_value(text, "is not ADDRESS:PORT, unix:PATH or off (like 127.0.0.1:9753)");
  CGX_CHECK(sys::parse_u64(text.substr(colon + 1), 0, 65535));
  s.metrics = text;
  return {};
}

// clang-format off
constexpr std::array<Word<BusChoice>, 3> buses{{
    {"system", BusChoice::system}, {"session", BusChoice::session}, {"off", BusChoice::off}}};
constexpr std::array<Word<ManagerChoice>, 3> managers{{
    {"auto", ManagerChoice::automatic}, {"systemd", ManagerChoice::systemd}, {"cgroupfs", ManagerChoice::cgroupfs}}};
constexpr std::array<Word<LogLevel>, 5> levels{{
    {"debug", LogLevel::debug}, {"info", LogLevel::info}, {"warning", LogLevel::warning}, {"warn", LogLevel::warning},
    {"error", LogLevel::error}}};
constexpr std::array<Word<LogFormat>, 4> formats{{
    {"auto", LogFormat::automatic}, {"human", LogFormat::human}, {"json", LogFormat::json},
    {"journal", LogFormat::journal}}};

constexpr std::array<SettingRow, 16> rows{{
    {"policy", "FILE|DIR", "policies besides those of policy-dir", true,
     [](Settings& s, std::string_view t) -> Result<> { s.policies.push_back(CGX_TRY(absolute(t))); return {}; }},
    {"policy_dir", "DIR|off", "the directory of policies (/etc/cgx/policies.d)", false,
     [](Settings& s, std::string_view t) -> Result<> {
       s.policy_dir = t == "off" ? "" : CGX_TRY(absolute(t));
       return {}; }},
    {"metrics", "ADDR:PORT|unix:PATH|off", "where metrics are served (127.0.0.1:9753)", false, set_metrics},
    {"metrics_scope", "managed|all|GLOB", "the groups that metrics tell of (managed)", false,
     [](Settings& s, std::string_view t) -> Result<> {
       if (t.empty()) return bad_value(t, "is not managed, all or a glob");
       s.metrics_scope = t;
       return {}; }},
    {"metrics_groups", "N", "the most groups on a page (10000)", false,
     [](Settings& s, std::string_view t) -> Result<> {
       s.metrics_groups = CGX_TRY(sys::parse_u64(t, 1, 1'000'000));
       return {}; }},
    {"metrics_required", "", "do not start where the address is taken (it is tried again every 10 s)", false,
     [](Settings& s, std::string_view t) { return choose_bool(s.metrics_required, t); }},
    {"cadvisor", "", "serve /metrics/cadvisor too", false,
     [](Settings& s, std::string_view t) { return choose_bool(s.cadvisor, t); }},
    {"bus", "system|session|off", "the D-Bus that it is on (system)", false,
     [](Settings& s, std::string_view t) { return choose(s.bus, t, buses); }},
    {"manager", "auto|systemd|cgroupfs", "who makes the groups (auto: systemd where it is PID 1)", false,
     [](Settings& s, std::string_view t) { return choose(s.manager, t, managers); }},
    {"state", "DIR", "where it keeps what it manages (/run/cgx)", false,
     [](Settings& s, std::string_view t) -> Result<> { s.state_dir = CGX_TRY(absolute(t)); return {}; }},
    {"drift_check", "TIME|off", "how often the groups are compared with the policies (30s)", false,
     [](Settings& s, std::string_view t) -> Result<> {
       s.drift_check = t == "off" ? 0 : CGX_TRY(sys::parse_time(t));
       if (t != "off" && s.drift_check < 100'000) return bad_value(t, "is less than 100ms");
       return {}; }},
    {"kills_per_hour", "N", "the most processes that its kill actions end in an hour (60)", false,
     [](Settings& s, std::string_view t) -> Result<> {
       s.kills_per_hour = CGX_TRY(sys::parse_u64(t, 0, 1'000'000));
       return {}; }},
    {"lock_memory", "", "keep its own memory from being swapped (yes)", false,
     [](Settings& s, std::string_view t) { return choose_bool(s.lock_memory, t); }},
    {"realtime", "", "run the thread of memory events with real-time priority (no)", false,
     [](Settings& s, std::string_view t) { return choose_bool(s.realtime, t); }},
    {"log_level", "debug|info|warning|error", "what is logged (info)", false,
     [](Settings& s, std::string_view t) { return choose(s.log_level, t, levels); }},
    {"log_format", "auto|human|json|journal", "how (auto: the journal under systemd, else human)", false,
     [](Settings& s, std::string_view t) { return choose(s.log_format, t, formats); }},
}};
// clang-format on

// Flags that are not in the file.
struct ModeRow {
  std::string_view flag;
  std::string_view doc;
  Mode mode;
};
constexpr std::array<ModeRow, 5> modes{{
    {"check", "read settings and policies, say what is wrong with them, and end", Mode::check},
    {"release", "give groups that are paused back to the kernel, and end", Mode::release},
    {"version", "print the version, and end", Mode::version},
    {"help", "print this, and end", Mode::help},
    {"foreground", "run in the foreground, as it always does", Mode::serve},
}};

std::string flag_of(std::string_view key) {
  std::string flag(key);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

const SettingRow* find_row(std::string_view key) {
  const auto* const row = std::find_if(rows.begin(), rows.end(), [&](const SettingRow& r) { return r.key == key; });
  return row == rows.end() ? nullptr : row;
}

std::unexpected<Error> at(const std::string& path, const YAML::Mark& mark, Error error) {
  std::string where = path;
  if (mark.line >= 0) where += fmt::format(":{}:{}", mark.line + 1, mark.column + 1);
  error.what = fmt::format("{}: {}", where, error.text());
  error.group.clear();
  error.knob.clear();
  error.value.clear();
  error.code = EINVAL;
  error.fault = Fault::usage;
  return std::unexpected(std::move(error));
}

Error wrong(std::string what) { return {.code = EINVAL, .what = std::move(what), .fault = Fault::usage}; }

Result<> set_scalar(Settings& settings, const SettingRow& row, const YAML::Node& node, const std::string& path) {
  if (!node.IsScalar()) return at(path, node.Mark(), wrong(fmt::format("{}: a single value is wanted", row.key)));
  auto done = row.set(settings, node.Scalar());
  if (done) return {};
  Error error = std::move(done).error();
  error.knob = row.key;
  return at(path, node.Mark(), std::move(error));
}

Result<> set_key(Settings& settings, const YAML::Node& key, const YAML::Node& value, const std::string& path) {
  const std::string name = key.IsScalar() ? key.Scalar() : "";
  const SettingRow* const row = find_row(name);
  if (row == nullptr) {
    Error error = wrong(fmt::format("\"{}\" is no setting", name));
    std::vector<std::string_view> known;
    for (const SettingRow& r : rows) known.push_back(r.key);
    if (const std::string_view near = sys::nearest(name, known); !near.empty())
      error.hint = fmt::format("did you mean {}?", near);
    return at(path, key.Mark(), std::move(error));
  }
  if (!row->list) return set_scalar(settings, *row, value, path);
  if (value.IsScalar()) return set_scalar(settings, *row, value, path);
  if (!value.IsSequence()) return at(path, value.Mark(), wrong(fmt::format("{}: a list is wanted", name)));
  for (const YAML::Node& item : value) CGX_CHECK(set_scalar(settings, *row, item, path));
  return {};
}

Result<> lay_over(Settings& settings, const std::string& text, const std::string& path) {
  const YAML::Node document = YAML::Load(text);
  if (document.IsNull()) return {};  // empty, or comments only
  if (!document.IsMap()) return at(path, document.Mark(), wrong("`key: value` lines are wanted"));
  std::vector<std::string> seen;
  for (const auto& entry : document) {
    const YAML::Node& key = entry.first;
    CGX_CHECK(set_key(settings, key, entry.second, path));
    if (std::find(seen.begin(), seen.end(), key.Scalar()) != seen.end())
      return at(path, key.Mark(), wrong(fmt::format("{} is there twice", key.Scalar())));
    seen.push_back(key.Scalar());
  }
  return {};
}

}  // namespace

std::span<const SettingRow> setting_rows() { return rows; }

Result<> read_settings(Settings& settings, const std::string& path) {
  const sys::Fd fd = CGX_TRY(sys::open_path(path, O_RDONLY | O_NONBLOCK));
  auto text = sys::read_all(fd.get(), 1U << 20U);
  if (!text) return fail_errno(text.error().code, path);
  try {
    return lay_over(settings, *text, path);
  } catch (const YAML::Exception& e) {
    return at(path, e.mark, wrong(e.msg));
  }
}

Result<Settings> settings_of(std::span<const std::string> words) {
  Settings settings;
  bool config_given = false;
  std::vector<std::pair<const SettingRow*, std::string>> over;  // the file comes first
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!word.starts_with("--")) return bad_value(word, "is no flag; cgxd takes nothing else");
    const std::size_t equals = word.find('=');
    const std::string flag = word.substr(2, equals == std::string::npos ? equals : equals - 2);
    std::optional<std::string> value;
    if (equals != std::string::npos) value = word.substr(equals + 1);
    const auto* const mode =
        std::find_if(modes.begin(), modes.end(), [&](const ModeRow& row) { return row.flag == flag; });
    if (mode != modes.end()) {
      if (value) return bad_value(word, "takes no value");
      if (mode->mode != Mode::serve) settings.mode = mode->mode;
      if (mode->mode == Mode::serve) settings.foreground = true;
      continue;
    }
    std::string key = flag;
    std::replace(key.begin(), key.end(), '-', '_');
    const SettingRow* const row = find_row(key);
    if (row == nullptr && flag != "config") {
      auto error = bad_value("--" + flag, "is no flag of cgxd");
      std::vector<std::string> flags{"config"};
      for (const SettingRow& r : rows) flags.push_back(flag_of(r.key));
      for (const ModeRow& r : modes) flags.emplace_back(r.flag);
      if (const auto near = sys::nearest(flag, {flags.begin(), flags.end()}); !near.empty())
        error.error().hint = fmt::format("did you mean --{}?", near);
      return error;
    }
    if (!value && row != nullptr && row->value.empty()) value = "yes";
    if (!value && i + 1 < words.size()) value = words[++i];
    if (!value) return bad_value("--" + flag, "wants a value");
    if (row == nullptr) {
      settings.config = CGX_TRY(absolute(*value));
      config_given = true;
    } else {
      over.emplace_back(row, *value);
    }
  }
  if (settings.mode == Mode::help || settings.mode == Mode::version) return settings;
  if (auto read = read_settings(settings, settings.config); !read) {
    if (read.error().fault == Fault::usage) return std::unexpected(std::move(read).error());
    if (config_given || read.error().code != ENOENT)
      return std::unexpected(Error{.code = read.error().code,
                                   .what = fmt::format("{}: {}", settings.config, errno_text(read.error().code)),
                                   .fault = Fault::usage});
  }
  std::vector<const SettingRow*> replaced;
  for (const auto& [row, value] : over) {
    if (row->key == "policy" && std::find(replaced.begin(), replaced.end(), row) == replaced.end())
      settings.policies.clear();  // the command line wins: the file's list counts no longer
    replaced.push_back(row);
    auto done = row->set(settings, value);
    if (!done) {
      done.error().knob = "--" + flag_of(row->key);
      return std::unexpected(std::move(done).error());
    }
  }
  return settings;
}

std::string settings_help() {
  std::string text =
      "usage: cgxd [FLAG]...\n"
      "Applies policies, keeps them true, acts on memory events, sorts processes, and serves metrics and D-Bus.\n\n"
      "Flags; those with a value are also keys of the file, with _ for -, and win over it:\n";
  const auto line = [&](const std::string& flag, std::string_view doc) {
    text +=
        flag.size() > 34 ? fmt::format("  {}\n  {:34} {}\n", flag, "", doc) : fmt::format("  {:34} {}\n", flag, doc);
  };
  line("--config FILE", "settings (/etc/cgx/cgxd.yaml)");
  for (const SettingRow& row : rows) {
    const std::string flag = "--" + flag_of(row.key);
    line(row.value.empty() ? flag + "[=yes|no]" : fmt::format("{} {}", flag, row.value), row.doc);
  }
  for (const ModeRow& row : modes) line(fmt::format("--{}", row.flag), row.doc);
  return text + "\nMore in cgxd(8).\n";
}

}  // namespace cgx::daemon
