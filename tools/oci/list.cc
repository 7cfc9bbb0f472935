// SPDX-License-Identifier: Apache-2.0
// state, list, ps: what there is.
#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

#include "container.h"

namespace cgx::oci {
namespace {

pid_t shown_pid(const Container& c) { return c.status == Status::stopped ? 0 : c.state.pid; }

void write_state(sys::JsonWriter& json, const Container& c) {
  const State& s = c.state;
  json.open_object().key("ociVersion").string(s.oci_version).key("id").string(s.id).key("pid").integer(shown_pid(c));
  json.key("status").string(status_word(c.status)).key("bundle").string(s.bundle).key("rootfs").string(s.rootfs);
  json.key("created").string(s.created);
  if (!s.annotations.empty()) {
    json.key("annotations").open_object();
    for (const auto& [key, value] : s.annotations) json.key(key).string(value);
    json.close_object();
  }
  json.key("owner").string(s.owner).close_object();
}

Result<> check_format(std::string_view format) {
  if (format == "table" || format == "json" || format.empty()) return {};
  return fail(EINVAL, "invalid format option");
}

// Columns as wide as their widest cell and three blanks, at least twelve; the last one as it is.
std::string table(const std::vector<std::array<std::string, 6>>& rows) {
  std::array<std::size_t, 6> widths{};
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max({widths[i], row[i].size() + 3, std::size_t{12}});
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i + 1 < row.size(); ++i) text += fmt::format("{:<{}}", row[i], widths[i]);
    text += row.back() + "\n";
  }
  return text;
}

// Standard output of a program of the host.
Result<std::string> output_of(std::vector<std::string> words) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  const sys::Fd from(ends[0]);
  sys::Fd to(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to.get(), STDOUT_FILENO);
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t child = -1;
  const int code = posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  to.reset(-1);
  if (code != 0) return fail(code, fmt::format("exec: \"{}\": {}", words[0], errno_text(code)));
  auto text = sys::read_all(from.get());
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  if (!text) return fail_errno(text.error().code, words[0]);
  if (status != 0)
    return fail(EIO, fmt::format("{}: exit status {}: {}", words[0], WEXITSTATUS(status), sys::trim(*text)));
  return std::move(*text);
}

}  // namespace

Result<int> run_state(const Invocation& call) {
  const Container container = CGX_TRY(find_container(call, call.words[0], Store::How::look));
  sys::JsonWriter json;
  write_state(json, container);
  print(pretty_json(json.take()) + "\n");
  return 0;
}

Result<int> run_list(const Invocation& call) {
  const std::string_view format = call.get("format");
  CGX_CHECK(check_format(format));
  Store store = CGX_TRY(Store::open(call.root()));
  std::vector<Container> all;
  for (const std::string& id : CGX_TRY(store.ids())) {
    auto found = find_container(call, id, Store::How::look);
    if (found)
      all.push_back(std::move(*found));
    else if (found.error().code != ENOENT)  // gone meanwhile, or not begun
      call.log->warning(fmt::format("load container {}: {}", id, found.error().text()));
  }
  if (call.on("quiet")) {
    for (const Container& c : all) print(c.state.id + "\n");
    return 0;
  }
  if (format == "json") {
    if (all.empty()) {
      print("null\n");
      return 0;
    }
    sys::JsonWriter json;
    json.open_array();
    for (const Container& c : all) write_state(json, c);
    json.close_array();
    print(json.take() + "\n");
    return 0;
  }
  std::vector<std::array<std::string, 6>> rows{{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}};
  for (const Container& c : all)
    rows.push_back({c.state.id,
                    std::to_string(shown_pid(c)),
                    std::string(status_word(c.status)),
                    c.state.bundle,
                    c.state.created,
                    c.state.owner});
  print(table(rows));
  return 0;
}

Result<int> run_ps(const Invocation& call) {
  const std::string_view format = call.get("format");
  CGX_CHECK(check_format(format));
  const Container container = CGX_TRY(find_container(call, call.words[0], Store::How::look));
  std::vector<pid_t> pids;
  if (!container.state.group.empty()) {
    const Hierarchies hierarchies = CGX_TRY(container::hierarchies_of(container.state));
    const Cgroup group(hierarchies, container.state.group);
    if (CGX_TRY(is_there(group))) pids = CGX_TRY(tasks_below(group));
  } else if (container.status != Status::stopped) {
    pids.push_back(container.state.pid);
  }
  if (format == "json") {
    sys::JsonWriter json;
    json.open_array();
    for (const pid_t pid : pids) json.integer(pid);
    json.close_array();
    print(json.take() + "\n");
    return 0;
  }
  std::vector<std::string> words{"ps"};
  words.insert(words.end(), call.words.begin() + 1, call.words.end());
  if (words.size() == 1) words.emplace_back("-ef");
  const std::string text = CGX_TRY(output_of(std::move(words)));
  const auto lines = sys::lines(text);
  if (lines.empty()) return fail(EIO, "ps printed nothing");
  const auto header = sys::words(lines[0]);
  const auto at = std::ranges::find(header, std::string_view("PID"));
  if (at == header.end()) return fail(EINVAL, "couldn't find PID field in ps output");
  const auto column = static_cast<std::size_t>(at - header.begin());
  print(fmt::format("{}\n", lines[0]));
  for (const std::string_view line : std::span(lines).subspan(1)) {
    const auto fields = sys::words(line);
    if (fields.size() <= column) continue;
    const auto pid = sys::parse_u64(fields[column], 0, INT32_MAX);
    if (pid && std::ranges::find(pids, static_cast<pid_t>(*pid)) != pids.end()) print(fmt::format("{}\n", line));
  }
  return 0;
}

}  // namespace cgx::oci
