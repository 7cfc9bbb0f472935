// SPDX-License-Identifier: Apache-2.0
#include "bus_scope.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <vector>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/device_node.h"
#include "cgx/cgroupfs/disk.h"
#include "cgx/cgroupfs/place.h"
#include "cgx/change/slice.h"
#include "cgx/sys/text.h"

#include "command.h"
#include "daemon/bus/systemd.h"

namespace cgx::tool {
namespace {

struct ScopeRequest {
  std::string group;
  std::string slice;
  bool json = false;
  std::vector<Limit> limits;
  std::span<char* const> command;
};

// `--FLAG`, `=NAME` of a row, or a file, with its value. What is given several times comes as several.
Result<> add_limit(std::vector<Limit>& limits, std::string_view key, const std::string& text) {
  const DeviceNames names{.disk = disk_of, .node = device_node};
  if (!key.starts_with("--") && !key.starts_with('=')) {
    limits.push_back({nullptr, std::string(), text, std::string(key)});
    return {};
  }
  const Knob* knob = find_knob(key.starts_with('=') ? key.substr(1) : key);
  if (knob == nullptr) return bad_value(key, "is no limit");
  Value value = CGX_TRY(located(parse_value(*knob, text, names), "", key));
  for (Limit& limit : limits)
    if (limit.knob == knob) return located(merge_value(limit.value, value), "", key, text);
  limits.push_back({knob, std::move(value), text, {}});
  return {};
}

Result<ScopeRequest> parse(std::span<char* const> words) {
  if (words.size() < 5) return bad_value({}, "cgx-bus scope is executed by cgx exec");
  ScopeRequest request{.group = words[0], .slice = words[1], .json = std::string_view(words[2]) == "json"};
  const auto count = CGX_TRY(sys::parse_u64(words[3], 0, (words.size() - 5) / 2));
  words = words.subspan(4);
  for (std::uint64_t i = 0; i < count; ++i, words = words.subspan(2))
    CGX_CHECK(add_limit(request.limits, words[0], words[1]));
  request.command = words;
  return request;
}

// What systemd has no property for, in the scope's own directory, which is delegated to this process. A v1 hierarchy
// that systemd does not know has none, and one made there would stay behind.
Result<> write_files(const Hierarchies& hierarchies, const std::string& group, std::span<const Limit> files) {
  if (files.empty()) return {};
  const Cgroup cgroup(hierarchies, group);
  for (const Limit& limit : files) {
    const Hierarchy* h = nullptr;
    if (limit.knob != nullptr)
      h = CGX_TRY(home_of(hierarchies, *limit.knob)).hierarchy;
    else if (const auto controller = controller_of_file(limit.file))
      h = cgroup.home(*controller, limit.file);
    if (h == nullptr || cgroup.dir(*h)) continue;
    Error e{.code = ENOTSUP,
            .what = fmt::format("cannot be set for one command here: systemd makes no group for it in {}", h->dir()),
            .knob = limit.knob != nullptr ? std::string(limit.knob->name) : limit.file,
            .value = limit.given,
            .hint = "set it on the group"};
    return std::unexpected(std::move(e));
  }
  CGX_CHECK(mark_slice(hierarchies, group));
  Transaction transaction(hierarchies);
  CGX_CHECK(transaction.apply({.group = group, .limits = {files.begin(), files.end()}}));
  transaction.commit();
  return {};
}

// v1 hierarchies that systemd does not manage have the slice's directory where cgx has set something in it.
Result<> join_others(const Hierarchies& hierarchies, const std::string& slice_group) {
  const Cgroup slice(hierarchies, slice_group);
  for (const Place& place : CGX_TRY(places_of(hierarchies, 0))) {
    if (place.hierarchy->version() != Version::v1 || lies_in(place.group, slice_group) || !slice.dir(*place.hierarchy))
      continue;
    CGX_CHECK(slice.write(*place.hierarchy, "tasks", "0"));
  }
  return {};
}

Result<> enter(const ScopeRequest& request) {
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const daemon::Divided divided = CGX_TRY(daemon::divide(hierarchies, request.limits));
  const auto systemd = CGX_TRY(daemon::SystemdManager::connect());
  const std::string scope = fmt::format("cgx-exec-{}.scope", getpid());
  const std::array<pid_t, 1> self{getpid()};
  const std::string description = fmt::format("cgx exec {}: {}", request.group, request.command[0]);
  CGX_CHECK(systemd->start_scope(scope, request.slice, self, divided.properties, description));
  CGX_CHECK(write_files(hierarchies, CGX_TRY(systemd->group_of(scope)), divided.files));
  return join_others(hierarchies, CGX_TRY(systemd->group_of(request.slice)));
}

// A process is in the scope already; its limits are in force before another one comes.
Result<std::string> start_scope(std::span<char* const> words) {
  if (words.size() < 3 || words.size() % 2 == 0) return bad_value({}, "cgx-bus start-scope is executed by cgx-oci");
  const std::string scope = words[0];
  const std::string slice = words[1];
  const std::array<pid_t, 1> first{static_cast<pid_t>(CGX_TRY(sys::parse_u64(words[2], 1, INT32_MAX)))};
  std::vector<Limit> limits;
  for (words = words.subspan(3); !words.empty(); words = words.subspan(2))
    CGX_CHECK(add_limit(limits, words[0], words[1]));
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const daemon::Divided divided = CGX_TRY(daemon::divide(hierarchies, limits));
  const auto systemd = CGX_TRY(daemon::SystemdManager::connect());
  CGX_CHECK(systemd->start_scope(scope, slice, first, divided.properties, fmt::format("container {}", scope)));
  std::string group = CGX_TRY(systemd->group_of(scope));
  // A container's group is removed by cgx-oci, so it is made in the v1 hierarchies that systemd does not know too:
  // those of cpuset and of the freezer are among them.
  CGX_CHECK(mark_slice(hierarchies, group));
  Transaction transaction(hierarchies);
  CGX_CHECK(transaction.apply({.group = group, .limits = divided.files, .existing = Existing::allow}));
  transaction.commit();
  return group;
}

// systemd has swap apart from memory, which a limit of both together says nothing of.
Result<> complete(const Cgroup& group, std::vector<Limit>& limits) {
  const auto has = [&](std::string_view flag) {
    return std::ranges::any_of(limits, [&](const Limit& l) { return l.knob != nullptr && l.knob->flag == flag; });
  };
  const Knob* memory = find_knob("memory.max");
  if (memory == nullptr || !has("memsw") || has(memory->flag)) return {};
  if (auto now = CGX_TRY(read_knob(group, *memory))) limits.push_back({memory, *std::move(now), {}, {}});
  return {};
}

Result<> set_scope(std::span<char* const> words) {
  if (words.empty() || words.size() % 2 == 0) return bad_value({}, "cgx-bus set-scope is executed by cgx-oci");
  const std::string scope = words[0];
  std::vector<Limit> limits;
  for (words = words.subspan(1); !words.empty(); words = words.subspan(2))
    CGX_CHECK(add_limit(limits, words[0], words[1]));
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const auto systemd = CGX_TRY(daemon::SystemdManager::connect());
  const std::string group = CGX_TRY(systemd->group_of(scope));
  if (group.empty()) return fail(ESRCH, fmt::format("systemd has no group of {}", scope));
  CGX_CHECK(complete(Cgroup(hierarchies, group), limits));
  const daemon::Divided divided = CGX_TRY(daemon::divide(hierarchies, limits));
  if (!divided.properties.empty()) CGX_CHECK(systemd->set_properties(scope, divided.properties));
  return write_files(hierarchies, group, divided.files);
}

}  // namespace

int run_set_scope(std::span<char* const> words) {
  const Result<> done = set_scope(words);
  return done ? 0 : report(done.error(), "set-scope", false);
}

int run_stop_scope(std::span<char* const> words) {
  const auto stop = [&]() -> Result<> {
    if (words.size() != 1) return bad_value({}, "cgx-bus stop-scope is executed by cgx-oci");
    return CGX_TRY(daemon::SystemdManager::connect())->stop(words[0]);
  };
  const Result<> done = stop();
  return done ? 0 : report(done.error(), "stop-scope", false);
}

int run_start_scope(std::span<char* const> words) {
  const Result<std::string> group = start_scope(words);
  if (!group) return report(group.error(), "start-scope", false);
  print(*group + "\n");
  return 0;
}

int run_scope(std::span<char* const> words) {
  const Result<ScopeRequest> request = parse(words);
  if (!request) {
    (void)report(request.error(), "exec", false);
    return 125;
  }
  if (auto entered = enter(*request); !entered) {
    if (entered.error().group.empty()) entered.error().group = request->group;
    (void)report(entered.error(), "exec", request->json);
    return 125;
  }
  std::vector<char*> argv(request->command.begin(), request->command.end());
  argv.push_back(nullptr);
  (void)execvp(argv[0], argv.data());
  const int code = errno;
  Error e{.code = code, .group = request->group, .value = argv[0]};
  e.what = code == ENOENT ? "was not found" : "cannot be executed: " + errno_text(code);
  (void)report(e, "exec", request->json);
  return code == ENOENT ? 127 : 126;
}

}  // namespace cgx::tool
