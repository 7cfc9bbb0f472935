// SPDX-License-Identifier: Apache-2.0
// cgx daemon, as a user runs it, against a daemon whose operations only note what they are asked for.
#include <csignal>
#include <cstdlib>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "bus_support.h"
#include "skip.h"

namespace bus_client_test {

using namespace cgx;
using namespace cgx::test;

namespace {

std::string cgx_program() {
  const char* path = std::getenv("CGX");
  return path != nullptr ? path : "";
}

struct Fixture {
  Fixture() : server((setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address().c_str(), 1), daemon::Bus::Options{})) {
    server.start();
    REQUIRE(server.wait_serving());
  }
  // By $DBUS_SYSTEM_BUS_ADDRESS.
  static Ran cgx(const std::string& arguments) { return shell(cgx_program() + " daemon " + arguments); }
  PrivateBus bus;
  Server server;
};

Ran shaped(const std::string& shape, const std::string& text) {
  return shell(fmt::format("/usr/bin/python3 {0}/tests/support/shapes.py {0}/man/json.shapes '{1}' <<'END'\n{2}\nEND",
                           CGX_SOURCE_ROOT,
                           shape,
                           text));
}

}  // namespace

#define NEED_CGX() \
  NEED_BUS();      \
  if (cgx_program().empty()) CGX_SKIP("needs the program cgx, by its path in $CGX")

TEST_CASE("cgx daemon: reads") {
  NEED_CGX();
  Fixture f;
  CHECK(Fixture::cgx("groups").output == "web\nweb/api\n");
  CHECK(Fixture::cgx("status").output == "groups 2\nmanager cgroupfs\n");
  CHECK(Fixture::cgx("get /web").output ==
        "memory.max 67108864\ncpu.max 150000/100000\nfrozen no\nprocesses 3\nload 0.5\nlimits a b\xEF\xBF\xBD\n");
  CHECK(Fixture::cgx("explain web").output == "raise memory.max 64M -> 80M\nkill 4711 (nginx)\n");
  CHECK(Fixture::cgx("history").output ==
        "2023-11-14T22:13:20Z web oom memory.max=64.0M raise done (took 60us)\n"
        "2023-11-14T22:13:20Z web oom memory.max=64.0M kill done pid=4711 () (took 60us)\n");
  CHECK(Fixture::cgx("history -n 1").output ==
        "2023-11-14T22:13:20Z web oom memory.max=64.0M raise done (took 60us)\n");
  CHECK(Fixture::cgx("groups --bus " + f.bus.address()).output == "web\nweb/api\n");
}

TEST_CASE("cgx daemon: changes") {
  NEED_CGX();
  Fixture f;
  f.bus.dir().file("web.yaml", "version: 1\n");
  const std::string file = f.bus.dir().path() + "/web.yaml";
  CHECK(Fixture::cgx("plan " + file).output == "+ web\n");
  CHECK(Fixture::cgx("apply " + file).output == "+ web\n~ web memory.max 1G -> 2G\n");
  CHECK(shell("printf x | { exec <&0; " + cgx_program() + " daemon plan -; }").status == 0);
  const Ran reloaded = Fixture::cgx("reload");
  CHECK(reloaded.status == 0);
  CHECK(reloaded.output.empty());
  CHECK(f.server.operations().take() == "plan version: 1\n\napply 11 bytes\nplan x\nreload\n");
}

TEST_CASE("cgx daemon: errors are cgxd's, with their parts and statuses") {
  NEED_CGX();
  Fixture f;
  const Ran missing = Fixture::cgx("get missing");
  CHECK(missing.status == 1);
  CHECK(missing.output == "cgx: daemon get missing: there is no such group\nhint: cgx ls lists the groups\n");
  const Ran json = Fixture::cgx("get missing --json");
  CHECK(json.status == 1);
  CHECK(shaped("error", json.output).status == 0);
  CHECK(json.output.find("\"hint\":\"cgx ls lists the groups\"") != std::string::npos);
  CHECK(json.output.find("\"errno\":2") != std::string::npos);
  for (const std::string& wrong : std::vector<std::string>{"",
                                                           "get",
                                                           "get a b",
                                                           "status web",
                                                           "reloda",
                                                           "history -n 0",
                                                           "history -n x",
                                                           "get a/../b",
                                                           "groups -n 5",
                                                           "plan",
                                                           "plan /nonexistent"}) {
    CAPTURE(wrong);
    CHECK(Fixture::cgx(wrong).status == 2);
  }
  CHECK(Fixture::cgx("reloda").output.find("hint: did you mean reload?") != std::string::npos);
  CHECK(shell(fmt::format("setpriv --reuid=65534 --regid=65534 --clear-groups {} daemon reload", cgx_program()))
            .output.find("cgx: daemon reload: uid 65534 may not do this\nhint: root may") == 0);
  f.bus.dir().file("big", std::string((1U << 20U) + 1, 'x'));
  const Ran big = Fixture::cgx("plan " + f.bus.dir().path() + "/big");
  CHECK(big.status == 2);
  CHECK(big.output.find("is longer than 1 MiB") != std::string::npos);
}

TEST_CASE("cgx daemon: says what is missing where there is no cgxd, or no bus") {
  NEED_CGX();
  PrivateBus bus;
  setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address().c_str(), 1);
  const Ran alone = Fixture::cgx("status");
  CHECK(alone.status == 1);
  CHECK(alone.output.find(
            "cgx: daemon status: cgxd does not run: nobody has the name org.cgx.Manager1 on the system bus\n"
            "hint: ") == 0);
  CHECK(alone.output.find("log") == std::string::npos);
  // One that is there with --bus off cannot be told from none.
  const std::string elsewhere = "; a cgxd with --bus off answers nothing: its log has its decisions\n";
  for (const char* command : {"watch", "history"}) {
    const Ran ran = Fixture::cgx(command);
    CHECK(ran.status == 1);
    CHECK(ran.output.ends_with(elsewhere));
  }
  bus.stop();
  CHECK(Fixture::cgx("history").output.ends_with(elsewhere));
  const Ran none = Fixture::cgx("status");
  CHECK(none.status == 1);
  CHECK(none.output.find("cgx: daemon status: there is no system bus to talk to: ") == 0);
}

TEST_CASE("cgx daemon: what --json prints has the shapes of cgx-json(7)") {
  NEED_CGX();
  Fixture f;
  f.bus.dir().file("web.yaml", "version: 1\n");
  for (const std::string& call : {std::string("status"),
                                  std::string("groups"),
                                  std::string("get web"),
                                  std::string("history"),
                                  std::string("explain web"),
                                  std::string("reload"),
                                  "plan " + f.bus.dir().path() + "/web.yaml"}) {
    CAPTURE(call);
    const Ran ran = Fixture::cgx(call + " --json");
    CHECK(ran.status == 0);
    CHECK(shaped("daemon", ran.output).output == "");
  }
}

TEST_CASE("cgx daemon watch: prints signals as they come") {
  NEED_CGX();
  Fixture f;
  const std::string out = f.bus.dir().path() + "/out";
  const Ran started = shell(fmt::format("{} daemon watch --json >{} 2>&1 & echo $!", cgx_program(), out));
  REQUIRE(started.status == 0);
  const pid_t pid = std::atoi(started.output.c_str());
  REQUIRE(pid > 1);
  const auto seen = [&](std::string_view text) {
    return wait_for([&] { return content(out).find(text) != std::string::npos; });
  };
  CHECK(seen("\"signal\":\"watching\""));
  f.server.on_loop([](daemon::Bus& bus) {
    const daemon::Decision d = FakeOperations().history(2)[1];
    bus.emit_oom(d);
    bus.emit_action(d);
    bus.policy_changed();
    bus.group_added("web");
  });
  CHECK(seen("\"signal\":\"GroupAdded\",\"group\":\"web\"}"));
  CHECK(seen("\"signal\":\"PolicyChanged\"}"));
  CHECK(seen("\"signal\":\"Oom\",\"group\":\"web\",\"details\":{\"id\":2,\"time\":1700000000"));
  CHECK(seen("\"signal\":\"Action\",\"group\":\"web\",\"action\":\"kill\",\"details\":{"));
  const std::string text = content(out);
  for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1)
    CHECK(shaped("daemon", text.substr(at, text.find('\n', at) - at)).output == "");
  (void)kill(pid, SIGTERM);
}

}  // namespace bus_client_test
