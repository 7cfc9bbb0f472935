// SPDX-License-Identifier: Apache-2.0
// org.cgx.Manager1 on a bus of its own: what it says, what it takes, and what strangers may throw at it.
#include "daemon/bus/bus.h"

#include <array>
#include <chrono>
#include <cstdlib>
#include <map>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "bus_support.h"
#include "skip.h"

namespace bus_test {

using namespace cgx;
using namespace cgx::test;

namespace {

// A bus and a server on it.
struct Fixture {
  explicit Fixture(daemon::Bus::Options options = {})
      : server((setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address().c_str(), 1), std::move(options))) {
    server.start();
    REQUIRE(server.wait_serving());
  }
  PrivateBus bus;
  Server server;
};

std::string texts_of(Answer& answer) {
  if (!answer.error.empty()) return answer.error + ": " + answer.message;
  std::string text;
  REQUIRE(sd_bus_message_enter_container(answer.reply.get(), 'a', "s") > 0);
  const char* word = nullptr;
  while (sd_bus_message_read(answer.reply.get(), "s", &word) > 0) text += fmt::format("{}\n", word);
  return text;
}

// A descriptor of a memfd with this text.
sys::Fd memory(std::string_view text) {
  sys::Fd fd(memfd_create("policy", MFD_CLOEXEC));
  REQUIRE(write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  return fd;
}

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
    out.reset(ends[0]);
    in.reset(ends[1]);
  }
  sys::Fd out;
  sys::Fd in;
};

}  // namespace

TEST_CASE("bus: the interface is introspectable, and busctl can use it") {
  NEED_BUS();
  Fixture f;
  const Ran seen = busctl(f.bus, "introspect org.cgx.Manager1 /org/cgx/Manager1");
  CHECK(seen.status == 0);
  for (const char* name :
       {".ListGroups ", ".GetGroup ", ".CreateGroup ",   ".SetLimits ",  ".DeleteGroup ", ".AttachProcess ",
        ".Freeze ",     ".Thaw ",     ".Kill ",          ".Apply ",      ".Plan ",        ".Reload ",
        ".History ",    ".Explain ",  ".Status ",        ".Version ",    ".PolicyValid ", ".LastReload ",
        ".Oom ",        ".Action ",   ".PolicyChanged ", ".GroupAdded ", ".GroupRemoved "}) {
    CAPTURE(name);
    CHECK(seen.output.find(name) != std::string::npos);
  }
  CHECK(call_as(f.bus, 0, "ListGroups").output == "as 2 \"web\" \"web/api\"\n");
  CHECK(call_as(f.bus, 0, "GetGroup s /web/").output ==
        "a{sv} 6 \"memory.max\" t 67108864 \"cpu.max\" s \"150000/100000\" \"frozen\" b false \"processes\" x 3 "
        "\"load\" d 0.5 "
        "\"limits\" as 2 \"a\" \"b\\357\\277\\275\"\n");
  CHECK(call_as(f.bus, 0, "CreateGroup 'sa{sv}' web/api 2 mem s 1G pids t 200").status == 0);
  CHECK(f.server.operations().take() == "get web\ncreate web/api mem=1G pids=200\n");
  CHECK(busctl(f.bus, "get-property org.cgx.Manager1 /org/cgx/Manager1 org.cgx.Manager1 Version PolicyValid LastReload")
            .output == "s \"" CGX_VERSION "\"\nb true\nt 1700000000000000\n");
}

TEST_CASE("bus: every method passes on what it is given") {
  NEED_BUS();
  Fixture f;
  Client client(f.bus.address());
  CHECK(client.call("SetLimits", "sa{sv}", "web", 1, "mem", "s", "2G").error.empty());
  CHECK(client.call("DeleteGroup", "s", "web").error.empty());
  CHECK(client.call("AttachProcess", "su", "web", 4711).error.empty());
  CHECK(client.call("Freeze", "s", "web").error.empty());
  CHECK(client.call("Thaw", "s", "web").error.empty());
  CHECK(client.call("Reload").error.empty());
  Answer killed = client.call("Kill", "si", "web", 15);
  std::uint64_t processes = 0;
  CHECK(sd_bus_message_read(killed.reply.get(), "t", &processes) > 0);
  CHECK(processes == 7);
  Answer explained = client.call("Explain", "s", "web");
  CHECK(texts_of(explained) == "raise memory.max 64M -> 80M\nkill 4711 (nginx)\n");
  CHECK(f.server.operations().take() ==
        "set web mem=2G\ndelete web\nattach web 4711\nfreeze web\nthaw web\nreload\nkill web 15\nexplain web\n");
  CHECK(call_as(f.bus, 0, "Status").output == "a{sv} 2 \"groups\" t 2 \"manager\" s \"cgroupfs\"\n");
  CHECK(call_as(f.bus, 0, "History u 1").output ==
        "aa{sv} 1 9 \"id\" t 1 \"time\" t 1700000000000000 \"group\" s \"web\" \"event\" s \"oom\" \"limit\" s "
        "\"memory.max\" "
        "\"limit_bytes\" t 67108864 \"action\" s \"raise\" \"result\" s \"done\" \"took_usec\" t 60\n");
}

TEST_CASE("bus: limits are texts, numbers, booleans and lists of texts, and nothing else") {
  NEED_BUS();
  Fixture f;
  CHECK(call_as(f.bus, 0, "SetLimits 'sa{sv}' web 8 a y 1 b n -2 c q 3 d i -4 e u 5 f x -1 g d 1.5 h b true").status ==
        0);
  CHECK(f.server.operations().take() == "set web a=1 b=-2 c=3 d=-4 e=5 f=-1 g=1.5 h=1\n");
  CHECK(call_as(f.bus, 0, "SetLimits 'sa{sv}' web 1 device as 2 'deny a' '/dev/null:rw'").status == 0);
  CHECK(f.server.operations().take() == "set web device=deny a device=/dev/null:rw\n");
  for (const char* wrong : {"ai 1 5", "'(ss)' a b", "'a{ss}' 1 a b", "v s x", "o /a"}) {
    CAPTURE(wrong);
    const Ran ran = call_as(f.bus, 0, fmt::format("SetLimits 'sa{{sv}}' web 1 mem {}", wrong));
    CHECK(ran.status != 0);
    CHECK(ran.output.find("web: mem: ") != std::string::npos);
    CHECK(ran.output.find("is no type of a limit") != std::string::npos);
  }
  CHECK(call_as(f.bus, 0, "SetLimits 'sa{ss}' web 1 mem 1G").output.find("nvalid arg") != std::string::npos);
  CHECK(f.server.operations().take().empty());
}

TEST_CASE("bus: errors have names, sentences and parts") {
  NEED_BUS();
  Fixture f;
  Client client(f.bus.address());
  Answer wrong = client.call("SetLimits", "sa{sv}", "web", 1, "mem", "s", "2GG");
  CHECK(wrong.error == "org.cgx.Error.InvalidArgument");
  CHECK(wrong.message == "web: memory.max: \"2GG\" is not a size (like 512M, 2G, max)");
  Answer missing = client.call("GetGroup", "s", "missing");
  CHECK(missing.error == "org.cgx.Error.NotFound");
  CHECK(missing.message == "missing: there is no such group\nhint: cgx ls lists the groups");
  for (const char* name : {"a/../b", "", "a//b", "web\n"}) {
    CAPTURE(name);
    CHECK(client.call("GetGroup", "s", name).error == "org.cgx.Error.InvalidArgument");
  }
  CHECK(client.call("AttachProcess", "su", "web", 0).error == "org.cgx.Error.InvalidArgument");
  CHECK(client.call("Kill", "si", "web", 0).error == "org.cgx.Error.InvalidArgument");
  CHECK(client.call("Kill", "si", "web", 65).error == "org.cgx.Error.InvalidArgument");
  CHECK(client.call("NoSuchMethod").error == "org.freedesktop.DBus.Error.UnknownMethod");
  CHECK(f.server.operations().take() == "set web mem=2GG\nget missing\n");
}

TEST_CASE("bus: signals and changes of properties arrive") {
  NEED_BUS();
  Fixture f;
  Client client(f.bus.address());
  std::map<std::string, std::string> seen;
  const auto on_signal = [](sd_bus_message* m, void* userdata, sd_bus_error*) {
    auto& map = *static_cast<std::map<std::string, std::string>*>(userdata);
    map[sd_bus_message_get_member(m)] = sd_bus_message_get_signature(m, 1);
    return 0;
  };
  REQUIRE(sd_bus_add_match(client.bus(), nullptr, "type='signal',path='/org/cgx/Manager1'", on_signal, &seen) >= 0);
  f.server.on_loop([&](daemon::Bus& bus) {
    const daemon::Decision d = FakeOperations().history(1)[0];
    bus.emit_oom(d);
    bus.emit_action(d);
    bus.policy_changed();
    bus.group_added("web");
    bus.group_removed("web\xff");
  });
  CHECK(wait_for([&] {
    while (sd_bus_process(client.bus(), nullptr) > 0) {
    }
    return seen.size() == 6;
  }));
  CHECK(seen["Oom"] == "sa{sv}");
  CHECK(seen["Action"] == "ssa{sv}");
  CHECK(seen.contains("PolicyChanged"));
  CHECK(seen["GroupAdded"] == "s");
  CHECK(seen["GroupRemoved"] == "s");
  CHECK(seen["PropertiesChanged"] == "sa{sv}as");
}

TEST_CASE("bus: the text of a policy comes by a file, a memfd or a pipe") {
  NEED_BUS();
  Fixture f;
  Client client(f.bus.address());
  Answer planned = client.call("Plan", "h", memory("version: 1\n").get());
  CHECK(texts_of(planned) == "+ web\n");
  CHECK(f.server.operations().take() == "plan version: 1\n\n");
  f.bus.dir().file("web.yaml", "groups: {}\n");
  const auto file = sys::open_path(f.bus.dir().path() + "/web.yaml", O_RDONLY);
  REQUIRE(file);
  Answer applied = client.call("Apply", "h", file->get());
  CHECK(texts_of(applied) == "+ web\n~ web memory.max 1G -> 2G\n");
  CHECK(f.server.operations().take() == "apply 11 bytes\n");
  Pipe pipe;
  REQUIRE(write(pipe.in.get(), "a", 1) == 1);
  pipe.in.reset(-1);
  Answer piped = client.call("Plan", "h", pipe.out.get());
  CHECK(texts_of(piped) == "+ web\n");
  CHECK(f.server.operations().take() == "plan a\n");
  CHECK(client.call("Plan", "h", memory(std::string(1U << 20U, 'x')).get()).error.empty());
  (void)f.server.operations().take();
  CHECK(client.call("Plan", "h", memory(std::string((1U << 20U) + 1, 'x')).get()).error == "org.cgx.Error.TooLarge");
  for (const char* path : {"/dev/null", "/tmp"}) {
    CAPTURE(path);
    const auto other = sys::open_path(path, O_RDONLY);
    CHECK(client.call("Plan", "h", other->get()).error == "org.cgx.Error.InvalidArgument");
  }
  const auto path_only = sys::open_path(f.bus.dir().path() + "/web.yaml", O_PATH);
  CHECK(client.call("Plan", "h", path_only->get()).error == "org.cgx.Error.InvalidArgument");
  Pipe write_end;
  CHECK(client.call("Plan", "h", write_end.in.get()).error == "org.cgx.Error.InvalidArgument");
  CHECK(f.server.operations().take().empty());
}

TEST_CASE("bus: a pipe that never ends holds up nobody else") {
  NEED_BUS();
  Fixture f({.text_timeout = 1'500'000});
  Client hostile(f.bus.address());
  Client client(f.bus.address());
  const Pipe silent;
  const Pipe endless;
  // Eight at once, of which four are read; the others are refused at once.
  std::vector<std::string> errors;
  const auto on_reply = [](sd_bus_message* m, void* userdata, sd_bus_error*) {
    const sd_bus_error* error = sd_bus_message_get_error(m);
    static_cast<std::vector<std::string>*>(userdata)->emplace_back(error != nullptr ? error->name : "");
    return 0;
  };
  for (int i = 0; i < 8; ++i)
    REQUIRE(sd_bus_call_method_async(hostile.bus(),
                                     nullptr,
                                     daemon::bus_name,
                                     daemon::bus_path,
                                     daemon::bus_interface,
                                     "Plan",
                                     on_reply,
                                     &errors,
                                     "h",
                                     i % 2 == 0 ? silent.out.get() : endless.out.get()) >= 0);
  REQUIRE(sd_bus_flush(hostile.bus()) >= 0);
  const auto begin = std::chrono::steady_clock::now();
  CHECK(client.call("ListGroups").error.empty());
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(1200));
  CHECK(wait_for([&] {
    (void)!write(endless.in.get(), "x", 1);
    while (sd_bus_process(hostile.bus(), nullptr) > 0) {
    }
    return errors.size() == 8;
  }));
  CHECK(std::ranges::count(errors, "org.cgx.Error.Busy") == 4);
  CHECK(std::ranges::count(errors, "org.cgx.Error.TimedOut") == 4);
  CHECK(f.server.operations().take().empty());
  // And afterwards there is room again.
  CHECK(wait_for([&] { return client.call("Plan", "h", memory("a").get()).error.empty(); }));
}

TEST_CASE("bus: too much of anything is refused") {
  NEED_BUS();
  Fixture f;
  Client client(f.bus.address());
  const auto many = [](int limits, std::size_t key, std::size_t text) {
    return [=](sd_bus_message* m) {
      int r = sd_bus_message_append(m, "s", "web");
      if (r >= 0) r = sd_bus_message_open_container(m, 'a', "{sv}");
      for (int i = 0; i < limits && r >= 0; ++i)
        r = sd_bus_message_append(
            m, "{sv}", (std::to_string(i) + std::string(key, 'k')).c_str(), "s", std::string(text, 'x').c_str());
      return r < 0 ? r : sd_bus_message_close_container(m);
    };
  };
  CHECK(client.call_with("SetLimits", many(256, 1, 1)).error.empty());
  (void)f.server.operations().take();
  CHECK(client.call_with("SetLimits", many(257, 1, 1)).error == "org.cgx.Error.TooLarge");
  CHECK(client.call_with("SetLimits", many(200'000, 1, 1)).error == "org.cgx.Error.TooLarge");
  CHECK(client.call_with("SetLimits", many(1, 1, 17'000)).error == "org.cgx.Error.InvalidArgument");
  CHECK(client.call_with("SetLimits", many(1, 300, 1)).error == "org.cgx.Error.InvalidArgument");
  std::string long_name;
  long_name.resize(10'000'000, 'x');
  CHECK(client.call("GetGroup", "s", long_name.c_str()).error == "org.cgx.Error.InvalidArgument");
  CHECK(f.server.operations().take().empty());
  CHECK(client.call("ListGroups").error.empty());
}

TEST_CASE("bus: a bus that goes comes back, and a name that is taken is waited for") {
  NEED_BUS();
  Fixture f({.first_retry = 20'000});
  f.bus.stop();
  CHECK(wait_for([&] { return f.server.said().size() == 1; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));  // several tries, not said
  CHECK(f.server.said().size() == 1);
  // Signals meanwhile are dropped.
  f.server.on_loop([](daemon::Bus& bus) { bus.group_added("web"); });
  f.bus.start();
  CHECK(f.server.wait_serving());
  CHECK(f.server.said().size() == 2);
  CHECK(f.server.said()[0].find("trying again") != std::string::npos);
  CHECK(f.server.said()[1] == "D-Bus (system) is back");
  Client client(f.bus.address());
  CHECK(client.call("ListGroups").error.empty());

  Server second({.first_retry = 20'000});
  second.start();
  CHECK(wait_for([&] { return !second.said().empty(); }));
  CHECK(second.said()[0].find("another program has the name") != std::string::npos);
  bool serving = true;
  second.on_loop([&](daemon::Bus& bus) { serving = bus.serving(); });
  CHECK_FALSE(serving);
}

TEST_CASE("bus: a daemon without a bus works, silently") {
  Server server({}, daemon::BusKind::off);
  server.start();
  server.on_loop([](daemon::Bus& bus) {
    bus.policy_changed();
    bus.group_added("web");
  });
  CHECK(server.said().empty());
  CHECK(*daemon::parse_bus_kind("session") == daemon::BusKind::session);
  CHECK_FALSE(daemon::parse_bus_kind("user"));
}

}  // namespace bus_test
