// SPDX-License-Identifier: Apache-2.0
#include "record.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <span>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/json_tree.h"
#include "cgx/sys/count.h"
#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

namespace cgx::launcher {
namespace {

constexpr const char* record_file = "run.json";
constexpr const char* ending_file = "exit.json";
constexpr std::array<std::string_view, 4> restart_words{"no", "on-failure", "always", "unless-stopped"};

std::unexpected<Error> damaged(std::string_view id, std::string_view file, const Error& error) {
  return fail(EBADMSG, fmt::format("{} of container {} is damaged: {}", file, id, error.text()));
}

void write_pairs(sys::JsonWriter& json, std::string_view key, const Pairs& pairs) {
  json.key(key).open_array();
  for (const auto& [name, value] : pairs) json.string(name).string(value);
  json.close_array();
}

void write_list(sys::JsonWriter& json, std::string_view key, const std::vector<std::string>& list) {
  json.key(key).open_array();
  for (const std::string& text : list) json.string(text);
  json.close_array();
}

Result<Pairs> read_pairs(const container::json::Value& value) {
  std::vector<std::string> flat;
  CGX_CHECK(container::json::fill(flat, value));
  if (flat.size() % 2 != 0) return value.wrong("has an odd number of texts");
  Pairs pairs;
  for (std::size_t i = 0; i < flat.size(); i += 2) pairs.emplace_back(std::move(flat[i]), std::move(flat[i + 1]));
  return pairs;
}

Result<std::string> top_of(const char* variable, std::string_view of_root, const char* base, std::string_view home) {
  if (const char* given = std::getenv(variable); given != nullptr && *given == '/') return std::string(given);
  if (geteuid() == 0) return std::string(of_root);
  if (const char* dir = std::getenv(base); dir != nullptr && *dir == '/') return fmt::format("{}/cgx", dir);
  if (home.empty()) return fmt::format("/tmp/cgx-{}", geteuid());
  const char* top = std::getenv("HOME");
  if (top == nullptr || *top != '/')
    return fail(ENOENT, fmt::format("neither {} nor HOME names a directory for containers", base));
  return fmt::format("{}/{}/cgx", top, home);
}

}  // namespace

std::string_view restart_word(Restart restart) { return restart_words.at(static_cast<std::size_t>(restart)); }

bool starts_again(const Record& record, int status) {
  if (record.restart == Restart::no) return false;
  if (record.restart != Restart::on_failure) return true;
  return status != 0 && (record.restart_most == 0 || record.restarts < record.restart_most);
}

Result<std::string> run_root() { return CGX_TRY(top_of("CGX_RUN", "/run/cgx", "XDG_RUNTIME_DIR", "")) + "/containers"; }
Result<std::string> data_root() { return top_of("CGX_DATA", "/var/lib/cgx", "XDG_DATA_HOME", ".local/share"); }

std::string record_text(const Record& r) {
  sys::JsonWriter json;
  json.open_object().key("id").string(r.id).key("image").string(r.image);
  write_list(json, "layers", r.layers);
  write_list(json, "command", r.command);
  json.key("created").string(r.created).key("started").string(r.started).key("data").string(r.data);
  json.key("hexId").string(r.hex_id);
  json.key("network")
      .string(r.network)
      .key("networkOf")
      .string(r.network_of)
      .key("pidMode")
      .string(r.pid)
      .key("pidOf")
      .string(r.pid_of)
      .key("utsMode")
      .string(r.uts)
      .key("utsOf")
      .string(r.uts_of)
      .key("ipcMode")
      .string(r.ipc)
      .key("user")
      .string(r.user)
      .key("remove")
      .boolean(r.remove)
      .key("terminal")
      .boolean(r.terminal);
  json.key("interactive").boolean(r.interactive).key("restart").string(restart_word(r.restart));
  json.key("restartMost").number(r.restart_most).key("restarts").number(r.restarts);
  json.key("logSize").number(r.log_size);
  json.key("stopSignal").integer(r.stop_signal).key("stopTimeout").integer(r.stop_timeout);
  write_pairs(json, "labels", r.labels);
  write_pairs(json, "limits", r.limits);
  json.key("monitor").integer(r.monitor).key("monitorStart").number(r.monitor_start).close_object();
  return json.take() + "\n";
}

Result<Record> parse_record(std::string_view text) {
  using container::json::fill;
  const auto tree = CGX_TRY(container::json::parse(text));
  const container::json::Value top(tree, 0);
  Record r;
  CGX_CHECK(container::json::need(r.id, top["id"]));
  CGX_CHECK(fill(r.image, top["image"]));
  CGX_CHECK(fill(r.layers, top["layers"]));
  CGX_CHECK(fill(r.command, top["command"]));
  CGX_CHECK(fill(r.created, top["created"]));
  CGX_CHECK(fill(r.started, top["started"]));
  CGX_CHECK(fill(r.data, top["data"]));
  CGX_CHECK(fill(r.hex_id, top["hexId"]));
  CGX_CHECK(fill(r.network, top["network"]));
  CGX_CHECK(fill(r.network_of, top["networkOf"]));
  CGX_CHECK(fill(r.pid, top["pidMode"]));
  CGX_CHECK(fill(r.pid_of, top["pidOf"]));
  CGX_CHECK(fill(r.uts, top["utsMode"]));
  CGX_CHECK(fill(r.uts_of, top["utsOf"]));
  CGX_CHECK(fill(r.ipc, top["ipcMode"]));
  CGX_CHECK(fill(r.user, top["user"]));
  CGX_CHECK(fill(r.log_size, top["logSize"]));
  CGX_CHECK(fill(r.remove, top["remove"]));
  CGX_CHECK(fill(r.terminal, top["terminal"]));
  CGX_CHECK(fill(r.interactive, top["interactive"]));
  std::string word;
  CGX_CHECK(fill(word, top["restart"]));
  const auto found = std::ranges::find(restart_words, word);
  if (found == restart_words.end()) return top["restart"].wrong("is no restart policy");
  r.restart = static_cast<Restart>(found - restart_words.begin());
  CGX_CHECK(fill(r.restart_most, top["restartMost"]));
  CGX_CHECK(fill(r.restarts, top["restarts"]));
  CGX_CHECK(container::json::fill_within(r.stop_signal, top["stopSignal"], 1, 64));
  CGX_CHECK(fill(r.stop_timeout, top["stopTimeout"]));
  r.labels = CGX_TRY(read_pairs(top["labels"]));
  r.limits = CGX_TRY(read_pairs(top["limits"]));
  CGX_CHECK(fill(r.monitor, top["monitor"]));
  CGX_CHECK(fill(r.monitor_start, top["monitorStart"]));
  return r;
}

std::string ending_text(const Ending& e) {
  sys::JsonWriter json;
  json.open_object().key("status").integer(e.status).key("signal").integer(e.signal).key("ended").string(e.ended);
  json.key("error").string(e.error).key("why").string(e.why).key("oomKills").number(e.oom_kills);
  json.key("oomGroup").string(e.oom_group).key("oomLimit").string(e.oom_limit);
  json.key("pidsRefused").number(e.pids_refused).key("pidsGroup").string(e.pids_group);
  json.key("pidsLimit").string(e.pids_limit).key("policy").string(e.policy);
  json.key("killer").string(e.killer).close_object();
  return json.take() + "\n";
}

Result<Ending> parse_ending(std::string_view text) {
  using container::json::fill;
  const auto tree = CGX_TRY(container::json::parse(text));
  const container::json::Value top(tree, 0);
  Ending e;
  CGX_CHECK(container::json::need(e.status, top["status"]));
  CGX_CHECK(fill(e.signal, top["signal"]));
  CGX_CHECK(fill(e.ended, top["ended"]));
  CGX_CHECK(fill(e.error, top["error"]));
  CGX_CHECK(fill(e.why, top["why"]));
  CGX_CHECK(fill(e.oom_kills, top["oomKills"]));
  CGX_CHECK(fill(e.oom_group, top["oomGroup"]));
  CGX_CHECK(fill(e.oom_limit, top["oomLimit"]));
  CGX_CHECK(fill(e.pids_refused, top["pidsRefused"]));
  CGX_CHECK(fill(e.pids_group, top["pidsGroup"]));
  CGX_CHECK(fill(e.pids_limit, top["pidsLimit"]));
  CGX_CHECK(fill(e.policy, top["policy"]));
  CGX_CHECK(fill(e.killer, top["killer"]));
  return e;
}

Result<> write_record(const Store::Entry& entry, const Record& record) {
  const std::string text = record_text(record);
  // What is over a bound of those who read it would be a container that no command can stop.
  if (const auto again = parse_record(text); !again)
    return fail(E2BIG, fmt::format("{} of container {}: {}", record_file, entry.id(), again.error().text()));
  return entry.write_text(record_file, text);
}
Result<> write_ending(const Store::Entry& entry, const Ending& ending) {
  return entry.write_text(ending_file, ending_text(ending));
}
Result<Record> read_record(const Store::Entry& entry) {
  const std::string text = CGX_TRY(entry.read_text(record_file));
  auto record = parse_record(text);
  if (!record) return damaged(entry.id(), record_file, record.error());
  return record;
}
Result<Ending> read_ending(const Store::Entry& entry) {
  const std::string text = CGX_TRY(entry.read_text(ending_file));
  auto ending = parse_ending(text);
  if (!ending) return damaged(entry.id(), ending_file, ending.error());
  return ending;
}

namespace {

Result<Known> load(Store::Entry entry) {
  auto record = read_record(entry);
  if (!record && record.error().code == ENOENT)
    return fail(ENOENT, fmt::format("container {} is being made, or its making was cut off", entry.id()));
  if (!record) return std::unexpected(record.error());
  Known known{.entry = std::move(entry), .record = std::move(*record), .state = {}, .ending = {}};
  known.monitored = CGX_TRY(container::process_lives(known.record.monitor, known.record.monitor_start));
  if (auto ending = read_ending(known.entry))
    known.ending = std::move(*ending);
  else if (ending.error().code != ENOENT)
    return std::unexpected(ending.error());
  auto state = known.entry.read();
  if (state) {
    known.state = std::move(*state);
    known.status = CGX_TRY(container::status_of(known.state, known.entry));
  } else if (state.error().code != ENOENT) {
    return fail(EBADMSG, fmt::format("container {}: {}", known.record.id, state.error().text()));
  } else {
    known.status = known.monitored ? Status::creating : Status::stopped;
  }
  return known;
}

}  // namespace

Result<Known> find(std::string_view name, Store::How how) {
  const auto no_such = [&](std::string hint) {
    Error e = bad_value(name, "is no container").error();
    e.code = ENOENT;
    e.hint = std::move(hint);
    e.fault = Fault::system;
    return std::unexpected(std::move(e));
  };
  if (!Store::check_id(name)) return no_such("cgx container ls -a lists them");
  Store store = CGX_TRY(Store::open(CGX_TRY(run_root())));
  auto entry = store.find(std::string(name), how);
  if (!entry && entry.error().code == ENOENT) {
    const auto ids = CGX_TRY(store.ids());
    // A prefix of a name is nothing: `rm -f web` would remove webdb. Digits of an id are those of one container.
    std::vector<std::string> begins;
    const bool digits = name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
    for (const std::string& id : digits ? std::span<const std::string>(ids) : std::span<const std::string>()) {
      const auto other = store.find(id, Store::How::look);
      const auto record = other ? read_record(*other) : std::unexpected(other.error());
      if (record && record->hex_id.starts_with(name)) begins.push_back(id);
      // One that is being made, or is damaged, is not found by its id. What cannot be read may be the wanted one.
      if (!record && record.error().code != ENOENT && record.error().code != EBADMSG)
        return std::unexpected(record.error());
    }
    if (begins.size() > 1)
      return no_such(fmt::format("the ids of several containers begin with it: {}, {}", begins[0], begins[1]));
    if (begins.empty()) {
      const std::string_view near = sys::nearest(name, {ids.begin(), ids.end()});
      return no_such(near.empty() ? std::string("cgx container ls -a lists them")
                                  : fmt::format("did you mean {}?", near));
    }
    entry = store.find(begins[0], how);
  }
  if (!entry && entry.error().code == ENOENT) return no_such("cgx container ls -a lists them");
  return load(CGX_TRY(std::move(entry)));
}

Result<Listing> list_containers() {
  Store store = CGX_TRY(Store::open(CGX_TRY(run_root())));
  Listing listing;
  for (const std::string& id : CGX_TRY(store.ids())) {
    auto entry = store.find(id, Store::How::look);
    auto known = entry ? load(std::move(*entry)) : std::unexpected(std::move(entry).error());
    if (known)
      listing.containers.push_back(std::move(*known));
    else if (known.error().code != ENOENT)
      listing.damaged.push_back(std::move(known).error());
  }
  std::ranges::stable_sort(listing.containers, {}, [](const Known& k) { return std::string_view(k.record.created); });
  return listing;
}

Result<std::int64_t> parse_rfc3339(std::string_view text) {
  const auto bad = [&] { return bad_value(text, "is no time like 2026-01-31T12:00:00Z"); };
  const auto number = [&](std::size_t at, std::size_t n, std::uint64_t high) -> Result<std::uint64_t> {
    if (at + n > text.size()) return bad();
    const auto value = sys::parse_u64(text.substr(at, n), 0, high);
    if (!value) return bad();
    return *value;
  };
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != ' ') || text[13] != ':' ||
      text[16] != ':')
    return bad();
  tm parts{};
  parts.tm_year = static_cast<int>(CGX_TRY(number(0, 4, 9999))) - 1900;
  parts.tm_mon = static_cast<int>(CGX_TRY(number(5, 2, 12))) - 1;
  parts.tm_mday = static_cast<int>(CGX_TRY(number(8, 2, 31)));
  const std::chrono::year_month_day day{std::chrono::year(parts.tm_year + 1900),
                                        std::chrono::month(static_cast<unsigned>(parts.tm_mon + 1)),
                                        std::chrono::day(static_cast<unsigned>(parts.tm_mday))};
  if (!day.ok()) return bad();
  parts.tm_hour = static_cast<int>(CGX_TRY(number(11, 2, 23)));
  parts.tm_min = static_cast<int>(CGX_TRY(number(14, 2, 59)));
  parts.tm_sec = static_cast<int>(CGX_TRY(number(17, 2, 60)));
  std::int64_t usec = static_cast<std::int64_t>(timegm(&parts)) * 1'000'000;
  std::size_t at = 19;
  if (text[at] == '.') {
    std::int64_t unit = 100'000;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10)
      usec += (text[at] - '0') * unit;
  }
  const std::string_view zone = text.substr(at);
  if (zone == "Z" || zone == "z") return usec;
  if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':') return bad();
  const auto hours = static_cast<std::int64_t>(CGX_TRY(number(at + 1, 2, 23)));
  const auto minutes = static_cast<std::int64_t>(CGX_TRY(number(at + 4, 2, 59)));
  const std::int64_t offset = (hours * 60 + minutes) * 60'000'000;
  return zone[0] == '+' ? usec - offset : usec + offset;
}

std::string ago_text(std::int64_t usec) {
  const auto seconds = static_cast<std::uint64_t>(std::max<std::int64_t>(0, usec / 1'000'000));
  if (seconds < 60) return sys::counted(seconds, "second");
  if (seconds < 3600) return sys::counted(seconds / 60, "minute");
  if (seconds < std::uint64_t{2} * 86400) return sys::counted(seconds / 3600, "hour");
  return sys::counted(seconds / 86400, "day");
}

std::string status_text(const Known& known, std::int64_t now_usec) {
  const auto since = [&](const std::string& time) {
    const auto usec = parse_rfc3339(time);
    return ago_text(usec ? now_usec - *usec : 0);
  };
  switch (known.status) {
    case Status::creating:
      return "Creating";
    case Status::created:
    case Status::running:
      return fmt::format("Up {}{}", since(known.record.started), known.monitored ? "" : " (its monitor was killed)");
    case Status::paused:
      return fmt::format("Up {} (Paused)", since(known.record.started));
    case Status::stopped:
      break;
  }
  if (known.monitored && known.ending && known.record.restart != Restart::no)
    return fmt::format("Restarting ({}) {} ago", known.ending->status, since(known.ending->ended));
  if (!known.ending) return known.monitored ? "Exited (its monitor records the end)" : "Dead (its monitor was killed)";
  std::string text = fmt::format("Exited ({}) {} ago", known.ending->status, since(known.ending->ended));
  if (!known.ending->error.empty())
    text += ": " + known.ending->error;
  else if (!known.ending->why.empty())
    text += ": " + known.ending->why;
  return text;
}

}  // namespace cgx::launcher
