// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/match.h"

#include <algorithm>
#include <map>

#include <doctest/doctest.h>

namespace match_test {

using namespace cgx::policy;

namespace {

class FakeFacts final : public Facts {
 public:
  pid_t pid_value = 4711;
  uid_t uid_value = 1000;
  gid_t gid_value = 100;
  std::vector<gid_t> groups;
  std::string comm_value = "make";
  std::string exe_value = "/usr/bin/make";
  std::vector<std::string> places = {"", "user/alice"};

  [[nodiscard]] pid_t pid() const override { return pid_value; }
  [[nodiscard]] uid_t uid() const override { return uid_value; }
  [[nodiscard]] gid_t gid() const override { return gid_value; }
  [[nodiscard]] bool in_group(gid_t gid) const override {
    return gid == gid_value || std::ranges::find(groups, gid) != groups.end();
  }
  [[nodiscard]] std::string_view comm() const override { return comm_value; }
  [[nodiscard]] std::string_view exe() const override { return exe_value; }
  [[nodiscard]] std::span<const std::string> cgroups() const override { return places; }
};

class FakeNames final : public Names {
 public:
  std::map<std::string, uid_t> users{{"root", 0}, {"alice", 1000}, {"../etc", 1001}, {"x\ny", 1002}, {"cpu.max", 1003}};
  std::map<std::string, gid_t> groups{{"users", 100}, {"students", 200}, {"a/b", 201}};

  [[nodiscard]] std::optional<std::string> user_name(uid_t uid) override { return name(users, uid); }
  [[nodiscard]] std::optional<std::string> group_name(gid_t gid) override { return name(groups, gid); }
  [[nodiscard]] std::optional<uid_t> user_id(const std::string& name) override { return id(users, name); }
  [[nodiscard]] std::optional<gid_t> group_id(const std::string& name) override { return id(groups, name); }

 private:
  static std::optional<std::string> name(const std::map<std::string, unsigned>& all, unsigned id) {
    for (const auto& [name, value] : all)
      if (value == id) return name;
    return {};
  }
  static std::optional<unsigned> id(const std::map<std::string, unsigned>& all, const std::string& name) {
    const auto at = all.find(name);
    return at == all.end() ? std::nullopt : std::optional(at->second);
  }
};

}  // namespace

TEST_CASE("globs of words and paths") {
  struct Row {
    std::string_view pattern;
    std::string_view text;
    bool word;
    bool path;
  };
  constexpr Row rows[] = {
      {"", "", true, true},
      {"", "a", false, false},
      {"make", "make", true, true},
      {"make", "makex", false, false},
      {"make*", "make", true, true},
      {"make*", "makefile", true, true},
      {"*", "", true, true},
      {"*", "a/b", true, false},
      {"**", "a/b", true, true},
      {"a/*", "a/b", true, true},
      {"a/*", "a/b/c", true, false},
      {"a/**", "a/b/c", true, true},
      {"a/**/d", "a/b/c/d", true, true},
      {"a/**/d", "a/d", false, false},
      {"**/bin/*", "/usr/local/bin/x", true, true},
      {"**/bin/*", "/usr/bin/local/bin/x", true, true},
      {"**/bin/*", "/usr/bin/local/x", true, false},
      {"*.*.*", "a.b.c", true, true},
      {"*a*b*c", "xxaxxbxxaxxbxxc", true, true},
      {"*a*b*c", "xxaxxbxxaxxbxx", false, false},
      {"?", "a", true, true},
      {"?", "", false, false},
      {"?", "/", true, false},
      {"[a-c]x", "bx", true, true},
      {"[a-c]x", "dx", false, false},
      {"[!a-c]x", "dx", true, true},
      {"[^a-c]x", "ax", false, false},
      {"[!a]", "/", true, false},
      {"[]x]", "]", true, true},
      {"[a-]", "-", true, true},
      {"[abc", "[abc", true, true},
      {"[", "[", true, true},
      {"\\*", "*", true, true},
      {"\\*", "a", false, false},
      {"a\\", "a\\", true, true},
      {"[\xc0-\xff]", "\xe4", true, true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.pattern);
    CAPTURE(row.text);
    CHECK(glob(row.pattern, row.text, Text::word) == row.word);
    CHECK(glob(row.pattern, row.text, Text::path) == row.path);
  }
}

TEST_CASE("globs end soon whatever they are given") {
  const std::string text(4000, 'a');
  std::string pattern;
  for (int i = 0; i < 60; ++i) pattern += "*a";
  CHECK_FALSE(glob(pattern + "b", text, Text::path));
  CHECK_FALSE(glob("**a" + pattern + "b", text, Text::word));
}

TEST_CASE("all that a rule asks for must be true") {
  struct Row {
    std::string_view what;
    Rule rule;
    bool expected;
  };
  const Row rows[] = {
      {"an empty rule", {}, true},
      {"a user by name", {.user = "alice"}, true},
      {"another user", {.user = "root"}, false},
      {"a user by number", {.user = "1000"}, true},
      {"another number", {.user = "1001"}, false},
      {"any user", {.user = "*"}, true},
      {"a user that is not there", {.user = "nobody-at-all"}, false},
      {"the process's own group", {.group = "users"}, true},
      {"a supplementary group", {.group = "students"}, true},
      {"a group by number", {.group = "200"}, true},
      {"a group that it is not in", {.group = "a/b"}, false},
      {"a group that is not there", {.group = "teachers"}, false},
      {"a command", {.command = "make"}, true},
      {"a command by glob", {.command = "ma*"}, true},
      {"another command", {.command = "ninja*"}, false},
      {"a program", {.exe = "/usr/bin/*"}, true},
      {"a program elsewhere", {.exe = "/usr/*"}, false},
      {"where it is", {.cgroup = "user/*"}, true},
      {"where it is, with slashes", {.cgroup = "/user/alice/"}, true},
      {"where it is in one hierarchy", {.cgroup = "/"}, true},
      {"where it is not", {.cgroup = "batch/**"}, false},
      {"all at once",
       {.user = "alice", .group = "students", .command = "make", .exe = "/usr/bin/make", .cgroup = "user/**"},
       true},
      {"all but one", {.user = "alice", .group = "students", .command = "make", .exe = "/bin/make"}, false},
  };
  FakeFacts facts;
  facts.groups = {200};
  FakeNames names;
  for (const Row& row : rows) {
    CAPTURE(row.what);
    CHECK(matches(row.rule, facts, names) == row.expected);
  }
  facts.exe_value = "";
  CHECK_FALSE(matches({.exe = "/**"}, facts, names));
}

TEST_CASE("the first rule that matches counts") {
  const std::vector<Rule> rules{{.user = "root", .target = "a"}, {.command = "make", .target = "b"}, {.target = "c"}};
  FakeFacts facts;
  FakeNames names;
  CHECK(first_match(rules, facts, names) == &rules[1]);
  facts.comm_value = "ls";
  CHECK(first_match(rules, facts, names) == &rules[2]);
  CHECK(first_match(std::span(rules).first(2), facts, names) == nullptr);
  CHECK(first_match({}, facts, names) == nullptr);
}

TEST_CASE("targets are filled in, and lead nowhere else") {
  struct Row {
    std::string_view target;
    uid_t uid;
    gid_t gid;
    std::string_view comm;
    std::string_view expected;
  };
  const Row rows[] = {
      {"web", 0, 0, "x", "web"},
      {"/web/", 0, 0, "x", "web"},
      {"", 0, 0, "x", ""},
      {"batch/%u", 1000, 0, "x", "batch/alice"},
      {"batch/%U", 1000, 0, "x", "batch/1000"},
      {"batch/%u", 77, 0, "x", "batch/77"},
      {"%g/%G", 0, 200, "x", "students/200"},
      {"%g", 0, 77, "x", "77"},
      {"p%p", 0, 0, "x", "p4711"},
      {"a%%b", 0, 0, "x", "a%b"},
      {"%c", 0, 0, "make", "make"},
      {"%u-%c", 1000, 0, "make", "alice-make"},
      // What could lead out of its place.
      {"batch/%u", 1001, 0, "x", "batch/1001"},
      {"batch/%u", 1002, 0, "x", "batch/1002"},
      {"batch/%g", 0, 201, "x", "batch/201"},
      {"batch/%u", 1003, 0, "x", "batch/_cpu.max"},
      {"a/%c", 0, 0, "..", "a/_.."},
      {"a/%c", 0, 0, ".", "a/_."},
      {"a/%c", 0, 0, "", "a/_"},
      {"a/%c", 0, 0, "../../b", "a/.._.._b"},
      {"a/%c/b", 0, 0, "/", "a/_/b"},
      {"a/%c", 0, 0, "x\ny\x7f", "a/x_y_"},
      {"a/%c", 0, 0, "tasks", "a/_tasks"},
      {"a/%c", 0, 0, "cgroup.procs", "a/_cgroup.procs"},
      {"a/%c", 0, 0, "memory.max", "a/_memory.max"},
      {"a/%c", 0, 0, "blkio.weight", "a/_blkio.weight"},
      {"a/%c", 0, 0, "python3.11", "a/python3.11"},
      {"a/.%c", 0, 0, ".", "a/_.."},
      {"a/%c%c", 0, 0, ".", "a/_.."},
  };
  FakeFacts facts;
  FakeNames names;
  for (const Row& row : rows) {
    CAPTURE(row.target);
    CAPTURE(row.comm);
    facts.uid_value = row.uid;
    facts.gid_value = row.gid;
    facts.comm_value = row.comm;
    const auto got = expand(row.target, facts, names);
    REQUIRE(got);
    CHECK(*got == row.expected);
    CHECK(check_target(row.target));
  }
}

TEST_CASE("targets that are none are refused") {
  FakeFacts facts;
  FakeNames names;
  for (const std::string_view target : {"batch/%x", "batch/%", "a//b", "../a", "a/..", "a\nb", "%u/../x", "%\n"}) {
    CAPTURE(target);
    const auto got = expand(target, facts, names);
    REQUIRE_FALSE(got);
    CHECK(got.error().fault == cgx::Fault::usage);
    CHECK_FALSE(check_target(target));
  }
}

TEST_CASE("targets that are too long whatever is put in are refused") {
  const std::string part(254, 'x');
  CHECK(check_target("a/%u" + part));
  CHECK_FALSE(check_target("a/%u-" + part));
  CHECK_FALSE(check_target("a/%u%u" + part));
}

TEST_CASE("what rules depend on is known beforehand") {
  CHECK_FALSE(is_template("a%%b"));
  CHECK(is_template("a%%%u"));
  const std::vector<Rule> plain{{.command = "x", .target = "a%%u"}};
  CHECK_FALSE(wanted_by(plain).user);
  CHECK_FALSE(wanted_by(plain).group);
  CHECK(wanted_by(std::vector<Rule>{{.user = "alice"}}).user);
  CHECK_FALSE(wanted_by(std::vector<Rule>{{.user = "*"}}).user);
  CHECK(wanted_by(std::vector<Rule>{{.target = "x/%U"}}).user);
  CHECK(wanted_by(std::vector<Rule>{{.group = "users"}}).group);
  CHECK(wanted_by(std::vector<Rule>{{.target = "x/%g"}}).group);
}

}  // namespace match_test
