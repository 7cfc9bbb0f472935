// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/systemd.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <time.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/sys/text.h"

#include "daemon/bus/message.h"

namespace cgx::daemon {
namespace {

constexpr const char* service = "org.freedesktop.systemd1";
constexpr const char* object = "/org/freedesktop/systemd1";
constexpr const char* interface_manager = "org.freedesktop.systemd1.Manager";
constexpr const char* interface_unit = "org.freedesktop.systemd1.Unit";
constexpr std::uint64_t timeout = 30'000'000;  // microseconds

struct ErrorFree {
  sd_bus_error error{};
  ErrorFree() = default;
  ErrorFree(const ErrorFree&) = delete;
  ErrorFree& operator=(const ErrorFree&) = delete;
  ~ErrorFree() { sd_bus_error_free(&error); }
};

std::unexpected<Error> refused(int r, const sd_bus_error& error, const std::string& unit) {
  Error e{.code = r < 0 ? -r : EIO};
  e.what = fmt::format("systemd refuses {}: {}", unit, error.message != nullptr ? error.message : errno_text(e.code));
  if (e.code == EACCES || e.code == EPERM) e.hint = "run it as root";
  return std::unexpected(std::move(e));
}

std::uint64_t now() {
  timespec ts{};
  (void)clock_gettime(CLOCK_MONOTONIC, &ts);
  return static_cast<std::uint64_t>(ts.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(ts.tv_nsec) / 1000;
}

}  // namespace

Result<ManagerFound> find_manager(std::string_view wanted) {
  const bool booted = systemd_is_manager();
  if (wanted == "cgroupfs") return ManagerFound{false, "asked for"};
  if (wanted == "systemd") {
    if (booted) return ManagerFound{true, "asked for"};
    Error e{.code = ENOTSUP, .what = "systemd is not PID 1 here", .knob = "--manager", .value = "systemd"};
    e.hint = "--manager cgroupfs";
    return std::unexpected(std::move(e));
  }
  if (wanted != "auto")
    return located(Result<ManagerFound>(bad_value(wanted, "is not auto, systemd or cgroupfs")), "", "--manager");
  return ManagerFound{booted, booted ? "systemd is PID 1" : "systemd is not PID 1"};
}

// The connection is there as long as the outermost one lives.
class SystemdManager::Session {
 public:
  explicit Session(SystemdManager& manager) : manager_(manager) {
    if (manager.sessions_++ == 0) opened_ = manager.open();
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() {
    if (--manager_.sessions_ == 0) manager_.bus_ = sd_bus_flush_close_unref(manager_.bus_);
  }
  [[nodiscard]] const Result<>& opened() const { return opened_; }

 private:
  SystemdManager& manager_;
  Result<> opened_;
};

Result<std::unique_ptr<SystemdManager>> SystemdManager::connect() {
  auto manager = std::unique_ptr<SystemdManager>(new SystemdManager());
  const Session session(*manager);
  CGX_CHECK(session.opened());
  return manager;
}

Result<> SystemdManager::open() {
  int r = -EACCES;
  if (geteuid() == 0) {
    r = sd_bus_new(&bus_);
    if (r >= 0) r = sd_bus_set_address(bus_, "unix:path=/run/systemd/private");
    if (r >= 0) r = sd_bus_start(bus_);
    if (r < 0) bus_ = sd_bus_close_unref(bus_);
  }
  if (r < 0) r = sd_bus_open_system(&bus_);
  if (r < 0) return fail(-r, fmt::format("systemd cannot be reached: {}", errno_text(-r)));
  r = sd_bus_match_signal(
      bus_, nullptr, nullptr, object, interface_manager, "JobRemoved", &SystemdManager::on_job_removed, this);
  ErrorFree error;
  if (r >= 0) r = sd_bus_call_method(bus_, service, object, interface_manager, "Subscribe", &error.error, nullptr, "");
  if (r < 0) return refused(r, error.error, "to tell of its jobs");
  return {};
}

int SystemdManager::on_job_removed(sd_bus_message* message, void* userdata, sd_bus_error*) {
  const char* path = nullptr;
  const char* unit = nullptr;
  const char* result = nullptr;
  std::uint32_t id = 0;
  if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) > 0)
    static_cast<SystemdManager*>(userdata)->ended_.emplace_back(path, result);
  return 0;
}

Result<> SystemdManager::run_job(sd_bus_message* message, const std::string& unit) {
  ErrorFree error;
  sd_bus_message* got = nullptr;
  ended_.clear();
  int r = sd_bus_call(bus_, message, timeout, &error.error, &got);
  const Message reply(got);
  if (r < 0) return refused(r, error.error, unit);
  const char* path = nullptr;
  if (r = sd_bus_message_read(reply.get(), "o", &path); r < 0) return refused(r, error.error, unit);
  const std::string job = path;
  const std::uint64_t end = now() + timeout;
  while (true) {
    for (const auto& [ended, result] : ended_)
      if (ended == job) {
        if (result == "done" || result == "skipped") return {};
        return fail(EIO,
                    fmt::format("systemd's job for {} ended with \"{}\": see systemctl status {}", unit, result, unit));
      }
    r = sd_bus_process(bus_, nullptr);
    if (r > 0) continue;
    const std::uint64_t time = now();
    if (r == 0 && time >= end) return fail(ETIMEDOUT, fmt::format("systemd did not do its job for {} in time", unit));
    if (r == 0) r = sd_bus_wait(bus_, end - time);
    if (r < 0 && r != -EINTR) return fail(-r, fmt::format("systemd is gone: {}", errno_text(-r)));
  }
}

Result<> SystemdManager::start_transient(const std::string& unit, std::span<const UnitProperty> properties) {
  sd_bus_message* made = nullptr;
  int r = sd_bus_message_new_method_call(bus_, &made, service, object, interface_manager, "StartTransientUnit");
  const Message message(made);
  if (r >= 0) r = sd_bus_message_append(message.get(), "ss", unit.c_str(), "fail");
  if (r >= 0) r = append_properties(message.get(), properties);
  if (r >= 0) r = sd_bus_message_append(message.get(), "a(sa(sv))", 0);
  if (r < 0) return fail_errno(-r, "a message for systemd");
  return run_job(message.get(), unit);
}

Result<> SystemdManager::set_properties(const std::string& unit, std::span<const UnitProperty> properties) {
  const Session session(*this);
  CGX_CHECK(session.opened());
  sd_bus_message* made = nullptr;
  int r = sd_bus_message_new_method_call(bus_, &made, service, object, interface_manager, "SetUnitProperties");
  const Message message(made);
  if (r >= 0) r = sd_bus_message_append(message.get(), "sb", unit.c_str(), 1);  // until the next boot
  if (r >= 0) r = append_properties(message.get(), properties);
  if (r < 0) return fail_errno(-r, "a message for systemd");
  ErrorFree error;
  r = sd_bus_call(bus_, message.get(), timeout, &error.error, nullptr);
  if (r < 0) return refused(r, error.error, unit);
  return {};
}

Result<std::string> SystemdManager::text_property(const std::string& unit, const char* interface, const char* name) {
  char* path = nullptr;
  int r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit.c_str(), &path);
  if (r < 0) return fail_errno(-r, unit);
  const std::unique_ptr<char, decltype(&std::free)> keep(path, &std::free);
  char* text = nullptr;
  ErrorFree error;
  r = sd_bus_get_property_string(bus_, service, path, interface, name, &error.error, &text);
  if (r < 0) return refused(r, error.error, unit);
  const std::unique_ptr<char, decltype(&std::free)> keep_text(text, &std::free);
  return std::string(text);
}

Result<std::string> SystemdManager::group_of(const std::string& unit) {
  const Session session(*this);
  CGX_CHECK(session.opened());
  const std::size_t dot = unit.rfind('.');
  std::string kind = dot == std::string::npos ? "" : unit.substr(dot + 1);
  if (!kind.empty()) kind[0] = static_cast<char>(kind[0] - ('a' - 'A'));
  Result<std::string> text =
      text_property(unit, fmt::format("org.freedesktop.systemd1.{}", kind).c_str(), "ControlGroup");
  if (text && text->starts_with('/')) text->erase(0, 1);
  return text;
}

Result<> SystemdManager::put(const Hierarchies& hierarchies,
                             const std::string& group,
                             std::span<const Limit> limits,
                             const std::string& description) {
  const Session session(*this);
  CGX_CHECK(session.opened());
  const Slice slice = CGX_TRY(slice_of(group));
  Divided divided = CGX_TRY(located(divide(hierarchies, limits), group));
  const std::vector<UnitProperty> properties = with_defaults(hierarchies, std::move(divided.properties));
  const std::string fragment = CGX_TRY(located(text_property(slice.unit, interface_unit, "FragmentPath"), group));
  if (!fragment.empty() && !fragment.starts_with("/run/systemd/"))
    return std::unexpected(
        Error{.code = EEXIST,
              .what = fmt::format("{} is a unit of this host's own ({})", slice.unit, fragment),
              .group = group,
              .hint = fmt::format("give the group another name, or use systemctl set-property {}", slice.unit)});
  const std::string state = CGX_TRY(located(text_property(slice.unit, interface_unit, "ActiveState"), group));
  const bool fresh = state != "active";
  if (fresh) {
    std::vector<UnitProperty> first{
        {"Description", description.empty() ? fmt::format("Group {} of cgx", group) : description}};
    first.insert(first.end(), properties.begin(), properties.end());
    CGX_CHECK(located(start_transient(slice.unit, first), group));
  } else {
    CGX_CHECK(located(set_properties(slice.unit, properties), group));
  }
  const auto finish = [&]() -> Result<> {
    CGX_CHECK(mark_slice(hierarchies, slice.group));
    if (divided.files.empty()) return {};
    Transaction transaction(hierarchies);
    CGX_CHECK(transaction.apply({.group = slice.group, .limits = divided.files, .existing = Existing::allow}));
    transaction.commit();
    return {};
  };
  if (auto finished = finish(); !finished) {
    if (fresh) (void)remove(hierarchies, group);  // the cause is what is told
    return finished;
  }
  return {};
}

Result<> SystemdManager::remove(const Hierarchies& hierarchies, const std::string& group) {
  const Session session(*this);
  CGX_CHECK(session.opened());
  const Slice slice = CGX_TRY(slice_of(group));
  const std::string state = CGX_TRY(located(text_property(slice.unit, interface_unit, "ActiveState"), group));
  if (state != "active") return {};
  const std::string fragment = CGX_TRY(located(text_property(slice.unit, interface_unit, "FragmentPath"), group));
  if (!fragment.empty() && !fragment.starts_with("/run/systemd/")) return {};
  // Stopping a slice would kill what runs in it.
  const auto tasks = tasks_below(Cgroup(hierarchies, slice.group));
  if (!tasks && tasks.error().code != ENOENT) return std::unexpected(tasks.error());
  if (tasks && !tasks->empty())
    return std::unexpected(Error{.code = EBUSY,
                                 .what = fmt::format("has processes in {}, so that it stays", slice.unit),
                                 .group = group,
                                 .hint = fmt::format("systemctl stop {} ends them", slice.unit)});
  CGX_CHECK(located(stop(slice.unit), group));
  // In hierarchies that systemd does not know (v1's cpuset and the like) the directory was made here.
  (void)remove_group(Cgroup(hierarchies, slice.group), Below::keep);
  return {};
}

Result<> SystemdManager::stop(const std::string& unit) {
  const Session session(*this);
  CGX_CHECK(session.opened());
  const auto state = text_property(unit, interface_unit, "ActiveState");
  if (!state || *state == "inactive" || *state == "failed") return {};
  sd_bus_message* made = nullptr;
  int r = sd_bus_message_new_method_call(bus_, &made, service, object, interface_manager, "StopUnit");
  const Message message(made);
  if (r >= 0) r = sd_bus_message_append(message.get(), "ss", unit.c_str(), "replace");
  if (r < 0) return fail_errno(-r, "a message for systemd");
  const auto stopped = run_job(message.get(), unit);
  if (stopped) return stopped;
  // It may have gone by itself meanwhile.
  const auto now = text_property(unit, interface_unit, "ActiveState");
  if (!now || *now == "inactive" || *now == "failed") return {};
  return stopped;
}

Result<> SystemdManager::start_scope(const std::string& scope,
                                     const std::string& slice,
                                     std::span<const pid_t> pids,
                                     std::span<const UnitProperty> properties,
                                     const std::string& description) {
  const Session session(*this);
  CGX_CHECK(session.opened());
  std::vector<std::uint32_t> numbers;
  for (const pid_t pid : pids) numbers.push_back(static_cast<std::uint32_t>(pid));
  std::vector<UnitProperty> all{{"Description", description},
                                {"Slice", slice},
                                {"Delegate", true},
                                {"CollectMode", std::string("inactive-or-failed")},
                                {"PIDs", std::move(numbers)}};
  all.insert(all.end(), properties.begin(), properties.end());
  return start_transient(scope, all);
}

Result<> SystemdManager::attach(const std::string& group, std::span<const pid_t> pids) {
  const Session session(*this);
  CGX_CHECK(session.opened());
  const Slice slice = CGX_TRY(slice_of(group));
  const std::string scope = fmt::format("cgx-{}.scope", slice.unit.substr(0, slice.unit.rfind('.')));
  // A scope ends with its last process, which may be between the two calls.
  for (int round = 0;; ++round) {
    const std::string state = CGX_TRY(located(text_property(scope, interface_unit, "ActiveState"), group));
    Result<> done;
    if (state == "active") {
      sd_bus_message* made = nullptr;
      int r = sd_bus_message_new_method_call(bus_, &made, service, object, interface_manager, "AttachProcessesToUnit");
      const Message message(made);
      if (r >= 0) r = sd_bus_message_append(message.get(), "ss", scope.c_str(), "");
      if (r >= 0) r = sd_bus_message_append_array(message.get(), 'u', pids.data(), pids.size() * sizeof(pid_t));
      if (r < 0) return fail_errno(-r, "a message for systemd");
      ErrorFree error;
      r = sd_bus_call(bus_, message.get(), timeout, &error.error, nullptr);
      if (r < 0) done = refused(r, error.error, scope);
    } else {
      done = start_scope(scope, slice.unit, pids, {}, fmt::format("Processes in the group {} of cgx", group));
    }
    if (done || round == 2) return located(std::move(done), group);
  }
}

}  // namespace cgx::daemon
