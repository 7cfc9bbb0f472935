// SPDX-License-Identifier: Apache-2.0
// cgx-bus: what cgx executes for `cgx daemon`, and for `cgx exec` on a host whose groups systemd manages, since
// libsystemd would cost every other command its start. Not for people: cgx has checked the words.
//
//   cgx-bus SUBCOMMAND BUS text|json COUNT WORD    (WORD may be empty)
//   cgx-bus scope ...                              (see bus_scope.h)
#include <array>
#include <cerrno>
#include <ctime>
#include <span>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/harmless.h"
#include "cgx/sys/text.h"

#include "bus_client.h"
#include "bus_scope.h"
#include "command.h"
#include "daemon/bus/bus.h"

namespace cgx::tool {
namespace {

struct Request {
  std::string subcommand;
  std::string bus;
  bool json = false;
  std::uint32_t count = 0;
  std::string word;
};
using Fn = Result<int> (*)(const Manager& manager, const Request& request);

void print_json(sys::JsonWriter& json) { print(json.take() + "\n"); }

// ---- one call each --------------------------------------------------------------------------------------------------

Manager::Fill group_of(const Request& request) {
  return [&request](sd_bus_message* m) { return sd_bus_message_append(m, "s", request.word.c_str()); };
}

// Names and what processes are called, as others have chosen them.
void print_at_terminal(const std::string& text) {
  print(isatty(STDOUT_FILENO) == 1 ? sys::harmless_lines(text) : text);
}

void print_answers(const daemon::Answers& answers) {
  std::string text;
  for (const auto& [key, value] : answers)
    text += fmt::format("{} {}\n", key, is_time(key) ? shown_time(number_of(answers, key)) : shown(value));
  print_at_terminal(text);
}

Result<int> status(const Manager& manager, const Request& request) {
  const auto answers = CGX_TRY(read_answers(CGX_TRY(manager.call("Status")).get()));
  if (!request.json) {
    print_answers(answers);
    return 0;
  }
  sys::JsonWriter json;
  json.open_object();
  write_answers(json, answers);
  json.close_object();
  print_json(json);
  return 0;
}

Result<int> reload(const Manager& manager, const Request& request) {
  CGX_CHECK(manager.call("Reload"));
  if (request.json) print("{\"reloaded\":true}\n");
  return 0;
}

// A list of lines; with --json as an object of `key`.
Result<int> print_list(const Request& request, std::string_view key, const std::vector<std::string>& lines) {
  if (request.json) {
    sys::JsonWriter json;
    json.open_object().key(key).open_array();
    for (const std::string& line : lines) json.string(line);
    json.close_array().close_object();
    print_json(json);
  } else {
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    print_at_terminal(text);
  }
  return 0;
}

Result<int> groups(const Manager& manager, const Request& request) {
  return print_list(request, "groups", CGX_TRY(read_texts(CGX_TRY(manager.call("ListGroups")).get())));
}

Result<int> get(const Manager& manager, const Request& request) {
  const auto answers = CGX_TRY(read_answers(CGX_TRY(manager.call("GetGroup", group_of(request))).get()));
  if (!request.json) {
    print_answers(answers);
    return 0;
  }
  sys::JsonWriter json;
  json.open_object().key("name").string(request.word).key("values").open_object();
  write_answers(json, answers);
  json.close_object().close_object();
  print_json(json);
  return 0;
}

Result<int> explain(const Manager& manager, const Request& request) {
  return print_list(request, "steps", CGX_TRY(read_texts(CGX_TRY(manager.call("Explain", group_of(request))).get())));
}

// `web oom memory.max=64.0M raise done: 64M -> 80M (took 60us)`
std::string decision_text(const daemon::Answers& d) {
  std::string text =
      fmt::format("{} {} {}", shown_time(number_of(d, "time")), text_of(d, "group"), text_of(d, "event"));
  if (const auto knob = text_of(d, "limit"); !knob.empty()) {
    text += fmt::format(" {}", knob);
    if (const auto bytes = number_of(d, "limit_bytes"); bytes != 0) text += "=" + sys::format_size(bytes);
    if (const auto whose = text_of(d, "limit_of"); !whose.empty() && whose != text_of(d, "group"))
      text += fmt::format(" of {}", whose);
  }
  if (const auto usage = number_of(d, "usage"); usage != 0) text += " usage=" + sys::format_size(usage);
  if (const auto action = text_of(d, "action"); !action.empty())
    text += fmt::format(" {} {}", action, text_of(d, "result"));
  if (const auto pid = number_of(d, "pid"); pid != 0) {
    text += fmt::format(" pid={} ({})", pid, text_of(d, "command"));
    if (const auto rss = number_of(d, "rss"); rss != 0) text += " rss=" + sys::format_size(rss);
  }
  if (const auto detail = text_of(d, "detail"); !detail.empty()) text += fmt::format(": {}", detail);
  if (const auto took = number_of(d, "took_usec"); took != 0) text += " (took " + sys::format_time(took) + ")";
  return sys::harmless(text);
}

Result<int> history(const Manager& manager, const Request& request) {
  const auto reply =
      CGX_TRY(manager.call("History", [&](sd_bus_message* m) { return sd_bus_message_append(m, "u", request.count); }));
  const auto decisions = CGX_TRY(read_list(reply.get()));
  if (!request.json) {
    std::string text;
    for (const daemon::Answers& d : decisions) text += decision_text(d) + "\n";
    print(text);
    return 0;
  }
  sys::JsonWriter json;
  json.open_object().key("decisions").open_array();
  for (const daemon::Answers& d : decisions) {
    json.open_object();
    write_answers(json, d);
    json.close_object();
  }
  json.close_array().close_object();
  print_json(json);
  return 0;
}

// ---- policies -------------------------------------------------------------------------------------------------------

// The file's text in a memfd: cgxd reads a text, whatever this file is, and need not wait for it.
Result<sys::Fd> policy_text(const std::string& file) {
  sys::Fd in;
  if (file != "-") {
    auto opened = sys::open_path(file, O_RDONLY | O_NOCTTY);
    if (!opened) {
      Error e{.code = opened.error().code, .what = "cannot be read: " + errno_text(opened.error().code), .value = file};
      e.fault = Fault::usage;
      return std::unexpected(std::move(e));
    }
    in = std::move(*opened);
  }
  constexpr std::size_t most = 1U << 20U;
  auto text = sys::read_all(file == "-" ? STDIN_FILENO : in.get(), most);
  if (!text) {
    Error e{.code = text.error().code, .value = file, .fault = Fault::usage};
    e.what = e.code == EFBIG ? "is longer than 1 MiB" : "cannot be read: " + errno_text(e.code);
    return std::unexpected(std::move(e));
  }
  sys::Fd memory(memfd_create("policy", MFD_CLOEXEC));
  if (!memory.valid()) return fail_errno(errno, "memfd_create");
  for (std::string_view rest = *text; !rest.empty();) {
    const ssize_t n = write(memory.get(), rest.data(), rest.size());
    if (n < 0 && errno != EINTR) return fail_errno(errno, "a memfd");
    if (n > 0) rest.remove_prefix(static_cast<std::size_t>(n));
  }
  return memory;
}

Result<int> changes(const Manager& manager, const Request& request, const char* member) {
  const sys::Fd text = CGX_TRY(policy_text(request.word));
  const auto reply =
      CGX_TRY(manager.call(member, [&](sd_bus_message* m) { return sd_bus_message_append(m, "h", text.get()); }));
  return print_list(request, "changes", CGX_TRY(read_texts(reply.get())));
}
Result<int> apply(const Manager& manager, const Request& request) { return changes(manager, request, "Apply"); }
Result<int> plan(const Manager& manager, const Request& request) { return changes(manager, request, "Plan"); }

// ---- watch ----------------------------------------------------------------------------------------------------------

std::uint64_t now() {
  timespec ts{};
  (void)clock_gettime(CLOCK_REALTIME, &ts);
  return static_cast<std::uint64_t>(ts.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(ts.tv_nsec) / 1000;
}

struct Watching {
  bool json = false;
  bool broken = false;
};

void tell(const Watching& watching,
          std::string_view signal,
          std::string_view group,
          std::string_view action,
          const daemon::Answers& details) {
  if (!watching.json) {
    std::string text =
        details.empty() ? fmt::format("{} {}", shown_time(now()), sys::harmless(group)) : decision_text(details);
    print(fmt::format("{}{} {}\n", signal, std::string(signal.size() < 13 ? 13 - signal.size() : 0, ' '), text));
    return;
  }
  sys::JsonWriter json;
  json.open_object().key("time").real(static_cast<double>(now()) / 1e6).key("signal").string(signal);
  if (!group.empty()) json.key("group").string(group);
  if (!action.empty()) json.key("action").string(action);
  if (!details.empty()) {
    json.key("details").open_object();
    write_answers(json, details);
    json.close_object();
  }
  json.close_object();
  print_json(json);
}

int on_signal(sd_bus_message* m, void* userdata, sd_bus_error*) {
  const auto& watching = *static_cast<Watching*>(userdata);
  const char* group = "";
  const char* action = "";
  daemon::Answers details;
  const std::string_view types = sd_bus_message_get_signature(m, 1);
  if (types.starts_with('s')) (void)sd_bus_message_read(m, "s", &group);
  if (types.starts_with("ss")) (void)sd_bus_message_read(m, "s", &action);
  if (types.ends_with("a{sv}")) details = read_answers(m).value_or(daemon::Answers{});
  tell(watching, sd_bus_message_get_member(m), group, action, details);
  return 0;
}

// cgxd has gone, or has come.
int on_owner(sd_bus_message* m, void* userdata, sd_bus_error*) {
  const auto& watching = *static_cast<Watching*>(userdata);
  const char* owner = nullptr;
  if (sd_bus_message_read(m, "sss", nullptr, nullptr, &owner) > 0)
    tell(watching, *owner == '\0' ? "stopped" : "started", "", "", {});
  return 0;
}

Result<int> watch(const Manager& manager, const Request& request) {
  CGX_CHECK(manager.properties());  // it runs
  Watching watching{.json = request.json};
  int r = sd_bus_match_signal(manager.bus(),
                              nullptr,
                              daemon::bus_name,
                              daemon::bus_path,
                              daemon::bus_interface,
                              nullptr,
                              &on_signal,
                              &watching);
  const std::string rule =
      fmt::format("type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{}'", daemon::bus_name);
  if (r >= 0) r = sd_bus_add_match(manager.bus(), nullptr, rule.c_str(), &on_owner, &watching);
  if (r < 0) return fail_errno(-r, "signals cannot be had");
  if (request.json) tell(watching, "watching", "", "", {});
  while (r >= 0) {
    r = sd_bus_process(manager.bus(), nullptr);
    if (r == 0) r = sd_bus_wait(manager.bus(), UINT64_MAX);
    if (r == -EINTR) r = 0;
  }
  return fail_errno(-r, "the bus is gone");
}

// ---- main -----------------------------------------------------------------------------------------------------------

std::unexpected<Error> also(Error error, std::string_view hint) {
  if (!hint.empty() && error.fault != Fault::usage)
    error.hint += fmt::format("{}{}", error.hint.empty() ? "" : "; ", hint);
  return std::unexpected(std::move(error));
}

Result<int> run(const Request& request) {
  struct Row {
    std::string_view name;
    Fn fn;
    std::string_view elsewhere{};  // where the same is, of a cgxd that nobody can ask
  };
  static constexpr std::string_view log = "a cgxd with --bus off answers nothing: its log has its decisions";
  static constexpr std::array rows{Row{"status", &status},
                                   Row{"reload", &reload},
                                   Row{"groups", &groups},
                                   Row{"get", &get},
                                   Row{"history", &history, log},
                                   Row{"explain", &explain},
                                   Row{"apply", &apply},
                                   Row{"plan", &plan},
                                   Row{"watch", &watch, log}};
  for (const Row& row : rows)
    if (row.name == request.subcommand) {
      const auto manager = Manager::connect(request.bus);
      if (!manager) return also(manager.error(), row.elsewhere);
      auto done = row.fn(*manager, request);
      if (!done && done.error().code == ENOENT) return also(done.error(), row.elsewhere);  // no cgxd is there
      return done;
    }
  return bad_value(request.subcommand, "is no subcommand");
}

int run_main(std::span<const std::string_view> words) {
  if (words.size() != 5) {
    print("cgx-bus is executed by cgx: see cgx daemon --help\n");
    return 2;
  }
  Request request{.subcommand = std::string(words[0]),
                  .bus = std::string(words[1]),
                  .json = words[2] == "json",
                  .count = static_cast<std::uint32_t>(sys::parse_u64(words[3], 0, UINT32_MAX).value_or(0)),
                  .word = std::string(words[4])};
  const Result<int> status = run(request);
  return status ? *status : report(status.error(), "daemon " + request.subcommand, request.json);
}

}  // namespace
}  // namespace cgx::tool

int main(int argc, char** argv) {
  const std::span<char* const> all(argv, static_cast<std::size_t>(argc));
  if (argc > 1 && std::string_view(argv[1]) == "scope") return cgx::tool::run_scope(all.subspan(2));
  if (argc > 1 && std::string_view(argv[1]) == "start-scope") return cgx::tool::run_start_scope(all.subspan(2));
  if (argc > 1 && std::string_view(argv[1]) == "set-scope") return cgx::tool::run_set_scope(all.subspan(2));
  if (argc > 1 && std::string_view(argv[1]) == "stop-scope") return cgx::tool::run_stop_scope(all.subspan(2));
  std::vector<std::string_view> words;
  for (const char* word : all.subspan(all.empty() ? 0 : 1)) words.emplace_back(word);
  return cgx::tool::run_main(words);
}
