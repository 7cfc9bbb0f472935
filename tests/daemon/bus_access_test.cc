// SPDX-License-Identifier: Apache-2.0
// Who may do what on the bus: root, owners of subtrees, whom polkit lets; and what becomes of a polkit that is silent.
#include <cstdlib>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/cgroupfs/hierarchy.h"

#include "bus_support.h"
#include "daemon/bus/access.h"
#include "skip.h"

namespace bus_access_test {

using namespace cgx;
using namespace cgx::test;

namespace {

struct Fixture {
  explicit Fixture(std::map<std::string, uid_t> owners = {}, std::uint64_t polkit_timeout = 20'000'000)
      : server((setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address().c_str(), 1),
                daemon::Bus::Options{.polkit_timeout = polkit_timeout})) {
    server.operations().owners = std::move(owners);
    server.start();
    REQUIRE(server.wait_serving());
  }
  PrivateBus bus;
  Server server;
};

// Has polkit's name on the bus, and answers as it is told to.
class FakePolkit {
 public:
  enum class Says : std::uint8_t { yes, no, challenge, nothing };
  FakePolkit(const PrivateBus& bus, Says says) : says_(says), client_(bus.address()) {
    static const sd_bus_vtable table[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD(
            "CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", &FakePolkit::on_check, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END};
    REQUIRE(sd_bus_add_object_vtable(client_.bus(),
                                     nullptr,
                                     "/org/freedesktop/PolicyKit1/Authority",
                                     "org.freedesktop.PolicyKit1.Authority",
                                     table,
                                     this) >= 0);
    REQUIRE(sd_bus_request_name(client_.bus(), "org.freedesktop.PolicyKit1", 0) >= 0);
    thread_ = std::thread([this] {
      while (!stop_) {
        while (sd_bus_process(client_.bus(), nullptr) > 0) {
        }
        (void)sd_bus_wait(client_.bus(), 20'000);
      }
    });
  }
  FakePolkit(const FakePolkit&) = delete;
  FakePolkit& operator=(const FakePolkit&) = delete;
  ~FakePolkit() {
    stop_ = true;
    thread_.join();
  }
  struct Question {
    std::string action;
    std::string group;
    bool interactive = false;
  };
  std::atomic<int> asked = 0;
  Question last() {  // once `asked` says that there was one
    const std::lock_guard held(lock_);
    return last_;
  }

 private:
  static int on_check(sd_bus_message* m, void* userdata, sd_bus_error*) {
    auto& self = *static_cast<FakePolkit*>(userdata);
    const char* kind = nullptr;
    const char* action = nullptr;
    const char* key = nullptr;
    const char* value = nullptr;
    std::uint32_t flags = 0;
    if (sd_bus_message_enter_container(m, 'r', "sa{sv}") < 0 || sd_bus_message_read(m, "s", &kind) < 0 ||
        sd_bus_message_skip(m, "a{sv}") < 0 || sd_bus_message_exit_container(m) < 0 ||
        sd_bus_message_read(m, "s", &action) < 0 || sd_bus_message_enter_container(m, 'a', "{ss}") < 0 ||
        sd_bus_message_read(m, "{ss}", &key, &value) <= 0 || sd_bus_message_exit_container(m) < 0 ||
        sd_bus_message_read(m, "u", &flags) < 0)
      return -EINVAL;
    {
      const std::lock_guard held(self.lock_);
      self.last_ = {action, value, flags == 1};
    }
    ++self.asked;
    if (self.says_ == Says::nothing) return 1;
    return sd_bus_reply_method_return(m,
                                      "(bba{ss})",
                                      static_cast<int>(self.says_ == Says::yes),
                                      static_cast<int>(self.says_ == Says::challenge),
                                      1,
                                      "polkit.dismissed",
                                      "");
  }
  Says says_;
  Client client_;
  std::mutex lock_;
  Question last_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

bool has(const Ran& ran, std::string_view text) { return ran.output.find(text) != std::string::npos; }

// A process of another user, in the groups of this one.
class Sleeper {
 public:
  explicit Sleeper(uid_t uid) : pid_(fork()) {
    if (pid_ != 0) return;
    if (setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0)
      for (;;) pause();
    _exit(1);
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  ~Sleeper() {
    (void)kill(pid_, SIGKILL);
    (void)waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

}  // namespace

TEST_CASE("bus access: everybody reads, and root alone writes") {
  NEED_BUS();
  Fixture f;
  CHECK(call_as(f.bus, nobody, "ListGroups").status == 0);
  CHECK(call_as(f.bus, nobody, "GetGroup s web").status == 0);
  CHECK(call_as(f.bus, nobody, "Explain s web").status == 0);
  CHECK(call_as(f.bus, nobody, "History u 5").status == 0);
  CHECK(call_as(f.bus, nobody, "Status").status == 0);
  CHECK(busctl(f.bus, "introspect org.cgx.Manager1 /org/cgx/Manager1", nobody).status == 0);
  {
    Client client(f.bus.address(), nobody);
    f.bus.dir().file("policy", "version: 1");
    const auto file = sys::open_path(f.bus.dir().path() + "/policy", O_RDONLY);
    CHECK(client.call("Plan", "h", file->get()).error.empty());
    CHECK(client.call("Apply", "h", file->get()).error == "org.cgx.Error.AccessDenied");
  }
  CHECK(f.server.operations().take() == "get web\nexplain web\nplan version: 1\n");
  for (const char* call : {"CreateGroup 'sa{sv}' web 0",
                           "SetLimits 'sa{sv}' web 1 mem s 1G",
                           "DeleteGroup s web",
                           "AttachProcess su web 4711",
                           "Freeze s web",
                           "Thaw s web",
                           "Kill si web 9",
                           "Reload"}) {
    CAPTURE(call);
    const Ran ran = call_as(f.bus, nobody, call);
    CHECK(ran.status != 0);
    CHECK(has(ran, "uid 65534 may not"));
    CHECK(has(ran, "hint: root may"));
    CHECK(call_as(f.bus, 0, call).status == 0);
  }
  CHECK(f.server.operations().take() ==
        "create web\nset web mem=1G\ndelete web\nattach web 4711\nfreeze web\nthaw web\nkill web 9\nreload\n");
}

TEST_CASE("bus access: the name is for root alone") {
  NEED_BUS();
  const PrivateBus bus;
  setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address().c_str(), 1);
  const Ran ran =
      shell(fmt::format("setpriv --reuid=65534 --regid=65534 --clear-groups busctl --address={} call "
                        "org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus RequestName su "
                        "org.cgx.Manager1 0",
                        bus.address()));
  CHECK(ran.status != 0);
  CHECK(has(ran, "Access denied"));
}

TEST_CASE("bus access: the owner of a subtree changes what is in it, not its root and nothing beside it") {
  NEED_BUS();
  Fixture f({{"alice", nobody}, {"bob", 1234}});
  CHECK(call_as(f.bus, nobody, "CreateGroup 'sa{sv}' alice/a 1 pids u 5").status == 0);
  CHECK(call_as(f.bus, nobody, "SetLimits 'sa{sv}' alice/a 1 mem s 1G").status == 0);
  CHECK(call_as(f.bus, nobody, "Freeze s alice/a").status == 0);
  CHECK(call_as(f.bus, nobody, "Kill si alice/a 9").status == 0);
  CHECK(call_as(f.bus, nobody, "DeleteGroup s alice/a").status == 0);
  CHECK(f.server.operations().take() ==
        "create alice/a pids=5 for 65534\nset alice/a mem=1G\nfreeze alice/a\nkill alice/a 9\ndelete alice/a\n");
  for (const char* call : {"SetLimits 'sa{sv}' alice 1 mem s 1G", "DeleteGroup s alice", "Thaw s alice"}) {
    CAPTURE(call);
    CHECK(has(call_as(f.bus, nobody, call), "its limits are root's to change"));
  }
  for (const char* call : {"SetLimits 'sa{sv}' bob/x 1 mem s 1G",
                           "DeleteGroup s web",
                           "CreateGroup 'sa{sv}' alice2 0",
                           "Freeze s /",
                           "Reload"}) {
    CAPTURE(call);
    CHECK(has(call_as(f.bus, nobody, call), "uid 65534 may not"));
  }
  CHECK(f.server.operations().take().empty());
}

TEST_CASE("bus access: an owner moves its own processes, from within what is its own") {
  NEED_BUS();
  Fixture f({{"alice", nobody}});
  const Sleeper theirs(nobody);
  const Sleeper others(1234);
  CHECK(wait_for([&] { return daemon::process_belongs_to(theirs.pid(), nobody).value_or(false); }));
  CHECK(has(call_as(f.bus, nobody, fmt::format("AttachProcess su alice {}", getpid())), "belongs to another user"));
  CHECK(has(call_as(f.bus, nobody, fmt::format("AttachProcess su alice {}", others.pid())), "belongs to another user"));
  CHECK(has(call_as(f.bus, nobody, "AttachProcess su alice 999999999"), "there is no process"));
  const auto hierarchies = Hierarchies::discover();
  const Ran moved = call_as(f.bus, nobody, fmt::format("AttachProcess su alice {}", theirs.pid()));
  if (hierarchies && hierarchies->unified() != nullptr) {
    CHECK(has(moved, "is outside of what belongs to the caller"));
    CHECK(f.server.operations().take().empty());
  } else {
    CHECK(moved.status == 0);
  }
}

TEST_CASE("bus access: an owner whose process is inside moves it") {
  NEED_BUS();
  // As if all groups were the owner's, and with them the nearest one above both.
  Fixture f({{"", nobody}});
  const Sleeper theirs(nobody);
  CHECK(wait_for([&] { return daemon::process_belongs_to(theirs.pid(), nobody).value_or(false); }));
  CHECK(call_as(f.bus, nobody, fmt::format("AttachProcess su alice {}", theirs.pid())).status == 0);
  CHECK(f.server.operations().take() == fmt::format("attach alice {}\n", theirs.pid()));
}

TEST_CASE("bus access: polkit lets a user write, or does not") {
  NEED_BUS();
  Fixture f;
  {
    FakePolkit polkit(f.bus, FakePolkit::Says::yes);
    CHECK(call_as(f.bus, nobody, "SetLimits 'sa{sv}' web/api 1 mem s 1G").status == 0);
    CHECK(f.server.operations().take() == "set web/api mem=1G\n");
    CHECK(polkit.asked == 1);
    CHECK(polkit.last().action == "org.cgx.Manager1.manage-groups");
    CHECK(polkit.last().group == "web/api");
    CHECK(call_as(f.bus, nobody, "Reload").status == 0);
    CHECK(polkit.last().action == "org.cgx.Manager1.manage-policies");
    CHECK(call_as(f.bus, nobody, "ListGroups").status == 0);
    CHECK(call_as(f.bus, 0, "Reload").status == 0);
    CHECK(polkit.asked == 2);  // neither for reading nor for root
    CHECK(busctl(f.bus,
                 "--allow-interactive-authorization=no call org.cgx.Manager1 /org/cgx/Manager1 org.cgx.Manager1 Reload",
                 nobody)
              .status == 0);
    CHECK_FALSE(polkit.last().interactive);
  }
  (void)f.server.operations().take();
  {
    FakePolkit polkit(f.bus, FakePolkit::Says::no);
    CHECK(has(call_as(f.bus, nobody, "Reload"), "polkit does not authorise the caller"));
  }
  {
    FakePolkit polkit(f.bus, FakePolkit::Says::challenge);
    CHECK(has(call_as(f.bus, nobody, "Reload"), "polkit wants the caller to authenticate"));
  }
  CHECK(has(call_as(f.bus, nobody, "Reload"), "uid 65534 may not do this"));
  CHECK(f.server.operations().take().empty());
}

TEST_CASE("bus access: a polkit that never answers holds up nobody else") {
  NEED_BUS();
  Fixture f({}, 400'000);
  FakePolkit polkit(f.bus, FakePolkit::Says::nothing);
  Client root(f.bus.address());
  std::thread asker([&] {
    const Ran ran =
        busctl(f.bus,
               "--allow-interactive-authorization=no call org.cgx.Manager1 /org/cgx/Manager1 org.cgx.Manager1 Reload",
               nobody);
    CHECK(has(ran, "polkit did not answer in time"));
  });
  CHECK(wait_for([&] { return polkit.asked == 1; }));
  CHECK(root.call("SetLimits", "sa{sv}", "web", 1, "mem", "s", "1G").error.empty());
  asker.join();
  CHECK(f.server.operations().take() == "set web mem=1G\n");
}

}  // namespace bus_access_test
