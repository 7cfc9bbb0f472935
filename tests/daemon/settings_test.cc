// SPDX-License-Identifier: Apache-2.0
#include "daemon/settings.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "scratch.h"

namespace settings_test {

using namespace cgx::daemon;  // NOLINT(google-build-using-namespace)

namespace {

cgx::Result<Settings> of(const std::vector<std::string>& words) { return settings_of(words); }
// The error's text and hint, of a file with that text.
std::string refused(const std::string& text) {
  const cgx::test::ScratchDir dir;
  dir.file("cgxd.yaml", text);
  const auto settings = of({"--config", dir.path() + "/cgxd.yaml"});
  if (settings) return "(taken)";
  CHECK(settings.error().fault == cgx::Fault::usage);
  std::string what = settings.error().text();
  if (const std::size_t at = what.find(dir.path() + "/"); at != std::string::npos)
    what.erase(at, dir.path().size() + 1);
  return what + (settings.error().hint.empty() ? "" : " / " + settings.error().hint);
}

}  // namespace

TEST_CASE("settings: the command line wins over the file, the file over what is built in") {
  const cgx::test::ScratchDir dir;
  dir.file("cgxd.yaml",
           "# a comment\n"
           "policy: [/a/b, /c/]\n"
           "metrics: unix:/run/x\n"
           "bus: off\n"
           "drift_check: 5s\n"
           "metrics_required: yes\n");
  const std::string file = dir.path() + "/cgxd.yaml";
  auto settings = of({"--config", file, "--metrics=127.0.0.1:0", "--log-format", "json"});
  REQUIRE(settings);
  CHECK(settings->policies == std::vector<std::string>{"/a/b", "/c"});
  CHECK(settings->metrics == "127.0.0.1:0");
  CHECK(settings->bus == BusChoice::off);
  CHECK(settings->drift_check == 5'000'000);
  CHECK(settings->metrics_required);
  CHECK(settings->log_format == LogFormat::json);
  CHECK(settings->state_dir == "/run/cgx");
  settings = of({"--config", file, "--policy", "/d", "--policy=/e", "--metrics-required=no"});
  REQUIRE(settings);
  CHECK(settings->policies == std::vector<std::string>{"/d", "/e"});
  CHECK(settings->metrics == "unix:/run/x");
  CHECK_FALSE(settings->metrics_required);
}

TEST_CASE("settings: what is wrong in the file has its place") {
  CHECK(refused("metrics: 127.0.0.1:9753\nmetrix: off\n") ==
        "cgxd.yaml:2:1: \"metrix\" is no setting / did you mean metrics?");
  CHECK(refused("bus: sytem\n") == "cgxd.yaml:1:6: bus: \"sytem\" is not one of system, session, off");
  CHECK(refused("drift_check: 10\n").starts_with("cgxd.yaml:1:14: drift_check: \"10\" "));
  CHECK(refused("metrics: nine\n").starts_with("cgxd.yaml:1:10: metrics: \"nine\" is not ADDRESS:PORT"));
  CHECK(refused("metrics: [a]\n") == "cgxd.yaml:1:10: metrics: a single value is wanted");
  CHECK(refused("bus: off\nbus: off\n") == "cgxd.yaml:2:1: bus is there twice");
  CHECK(refused("- a\n") == "cgxd.yaml:1:1: `key: value` lines are wanted");
  CHECK(refused("a: [\n").starts_with("cgxd.yaml:2:1: "));
  CHECK(refused("") == "(taken)");
  CHECK(refused("# nothing\n") == "(taken)");
}

TEST_CASE("settings: what is wrong on the command line is said") {
  const auto text = [](const std::vector<std::string>& words) {
    const auto settings = of(words);
    if (settings) return std::string("(taken)");
    CHECK(settings.error().fault == cgx::Fault::usage);
    return settings.error().text() + (settings.error().hint.empty() ? "" : " / " + settings.error().hint);
  };
  CHECK(text({"serve"}) == "\"serve\" is no flag; cgxd takes nothing else");
  CHECK(text({"--metrix"}) == "\"--metrix\" is no flag of cgxd / did you mean --metrics?");
  CHECK(text({"--bus"}) == "\"--bus\" wants a value");
  CHECK(text({"--check=yes"}) == "\"--check=yes\" takes no value");
  CHECK(text({"--bus", "no"}) == "--bus: \"no\" is not one of system, session, off");
  CHECK(text({"--config", "/nonexistent/cgxd.yaml"}) == "/nonexistent/cgxd.yaml: No such file or directory");
  const auto help = of({"--help"});
  REQUIRE(help);
  CHECK(help->mode == Mode::help);
}

TEST_CASE("settings: every row has a flag in the help, and none is a word of another") {
  const std::string help = settings_help();
  for (const SettingRow& row : setting_rows()) {
    std::string flag = "--" + std::string(row.key);
    for (char& c : flag)
      if (c == '_') c = '-';
    CHECK_MESSAGE(help.find("  " + flag) != std::string::npos, flag);
    CHECK_FALSE(row.doc.empty());
  }
}

}  // namespace settings_test
