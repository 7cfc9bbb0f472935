// SPDX-License-Identifier: Apache-2.0
#include "cgx/model/knob.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace knob_test {

namespace {
using namespace cgx;

std::vector<const Knob*> all() {
  std::vector<const Knob*> found;
  for_each_knob([&](const Knob& k) { found.push_back(&k); });
  return found;
}
}  // namespace

TEST_CASE("knobs: names, flags and files are unique") {
  std::set<std::string_view> names;
  std::set<std::string_view> flags;
  for (const Knob* k : all()) {
    CAPTURE(k->name);
    CHECK(names.insert(k->name).second);
    if (!k->flag.empty()) CHECK(flags.insert(k->flag).second);
  }
  // A file belongs to one row; others that write it too say what their conversion loses.
  for (const Version version : {Version::v1, Version::v2}) {
    std::map<std::string_view, std::string_view> owner;
    for (const Knob* k : all()) {
      const Backing& b = backing(*k, version);
      if (b.fidelity != Fidelity::exact) continue;
      for (const std::string_view file : b.files) {
        if (file.empty()) continue;
        CAPTURE(file);
        const auto [at, first] = owner.emplace(file, k->name);
        CHECK_MESSAGE(first, k->name, " and ", at->second);
      }
    }
  }
}

TEST_CASE("knobs: every row documents itself and has both columns or a reason") {
  for (const Knob* k : all()) {
    CAPTURE(k->name);
    CHECK_FALSE(k->doc.empty());
    CHECK_FALSE(k->doc.ends_with('.'));
    CHECK(k->low <= k->high);
    CHECK_FALSE(placeholder(k->format).empty());
    for (const Version version : {Version::v1, Version::v2}) {
      const Backing& b = backing(*k, version);
      CHECK(b.present() == b.missing.empty());
      if (!b.present()) continue;
      const bool sets = b.encode != nullptr;
      const bool gets = b.decode != nullptr;
      CHECK((sets || gets));
      CHECK((b.fidelity != Fidelity::lossy || !b.note.empty()));
      if (k->kind == Kind::stat) continue;
      CHECK_MESSAGE(sets, "a knob that is no statistic can be set");
      if (k->kind != Kind::command) CHECK(gets);
      for (const std::string_view file : b.files) {
        if (file.empty() || file.starts_with('@')) continue;
        CAPTURE(file);
        const auto c = controller_of_file(file);
        REQUIRE(c.has_value());
        CHECK(*c == b.controller);
      }
    }
  }
}

TEST_CASE("knobs: a bound is a file of a knob that is bound to nothing else") {
  for (const Knob* k : all())
    for (const Version version : {Version::v1, Version::v2}) {
      const Backing& b = backing(*k, version);
      if (b.within.empty()) continue;
      CAPTURE(k->name);
      const Knob* outer = knob_of_file(b.within, version);
      REQUIRE(outer != nullptr);
      CHECK(outer != k);
      CHECK(backing(*outer, version).within.empty());
    }
}

TEST_CASE("knobs: every flag that is promised is there") {
  struct Promise {
    std::string_view flag, v1, v2;  // the file that is named in errors; empty: an error with a reason
  };
  const std::vector<Promise> promises{
      {"cpus", "cpuset.cpus", "cpuset.cpus"},
      {"mems", "cpuset.mems", "cpuset.mems"},
      {"cpu-shares", "cpu.shares", "cpu.weight"},
      {"cpu-weight", "cpu.shares", "cpu.weight"},
      {"cpu-quota", "cpu.cfs_quota_us", "cpu.max"},
      {"cpu-burst", "cpu.cfs_burst_us", "cpu.max.burst"},
      {"cpu-idle", "cpu.idle", "cpu.idle"},
      {"cpu-rt", "cpu.rt_runtime_us", ""},
      {"mem", "memory.limit_in_bytes", "memory.max"},
      {"mem-high", "", "memory.high"},
      {"mem-low", "", "memory.low"},
      {"mem-min", "", "memory.min"},
      {"mem-soft", "memory.soft_limit_in_bytes", "memory.low"},
      {"memsw", "memory.memsw.limit_in_bytes", "memory.swap.max"},
      {"swap", "memory.memsw.limit_in_bytes", "memory.swap.max"},
      {"swappiness", "memory.swappiness", ""},
      {"oom", "memory.oom_control", "memory.oom.group"},
      {"io-weight", "blkio.weight", "io.weight"},
      {"io-max", "blkio.throttle.read_bps_device", "io.max"},
      {"io-latency", "", "io.latency"},
      {"device", "devices.allow", "@devices"},
      {"pids", "pids.max", "pids.max"},
      {"net-class", "net_cls.classid", "@net.class"},
      {"net-prio", "net_prio.ifpriomap", "@net.prio"},
      {"net-rate", "@net.rate", "@net.rate"},
      {"hugetlb", "hugetlb.*.limit_in_bytes", "hugetlb.*.max"},
      {"rdma", "rdma.max", "rdma.max"},
      {"misc", "misc.max", "misc.max"},
  };
  std::set<std::string_view> promised;
  for (const Promise& p : promises) {
    CAPTURE(p.flag);
    promised.insert(p.flag);
    const Knob* k = find_knob(p.flag);
    REQUIRE(k != nullptr);
    CHECK(k->flag == p.flag);
    CHECK(find_knob("--" + std::string(p.flag)) == k);
    CHECK(k->v1.files[0] == p.v1);
    CHECK(k->v2.files[0] == p.v2);
  }
  for (const Knob* k : all())
    if (!k->flag.empty()) CHECK_MESSAGE(promised.contains(k->flag), k->flag, " is not in this table");
  CHECK(find_knob("mem-high")->v1.missing.find("--mem-soft") != std::string_view::npos);
}

TEST_CASE("knobs: found by name, flag and file of either version") {
  for (const Knob* k : all()) {
    CAPTURE(k->name);
    CHECK(find_knob(k->name) == k);
  }
  CHECK(find_knob("memory.limit_in_bytes")->name == "memory.max");
  CHECK(find_knob("cpu.cfs_period_us")->name == "cpu.max");
  CHECK(find_knob("hugetlb.2MB.max")->name == "hugetlb.*.max");
  CHECK(find_knob("hugetlb.1GB.rsvd.limit_in_bytes")->name == "hugetlb.*.rsvd.max");
  CHECK(knob_of_file("cpu.weight", Version::v2)->name == "cpu.weight");
  CHECK(knob_of_file("cpu.shares", Version::v1)->name == "cpu.shares");
  CHECK(knob_of_file("memory.memsw.limit_in_bytes", Version::v1)->name == "memory.memsw.limit_in_bytes");
  CHECK(knob_of_file("memory.low", Version::v2)->name == "memory.low");
  for (const char* const name : {"", "-", "--", "nonsense", "memory", "memory.", "cpu.sharess", "hugetlb..max", "MEM"})
    CHECK_MESSAGE(find_knob(name) == nullptr, name);
}

TEST_CASE("knobs: the controller of a file") {
  CHECK(controller_of_file("blkio.weight") == Controller::io);
  CHECK(controller_of_file("io.max") == Controller::io);
  CHECK(controller_of_file("cpuset.cpus") == Controller::cpuset);
  CHECK(controller_of_file("cpu.shares") == Controller::cpu);
  CHECK(controller_of_file("cpuacct.usage") == Controller::cpuacct);
  CHECK(controller_of_file("cpu.pressure") == Controller::core);
  CHECK(controller_of_file("tasks") == Controller::core);
  CHECK(controller_of_file("cgroup.procs") == Controller::core);
  for (const char* const file : {"",
                                 ".",
                                 "core.x",
                                 "nonsense.max",
                                 "../memory.max",
                                 "procs",
                                 "mem.max",
                                 "memory.x/../cgroup.procs",
                                 "memory./memory.max",
                                 "cpu.\x1b[2J",
                                 "cpu.\x7f",
                                 "cpu.\x9bm",
                                 "cpu.max\n",
                                 "cpu. max"})
    CHECK_MESSAGE(!controller_of_file(file).has_value(), file);
  CHECK(!controller_of_file(std::string_view("cpu.max\0", 8)));
}

TEST_CASE("controllers: names are whole words") {
  CHECK(find_controller("cpu") == Controller::cpu);
  CHECK(find_controller("blkio") == Controller::io);
  for (const char* const name : {"", "cp", "cpus", "CPU", "cpu,memory", "mem"}) CHECK(!find_controller(name));
  const auto set = ControllerSet::parse("memory,cpu,blkio");
  REQUIRE(set.has_value());
  CHECK(set->text(Version::v1) == "cpu,memory,blkio");
  CHECK(set->text(Version::v2) == "cpu,memory,io");
  for (const char* const list : {"", ",", "cpu,", ",cpu", "cpu,,io", "cpu memory", "cpuu"}) {
    CAPTURE(list);
    const auto bad = ControllerSet::parse(list);
    REQUIRE_FALSE(bad.has_value());
    CHECK(bad.error().fault == Fault::usage);
  }
  CHECK(ControllerSet::parse("memroy").error().hint == "did you mean memory?");
}

}  // namespace knob_test
