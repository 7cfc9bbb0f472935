// SPDX-License-Identifier: Apache-2.0
// linux.resources as limits, over directories that stand in for hierarchies.
#include <cerrno>
#include <string>
#include <string_view>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/container/resources.h"

#include "scratch.h"

namespace container_resources_test {

namespace {
using namespace cgx;
using container::Resources;

class Host {
 public:
  explicit Host(Version version) {
    using enum Controller;
    if (version == Version::v1) {
      for (const Controller c : {cpu, memory, cpuset, pids, devices, io}) {
        Mount m{.version = Version::v1, .dir = fmt::format("{}/{}", tree_.path(), row(c).name), .root = "/"};
        m.device = static_cast<unsigned>(mounts_.size() + 1);
        m.controllers.add(c);
        tree_.dir(row(c).name);
        mounts_.push_back(m);
      }
      tree_.file("memory/memory.memsw.limit_in_bytes", "9223372036854771712\n");
    } else {
      tree_.dir("v2");
      tree_.file("v2/cgroup.controllers", "cpuset cpu io memory hugetlb pids\n");
      Mount m{.version = Version::v2, .dir = tree_.path() + "/v2", .root = "/"};
      m.device = 1;
      mounts_.push_back(m);
    }
    hierarchies_ = Hierarchies::of_mounts(mounts_);
  }
  const Hierarchies& hierarchies() const { return *hierarchies_; }
  const test::ScratchDir& tree() const { return tree_; }

  // `KNOB=VALUE` each in one line, notes as `note: ...`; or `<error>`.
  std::string limits(const Resources& resources, const Cgroup* existing = nullptr) const {
    const auto got = container::limits_of(resources, *hierarchies_, existing);
    if (!got) return fmt::format("<{}>", got.error().text());
    std::string text;
    for (const Limit& limit : got->limits) {
      if (limit.knob != nullptr && limit.knob->name == "devices") continue;
      text += limit.knob == nullptr ? fmt::format("{}:={};", limit.file, limit.given)
                                    : fmt::format("{}={};", limit.knob->name, exact(*limit.knob, limit.value));
    }
    for (const std::string& note : got->notes) text += fmt::format("note: {};", note);
    return text;
  }

 private:
  test::ScratchDir tree_;
  std::vector<Mount> mounts_;
  std::optional<Hierarchies> hierarchies_;
};

}  // namespace

TEST_CASE("container resources: memory is memory, swap is both together") {
  const Host v1(Version::v1);
  const Host v2(Version::v2);
  Resources r;
  r.memory.emplace();
  r.memory->limit = 1 << 20;
  r.memory->reservation = 1 << 19;
  r.memory->swap = 3 << 20;
  const char* both = "memory.max=1048576;memory.soft_limit_in_bytes=524288;memory.memsw.limit_in_bytes=3145728;";
  CHECK(v1.limits(r) == both);
  CHECK(v2.limits(r) == both);
  r.memory->swap = 1 << 10;
  CHECK(v1.limits(r) ==
        "<linux.resources.memory.swap: \"1024\" is a limit of memory and swap together, below that of "
        "memory, 1048576>");
  r.memory->limit.reset();
  CHECK(v1.limits(r).find("there is no limit of memory") != std::string::npos);
  r.memory->limit = -1;
  r.memory->swap = -1;
  r.memory->reservation = 0;
  CHECK(v2.limits(r) == "memory.max=max;memory.memsw.limit_in_bytes=max;");
  v1.tree().file("memory/memory.limit_in_bytes", "x");
}

TEST_CASE("container resources: what only one version has") {
  const Host v1(Version::v1);
  const Host v2(Version::v2);
  Resources r;
  r.memory.emplace();
  r.memory->swappiness = 10;
  r.memory->disable_oom_killer = true;
  CHECK(v1.limits(r) == "memory.swappiness=10;memory.oom=pause;");
  CHECK(v2.limits(r).starts_with("note: linux.resources.memory.swappiness"));
  r.memory->swappiness = 101;
  CHECK(v1.limits(r).find("valid memory swappiness range") != std::string::npos);
}

TEST_CASE("container resources: cpu") {
  const Host v1(Version::v1);
  Resources r;
  r.cpu.emplace();
  r.cpu->shares = 512;
  r.cpu->quota = 50000;
  r.cpu->cpus = "0,1";
  CHECK(v1.limits(r) == "cpu.shares=512;cpu.max=50000/100000;cpuset.cpus=0-1;");
  r.cpu->period = 20000;
  r.cpu->quota.reset();
  CHECK(v1.limits(r) == "cpu.shares=512;cpu.max=max/20000;cpuset.cpus=0-1;");
  r.cpu->shares = 1;
  CHECK(v1.limits(r) == "<linux.resources.cpu.shares: \"1\" the minimum allowed cpu-shares is 2>");
  r.cpu->shares = 300000;
  CHECK(v1.limits(r) == "<linux.resources.cpu.shares: \"300000\" the maximum allowed cpu-shares is 262144>");
  r.cpu->shares = 0;
  r.cpu->cpus = "0-";
  CHECK(v1.limits(r).starts_with("<linux.resources.cpu.cpus"));
  r.cpu->cpus.clear();
  r.cpu->rt_runtime = 1000;
  CHECK(v1.limits(r).find("CONFIG_RT_GROUP_SCHED") != std::string::npos);
}

TEST_CASE("container resources: an update has the other half from the group") {
  const Host v1(Version::v1);
  v1.tree().dir("cpu/g");
  v1.tree().file("cpu/g/cpu.cfs_quota_us", "30000\n");
  v1.tree().file("cpu/g/cpu.cfs_period_us", "50000\n");
  const Cgroup group(v1.hierarchies(), "g");
  Resources r;
  r.cpu.emplace();
  r.cpu->period = 60000;
  CHECK(v1.limits(r, &group) == "cpu.max=30000/60000;");
  r.cpu->period.reset();
  r.cpu->quota = 20000;
  CHECK(v1.limits(r, &group) == "cpu.max=20000/50000;");
  // And no device rules where none are given.
  CHECK(container::limits_of(Resources{}, v1.hierarchies(), &group)->limits.empty());
}

TEST_CASE("container resources: pids, 0 is nothing and -1 no limit") {
  const Host v1(Version::v1);
  Resources r;
  r.pids_limit = 0;
  CHECK(v1.limits(r).empty());
  r.pids_limit = -1;
  CHECK(v1.limits(r) == "pids.max=max;");
  r.pids_limit = 7;
  CHECK(v1.limits(r) == "pids.max=7;");
}

TEST_CASE("container resources: disks") {
  const Host v1(Version::v1);
  const Host v2(Version::v2);
  Resources r;
  r.block_io.emplace();
  r.block_io->weight = 10;
  r.block_io->weight_device = {{.major = 8, .minor = 0, .weight = 1000, .leaf_weight = {}}};
  r.block_io->read_bps = {{8, 0, 100}};
  r.block_io->write_iops = {{8, 0, 0}};
  CHECK(v1.limits(r) == "io.weight=10\n8:0:1000;io.max=8:0:rbps=100,wiops=max;");
  CHECK(v2.limits(r) == "io.weight=1\n8:0:10000;io.max=8:0:rbps=100,wiops=max;");
  r.block_io->weight = 5;
  CHECK(v1.limits(r).find("is outside 10 to 1000") != std::string::npos);
}

TEST_CASE("container resources: what nothing here has is refused") {
  const Host v1(Version::v1);
  Resources r;
  r.rdma = {{.device = "mlx4_0", .handles = 3, .objects = {}}};
  CHECK(v1.limits(r).starts_with("<linux.resources.rdma"));
  r.rdma.clear();
  r.net_class_id = 0;
  CHECK(v1.limits(r).empty());
  r.net_class_id = 4;
  CHECK(v1.limits(r).starts_with("<linux.resources.network.classID"));
  r.net_class_id.reset();
  r.hugepages = {{"3MB", 0}};
  CHECK(v1.limits(r) == "note: linux.resources.hugepageLimits: this machine has no huge pages of 3MB;");
}

TEST_CASE("container resources: files of cgroup2, and the rows that they have on v1") {
  const Host v1(Version::v1);
  const Host v2(Version::v2);
  Resources r;
  r.unified = {{"memory.max", "4096"}, {"cpu.max", "10000 50000"}};
  CHECK(v2.limits(r) == "memory.max:=4096;cpu.max:=10000 50000;");
  CHECK(v1.limits(r) == "memory.max=4096;cpu.max=10000/50000;");
  r.unified = {{"memory.high", "1"}};
  CHECK(v2.limits(r) == "memory.high:=1;");
  CHECK(v1.limits(r).find("memory.high") != std::string::npos);
  CHECK(v1.limits(r).starts_with("<"));
  for (const char* bad : {"../memory.max", "", "nosuch", "cgroup.procs", "cgroup.freeze", "@devices"}) {
    r.unified = {{bad, "1"}};
    CHECK_MESSAGE(v2.limits(r).starts_with("<"), bad);
  }
}

TEST_CASE("container resources: devices") {
  using container::device_rules_text;
  const auto none = device_rules_text({});
  REQUIRE(none);
  CHECK(none->starts_with("deny a\nallow c *:* m"));
  CHECK(none->find("allow c 1:3 rwm") != std::string::npos);
  const auto but = device_rules_text({{.allow = true, .type = 'a', .major = {}, .minor = {}, .access = "rwm"},
                                      {.allow = false, .type = 'c', .major = 1, .minor = 5, .access = "rwma"},
                                      {.allow = false, .type = 'b', .major = 8, .minor = -1, .access = "w"}});
  REQUIRE(but);
  CHECK(*but == "deny a\nallow a\ndeny c 1:5 rwm\ndeny b 8:* w\nallow c 1:5 rwm");
  const auto text = device_rules_text({{.allow = true, .type = 'c', .major = 10, .minor = {}, .access = "wr"},
                                       {.allow = true, .type = 'a', .major = 5, .minor = -1, .access = "r"},
                                       {.allow = false, .type = 'a', .major = {}, .minor = {}, .access = {}}});
  REQUIRE(text);
  CHECK(text->starts_with("deny a\nallow c 10:* rw\nallow b 5:* r\nallow c 5:* r\ndeny a\n"));
  CHECK(device_rules_text({{.allow = true, .type = 'c', .major = 1, .minor = 1, .access = "x"}}).error().code ==
        EINVAL);
  CHECK(device_rules_text({{.allow = true, .type = 'p', .major = 1, .minor = 1, .access = "r"}}).error().code ==
        EINVAL);
}

TEST_CASE("container resources: names of groups") {
  const Host v1(Version::v1);
  const auto name = [&](const std::string& path) {
    const auto got = container::placements_of(path, "id", v1.hierarchies());
    return got ? got->front().group : fmt::format("<{}>", got.error().what);
  };
  CHECK(name("/a/b") == "a/b");
  CHECK(name("//a//b/") == "a/b");
  CHECK(name("/a/../b").starts_with("<"));
  CHECK(name("/").starts_with("<"));
  CHECK(name("..").starts_with("<"));
  // This process is in no group of these directories.
  CHECK(name("").ends_with("id"));
  CHECK(name("x/y").ends_with("x/y"));
}

TEST_CASE("container resources: groups below a caller whose groups differ by hierarchy") {
  const Host v1(Version::v1);
  const Hierarchies& all = v1.hierarchies();
  REQUIRE(all.all().size() > 1);
  const std::string first = all.all()[0].label();
  std::vector<Base> own{{first, "job/1"}};
  auto found = container::placements_below("x", own, all);
  REQUIRE(found.size() == 1);
  CHECK(found[0] == container::Placement{.group = "x", .bases = own});
  // Everywhere the same: a name from the root.
  own.clear();
  for (const Hierarchy& h : all.all()) own.push_back({h.label(), "job/1"});
  found = container::placements_below("x", own, all);
  REQUIRE(found.size() == 1);
  CHECK(found[0] == container::Placement{.group = "job/1/x", .bases = {}});
  CHECK(container::placements_below("x", {}, all).at(0) == container::Placement{.group = "x", .bases = {}});
  // cgroup2: a second answer, beside it.
  const Host v2(Version::v2);
  found = container::placements_below("x", {{"unified", "job/1"}}, v2.hierarchies());
  REQUIRE(found.size() == 2);
  CHECK(found[0] == container::Placement{.group = "job/1/x", .bases = {}});
  CHECK(found[1] == container::Placement{.group = "job/x", .bases = {}});
}

TEST_CASE("container resources: annotations") {
  using container::annotated_limits;
  const auto good =
      annotated_limits({{"other", "1"}, {"org.cgx.limit.mem-high", "64M"}, {"org.cgx.limit.pids", "5"}}, {});
  REQUIRE(good);
  REQUIRE(good->size() == 2);
  CHECK((*good)[0].knob->name == "memory.high");
  CHECK(std::get<std::uint64_t>((*good)[0].value) == 64U << 20U);
  for (const char* bad : {"org.cgx.limit.device",
                          "org.cgx.limit.net-class",
                          "org.cgx.limit.nosuch",
                          "org.cgx.nosuch",
                          "org.cgx.limit.",
                          "org.cgx.limit.--pids",
                          "org.cgx.limit.memory.max"})
    CHECK_MESSAGE(!annotated_limits({{bad, "1"}}, {}), bad);
  CHECK(!annotated_limits({{"org.cgx.limit.pids", "many"}}, {}));
  // What the engine has set stays, also by another row of the same file.
  const std::vector<Limit> beside{{find_knob("cpu.shares"), Value(std::uint64_t{5}), "5", {}}};
  CHECK(!annotated_limits({{"org.cgx.limit.cpu-shares", "6"}}, beside));
  CHECK(!annotated_limits({{"org.cgx.limit.cpu-weight", "6"}}, beside));
  CHECK(annotated_limits({{"org.cgx.limit.pids", "6"}}, beside));
}

}  // namespace container_resources_test
