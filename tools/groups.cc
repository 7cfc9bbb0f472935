// SPDX-License-Identifier: Apache-2.0
#include "groups.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/device_node.h"
#include "cgx/cgroupfs/disk.h"
#include "cgx/cgroupfs/presence.h"
#include "cgx/change/slice.h"
#include "cgx/sys/accounts.h"
#include "cgx/sys/text.h"

namespace cgx::tool {
namespace {

struct Database {
  sys::Account account;
  const char* name;  // getent's
  const char* one;   // of its entries
};
constexpr Database users{.account = sys::Account::user, .name = "passwd", .one = "user"};
constexpr Database user_groups{.account = sys::Account::group, .name = "group", .one = "group"};

// The third field of what getent prints for `name`: a static program must not load NSS modules itself.
Result<std::uint32_t> ask_getent(const Database& database, std::string_view name) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  const sys::Fd from(ends[0]);
  sys::Fd to(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to.get(), STDOUT_FILENO);
  std::string program = "getent";
  std::string base = database.name;
  std::string user(name);
  std::array<char*, 5> argv{program.data(), base.data(), user.data(), nullptr, nullptr};
  pid_t child = -1;
  const int rc = posix_spawnp(&child, "getent", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  to.reset(-1);
  if (rc != 0) return fail_errno(rc, "getent");
  const auto line = sys::read_all(from.get());
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  const auto fields = sys::split(line ? sys::trim(*line) : std::string_view(), ':');
  // 2 is its word for a name that is not there; anything else is no answer.
  if (status != 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 2))
    return fail(EIO, fmt::format("\"{}\" cannot be looked up: getent {} failed", name, database.name));
  if (!line) return fail_errno(line.error().code, fmt::format("the answer of getent {}", database.name));
  if (status != 0 || fields.size() < 3) return bad_value(name, fmt::format("is no {}", database.one));
  const auto id = sys::parse_u64(fields[2], 0, 0xfffffffe);
  if (!id) return bad_value(name, "has no number");
  return static_cast<std::uint32_t>(*id);
}

// The host's files come first, as in every usual nsswitch.conf (where another service is named before them, it leaves
// local names to them): what they hold needs no other program, and a file that cannot be read is an error with its
// reason. getent tells nobody of one: it goes on without it, and the name "is not there".
// Nor is it asked for a number: it takes one modulo 2^32 and finds another user's entry.
Result<std::uint32_t> id_of(const Database& database, std::string_view text) {
  if (const auto n = sys::parse_u64(text, 0, 0xfffffffe)) return static_cast<std::uint32_t>(*n);
  const std::string_view digits = text.substr(text.starts_with('+') ? 1 : 0);
  if (!digits.empty() && digits.find_first_not_of("0123456789") == std::string_view::npos)
    return bad_value(text, fmt::format("is no number of a {} from 0 to 4294967294", database.one));
  if (text.empty() || text.starts_with('-') || text.find_first_of(" \t\n/:") != std::string_view::npos)
    return bad_value(text, fmt::format("is no {}", database.one));
  if (const auto known = CGX_TRY(sys::account_id(database.account, text))) return *known;
  return ask_getent(database, text);
}

}  // namespace

bool adds(Format format) { return is_table(format) || format == Format::device_rules; }

Result<std::vector<Limit>> limits_of(const Call& call) {
  const DeviceNames names{.disk = disk_of, .node = device_node};
  std::vector<Limit> limits;
  for (const LimitFlag& f : call.limits) {
    if (f.knob == nullptr) {
      limits.push_back({nullptr, std::string(), f.text, f.file});
      continue;
    }
    auto parsed = located(parse_value(*f.knob, f.text, names), "", "--" + std::string(f.knob->flag));
    // Docker's --cpus is an amount of time.
    if (!parsed && f.knob->name == "cpuset.cpus" && f.text.find(',') == std::string::npos && sys::parse_quota(f.text))
      parsed.error().hint = fmt::format("a list of CPUs by their numbers; for their time: --cpu-quota {}", f.text);
    Value value = CGX_TRY(std::move(parsed));
    const auto same = std::ranges::find(limits, f.knob, &Limit::knob);
    if (same == limits.end()) {
      limits.push_back({f.knob, std::move(value), f.text, {}});
    } else if (adds(f.knob->format)) {
      CGX_CHECK(located(merge_value(same->value, value), "", "--" + std::string(f.knob->flag), f.text));
      same->given += ' ' + f.text;
    } else {
      *same = {f.knob, std::move(value), f.text, {}};
    }
  }
  return limits;
}

Result<std::vector<std::string>> names_of(const Call& call, std::size_t from) {
  std::vector<std::string> names;
  for (std::size_t i = from; i < call.words.size(); ++i) names.push_back(CGX_TRY(parse_group_name(call.words[i])));
  return names;
}

Result<std::string> existing_name(const Hierarchies& hierarchies, std::string_view word) {
  return existing_group(hierarchies, CGX_TRY(parse_group_name(word)));
}

std::string existing_group(const Hierarchies& hierarchies, std::string name) {
  if (name.empty() || !systemd_is_manager()) return name;
  // Who works on what could not be looked at is told why.
  if (const auto there = is_there(Cgroup(hierarchies, name)); !there || *there) return name;
  const auto slice = slice_of(name);
  return slice && is_marked_slice(hierarchies, slice->group) ? slice->group : name;
}

Result<std::optional<ControllerSet>> only_of(const Call& call) {
  if (!call.on("controllers")) return std::optional<ControllerSet>{};
  return std::optional(CGX_TRY(located(ControllerSet::parse(call.get("controllers")), "", "--controllers")));
}

Result<Owner> parse_owner(std::string_view text) {
  const std::size_t colon = text.find(':');
  Owner owner;
  owner.uid = CGX_TRY(located(id_of(users, text.substr(0, colon)), "", "--owner"));
  if (colon != std::string_view::npos)
    owner.gid = CGX_TRY(located(id_of(user_groups, text.substr(colon + 1)), "", "--owner"));
  return owner;
}

Result<Deadline> deadline_of(const Call& call, std::chrono::milliseconds otherwise) {
  const auto now = std::chrono::steady_clock::now();
  if (!call.on("timeout")) return now + otherwise;
  const std::uint64_t usec = CGX_TRY(located(sys::parse_time(call.get("timeout")), "", "--timeout"));
  return now + std::chrono::microseconds(std::min<std::uint64_t>(usec, 1ULL << 50U));
}

Result<> refuse_frozen(const Cgroup& group) {
  const Hierarchy* h = freezer_of(group);
  if (h == nullptr) return {};
  const std::string stopped = CGX_TRY(told_to_freeze(group, *h)) ? group.name() : CGX_TRY(frozen_ancestor(group, *h));
  if (stopped.empty()) return {};
  Error e{.code = EBUSY, .what = "is frozen", .group = group.name(), .hint = "cgx thaw " + stopped};
  if (stopped != group.name()) e.what += fmt::format(", since {} above it is", stopped);
  return std::unexpected(std::move(e));
}

void print_notes(const Call& call, const std::vector<std::string>& notes) {
  if (call.json) return;  // stderr is one JSON object there, or nothing
  for (const std::string& note : notes) {
    const std::string line = fmt::format("cgx: {}: note: {}\n", call.command->name, note);
    (void)!write(STDERR_FILENO, line.data(), line.size());  // a note that cannot be shown is not worth failing for
  }
}

}  // namespace cgx::tool
