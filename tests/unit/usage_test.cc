// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/usage.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include "cgx/cgroupfs/report.h"
#include "cgx/cgroupfs/walk.h"

namespace usage_test {

using namespace cgx;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

using Number = std::optional<std::uint64_t>;

fs::path recorded(const char* path) { return fs::path(CGX_SOURCE_ROOT) / "tests/data/usage" / path; }

// A directory that stands in for hierarchies, gone at the end.
class TempTree {
 public:
  TempTree() {
    std::string name = (fs::temp_directory_path() / "cgx-test-usage-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    root = name;
  }
  TempTree(const TempTree&) = delete;
  TempTree& operator=(const TempTree&) = delete;
  ~TempTree() {
    std::error_code ignored;
    fs::remove_all(root, ignored);
  }
  void dir(const std::string& path) const { fs::create_directories(root / path); }
  void file(const std::string& path, std::string_view text) const {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  }
  fs::path root;
};

Mount v1(const fs::path& dir, std::string_view controllers, unsigned device) {
  Mount m{.version = Version::v1, .dir = dir.string(), .root = "/", .device = device};
  m.controllers = ControllerSet::parse(controllers).value();
  return m;
}
Mount v2(const fs::path& dir, unsigned device) {
  return {.version = Version::v2, .dir = dir.string(), .root = "/", .device = device};
}

Hierarchies recorded_v1() {
  const fs::path dir = recorded("v1");
  return Hierarchies::of_mounts({v1(dir / "cpu,cpuacct", "cpu,cpuacct", 1),
                                 v1(dir / "memory", "memory", 2),
                                 v1(dir / "blkio", "blkio", 3),
                                 v1(dir / "pids", "pids", 4)});
}

StatFile file_of(std::string_view name, StatFormat format, std::vector<StatField> fields) {
  return {.name = name, .controller = Controller::core, .format = format, .fields = std::move(fields)};
}

}  // namespace

TEST_CASE("usage: what was never counted is not there") {
  const Usage usage;
  CHECK(usage.empty());
  CHECK_FALSE(usage.get("memory.current").has_value());
  CHECK_FALSE(usage.get("no.such").has_value());
  CHECK_FALSE(usage.sum(stat_id("io.rbytes")).has_value());
}

TEST_CASE("usage: numbers, and what is none") {
  const StatId id = stat_id("memory.current");
  for (const auto& [text, want] : {std::pair<std::string_view, Number>{"4096\n", 4096},
                                   {"0\n", 0},
                                   {"max\n", {}},
                                   {"", {}},
                                   {"-1\n", {}},
                                   {"12x\n", {}}}) {
    CAPTURE(std::string(text));
    Usage usage;
    usage.take(file_of("f", StatFormat::number, {{"", id, StatScale::base}}), text);
    CHECK(usage.get(id) == want);
  }
}

TEST_CASE("usage: keys are whole words, in any order, and bad lines are passed over") {
  const StatId anon = stat_id("memory.anon");
  const StatId file = stat_id("memory.file");
  const StatFile wanted = file_of("memory.stat", StatFormat::keyed, {{"anon", anon, {}}, {"file", file, {}}});
  Usage usage;
  usage.take(wanted, "anon_thp 1\nfile_mapped 2\nfile 3\nbroken\n anon x\nanon 4\n");
  CHECK(usage.get(anon) == 4);
  CHECK(usage.get(file) == 3);
  Usage without;
  without.take(wanted, "anon_thp 1\nfile");
  CHECK_FALSE(without.get(anon).has_value());
  CHECK_FALSE(without.get(file).has_value());
}

TEST_CASE("usage: times become microseconds") {
  const StatId id = stat_id("cpu.usage_usec");
  Usage usage;
  usage.take(file_of("f", StatFormat::number, {{"", id, StatScale::nsec}}), "1234567\n");
  CHECK(usage.get(id) == 1234);
  usage.take(file_of("f", StatFormat::keyed, {{"user", id, StatScale::ticks}}), "user 25\nsystem 1\n");
  CHECK(usage.get(id) == 25 * (1'000'000 / 100));
}

TEST_CASE("usage: pressure has totals and averages") {
  const StatId total = stat_id("pressure.cpu.some_usec");
  const StatId average = stat_id("pressure.cpu.full_avg10");
  Usage usage;
  usage.take(file_of("cpu.pressure", StatFormat::pressure, {{"some total", total, {}}, {"full avg10", average, {}}}),
             "some avg10=1.25 avg60=0.50 avg300=0.00 total=77\nfull avg10=98.07 avg60=6.50 avg300=0.00 total=78\n");
  CHECK(usage.get(total) == 77);
  CHECK(usage.get(average) == 9807);
}

TEST_CASE("usage: IO of v2 is by device") {
  const StatId read = stat_id("io.rbytes");
  const StatId write = stat_id("io.wbytes");
  const StatFile file = file_of("io.stat", StatFormat::io_stat, {{"rbytes", read, {}}, {"wbytes", write, {}}});
  Usage usage;
  usage.take(file,
             "254:16 rbytes=5 wbytes=6 rios=1 wios=1 cost.usage=3\n8:0 wbytes=2 rbytes=1\n\nnonsense rbytes=9\n7:0 \n");
  REQUIRE(usage.devices().size() == 2);
  CHECK(usage.devices()[0].device == sys::DevNumber{8, 0});
  CHECK(usage.get(usage.devices()[0], read) == 1);
  CHECK(usage.get(usage.devices()[1], write) == 6);
  CHECK(usage.sum(read) == 6);
  CHECK_FALSE(usage.get(usage.devices()[0], stat_id("io.rios")).has_value());
}

TEST_CASE("usage: IO of v1 leaves out devices that the kernel does not count") {
  const StatId read = stat_id("io.rbytes");
  const StatId write = stat_id("io.wbytes");
  const StatFile file = file_of("f", StatFormat::blkio, {{"Read", read, {}}, {"Write", write, {}}});
  Usage usage;
  usage.take(file,
             "8:0 Read 0\n8:0 Write 0\n8:0 Total 0\n8:16 Read 0\n8:16 Write 7\n8:16 Sync 7\n8:16 Total 7\nTotal 7\n");
  REQUIRE(usage.devices().size() == 1);
  CHECK(usage.get(usage.devices()[0], read) == 0);
  CHECK(usage.get(usage.devices()[0], write) == 7);
  // Another part of the kernel may count other devices; of the same one, the first count stays.
  usage.take(file, "8:0 Read 3\n8:0 Write 4\n8:16 Read 1\n8:16 Write 1\n");
  CHECK(usage.devices().size() == 2);
  CHECK(usage.sum(write) == 11);
}

TEST_CASE("usage: rates") {
  CHECK(rate(100, 300, 2s) == 100.0);
  CHECK(rate(100, 100, 2s) == 0.0);
  CHECK_FALSE(rate(300, 100, 2s).has_value());
  CHECK_FALSE(rate(std::nullopt, 100, 2s).has_value());
  CHECK_FALSE(rate(100, std::nullopt, 2s).has_value());
  CHECK_FALSE(rate(100, 200, 0s).has_value());
}

TEST_CASE("sampler: a recorded v1 group") {
  const Hierarchies hierarchies = recorded_v1();
  Sampler sampler = Sampler::create(hierarchies).value();
  const Usage usage = sampler.read("web").value();
  CHECK(usage.get("cpu.usage_usec") == 7022167);
  CHECK(usage.get("cpu.user_usec") == 1560000);
  CHECK(usage.get("cpu.system_usec") == 5640000);
  CHECK(usage.get("cpu.nr_periods") == 141);
  CHECK(usage.get("cpu.nr_throttled") == 107);
  CHECK(usage.get("cpu.throttled_usec") == 5115920);
  CHECK(usage.get("memory.current") == 31305728);
  CHECK(usage.get("memory.peak") == 31457280);
  CHECK(usage.get("memory.kernel") == 245760);
  CHECK(usage.get("memory.limit_hits") == 2053);
  CHECK(usage.get("memory.oom_kill") == 1);
  CHECK(usage.get("memory.under_oom") == 0);
  CHECK(usage.get("memory.anon").has_value());
  CHECK(usage.get("memory.pgfault").has_value());
  CHECK(usage.get("pids.current") == 5);
  CHECK(usage.get("pids.peak") == 5);
  CHECK(usage.get("pids.max_hits") == 4);
  REQUIRE(usage.devices().size() == 1);
  CHECK(usage.sum(stat_id("io.rbytes")) == 4194304);
  CHECK(usage.sum(stat_id("io.wbytes")) == 1048576);
  CHECK(usage.sum(stat_id("io.rios")) == 64);
  CHECK(usage.sum(stat_id("io.wios")) == 16);
  // v1 alone has no pressure, and none of what only v2 counts.
  CHECK_FALSE(usage.get("pressure.cpu.some_usec").has_value());
  CHECK_FALSE(usage.get("memory.high_hits").has_value());
}

TEST_CASE("sampler: a recorded v2 group") {
  const Hierarchies hierarchies = Hierarchies::of_mounts({v2(recorded("v2/v2"), 1)});
  Sampler sampler = Sampler::create(hierarchies).value();
  const Usage usage = sampler.read("web").value();
  CHECK(usage.get("cpu.usage_usec") == 6237113);
  CHECK(usage.get("cpu.user_usec") == 1519296);
  CHECK(usage.get("cpu.system_usec") == 4717816);
  CHECK(usage.get("cpu.nr_throttled") == 81);
  CHECK(usage.get("cpu.throttled_usec") == 4002900);
  CHECK(usage.get("memory.peak") == 11161600);
  CHECK(usage.get("memory.oom_kill") == 0);
  CHECK(usage.get("memory.slab").has_value());
  CHECK(usage.get("pids.max_hits") == 0);
  CHECK(usage.sum(stat_id("io.rbytes")) == 4194304);
  CHECK(usage.sum(stat_id("io.wios")) == 16);
  CHECK(usage.get("pressure.cpu.some_avg10") == 2048);
  CHECK(usage.get("pressure.cpu.some_usec") == 4100022);
  CHECK_FALSE(usage.get("memory.under_oom").has_value());
  // The root of cgroup2 has kinds of memory but no sum.
  const Usage root = sampler.read("").value();
  CHECK(root.get("memory.anon").has_value());
  CHECK_FALSE(root.get("memory.current").has_value());
  CHECK(root.get("cpu.usage_usec").has_value());
}

TEST_CASE("sampler: the same names on both versions") {
  const Hierarchies one = recorded_v1();
  const Hierarchies two = Hierarchies::of_mounts({v2(recorded("v2/v2"), 1)});
  const Usage a = Sampler::create(one).value().read("web").value();
  const Usage b = Sampler::create(two).value().read("web").value();
  for (StatId id = 0; id < stat_count(); ++id) {
    const Stat& row = stat_row(id);
    if (!row.v1.present() || !row.v2.present()) continue;
    CAPTURE(std::string(row.name));
    if (row.per_device)
      CHECK(a.sum(id).has_value() == b.sum(id).has_value());
    else
      CHECK(a.get(id).has_value() == b.get(id).has_value());
  }
}

TEST_CASE("sampler: a hybrid host has its pressure from cgroup2") {
  const Hierarchies hierarchies = Hierarchies::of_mounts({v1(recorded("v1/memory"), "memory", 1),
                                                          v1(recorded("v1/cpu,cpuacct"), "cpu,cpuacct", 2),
                                                          v2(recorded("v2/v2"), 3)});
  const Usage usage = Sampler::create(hierarchies).value().read("web").value();
  CHECK(usage.get("memory.current") == 31305728);
  CHECK(usage.get("cpu.usage_usec") == 7022167);
  CHECK(usage.get("pressure.cpu.some_usec") == 4100022);
}

TEST_CASE("sampler: groups that are not there, controllers that are not enabled, and files of other kernels") {
  const TempTree tree;
  tree.file("cgroup.controllers", "cpu memory pids\n");
  tree.file("full/cpu.stat", "usage_usec 5\nuser_usec 3\nsystem_usec 2\n");
  tree.file("full/cgroup.procs", "");
  tree.file("full/memory.current", "4096\n");
  tree.file("full/pids.current", "1\n");
  tree.file("bare/cpu.stat", "usage_usec 1\nuser_usec 1\nsystem_usec 0\n");
  tree.file("bare/cgroup.procs", "");
  tree.dir("empty");
  const Hierarchies hierarchies = Hierarchies::of_mounts({v2(tree.root, 1)});
  Sampler sampler = Sampler::create(hierarchies).value();
  // Read twice: what the first reading learns about this kernel must not change the second.
  for (int i = 0; i < 2; ++i) {
    const Usage bare = sampler.read("bare").value();
    CHECK(bare.get("cpu.usage_usec") == 1);
    CHECK_FALSE(bare.get("memory.current").has_value());
    CHECK_FALSE(bare.get("cpu.nr_periods").has_value());
    const Usage full = sampler.read("full").value();
    CHECK(full.get("memory.current") == 4096);
    CHECK(full.get("pids.current") == 1);
    CHECK_FALSE(full.get("pids.peak").has_value());
    CHECK(sampler.read("empty").value().empty());
    const auto none = sampler.read("none");
    REQUIRE_FALSE(none.has_value());
    CHECK(none.error().code == ENOENT);
    CHECK(none.error().group == "none");
  }
}

TEST_CASE("sampler: only what is wanted is read") {
  const Hierarchies hierarchies = recorded_v1();
  constexpr std::array<std::string_view, 2> names{"memory.current", "cpu.usage_usec"};
  Sampler sampler = Sampler::create(hierarchies, names).value();
  std::size_t files = 0;
  for (const Sampler::Source& source : sampler.sources()) files += source.files.size();
  CHECK(files == 2);
  const Usage usage = sampler.read("web").value();
  CHECK(usage.get("memory.current") == 31305728);
  CHECK_FALSE(usage.get("memory.peak").has_value());
}

TEST_CASE("sampler: a file larger than its buffer is read whole") {
  const TempTree tree;
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "some_key_" + std::to_string(i) + " 1\n";
  tree.file("g/memory.stat", text + "anon 42\n");
  tree.file("g/memory.current", "1\n");
  tree.file("cgroup.controllers", "memory\n");
  const Hierarchies hierarchies = Hierarchies::of_mounts({v2(tree.root, 1)});
  CHECK(Sampler::create(hierarchies).value().read("g").value().get("memory.anon") == 42);
}

TEST_CASE("walk: the union of the hierarchies, parents first, sorted") {
  const TempTree tree;
  for (const char* dir : {"one/a/x", "one/a-b", "one/b", "two/a/y/z", "two/c"}) tree.dir(dir);
  const Hierarchies hierarchies =
      Hierarchies::of_mounts({v1(tree.root / "one", "cpu", 1), v1(tree.root / "two", "memory", 2)});
  using Names = std::vector<std::string>;
  CHECK(walk_below(hierarchies, "").value() == Names{"a", "a/x", "a/y", "a/y/z", "a-b", "b", "c"});
  CHECK(walk_below(hierarchies, "", 1).value() == Names{"a", "a-b", "b", "c"});
  CHECK(walk_below(hierarchies, "a").value() == Names{"a/x", "a/y", "a/y/z"});
  CHECK(walk_below(hierarchies, "a", 0).value().empty());
  CHECK(walk_below(hierarchies, "c").value().empty());
  REQUIRE_FALSE(walk_below(hierarchies, "nope").has_value());
  CHECK(walk_below(hierarchies, "nope").error().code == ENOENT);
}

TEST_CASE("report: of a fresh group all that it counted") {
  Usage after;
  after.set(stat_id("cpu.usage_usec"), 900);
  after.set(stat_id("memory.peak"), 4096);
  after.set(sys::DevNumber{8, 0}, stat_id("io.rbytes"), 512);
  after.set(sys::DevNumber{8, 16}, stat_id("io.rbytes"), 0);
  const UsageReport report = make_report(nullptr, after, 1000);
  CHECK(report.wall_usec == 1000);
  CHECK(report.cpu_usec == 900);
  CHECK(report.memory_peak == 4096);
  CHECK_FALSE(report.pids_peak.has_value());
  CHECK_FALSE(report.oom_kills.has_value());
  REQUIRE(report.io.size() == 1);
  CHECK(report.io[0].rbytes == 512);
}

TEST_CASE("report: of a group that was there, the difference, and peaks only where they rose") {
  Usage before;
  Usage after;
  for (Usage* usage : {&before, &after}) {
    usage->set(stat_id("cpu.usage_usec"), usage == &before ? 100 : 350);
    usage->set(stat_id("memory.peak"), 8192);
    usage->set(stat_id("pids.peak"), usage == &before ? 3 : 9);
    usage->set(stat_id("memory.oom_kill"), usage == &before ? 2 : 3);
    usage->set(sys::DevNumber{8, 0}, stat_id("io.wbytes"), usage == &before ? 1000 : 1500);
  }
  const UsageReport report = make_report(&before, after, 1);
  CHECK(report.cpu_usec == 250);
  CHECK_FALSE(report.memory_peak.has_value());
  CHECK(report.pids_peak == 9);
  CHECK(report.oom_kills == 1);
  REQUIRE(report.io.size() == 1);
  CHECK(report.io[0].wbytes == 500);
}

TEST_CASE("report: v1 counts kills where the victim was, so those below are added") {
  const TempTree tree;
  tree.file("memory/g/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
  tree.file("memory/g/in/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
  const Hierarchies hierarchies = Hierarchies::of_mounts({v1(tree.root / "memory", "memory", 1)});
  const ReportStart start = start_report(hierarchies, "g", Counted::from_zero).value();
  CHECK(finish_report(hierarchies, start).value().oom_kills == 3);
}

}  // namespace usage_test
