// SPDX-License-Identifier: Apache-2.0
// A bus of our own with org.cgx.Manager1 on it over operations that only note what they are asked for, and clients.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <sys/types.h>
#include <systemd/sd-bus.h>

#include "daemon/bus/bus.h"
#include "daemon/bus/message.h"
#include "scratch.h"

namespace cgx::test {

// dbus-daemon in a scratch directory, with cgxd's own policy file; a system bus as far as sd-bus is concerned.
class PrivateBus {
 public:
  PrivateBus();
  PrivateBus(const PrivateBus&) = delete;
  PrivateBus& operator=(const PrivateBus&) = delete;
  ~PrivateBus();
  // False where there is no dbus-daemon here.
  [[nodiscard]] static bool possible();
  [[nodiscard]] const std::string& address() const { return address_; }
  [[nodiscard]] const ScratchDir& dir() const { return dir_; }
  void start();  // returns when it takes connections
  void stop();

 private:
  ScratchDir dir_;
  std::string address_;
  pid_t pid_ = 0;
};

// Notes calls as text; what it answers can be set before a call.
class FakeOperations final : public daemon::Operations {
 public:
  Result<std::vector<std::string>> list_groups() override;
  Result<daemon::Answers> get_group(const std::string& group) override;
  Result<> create_group(const std::string& group, const daemon::LimitTexts& limits, uid_t owner) override;
  Result<> set_limits(const std::string& group, const daemon::LimitTexts& limits, uid_t owner) override;
  Result<> delete_group(const std::string& group) override;
  Result<> attach_process(const std::string& group, pid_t pid) override;
  Result<> freeze(const std::string& group) override;
  Result<> thaw(const std::string& group) override;
  Result<std::uint64_t> kill(const std::string& group, int signal) override;
  Result<std::vector<std::string>> apply(const std::string& yaml) override;
  Result<std::vector<std::string>> plan(const std::string& yaml) override;
  Result<> reload() override;
  std::vector<daemon::Decision> history(std::size_t most) override;
  Result<std::vector<std::string>> explain(const std::string& group) override;
  daemon::Answers status() override;
  bool policy_valid() override { return true; }
  std::chrono::system_clock::time_point last_reload() override;
  bool owns(uid_t user, const std::string& group, Part part) override;

  // The calls since the last take, a line each; for any thread.
  [[nodiscard]] std::string take();
  std::map<std::string, uid_t> owners;  // set before the server starts

 private:
  Result<> note(const std::string& text, const std::string& group = {});
  std::mutex mutex_;
  std::string noted_;
};

// The daemon's side: an event loop in a thread.
class Server {
 public:
  explicit Server(daemon::Bus::Options options = {}, daemon::BusKind kind = daemon::BusKind::system);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();
  FakeOperations& operations() { return operations_; }
  void start();
  // Runs it on the loop, and waits for its end.
  void on_loop(const std::function<void(daemon::Bus&)>& what);
  // Until the name is ours; false after some seconds.
  [[nodiscard]] bool wait_serving();
  [[nodiscard]] std::vector<std::string> said();

 private:
  void run();
  daemon::Bus::Options options_;
  daemon::BusKind kind_;
  FakeOperations operations_;
  std::unique_ptr<daemon::Bus> bus_;
  std::mutex mutex_;
  std::vector<std::string> said_;
  std::function<void(daemon::Bus&)> todo_;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> up_ = false;
  int wake_ = -1;
  std::thread thread_;
};

// What a call of org.cgx.Manager1 answered.
struct Answer {
  std::string error;    // its name; empty: none
  std::string message;  // of the error
  daemon::Message reply;
};
class Client {
 public:
  explicit Client(const std::string& address, uid_t uid = 0);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();
  [[nodiscard]] sd_bus* bus() { return bus_; }
  // Types and values as sd_bus_message_append() has them.
  Answer call(const char* member, const char* types = "", ...);
  // `fill` appends the values.
  Answer call_with(const char* member, const std::function<int(sd_bus_message*)>& fill);

 private:
  sd_bus* bus_ = nullptr;
};

struct Ran {
  int status = 0;
  std::string output;  // stdout and stderr
};
// A shell command.
[[nodiscard]] Ran shell(const std::string& command);
// `busctl ARGUMENTS` on the bus, as user `uid`.
[[nodiscard]] Ran busctl(const PrivateBus& bus, const std::string& arguments, uid_t uid = 0);
// A call of org.cgx.Manager1 by busctl.
[[nodiscard]] Ran call_as(const PrivateBus& bus, uid_t uid, const std::string& member_and_arguments);
// Until it is true; false after some seconds.
[[nodiscard]] bool wait_for(const std::function<bool()>& condition);

inline constexpr uid_t nobody = 65534;

}  // namespace cgx::test

#define NEED_BUS() \
  if (!::cgx::test::PrivateBus::possible()) CGX_SKIP("needs root, dbus-daemon, busctl and setpriv")
