// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/import.h"

#include <algorithm>
#include <cerrno>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/policy/yaml.h"
#include "cgx/sys/text.h"

namespace import_test {

using namespace cgx;
using namespace cgx::policy;

namespace {

struct Imported {
  std::string text;   // the whole
  std::string body;   // without the comments and the version
  std::string told;   // the problems, a line each, without the file's name
  std::string wrong;  // what load_text() has against it
};

Imported take(ImportKind kind, std::string_view text) {
  std::vector<Problem> problems;
  const auto got = kind == ImportKind::cgconfig ? import_cgconfig(text, "x.conf", problems)
                                                : import_cgrules(text, "x.conf", problems);
  REQUIRE(got);
  Imported out{.text = *got, .body = {}, .told = {}, .wrong = {}};
  for (const std::string_view line : sys::lines(*got))
    if (!line.starts_with('#') && line != "version: 1") out.body += std::string(line) + "\n";
  for (const Problem& p : problems) {
    out.told +=
        fmt::format("{}{}: {}{}{}\n", p.warning ? "" : "!", p.place.line, p.path, p.path.empty() ? "" : ": ", p.what);
    // What is told stands in the comments too.
    CHECK(got->find(fmt::format("#   x.conf:{}: ", p.place.line)) != std::string::npos);
  }
  for (const Problem& p : load_text(*got, "y.yaml").problems)
    if (!p.warning) out.wrong += p.text() + "\n";
  return out;
}

Imported config(std::string_view text) { return take(ImportKind::cgconfig, text); }
Imported rules(std::string_view text) { return take(ImportKind::cgrules, text); }

// One group with these parameters.
Imported group(std::string_view params) { return config(fmt::format("group g {{ cpu {{ {} }} }}", params)); }

}  // namespace

TEST_CASE("import: a file with all sections") {
  const Imported got = config(R"(
# comment
mount {
  cpu = /sys/fs/cgroup/cpu;
  "cpuacct,nodev" = "/sys/fs/cgroup/cpu acct";
  "name=jobs" = /mnt/jobs;
}
default {
  perm {
    task { uid = root; gid = root; fperm = 775; }
    admin { uid = root; gid = root; }
  }
}
group daemons/www {   # the web
  perm {
    task { uid = root; gid = 0; }
    admin { uid = 33; gid = 33; }
  }
  cpu {
    cpu.shares = "1000";
    cpu.cfs_quota_us=150000;
  }
  memory { memory.limit_in_bytes = 512M; memory.memsw.limit_in_bytes = 1G; }
}
group daemons { cpu {} }
group . { cpu { cpu.shares = 10; } }
group "students/x y" { "name=jobs" { } pids { pids.max = max; } }
template students/%u { memory { memory.limit_in_bytes = 1G; } }
systemd { slice = a.slice; }
)");
  CHECK(got.wrong.empty());
  CHECK(got.body == R"(groups:
  daemons: {}
  daemons/www:
    owner: "33:33"
    cpu: {shares: 1000, quota: 150000/100000}
    memory: {max: 512M, memsw: 1G}
  "students/x y":
    pids: {max: max}
)");
  CHECK(got.told == R"(4: mount: policies mount nothing: cpu on /sys/fs/cgroup/cpu
5: mount: policies mount nothing: cpuacct,nodev on /sys/fs/cgroup/cpu acct
6: mount: policies mount nothing: name=jobs on /mnt/jobs
9: default: perm: modes of files (fperm, dperm) stay as the kernel makes them
26: group .: the root is no group of a policy
27: group students/x y: name=jobs: hierarchies without controllers are left alone
28: template students/%u: memory.limit_in_bytes: groups that rules make have no limits of their own, but those of the groups above them
29: systemd: there is no word for it: slice = a.slice
)");
}

TEST_CASE("import: the files of both versions become the keys of policies") {
  struct Row {
    std::string_view params;
    std::string_view body;
  };
  constexpr Row rows[] = {
      {"cpu.shares = 512;", "cpu: {shares: 512}"},
      {"cpu.weight = 50;", "cpu: {weight: 50}"},
      {"cpu.cfs_quota_us = 50000; cpu.cfs_period_us = 50000;", "cpu: {quota: 50000/50000}"},
      {"cpu.cfs_period_us = 50000;", "cpu: {quota: max/50000}"},
      {"cpu.max = \"50000 100000\";", "cpu: {quota: 50000/100000}"},
      {"cpu.rt_runtime_us = 10000;", "cpu: {rt: 10ms/1s}"},
      {"cpuset.cpus = 0-3,8; cpuset.mems = 0;", "cpuset: {cpus: \"0-3,8\", mems: 0}"},
      {"memory.limit_in_bytes = -1;", "memory: {max: max}"},
      {"memory.limit_in_bytes = \"1073741824\";", "memory: {max: 1G}"},
      {"memory.max = 1G; memory.high = 900M; memory.low = 1k;", "memory: {max: 1G, high: 900M, low: 1k}"},
      {"memory.soft_limit_in_bytes = 64m;", "memory: {soft: 64M}"},
      {"memory.swap.max = 0;", "memory: {swap: 0}"},
      {"memory.swappiness = 10;", "memory: {swappiness: 10}"},
      {"memory.oom_control = 1;", "memory: {oom: pause}"},
      {"memory.oom_control = 0;", "memory: {oom: kill}"},
      {"memory.oom.group = 1;", "memory: {oom: group}"},
      {"memory.use_hierarchy = 1;", ""},
      {"pids.max = 100;", "pids: {max: 100}"},
      {"blkio.weight = 500;", "io: {weight: 500}"},
      {"blkio.throttle.read_bps_device = \"8:0 1048576\"; blkio.throttle.write_iops_device = \"8:0 10\";",
       "io: {max: {\"8:0\": {rbps: 1M, wiops: 10}}}"},
      {"io.max = \"8:16 rbps=1048576 wbps=max\";", "io: {max: {\"8:16\": {rbps: 1M, wbps: max}}}"},
      {"devices.deny = \"a *:* rwm\"; devices.allow = \"c 1:3 rwm\"; devices.allow = \"c 1:5 r\";",
       "devices: {default: deny, allow: [\"c 1:3 rwm\", \"c 1:5 r\"]}"},
      {"devices.deny = a; devices.allow = \"c 1:3 rwm\nc 136:* rw\n\";",
       "devices: {default: deny, allow: [\"c 1:3 rwm\", \"c 136:* rw\"]}"},
      {"net_cls.classid = 0x100001;", "net: {class: \"10:1\"}"},
      {"net_cls.classid = 1048577;", "net: {class: \"10:1\"}"},
      {"net_prio.ifpriomap = \"eth0 5\";", "net: {prio: {eth0: 5}}"},
      {"hugetlb.2MB.limit_in_bytes = 64M;", "hugetlb: {2MB: 64M}"},
      {"hugetlb.2MB.max = 67108864;", "hugetlb: {2MB: 64M}"},
      {"cpu.uclamp.min = 10;", "raw: {cpu.uclamp.min: \"10\"}"},
      {"notify_on_release = 1;", "raw: {notify_on_release: \"1\"}"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.params);
    const Imported got = group(row.params);
    CHECK(got.told.empty());
    CHECK(got.wrong.empty());
    const std::string expected =
        row.body.empty() ? "groups:\n  g: {}\n" : fmt::format("groups:\n  g:\n    {}\n", row.body);
    CHECK(got.body == expected);
  }
}

TEST_CASE("import: what cannot be carried over is told and stays loadable") {
  struct Row {
    std::string_view params;
    std::string_view told;
    std::string_view kept;  // in the body
  };
  constexpr Row rows[] = {
      {"cpu.shares = many;", "stays as it is, in raw", "raw: {cpu.shares: \"many\"}"},
      {"cpu.shares = 1;", "stays as it is, in raw", "raw: {cpu.shares: \"1\"}"},
      {"memory.limit_in_bytes = 5Q;", "stays as it is, in raw", "raw: {memory.limit_in_bytes: \"5Q\"}"},
      {"cpu.shares = 5; cpu.shares = 6;", "line 1 sets it again", "cpu: {shares: 6}"},
      {"memory.kmem.limit_in_bytes = 1M;", "does nothing with it", "g: {}"},
      {"memory.usage_in_bytes = 1;", "is a counter", "g: {}"},
      {"memory.force_empty = 1;", "is a command", "g: {}"},
      {"tasks = 1;", "processes are placed by rules", "g: {}"},
      {"release_agent = /bin/x;", "a file of the hierarchy", "g: {}"},
      {"frob.x = 1;", "is no file of a controller", "g: {}"},
      {"cpu.frob = 1;", "is not known to cgx", "raw: {cpu.frob: \"1\"}"},
      {"cpu.frob = \"1\n2\";", "takes one line", "g: {}"},
      {"devices.allow = \"c 1:3 rwx\";", "c 1:3 rwx", "g: {}"},
      {"cpu.frob = \"\";", "has no value", "g: {}"},
      {"cpu.cfs_quota_us = 50000; cpu.max = \"1000 2000\";", "line 1 sets it again", "cpu: {quota: 1000/2000}"},
      {"memory.oom_control = 1; memory.oom.group = 1;", "memory.oom: line 1 sets it again", "memory: {oom: group}"},
      {"memory.oom.group = 1; memory.oom_control = 1;", "memory.oom: line 1 sets it again", "memory: {oom: pause}"},
      {"devices.x = a; devices.x = b;", "devices.x: line 1 sets it again", "raw: {devices.x: \"b\"}"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.params);
    const Imported got = group(row.params);
    CAPTURE(got.told);
    CAPTURE(got.body);
    CHECK(got.told.find(row.told) != std::string::npos);
    CHECK(got.body.find(row.kept) != std::string::npos);
    CHECK(got.wrong.empty());
  }
}

TEST_CASE("import: owners") {
  const auto perm = [](std::string_view task, std::string_view admin) {
    return config(fmt::format("group g {{ perm {{ task {{ {} }} admin {{ {} }} }} cpu {{}} }}", task, admin));
  };
  Imported got = perm("uid = 7; gid = 8;", "uid = 7; gid = 8;");
  CHECK(got.told.empty());
  CHECK(got.body == "groups:\n  g:\n    owner: \"7:8\"\n");
  got = perm("uid = root; gid = 8;", "uid = root; gid = root;");
  CHECK(got.told.find("1: group g: perm: root:8 may not move processes here") == 0);
  CHECK(got.body == "groups:\n  g: {}\n");
  got = perm("uid = 7; fperm = 775;", "uid = 7; dperm = 775;");
  CHECK(got.told == "1: group g: perm: modes of files (fperm, dperm) stay as the kernel makes them\n");
  CHECK(got.body == "groups:\n  g:\n    owner: 7\n");
  // What a file of policies would read in another way, or not at all.
  got = perm("uid = root;", "uid = \"a:b\";");
  CHECK(got.told.find("!1: group g: perm: \"a:b\" is no name of a user\n") != std::string::npos);
  CHECK(got.body == "groups:\n  g: {}\n");
  got = perm("uid = root;", "uid = 7; gid = \"a b\";");
  CHECK(got.told.find("!1: group g: perm: \"a b\" is no name of a group of users\n") != std::string::npos);
  CHECK(got.body == "groups:\n  g: {}\n");
  // The default is for groups that say nothing of their own.
  got = config(
      "default { perm { admin { uid = 7; } task { uid = 7; } } } group a { perm { admin { uid = 0; } } } group b { }");
  CHECK(got.body == "groups:\n  a: {}\n  b:\n    owner: 7\n");
}

TEST_CASE("import: mistakes are told with their line, and the rest is read") {
  struct Row {
    std::string_view text;
    std::string_view told;
  };
  constexpr Row rows[] = {
      {"group g {\n cpu {\n cpu.shares 5;\n }\n }\ngroup h { pids { pids.max = 7; } }",
       "!3: group g: cpu.shares: \"5\" where = is"},
      {"group g {\n cpu {\n cpu.shares = 5\n }\n }\ngroup h { pids { pids.max = 7; } }",
       "!4: group g: cpu.shares: \"}\" where ; "},
      {"group g { cpu cpu.shares = 5; } }\ngroup h { pids { pids.max = 7; } }",
       "!1: group g: cpu: \"cpu.shares\" where { is"},
      {"frob {\n a { b = c; } }\ngroup h { pids { pids.max = 7; } }", "!1: \"frob\" is no section"},
      {"}\ngroup h { pids { pids.max = 7; } }", "!1: \"}\" where mount"},
      {"group {\n}\ngroup h { pids { pids.max = 7; } }", "!1: group: \"{\" where the name of a group is"},
      {"group ../x { }\ngroup h { pids { pids.max = 7; } }", "!1: group ../x: "},
      {"default { x }\ngroup h { pids { pids.max = 7; } }", "!1: default: \"x\" where perm"},
      {"group g { perm { guest { uid = 1; } } }\ngroup h { pids { pids.max = 7; } }",
       "!1: group g: perm: \"guest\" where task or admin"},
      {"group g { perm { task { user = 1; } } }\ngroup h { pids { pids.max = 7; } }",
       "!1: group g: perm: \"user\" is none of uid"},
      {"group h { pids { pids.max = 7; } }\n\ngroup i { cpu {", "!3: group i: the file ends where"},
      {"group h { pids { pids.max = 7; } }\ngroup i { cpu { cpu.x = \"5; } }", "!2: a quote is never closed"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const Imported got = config(row.text);
    CAPTURE(got.told);
    CHECK(got.told.find(row.told) != std::string::npos);
    CHECK(got.body.find("  h:\n    pids: {max: 7}\n") != std::string::npos);
    CHECK(got.wrong.empty());
  }
}

TEST_CASE("import: rules") {
  const Imported got = rules(R"(# who goes where
root          *       daemons/
@games        *       games/%u     # by name
0:cp          *       a/%p-%P-\%u
*:/usr/bin/x  *       b
*:vi*         *       c/%U/%g/%G
*:a?b         *       d
*:longer-than-fifteen * e
*:ein-prozessor-€-mehr * e
*:fourteen-bytes*-and * e
*             *       /f/
"a""b":"Web Co#nt"  * browsers/   # quoted
)");
  CHECK(got.told == R"(8: *:longer-than-fifteen: the kernel keeps 15 bytes of a name: longer-than-fif stands for it
9: *:ein-prozessor-€-mehr: the kernel keeps 15 bytes of a name: ein-prozessor-? stands for it
10: *:fourteen-bytes*-and: the kernel keeps 15 bytes of a name: fourteen-bytes\* stands for it
)");
  CHECK(got.wrong.empty());
  CHECK(got.body == R"(rules:
  - {user: root, group: daemons/}
  - {user: "@games", group: games/%u}
  - {user: 0, command: cp, group: a/%c-%p-%%u}
  - {exe: /usr/bin/x, group: b}
  - {command: vi*, group: c/%U/%g/%G}
  - {command: "a\\?b", group: d}
  - {command: longer-than-fif, group: e}
  - {command: "ein-prozessor-?", group: e}
  - {command: "fourteen-bytes\\*", group: e}
  - {user: "*", group: /f/}
  - {user: ab, command: "Web Co#nt", group: browsers/}
)");
}

TEST_CASE("import: controllers of one mount point are mounted at once") {
  std::vector<Problem> problems;
  REQUIRE(import_cgconfig("mount { cpu = /c; memory = /m; cpuacct = /c; }", "x.conf", problems));
  REQUIRE(problems.size() == 3);
  CHECK(problems[0].hint == "cgx mount --v1 cpu,cpuacct /c");
  CHECK(problems[1].hint == "cgx mount --v1 memory /m");
  CHECK(problems[2].hint == "cgx mount --v1 cpu,cpuacct /c");
}

TEST_CASE("import: what rules cannot say is told") {
  struct Row {
    std::string text;
    std::string_view told;
    std::size_t kept;  // rules
  };
  const std::string part(254, 'x');
  const Row rows[] = {
      {"root cpu,memory a", "1: root: not only in cpu,memory", 1},
      {"root cpu a\n% memory b", "2: %: b in memory: a process has one group in all hierarchies, and that is a", 1},
      {"root cpu a\n% memory /a/", "1: root: not only in cpu", 1},
      {"% cpu a", "!1: %: there is no rule above", 0},
      {"root cpu", "!1: \"root cpu\" is no rule", 0},
      {"root", "!1: \"root\" is no rule", 0},
      {"root:\"a b * c", "!1: a quotation mark has no other one", 0},
      {":x * a", "!1: :x: has no user", 0},
      {"root: * a", "!1: root:: has no process", 0},
      {"root * ../a", "!1: root: the destination \"../a\"", 0},
      {"root * a frob", "!1: root: \"frob\" is none of the options", 0},
      {"root * a ignore_rt", "1: root: ignore_rt", 1},
      {"root * a/%u" + part, "", 1},
      {"root * a/%u-" + part, "!1: root: the destination \"a/%u-xxx", 0},
      {"root * %" + std::string(4096, 'a'), "is longer than 4096 bytes", 0},
      {"a/b * a", "!1: a/b: \"a/b\" is no name of a user", 0},
      {"@-b * a", "!1: @-b: \"-b\" is no name of a group of users", 0},
      {"root:/" + std::string(4096, 'a') + " * a", "is longer than 4096 bytes", 0},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const Imported got = rules(row.text);
    CAPTURE(got.told);
    CHECK(got.told.find(row.told) != std::string::npos);
    CHECK(got.wrong.empty());
    CHECK(load_text(got.text, "y.yaml").policies.rules.size() == row.kept);
  }
  const Imported got = rules("root:x * a ignore\nroot * b");
  CHECK(got.told.empty());
  CHECK(got.wrong.empty());
  CHECK(got.body == "rules:\n  - {user: root, command: x, leave: true}\n  - {user: root, group: b}\n");
}

TEST_CASE("import: which of the two a file is") {
  CHECK(import_kind("", "/etc/cgrules.conf") == ImportKind::cgrules);
  CHECK(import_kind("", "/etc/cgrules.d/local") == ImportKind::cgrules);
  CHECK(import_kind("root * a", "/etc/cgconfig.conf") == ImportKind::cgconfig);
  CHECK(import_kind("# x\ngroup a {\n}", "-") == ImportKind::cgconfig);
  CHECK(import_kind("# group a {\nroot * a", "-") == ImportKind::cgrules);
  CHECK(import_kind("", "-") == ImportKind::cgconfig);
}

TEST_CASE("import: sentences are cut between characters") {
  std::string long_name;
  for (int i = 0; i < 100; ++i) long_name += "ä€";
  for (std::size_t lead = 0; lead < 5; ++lead) {
    const std::string name = std::string(lead, 'x') + long_name;
    CHECK(config(fmt::format("mount {{ cpu = {}; }} {} {{ }}", name, name)).wrong.empty());
    CHECK(rules(fmt::format("root {} a\n{}", name, name)).wrong.empty());
  }
  std::vector<Problem> problems;
  const auto got = import_cgconfig("frob { }", "/a\xc3/\xff\x1b", problems);
  REQUIRE(got);
  CHECK(got->starts_with("# Made by cgx import out of /a?/??.\n"));
}

TEST_CASE("import: names that are longer than a key of YAML may be") {
  const std::string part(200, 'a');
  const std::string name = fmt::format("{0}/{0}/{0}/{0}/{0}/{0}", part);
  const Imported got = config(fmt::format("group {} {{ cpu {{ cpu.shares = 5; }} }} group {}/b {{ }}", name, name));
  CHECK(got.told.empty());
  CHECK(got.wrong.empty());
  const auto policies = load_text(got.text, "y.yaml").policies;
  REQUIRE(policies.groups.size() == 2);
  CHECK(policies.groups[0].name == name);
  CHECK(policies.groups[0].limits.size() == 1);
}

TEST_CASE("import: a file of mistakes makes a thousand comments, one of rules no policy that is too large") {
  std::string text;
  for (int i = 0; i < 1200; ++i) text += "a\n";
  std::vector<Problem> problems;
  const auto told = import_cgrules(text, "x", problems);
  REQUIRE(told);
  CHECK(problems.size() == 1200);
  CHECK(told->find("#   x:1000: ") != std::string::npos);
  CHECK(told->find("#   x:1001: ") == std::string::npos);
  CHECK(told->find("#   and 200 more\n") != std::string::npos);
  text.clear();
  while (text.size() < 900'000) text += "a * b\n";
  const auto large = import_cgrules(text, "x", problems);
  REQUIRE_FALSE(large);
  CHECK(large.error().code == E2BIG);
}

TEST_CASE("import: too large, and not UTF-8") {
  std::vector<Problem> problems;
  const std::string large(2'000'000, ' ');
  CHECK_FALSE(import_cgconfig(large, "x", problems));
  CHECK_FALSE(import_cgrules(large, "x", problems));
  CHECK_FALSE(import_cgconfig("group \xff { cpu { } }", "x", problems));
  CHECK_FALSE(import_cgrules("root:\xff * a", "x", problems));
}

}  // namespace import_test
