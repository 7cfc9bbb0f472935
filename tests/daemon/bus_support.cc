// SPDX-License-Identifier: Apache-2.0
#include "bus_support.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/hierarchy.h"

namespace cgx::test {
namespace {

std::string limits_text(const daemon::LimitTexts& limits) {
  std::string text;
  for (const auto& [key, value] : limits) text += fmt::format(" {}={}", key, value);
  return text;
}

void check(int r, const char* what) {
  if (r < 0) throw std::runtime_error(fmt::format("{}: {}", what, errno_text(-r)));
}

}  // namespace

// ---- the bus --------------------------------------------------------------------------------------------------------

bool PrivateBus::possible() {
  return geteuid() == 0 && shell("command -v dbus-daemon && command -v busctl && command -v setpriv").status == 0;
}

PrivateBus::PrivateBus() {
  check(chmod(dir_.path().c_str(), 0755), "chmod");  // the clients are other users
  address_ = "unix:path=" + dir_.path() + "/bus";
  dir_.file(
      "bus.conf",
      fmt::format("<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"
                  "  \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
                  "<busconfig><type>custom</type><listen>{}</listen><auth>EXTERNAL</auth>\n"
                  "<policy context=\"default\"><allow user=\"*\"/><deny own=\"*\"/><deny send_type=\"method_call\"/>\n"
                  "<allow send_type=\"signal\"/><allow send_type=\"method_return\"/><allow send_type=\"error\"/>\n"
                  "<allow receive_type=\"method_call\"/><allow receive_type=\"method_return\"/>\n"
                  "<allow receive_type=\"error\"/><allow receive_type=\"signal\"/>\n"
                  "<allow send_destination=\"org.freedesktop.DBus\"/>\n"
                  "<allow send_destination=\"org.freedesktop.PolicyKit1\"/></policy>\n"
                  "<policy user=\"root\"><allow own=\"org.freedesktop.PolicyKit1\"/></policy>\n"
                  "<include>{}/daemon/bus/data/org.cgx.Manager1.conf</include></busconfig>\n",
                  address_,
                  CGX_SOURCE_ROOT));
  start();
}

PrivateBus::~PrivateBus() { stop(); }

void PrivateBus::start() {
  const std::string config = "--config-file=" + dir_.path() + "/bus.conf";
  const std::array<const char*, 5> arguments{"dbus-daemon", config.c_str(), "--nofork", "--nopidfile", nullptr};
  // It complains about what it may not do here.
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(
      &actions, STDERR_FILENO, (dir_.path() + "/bus.log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int r =
      posix_spawnp(&pid_, "dbus-daemon", &actions, nullptr, const_cast<char* const*>(arguments.data()), environ);
  posix_spawn_file_actions_destroy(&actions);
  check(-r, "dbus-daemon");
  if (!wait_for([&] { return access((dir_.path() + "/bus").c_str(), F_OK) == 0; }))
    throw std::runtime_error("dbus-daemon does not listen");
}

void PrivateBus::stop() {
  if (pid_ == 0) return;
  (void)kill(pid_, SIGKILL);
  (void)waitpid(pid_, nullptr, 0);
  pid_ = 0;
  (void)unlink((dir_.path() + "/bus").c_str());
}

// ---- operations -----------------------------------------------------------------------------------------------------

Result<> FakeOperations::note(const std::string& text, const std::string& group) {
  const std::scoped_lock lock(mutex_);
  noted_ += text + "\n";
  if (group.starts_with("missing")) {
    Error e{.code = ENOENT, .what = "there is no such group", .group = group, .hint = "cgx ls lists the groups"};
    return std::unexpected(std::move(e));
  }
  return {};
}

std::string FakeOperations::take() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(noted_, {});
}

Result<std::vector<std::string>> FakeOperations::list_groups() { return std::vector<std::string>{"web", "web/api"}; }

Result<daemon::Answers> FakeOperations::get_group(const std::string& group) {
  CGX_CHECK(note("get " + group, group));
  return daemon::Answers{{"memory.max", std::uint64_t{64} << 20U},
                         {"cpu.max", std::string("150000/100000")},
                         {"frozen", false},
                         {"processes", std::int64_t{3}},
                         {"load", 0.5},
                         {"limits", std::vector<std::string>{"a", "b\xff"}}};
}

Result<> FakeOperations::create_group(const std::string& group, const daemon::LimitTexts& limits, uid_t owner) {
  const std::string whose = owner == static_cast<uid_t>(-1) ? "" : fmt::format(" for {}", owner);
  return note("create " + group + limits_text(limits) + whose, group);
}

Result<> FakeOperations::set_limits(const std::string& group, const daemon::LimitTexts& limits, uid_t) {
  CGX_CHECK(note("set " + group + limits_text(limits), group));
  for (const auto& [key, value] : limits)
    if (value == "2GG") {
      Error e = bad_value(value, "is not a size (like 512M, 2G, max)").error();
      e.group = group;
      e.knob = "memory.max";
      return std::unexpected(std::move(e));
    }
  return {};
}

Result<> FakeOperations::delete_group(const std::string& group) { return note("delete " + group, group); }
Result<> FakeOperations::attach_process(const std::string& group, pid_t pid) {
  return note(fmt::format("attach {} {}", group, pid), group);
}
Result<> FakeOperations::freeze(const std::string& group) { return note("freeze " + group, group); }
Result<> FakeOperations::thaw(const std::string& group) { return note("thaw " + group, group); }
Result<std::uint64_t> FakeOperations::kill(const std::string& group, int signal) {
  CGX_CHECK(note(fmt::format("kill {} {}", group, signal), group));
  return 7;
}
Result<std::vector<std::string>> FakeOperations::apply(const std::string& yaml) {
  CGX_CHECK(note(fmt::format("apply {} bytes", yaml.size())));
  return std::vector<std::string>{"+ web", "~ web memory.max 1G -> 2G"};
}
Result<std::vector<std::string>> FakeOperations::plan(const std::string& yaml) {
  CGX_CHECK(note("plan " + yaml));
  if (yaml.empty()) return std::vector<std::string>{};
  return std::vector<std::string>{"+ web"};
}
Result<> FakeOperations::reload() { return note("reload"); }

std::vector<daemon::Decision> FakeOperations::history(std::size_t most) {
  std::vector<daemon::Decision> decisions(std::min<std::size_t>(most, 2));
  for (std::size_t i = 0; i < decisions.size(); ++i) {
    daemon::Decision& d = decisions[i];
    d.id = i + 1;
    d.time = std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'000));
    d.group.set("web");
    d.event.set("oom");
    d.limit.set("memory.max");
    d.limit_bytes = 64U << 20U;
    d.action.set(i == 0 ? "raise" : "kill");
    d.result.set("done");
    d.pid = i == 0 ? 0 : 4711;
    d.took = 60;
  }
  return decisions;
}

Result<std::vector<std::string>> FakeOperations::explain(const std::string& group) {
  CGX_CHECK(note("explain " + group, group));
  return std::vector<std::string>{"raise memory.max 64M -> 80M", "kill 4711 (nginx)"};
}
daemon::Answers FakeOperations::status() {
  return {{"groups", std::uint64_t{2}}, {"manager", std::string("cgroupfs")}};
}
std::chrono::system_clock::time_point FakeOperations::last_reload() {
  return std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'000));
}

bool FakeOperations::owns(uid_t user, const std::string& group, Part part) {
  const std::string_view of = part == Part::itself ? std::string_view(group) : parent_of(group);
  for (const auto& [root, owner] : owners)
    if (root.empty() || of == root || of.starts_with(root + "/")) return owner == user;
  return false;
}

// ---- the daemon's side ----------------------------------------------------------------------------------------------

Server::Server(daemon::Bus::Options options, daemon::BusKind kind) : options_(std::move(options)), kind_(kind) {
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  options_.say = [this](std::string_view text) {
    const std::scoped_lock lock(mutex_);
    said_.emplace_back(text);
  };
}

void Server::start() {
  thread_ = std::thread([this] { run(); });
  if (!wait_for([this] { return up_.load(); })) throw std::runtime_error("the server does not start");
}

Server::~Server() {
  stop_ = true;
  (void)eventfd_write(wake_, 1);
  if (thread_.joinable()) thread_.join();
  close(wake_);
}

void Server::run() {
  sd_event* event = nullptr;
  if (sd_event_new(&event) < 0) return;
  const auto on_wake = [](sd_event_source* source, int fd, std::uint32_t, void* userdata) {
    auto& self = *static_cast<Server*>(userdata);
    eventfd_t count = 0;
    (void)eventfd_read(fd, &count);
    if (self.stop_) return sd_event_exit(sd_event_source_get_event(source), 0);
    const std::scoped_lock lock(self.mutex_);
    if (self.todo_) self.todo_(*self.bus_);
    self.todo_ = nullptr;
    return 0;
  };
  (void)sd_event_add_io(event, nullptr, wake_, EPOLLIN, on_wake, this);
  if (auto opened = daemon::Bus::open(event, kind_, operations_, options_)) {
    bus_ = std::move(*opened);
    up_ = true;
    (void)sd_event_loop(event);
    bus_.reset();
  }
  sd_event_unref(event);
}

void Server::on_loop(const std::function<void(daemon::Bus&)>& what) {
  {
    const std::scoped_lock lock(mutex_);
    todo_ = what;
  }
  (void)eventfd_write(wake_, 1);
  const bool done = wait_for([this] {
    const std::scoped_lock lock(mutex_);
    return !todo_;
  });
  if (!done) throw std::runtime_error("the loop does not run");
}

bool Server::wait_serving() {
  return wait_for([this] {
    bool serving = false;
    on_loop([&](daemon::Bus& bus) { serving = bus.serving(); });
    return serving;
  });
}

std::vector<std::string> Server::said() {
  const std::scoped_lock lock(mutex_);
  return said_;
}

// ---- clients --------------------------------------------------------------------------------------------------------

Client::Client(const std::string& address, uid_t uid) {
  // Whose connection it is, is settled by connect(); this thread alone is another user for so long.
  const auto become = [](uid_t who) { (void)syscall(SYS_setresuid, -1, who, -1); };
  check(sd_bus_new(&bus_), "sd_bus_new");
  check(sd_bus_set_address(bus_, address.c_str()), "address");
  check(sd_bus_set_bus_client(bus_, 1), "client");
  become(uid);
  const int r = sd_bus_start(bus_);
  become(0);
  check(r, "start");
}

Client::~Client() { sd_bus_close_unref(bus_); }

Answer Client::call_with(const char* member, const std::function<int(sd_bus_message*)>& fill) {
  sd_bus_message* made = nullptr;
  check(sd_bus_message_new_method_call(bus_, &made, daemon::bus_name, daemon::bus_path, daemon::bus_interface, member),
        "message");
  const daemon::Message message(made);
  check(fill(message.get()), "append");
  sd_bus_error error{};
  sd_bus_message* reply = nullptr;
  Answer answer;
  const int r = sd_bus_call(bus_, message.get(), 20'000'000, &error, &reply);
  answer.reply.reset(reply);
  if (r < 0) {
    answer.error = error.name != nullptr ? error.name : errno_text(-r);
    answer.message = error.message != nullptr ? error.message : "";
  }
  sd_bus_error_free(&error);
  return answer;
}

Answer Client::call(const char* member, const char* types, ...) {
  va_list values;
  va_start(values, types);
  Answer answer = call_with(
      member, [&](sd_bus_message* m) { return *types == '\0' ? 0 : sd_bus_message_appendv(m, types, values); });
  va_end(values);
  return answer;
}

Ran shell(const std::string& command) {
  Ran ran;
  std::FILE* pipe = popen(("exec 2>&1 </dev/null; " + command).c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("popen");
  std::array<char, 4096> buffer{};
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) ran.output.append(buffer.data(), n);
  const int status = pclose(pipe);
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ran;
}

Ran busctl(const PrivateBus& bus, const std::string& arguments, uid_t uid) {
  return shell(fmt::format("{}busctl --no-pager --address={} {}",
                           uid == 0 ? "" : fmt::format("setpriv --reuid={0} --regid={0} --clear-groups ", uid),
                           bus.address(),
                           arguments));
}

Ran call_as(const PrivateBus& bus, uid_t uid, const std::string& member_and_arguments) {
  return busctl(
      bus,
      fmt::format(
          "-- call {} {} {} {}", daemon::bus_name, daemon::bus_path, daemon::bus_interface, member_and_arguments),
      uid);
}

bool wait_for(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace cgx::test
