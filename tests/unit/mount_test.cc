// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/mount.h"

#include <chrono>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/cgroupfs/hierarchy.h"

#include "parsing.h"
#include "scratch.h"

namespace mount_test {

namespace {
using namespace cgx;

std::string recorded(std::string_view name) {
  std::string text = test::content(fmt::format("{}/tests/data/{}", CGX_SOURCE_ROOT, name));
  REQUIRE_FALSE(text.starts_with('<'));
  return text;
}

std::string summary(const Hierarchies& hierarchies) {
  std::string text(hierarchies.layout());
  for (const Hierarchy& h : hierarchies.all())
    text += fmt::format(" {}@{}", h.version() == Version::v2 ? "unified" : h.label(), h.dir());
  for (const Hierarchy& h : hierarchies.named()) text += fmt::format(" [{}@{}]", h.label(), h.dir());
  return text;
}
std::string summary(std::string_view mountinfo) { return summary(Hierarchies::of_mounts(parse_mountinfo(mountinfo))); }

}  // namespace

TEST_CASE("mountinfo: recorded layouts") {
  CHECK(summary(recorded("mountinfo-v2")) == "v2 unified@/sys/fs/cgroup");
  CHECK(summary(recorded("mountinfo-v1")) ==
        "v1 cpu,cpuacct@/sys/fs/cgroup/cpu,cpuacct cpuset@/sys/fs/cgroup/cpuset memory@/sys/fs/cgroup/memory "
        "devices@/sys/fs/cgroup/devices freezer@/sys/fs/cgroup/freezer blkio@/sys/fs/cgroup/blkio "
        "pids@/sys/fs/cgroup/pids net_cls,net_prio@/sys/fs/cgroup/net_cls,net_prio "
        "perf_event@/sys/fs/cgroup/perf_event hugetlb@/sys/fs/cgroup/hugetlb rdma@/sys/fs/cgroup/rdma "
        "misc@/sys/fs/cgroup/misc [name=systemd@/sys/fs/cgroup/systemd]");
  CHECK(summary(recorded("mountinfo-hybrid")) ==
        "hybrid cpu@/sys/fs/cgroup/cpu cpuacct@/sys/fs/cgroup/cpuacct cpuset@/sys/fs/cgroup/cpuset "
        "memory@/sys/fs/cgroup/memory devices@/sys/fs/cgroup/devices freezer@/sys/fs/cgroup/freezer "
        "blkio@/sys/fs/cgroup/blkio pids@/sys/fs/cgroup/pids unified@/sys/fs/cgroup/unified "
        "[name=systemd@/sys/fs/cgroup/systemd]");
}

TEST_CASE("mountinfo: nested roots, and the mount of a whole tree is taken before them") {
  const auto mounts = parse_mountinfo(recorded("mountinfo-nested-roots"));
  REQUIRE(mounts.size() == 5);
  CHECK(mounts[0].name == "systemd");
  CHECK(mounts[0].root == "/docker/4f5a");
  CHECK(mounts[3].dir == "/mnt/host cpu");
  CHECK(mounts[4].version == Version::v2);  // three optional fields
  const Hierarchies h = Hierarchies::of_mounts(mounts);
  CHECK(h.of(Controller::cpu)->dir() == "/mnt/host cpu");
  CHECK(h.of(Controller::cpuacct) == h.of(Controller::cpu));
  CHECK(h.of(Controller::memory)->mount().root == "/docker/4f5a");
  CHECK(h.of(Controller::freezer) == h.unified());
  CHECK(h.of(Controller::pids) == nullptr);
  CHECK(h.of(Controller::core) == h.unified());
  for (std::size_t i = 0; i < h.all().size(); ++i) CHECK(h.all()[i].index() == i);
}

TEST_CASE("mountinfo: escapes, and lines that are none") {
  const auto one = [](std::string_view line) {
    const auto mounts = parse_mountinfo(line);
    return mounts.size() == 1 ? mounts[0].dir : std::to_string(mounts.size());
  };
  CHECK(one("1 2 0:5 / /a\\040b\\011c\\012d\\134e rw - cgroup2 none rw") == "/a b\tc\nd\\e");
  CHECK(one("1 2 0:5 / /x\\040-\\040cgroup2 rw - ext4 none rw") == "0");
  CHECK(one("1 2 0:5 / /x rw - cgroupfoo none rw") == "0");
  CHECK(one("1 2 0:5 / /x rw - tmpfs cgroup rw") == "0");
  for (const char* const line :
       {"", " ", "- cgroup2", " - cgroup2 a b", "1 2 0:5 / /x rw - cgroup2", "1 2 0:5 /x rw - cgroup2 a b"})
    CHECK_MESSAGE(one(line) == "0", line);
  CHECK(one("1 2 nonsense / /x rw - cgroup2 none rw") == "/x");
  // Names are whole words: cpuset is not cpu, and io is no name of v1.
  const auto mounts = parse_mountinfo("1 2 0:5 / /x rw - cgroup none rw,cpuset,io,name=a\\040b");
  REQUIRE(mounts.size() == 1);
  CHECK(mounts[0].controllers.text(Version::v1) == "cpuset");
  CHECK(mounts[0].name == "a b");
}

TEST_CASE("mountinfo: two that contradict each other are two") {
  CHECK(summary("1 2 0:5 /x /a rw - cgroup none rw,cpu\n1 2 0:5 / /b rw - cgroup none rw,name=n\n"
                "1 2 0:5 / /c rw - cgroup2 none rw\n") == "hybrid cpu@/a unified@/c [name=n@/b]");
}

TEST_CASE("mountinfo: ten thousand mounts take no time") {
  std::string text;
  for (int i = 0; i < 10'000; ++i)
    text += fmt::format(
        "{} 1 0:{} / /var/lib/containers/storage/overlay/{:064}/merged rw,relatime shared:{} - overlay "
        "overlay rw,lowerdir=/a,upperdir=/b\n",
        i + 100,
        i + 100,
        i,
        i);
  text += recorded("mountinfo-hybrid");
  const auto start = std::chrono::steady_clock::now();
  const auto mounts = parse_mountinfo(text);
  const auto took = std::chrono::steady_clock::now() - start;
  CHECK(mounts.size() == 10);
  CHECK(took < std::chrono::milliseconds(500));
}

TEST_CASE("hierarchies: a controller is v1's where that is mounted, else cgroup2's") {
  const test::ScratchDir tree;
  tree.dir("v2");
  tree.file("v2/cgroup.controllers", "memory pids nonsense\n");
  std::vector<Mount> mounts(2);
  mounts[0] = {.version = Version::v2, .dir = tree.path() + "/v2", .root = "/"};
  mounts[1] = {.version = Version::v1, .dir = tree.path() + "/pids", .root = "/"};
  mounts[1].controllers.add(Controller::pids);
  const Hierarchies h = Hierarchies::of_mounts(mounts);
  CHECK(h.layout() == "hybrid");
  CHECK(h.of(Controller::pids) == &h.all()[1]);
  CHECK(h.of(Controller::memory) == h.unified());
  CHECK(h.of(Controller::io) == nullptr);
  CHECK(h.of(Controller::devices) == h.unified());
  const Hierarchies none = Hierarchies::of_mounts({});
  CHECK(none.of(Controller::core) == nullptr);
  CHECK(none.of(Controller::cpu) == nullptr);
  CHECK(none.unified() == nullptr);
}

TEST_CASE("group names: taken") {
  const std::vector<std::pair<std::string, std::string>> table{{"child", "child"},
                                                               {"web/api", "web/api"},
                                                               {"/web/api", "web/api"},
                                                               {"web/", "web"},
                                                               {".", ""},
                                                               {"/", ""},
                                                               {"a.b", "a.b"},
                                                               {"...", "..."},
                                                               {"a b", "a b"},
                                                               {"-x", "-x"},
                                                               {"\xff\xfe", "\xff\xfe"},
                                                               {std::string(255, 'x'), std::string(255, 'x')},
                                                               {"..a/b..", "..a/b.."}};
  for (const auto& [text, name] : table) {
    CAPTURE(text);
    const auto got = parse_group_name(text);
    REQUIRE(got.has_value());
    CHECK(*got == name);
    if (!name.empty()) CHECK(parse_group_name(*got) == name);
  }
}

TEST_CASE("group names: refused") {
  std::string deep;
  for (int i = 0; i < 2100; ++i) deep += "a/";
  for (const std::string& text : {std::string(),
                                  std::string(".."),
                                  std::string("../x"),
                                  std::string("a/.."),
                                  std::string("a/../b"),
                                  std::string("a//b"),
                                  std::string("//"),
                                  std::string("//a"),
                                  std::string("a//"),
                                  std::string("./a"),
                                  std::string("a/."),
                                  std::string("a\nb"),
                                  std::string("a\0b", 3),
                                  std::string("\0", 1),
                                  std::string(256, 'x'),
                                  deep}) {
    CAPTURE(text);
    const auto got = parse_group_name(text);
    CHECK_FALSE(got.has_value());
    if (!got) CHECK(got.error().fault == Fault::usage);
  }
  CHECK(parent_of("a/b/c") == "a/b");
  CHECK(parent_of("a") == "");
  CHECK(parent_of("") == "");
  CHECK(shown("") == "/");
}

}  // namespace mount_test
