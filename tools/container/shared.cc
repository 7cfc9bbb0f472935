// SPDX-License-Identifier: Apache-2.0
#include "shared.h"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sched.h>
#include <sys/utsname.h>

#include <fmt/format.h>

#include "cgx/container/proc_fd.h"

namespace cgx::launcher {
namespace {

struct SharedRow {
  std::string_view type, flag;
  const char* file;  // in /proc/PID
  int bit;           // of clone(2)
  std::string RunOptions::* asked;
  std::string Record::* mode;  // container:NAME, with the whole name
  std::string Record::* of;    // the id of that container
};
constexpr std::array shared_rows{
    SharedRow{
        "network", "--network", "ns/net", CLONE_NEWNET, &RunOptions::network, &Record::network, &Record::network_of},
    SharedRow{"pid", "--pid", "ns/pid", CLONE_NEWPID, &RunOptions::pid, &Record::pid, &Record::pid_of},
    SharedRow{"uts", "--uts", "ns/uts", CLONE_NEWUTS, &RunOptions::uts, &Record::uts, &Record::uts_of}};

constexpr std::string_view other_one = "container:";

Result<sys::Fd> open_one(const SharedRow& row, const Record& record) {
  const auto not_there = [&](std::string what) {
    Error e{.code = ESRCH, .what = std::move(what), .knob = std::string(row.flag), .value = record.*row.mode};
    return std::unexpected(std::move(e));
  };
  const auto other = find((record.*row.mode).substr(other_one.size()));
  if (!other && other.error().code != ENOENT) return std::unexpected(other.error());
  if (!other) return not_there("is of a container that was removed");
  if (other->record.hex_id != record.*row.of)
    return not_there("is now the name of another container than the one that was meant");
  auto opened = container::open_in_proc(other->state.pid, other->state.pid_start, row.file, O_RDONLY);
  if (!opened && opened.error().code == ESRCH) return not_there("is of a container that does not run");
  return opened;
}

}  // namespace

Result<Shared> choose_shared(const RunOptions& options, const std::string& run_root, Record& record) {
  Shared shared;
  for (const SharedRow& row : shared_rows) {
    const std::string& asked = options.*row.asked;
    record.*row.mode = asked;
    if (!asked.starts_with(other_one)) continue;
    auto other = find(asked.substr(other_one.size()));
    if (!other)
      return std::unexpected(
          located(Result<>(std::unexpected(other.error())), "", std::string(row.flag), asked).error());
    record.*row.mode = fmt::format("{}{}", other_one, other->record.id);
    record.*row.of = other->record.hex_id;
    shared.paths.emplace(row.type, fmt::format("{}/{}/{}", run_root, other->record.id, row.file));
    if (row.type == "uts") shared.hostname = other->record.id.substr(0, 64);
    const auto spec = container::read_spec(other->state.config, "/");
    if (row.type == "uts" && spec && !spec->hostname.empty()) shared.hostname = spec->hostname;
  }
  return shared;
}

Result<> check_shared(const RunOptions& options) {
  for (const SharedRow& row : shared_rows) {
    const std::string& asked = options.*row.asked;
    if (!asked.starts_with(other_one)) continue;
    const auto other = find(asked.substr(other_one.size()));
    if (!other) return located(Result<>(std::unexpected(other.error())), "", std::string(row.flag), asked);
    if (CGX_TRY(container::init_lives(other->state))) continue;
    return std::unexpected(Error{
        .code = ESRCH, .what = "is of a container that does not run", .knob = std::string(row.flag), .value = asked});
  }
  return {};
}

Result<std::string> host_name_of(const RunOptions& options, const std::string& id, const Shared& shared) {
  if (!shared.hostname.empty()) return shared.hostname;
  if (options.uts != "host") return options.hostname.empty() ? id.substr(0, 64) : options.hostname;
  utsname host{};
  if (uname(&host) != 0) return fail_errno(errno, "uname");
  return std::string(host.nodename);
}

Result<std::vector<sys::Fd>> open_shared(const Record& record, container::Spec& spec) {
  std::vector<sys::Fd> open;
  for (const SharedRow& row : shared_rows) {
    if ((record.*row.of).empty()) continue;
    open.push_back(CGX_TRY(open_one(row, record)));
    for (container::Namespace& ns : spec.linux_.namespaces)
      if (container::namespace_flag(ns.type) == row.bit) ns.path = fmt::format("/proc/self/fd/{}", open.back().get());
  }
  return open;
}

}  // namespace cgx::launcher
