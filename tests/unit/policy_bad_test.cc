// SPDX-License-Identifier: Apache-2.0
// What is said of bad documents, word for word, and what is refused before it is read.
#include <algorithm>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/model/knob.h"
#include "cgx/policy/document.h"
#include "cgx/policy/keys.h"
#include "cgx/policy/yaml.h"

#include "policy_text.h"
#include "scratch.h"

namespace policy_bad_test {

namespace {
using namespace cgx;
using namespace cgx::policy;
using test::problems_of;

struct Case {
  std::string name;
  std::string text;
  std::string said;
};

// tests/data/policies/table says how it is written.
std::vector<Case> cases() {
  std::ifstream in(CGX_SOURCE_ROOT "/tests/data/policies/table");
  std::vector<Case> all;
  bool inside = false;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("=== ")) {
      all.push_back({line.substr(4), "", ""});
      inside = true;
    } else if (line.empty()) {
      inside = false;
    } else if (inside && line.starts_with(">>> ")) {
      all.back().said += line.substr(4) + '\n';
    } else if (inside && line.starts_with("@ ")) {
      all.back().text += "version: 1\ngroups:\n  a: {" + line.substr(2) + "}\n";
    } else if (inside) {
      all.back().text += line + '\n';
    }
  }
  return all;
}

TEST_CASE("policy: bad documents and what is said of them") {
  const auto all = cases();
  CHECK(all.size() > 150);
  for (const Case& c : all) {
    INFO(c.name);
    const Loaded loaded = load_text(c.text, "t.yaml");
    CHECK(problems_of(loaded) == c.said);
    CHECK(loaded.ok() == std::ranges::all_of(loaded.problems, &Problem::warning));
  }
}

TEST_CASE("policy: every flag of a limit has its place told") {
  std::size_t seen = 0;
  for_each_knob([&](const Knob& knob) {
    if (knob.flag.empty() || knob.key.empty() ||
        std::ranges::find(sections(), knob.flag, &Section::name) != sections().end())
      return;
    INFO(knob.flag);
    const Loaded loaded = load_text(fmt::format("version: 1\ngroups: {{a: {{{}: 7}}}}\n", knob.flag), "t.yaml");
    REQUIRE(loaded.problems.size() == 1);
    const std::string_view name = name_of(knob.key);
    CHECK(loaded.problems[0].hint == (name.empty() ? fmt::format("write {}: 7", knob.key)
                                                   : fmt::format("write {}: {{{}: 7}}", section_of(knob.key), name)));
    ++seen;
  });
  CHECK(seen > 20);
}

TEST_CASE("policy: what a file is refused for as a whole") {
  const test::ScratchDir scratch;
  const auto said = [](const std::string& path) {
    const std::vector<std::string> paths{path};
    const Loaded loaded = load(paths);
    CHECK_FALSE(loaded.ok());
    std::string all = problems_of(loaded);
    while (all.find(path) != std::string::npos) all.replace(all.find(path), path.size(), "F");
    return all;
  };
  const std::string& dir = scratch.path();
  CHECK(said(dir + "/none") == "F: No such file or directory\n");
  CHECK(mkfifo((dir + "/fifo").c_str(), 0600) == 0);
  CHECK(said(dir + "/fifo") == "F: is not a regular file\n");
  CHECK(said("/dev/null") == "F: is not a regular file\n");
  CHECK(symlink("nowhere", (dir + "/dangling").c_str()) == 0);
  CHECK(said(dir + "/dangling") == "F: No such file or directory\n");
  std::ofstream(dir + "/big") << "version: 1\n" << std::string(most_document_bytes, '#') << '\n';
  CHECK(said(dir + "/big") == "F: is over 1 MiB\n");
  std::ofstream(dir + "/latin") << "version: 1\ngroups: {caf\xe9: {}}\n";
  CHECK(said(dir + "/latin") == "F:2:13: is not UTF-8 text\n");
  std::ofstream(dir + "/cut") << "version: 1\n# \xe2\x82";
  CHECK(said(dir + "/cut") == "F:2:3: is not UTF-8 text\n");
  std::ofstream(dir + "/surrogate") << "\xed\xa0\x80";
  CHECK(said(dir + "/surrogate") == "F:1:1: is not UTF-8 text\n");
  std::ofstream(dir + "/overlong") << "\xc0\x80";
  CHECK(said(dir + "/overlong") == "F:1:1: is not UTF-8 text\n");
  std::ofstream(dir + "/utf16") << "\xff\xfe" << "v";
  CHECK(said(dir + "/utf16") == "F:1:1: is not UTF-8 text\n");
  std::ofstream(dir + "/nul") << std::string("version: 1\n\0", 12);
  CHECK(said(dir + "/nul") == "F:2:1: has a control character (0x00)\n");
  std::ofstream(dir + "/escape") << "version: 1 # \x1b[2J\n";
  CHECK(said(dir + "/escape") == "F:1:14: has a control character (0x1b)\n");
}

TEST_CASE("policy: columns count characters") {
  const Loaded loaded = load_text("version: 1\ngroups: {\"ä€𝄞\": {pids: {max: x}}}\n", "t.yaml");
  CHECK(problems_of(loaded) == "t.yaml:2:25: groups.ä€𝄞.pids.max: \"x\" is not a number\n");
}

TEST_CASE("policy: a byte order mark is no part of the text") {
  CHECK(problems_of(load_text("\xef\xbb\xbfversion: 1\n", "t.yaml")).empty());
}

TEST_CASE("policy: folders are read in the order of names, and one group has one place") {
  const test::ScratchDir scratch;
  const std::string& dir = scratch.path();
  const auto write = [&](const std::string& name, const std::string& text) { std::ofstream(dir + '/' + name) << text; };
  write("20-b.yaml", "version: 1\ngroups: {b: {}, both: {}}\nrules: [{user: root, group: b}]\n");
  write("10-a.yml", "version: 1\ngroups:\n  a: {}\n  both: {}\nrules: [{user: root, group: a}]\n");
  write("notes.txt", "not a policy");
  write(".hidden.yaml", "not a policy");
  write("x.yaml~", "not a policy");
  CHECK(symlink((dir + "/target").c_str(), (dir + "/30-link.yaml").c_str()) == 0);
  write("target", "version: 1\ngroups: {c: {pids: {max: no}}}\n");
  CHECK(mkdir((dir + "/40-dir.yaml").c_str(), 0700) == 0);
  const std::vector<std::string> paths{dir};
  const Loaded loaded = load(paths);
  std::string said = problems_of(loaded);
  while (said.find(dir) != std::string::npos) said.replace(said.find(dir), dir.size(), "D");
  CHECK(said ==
        "D/20-b.yaml:2:17: groups.both: the group both is in D/10-a.yml:4:3 too\n"
        "D/30-link.yaml:2:21: groups.c.pids.max: \"no\" is not a number\n"
        "D/40-dir.yaml: is not a regular file\n");
  std::string groups;
  for (const GroupPolicy& g : loaded.policies.groups) groups += g.name + ' ';
  CHECK(groups == "a both b c ");
  REQUIRE(loaded.policies.rules.size() == 2);
  CHECK(loaded.policies.rules[0].target == "a");
  CHECK(loaded.files.size() == 4);
  // A slash at the end, and a file given twice.
  const std::vector<std::string> twice{dir + "/target", dir + "/target"};
  CHECK(problems_of(load(twice)).find("the group c is in " + dir + "/target:2:10 too") != std::string::npos);
}

// Each of these would take minutes, gigabytes or the stack if it were read without care.
TEST_CASE("policy: bombs are refused in no time") {
  const auto repeated = [](std::string_view what, std::size_t times) {
    std::string out;
    for (std::size_t i = 0; i < times; ++i) out += what;
    return out;
  };
  std::string laughs = "version: 1\nx-a: &a [l, l, l, l, l, l, l, l, l, l]\n";
  for (char c = 'b'; c <= 'k'; ++c) {
    laughs += fmt::format("x-{}: &{} [", c, c);
    for (int i = 0; i < 10; ++i) laughs += fmt::format("{}*{}", i > 0 ? ", " : "", static_cast<char>(c - 1));
    laughs += "]\n";
  }
  std::string merges = "version: 1\nx-a: &a {k1: 1, k2: 2, k3: 3}\n";
  for (char c = 'b'; c <= 'z'; ++c)
    merges += fmt::format("x-{0}: &{0} {{x: *{1}, y: *{1}, <<: *{1}}}\n", c, static_cast<char>(c - 1));
  struct Bomb {
    std::string text;
    std::string says;
  };
  const std::vector<Bomb> bombs{
      {laughs, "aliases make this document grow by more than 100000 values"},
      {merges, "aliases make this document grow by more than 100000 values"},
      {repeated("[", 500'000), "is nested deeper than"},
      {"version: 1\ngroups: " + repeated("{a: ", 200'000), "is nested deeper than"},
      {repeated("- ", 400'000), "is nested deeper than"},
      {repeated("? ", 400'000), ""},
      {repeated("!", 900'000), ""},
      {"version: 1\nx: " + repeated("&a ", 300'000), ""},
      {"version: 1\n" + repeated("a: ", 300'000), ""},
      {"version: 1\nx-a: [" + repeated("a, ", 340'000) + "]\n", ""},
      {"version: 1\nx-a: \"" + repeated("\\x41", 250'000) + "\"\n", ""},
      {"version: 1\nx-a: |\n" + repeated("  a\n", 250'000), ""},
      {"version: 1\n" + repeated("---\n", 250'000), "is the start of a second document"},
      {repeated("%TAG ! tag:x\n", 70'000), ""},
  };
  const std::clock_t before = std::clock();
  for (const Bomb& b : bombs) {
    INFO(b.text.substr(0, 40));
    const Loaded loaded = load_text(b.text, "t.yaml");
    CHECK(problems_of(loaded).find(b.says) != std::string::npos);
    CHECK(loaded.problems.size() <= 1001);
  }
  std::string keys = "version: 1\n";
  for (int i = 0; i < 80'000; ++i) keys += fmt::format("key{}: 1\n", i);
  const Loaded many = load_text(keys, "t.yaml");
  CHECK(many.problems.size() == 1001);
  CHECK(many.problems.back().what == "after 1000 problems of this file no more are told");
  // Seconds of CPU time, whatever else runs; what is quadratic in the length takes hours.
  CHECK(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC < 60);
}

TEST_CASE("policy: aliases that are worth it are taken") {
  std::string text = "version: 1\nx-a: &a {memory: {max: 1G}, pids: {max: 10}}\ngroups:\n";
  for (int i = 0; i < 1000; ++i) text += fmt::format("  g{}: *a\n", i);
  CHECK(test::load_good(text).groups.size() == 1000);
}

}  // namespace

}  // namespace policy_bad_test
