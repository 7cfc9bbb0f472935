// SPDX-License-Identifier: Apache-2.0
#include "cgx/model/codec.h"

#include <cerrno>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/change/restore.h"
#include "cgx/model/knob.h"

namespace codec_test {

namespace {
using namespace cgx;

// Files of one group, in memory. A write of a row's text can be played back into it.
class FakeView final : public View {
 public:
  std::map<std::string, std::string, std::less<>> texts;
  std::map<std::string, Value, std::less<>> change;
  std::string unreadable;
  int code = EIO;  // why

  FakeView(std::initializer_list<std::pair<const std::string, std::string>> files) : texts(files) {}
  [[nodiscard]] Result<std::string> read(Controller /*controller*/, std::string_view file) const override {
    if (file == unreadable) return fail_errno(code, file);
    const auto at = texts.find(file);
    if (at == texts.end()) return fail_errno(ENOENT, file);
    return at->second;
  }
  [[nodiscard]] std::vector<std::string> files(Controller /*controller*/) const override {
    std::vector<std::string> names;
    for (const auto& [name, text] : texts) names.push_back(name);
    return names;
  }
  [[nodiscard]] const Value* wanted(std::string_view knob) const override {
    const auto at = change.find(knob);
    return at == change.end() ? nullptr : &at->second;
  }
};

std::string encoded(std::string_view flag, Version version, const std::string& text, const FakeView& view) {
  const Knob& k = *find_knob(flag);
  const Backing& b = backing(k, version);
  const auto value = parse_value(k, text, {});
  if (!value) return "<" + value.error().text() + ">";
  const auto writes = b.encode(k, b, *value, view);
  if (!writes) return "<" + writes.error().text() + ">";
  std::string out;
  for (const FileWrite& w : *writes) out += fmt::format("{}{}={}", out.empty() ? "" : "; ", w.file, w.text);
  return out;
}

std::string decoded(std::string_view flag, Version version, const FakeView& view) {
  const Knob& k = *find_knob(flag);
  const Backing& b = backing(k, version);
  const auto value = b.decode(k, b, view);
  if (!value) return "<" + value.error().text() + ">";
  return *value ? exact(k, **value) : "nothing";
}

constexpr Version v1 = Version::v1;
constexpr Version v2 = Version::v2;

}  // namespace

TEST_CASE("codec: no limit is -1 on v1 and max on v2, and huge numbers are none") {
  const FakeView none{
      {"memory.limit_in_bytes", "9223372036854771712\n"}, {"memory.max", "max\n"}, {"pids.max", "max\n"}};
  CHECK(encoded("mem", v1, "max", none) == "memory.limit_in_bytes=-1");
  CHECK(encoded("mem", v2, "-1", none) == "memory.max=max");
  CHECK(encoded("pids", v1, "max", none) == "pids.max=max");
  CHECK(decoded("mem", v1, none) == "max");
  CHECK(decoded("mem", v2, none) == "max");
  CHECK(decoded("pids", v1, none) == "max");
  CHECK(decoded("mem", v1, {{"memory.limit_in_bytes", "4096\n"}}) == "4096");
  CHECK(decoded("mem", v2, {{"memory.max", "vendor text\n"}}) == "vendor text");
}

TEST_CASE("codec: shares and weight keep the number that was given") {
  FakeView v2_view{{"cpu.weight", "59\n"}, {"@note.cpu.shares", "512 59"}};
  CHECK(encoded("cpu-shares", v2, "512", v2_view) == "cpu.weight=59; @note.cpu.shares=512 59");
  CHECK(decoded("cpu-shares", v2, v2_view) == "512");
  v2_view.texts["cpu.weight"] = "100\n";  // somebody else wrote since
  CHECK(decoded("cpu-shares", v2, v2_view) == "1024");
  v2_view.texts["@note.cpu.shares"] = "nonsense";
  CHECK(decoded("cpu-shares", v2, v2_view) == "1024");
  v2_view.texts["cpu.weight"] = "0\n";  // cpu.idle
  CHECK(decoded("cpu-shares", v2, v2_view) == "nothing");
  const FakeView v1_view{{"cpu.shares", "1024\n"}};
  CHECK(encoded("cpu-weight", v1, "100", v1_view) == "cpu.shares=1024; @note.cpu.weight=100 1024");
  CHECK(decoded("cpu-weight", v1, v1_view) == "100");
  CHECK(encoded("cpu-shares", v1, "512", v1_view) == "cpu.shares=512");
}

TEST_CASE("codec: a quota is a share of the period in force") {
  const FakeView usual{{"cpu.cfs_quota_us", "-1\n"}, {"cpu.cfs_period_us", "100000\n"}, {"cpu.max", "max 100000\n"}};
  CHECK(encoded("cpu-quota", v1, "50%", usual) == "cpu.cfs_quota_us=50000");
  CHECK(encoded("cpu-quota", v1, "20000/40000", usual) == "cpu.cfs_period_us=40000; cpu.cfs_quota_us=20000");
  CHECK(encoded("cpu-quota", v1, "max", usual) == "cpu.cfs_quota_us=-1");
  CHECK(encoded("cpu-quota", v2, "50%", usual) == "cpu.max=50000");
  CHECK(encoded("cpu-quota", v2, "20000/40000", usual) == "cpu.max=20000 40000");
  CHECK(encoded("cpu-quota", v2, "max", usual) == "cpu.max=max");
  const FakeView odd{{"cpu.cfs_quota_us", "5000\n"}, {"cpu.cfs_period_us", "20000\n"}, {"cpu.max", "5000 20000\n"}};
  CHECK(encoded("cpu-quota", v1, "150%", odd) == "cpu.cfs_quota_us=30000");
  CHECK(encoded("cpu-quota", v2, "150%", odd) == "cpu.max=30000");
  CHECK(encoded("cpu-quota", v1, "1%", odd).find("under 1000") != std::string::npos);
  CHECK(encoded("cpu-quota", v2, "1%", odd).find("under 1000") != std::string::npos);
  CHECK(decoded("cpu-quota", v1, odd) == "5000/20000");
  CHECK(decoded("cpu-quota", v2, odd) == "5000/20000");
  CHECK(decoded("cpu-quota", v1, usual) == "max");
  CHECK(decoded("cpu-quota", v2, usual) == "max");
  CHECK(decoded("cpu-quota", v2, {{"cpu.max", "5000 20000 7\n"}}) == "5000/20000");  // a vendor's burst
  CHECK(decoded("cpu-quota", v2, {{"cpu.max", "5000\n"}}) == "5000");
  const FakeView rt{{"cpu.rt_runtime_us", "0\n"}, {"cpu.rt_period_us", "1000000\n"}};
  CHECK(encoded("cpu-rt", v1, "10ms/1s", rt) == "cpu.rt_runtime_us=10000");
  CHECK(encoded("cpu-rt", v1, "0/1s", rt).find("cpu.rt_runtime_us=0") != std::string::npos);
  CHECK(decoded("cpu-rt", v1, rt) == "0s/1s");
}

TEST_CASE("codec: memsw on v2 and swap on v1 go by the memory limit, wanted or in force") {
  FakeView view{{"memory.max", "1048576\n"},
                {"memory.swap.max", "4096\n"},
                {"memory.limit_in_bytes", "1048576\n"},
                {"memory.memsw.limit_in_bytes", "1052672\n"}};
  CHECK(encoded("memsw", v2, "2M", view) == "memory.swap.max=1048576");
  CHECK(encoded("memsw", v2, "1M", view) == "memory.swap.max=0");
  CHECK(encoded("memsw", v2, "max", view) == "memory.swap.max=max");
  CHECK(encoded("memsw", v2, "512k", view).find("below the memory limit") != std::string::npos);
  CHECK(encoded("swap", v1, "1M", view) == "memory.memsw.limit_in_bytes=2097152");
  CHECK(encoded("swap", v1, "0", view) == "memory.memsw.limit_in_bytes=1048576");
  CHECK(encoded("swap", v1, "max", view) == "memory.memsw.limit_in_bytes=-1");
  CHECK(decoded("memsw", v2, view) == "1052672");
  CHECK(decoded("swap", v1, view) == "4096");
  view.change.emplace("memory.max", Value(std::uint64_t{2097152}));
  CHECK(encoded("memsw", v2, "2M", view) == "memory.swap.max=0");
  CHECK(encoded("swap", v1, "1M", view) == "memory.memsw.limit_in_bytes=3145728");
  FakeView open{{"memory.max", "max\n"},
                {"memory.swap.max", "max\n"},
                {"memory.limit_in_bytes", "9223372036854771712\n"},
                {"memory.memsw.limit_in_bytes", "9223372036854771712\n"}};
  CHECK(encoded("memsw", v2, "2M", open).find("needs a memory limit") != std::string::npos);
  CHECK(encoded("swap", v1, "2M", open).find("needs a memory limit") != std::string::npos);
  CHECK(decoded("memsw", v2, open) == "max");
  CHECK(decoded("swap", v1, open) == "max");
}

TEST_CASE("codec: oom") {
  const FakeView view{{"memory.oom_control", "oom_kill_disable 1\nunder_oom 0\noom_kill 0\n"},
                      {"memory.oom.group", "1\n"}};
  CHECK(encoded("oom", v1, "pause", view) == "memory.oom_control=1");
  CHECK(encoded("oom", v1, "kill", view) == "memory.oom_control=0");
  CHECK(encoded("oom", v2, "group", view) == "memory.oom.group=1");
  CHECK(encoded("oom", v1, "group", view).find("needs cgroup v2") != std::string::npos);
  CHECK(encoded("oom", v2, "pause", view).find("cgxd") != std::string::npos);
  CHECK(decoded("oom", v1, view) == "pause");
  CHECK(decoded("oom", v2, view) == "group");
  CHECK(decoded("oom", v1, {{"memory.oom_control", "oom_kill_disable 0\n"}}) == "kill");
}

TEST_CASE("codec: io.max is four files on v1, where 0 is no limit") {
  const FakeView view{
      {"blkio.throttle.read_bps_device", "8:0 1048576\n8:16 5\n"},
      {"blkio.throttle.write_bps_device", ""},
      {"blkio.throttle.read_iops_device", ""},
      {"blkio.throttle.write_iops_device", "8:0 7\n"},
      {"io.max", "8:16 rbps=5 wbps=max riops=max wiops=max\n8:0 rbps=1048576 wbps=max riops=max wiops=7\n"}};
  CHECK(encoded("io-max", v1, "8:0:rbps=1M,wiops=max", view) ==
        "blkio.throttle.read_bps_device=8:0 1048576; blkio.throttle.write_iops_device=8:0 0");
  CHECK(encoded("io-max", v2, "8:0:rbps=1M,wiops=max", view) == "io.max=8:0 rbps=1048576 wiops=max");
  CHECK(decoded("io-max", v1, view) == "8:0:rbps=1048576,wiops=7\n8:16:rbps=5");
  CHECK(decoded("io-max", v2, view).find("8:16:rbps=5,wbps=max") == 0);
  CHECK(encoded("io-latency", v2, "8:0:10ms", view) == "io.latency=8:0 target=10000");
  CHECK(decoded("io-latency", v2, {{"io.latency", "8:0 target=10000\n"}}) == "8:0:10ms");
}

TEST_CASE("codec: io.weight goes to the file that the kernel has, in its range") {
  const FakeView bfq{{"blkio.bfq.weight", "100\n"},
                     {"blkio.bfq.weight_device", "default 100\n8:0 200\n"},
                     {"io.bfq.weight", "default 100\n8:0 200\n"}};
  const FakeView plain{{"blkio.weight", "500\n"}, {"io.weight", "default 100\n8:0 200\n"}};
  CHECK(encoded("io-weight", v1, "50", bfq) == "blkio.bfq.weight=50");
  CHECK(encoded("io-weight", v1, "8:0:50", bfq) == "blkio.bfq.weight_device=8:0 50");
  CHECK(encoded("io-weight", v2, "8:0:50", plain) == "io.weight=8:0 50");
  CHECK(encoded("io-weight", v2, "10000", plain) == "io.weight=10000");
  CHECK(encoded("io-weight", v2, "1001", bfq).find("1 to 1000") != std::string::npos);
  CHECK(encoded("io-weight", v1, "5", plain).find("10 to 1000") != std::string::npos);
  CHECK(decoded("io-weight", v1, bfq) == "100\n8:0:200");
  CHECK(decoded("io-weight", v2, bfq) == "100\n8:0:200");
  CHECK(decoded("io-weight", v2, plain) == "100\n8:0:200");
  CHECK(encoded("io-weight", v2, "50", {}).find("neither") != std::string::npos);
}

TEST_CASE("codec: hugetlb files by page size") {
  const FakeView view{{"hugetlb.2MB.limit_in_bytes", "9223372036854771712\n"},
                      {"hugetlb.1GB.limit_in_bytes", "1073741824\n"},
                      {"hugetlb.2MB.rsvd.limit_in_bytes", "0\n"},
                      {"hugetlb.2MB.max", "max\n"},
                      {"hugetlb.1GB.max", "0\n"},
                      {"hugetlb.2MB.rsvd.max", "4194304\n"}};
  // With what may be reserved, where this kernel limits that.
  CHECK(encoded("hugetlb", v1, "2M=64M", view) ==
        "hugetlb.2MB.limit_in_bytes=67108864; hugetlb.2MB.rsvd.limit_in_bytes=67108864");
  CHECK(encoded("hugetlb", v1, "2M=max", view) == "hugetlb.2MB.limit_in_bytes=-1; hugetlb.2MB.rsvd.limit_in_bytes=-1");
  CHECK(encoded("hugetlb", v2, "2M=4M", view) == "hugetlb.2MB.max=4194304; hugetlb.2MB.rsvd.max=4194304");
  CHECK(encoded("hugetlb.*.rsvd.max", v2, "2M=4M", view) == "hugetlb.2MB.rsvd.max=4194304");
  CHECK(encoded("hugetlb", v2, "1G=max", view) == "hugetlb.1GB.max=max");
  CHECK(encoded("hugetlb", v2, "64k=1M", view).find("no huge pages of 64KB (it has 1GB, 2MB)") != std::string::npos);
  CHECK(decoded("hugetlb", v1, view) == "1GB=1073741824\n2MB=max");
  CHECK(decoded("hugetlb", v2, view) == "1GB=0\n2MB=max");
  CHECK(decoded("hugetlb.*.rsvd.max", v2, view) == "2MB=4194304");
}

TEST_CASE("codec: tables of a key and a number") {
  CHECK(encoded("misc", v2, "sev=max", {}) == "misc.max=sev max");
  CHECK(encoded("rdma", v1, "mlx:hca_handle=2,hca_object=max", {}) == "rdma.max=mlx hca_handle=2 hca_object=max");
  CHECK(encoded("net-prio", v1, "eth0=5", {}) == "net_prio.ifpriomap=eth0 5");
  CHECK(decoded("net-prio", v1, {{"net_prio.ifpriomap", "lo 0\neth0 5\n"}}) == "eth0=5");
  CHECK(decoded("misc", v2, {{"misc.max", "sev max\nsgx 5\nbroken\n"}}) == "sev=max\nsgx=5");
}

TEST_CASE("codec: device rules on v1 carry their way back") {
  const FakeView open{{"devices.list", "a *:* rwm\n"}};
  CHECK(encoded("device", v1, "deny c 1:5 w", open) == "devices.deny=c 1:5 w; @note.devices=allow a\ndeny c 1:5 w\n");
  CHECK(encoded("device", v2, "deny c 1:5 w", open) == "@devices=allow a\ndeny c 1:5 w\n");
  CHECK(encoded("device", v2, "allow a", open) == "");
  const FakeView closed{{"devices.list", "c 1:3 rwm\n"}};
  CHECK(decoded("device", v1, closed) == "deny a\nallow c 1:3 rwm");
  CHECK(decoded("device", v2, {}) == "allow a");
  const Knob& k = *find_knob("device");
  const auto writes = k.v1.encode(k, k.v1, *parse_value(k, "deny c 1:3 w", {}), closed);
  REQUIRE(writes.has_value());
  REQUIRE_FALSE(writes->empty());
  CHECK(writes->front().undo == std::vector<FileWrite>{{"devices.allow", "c 1:3 w"}});
}

TEST_CASE("codec: device rules are not worked out from what cannot be read") {
  const Knob& k = *find_knob("device");
  for (const auto& [version, file] : {std::pair{v1, "devices.list"}, {v1, "@note.devices"}, {v2, "@devices"}}) {
    CAPTURE(file);
    FakeView view{{"devices.list", "a *:* rwm\n"}};
    view.unreadable = file;
    const Backing& b = version == v1 ? k.v1 : k.v2;
    const auto writes = b.encode(k, b, *parse_value(k, "deny a", {}), view);
    REQUIRE_FALSE(writes.has_value());
    CHECK(writes.error().code == EIO);
    const auto read = b.decode(k, b, view);
    REQUIRE_FALSE(read.has_value());
    CHECK(read.error().code == EIO);
  }
}

TEST_CASE("codec: device rules that are not known are replaced as a whole, and not added to") {
  const Knob& k = *find_knob("device");
  FakeView view{{"devices.list", ""}};
  view.unreadable = "@devices";
  view.code = ESTALE;
  const auto added = k.v2.encode(k, k.v2, *parse_value(k, "deny c 1:3 w", {}), view);
  REQUIRE_FALSE(added.has_value());
  CHECK(added.error().code == ESTALE);
  const auto all = k.v2.encode(k, k.v2, *parse_value(k, "deny a", {}), view);
  REQUIRE(all.has_value());
  REQUIRE(all->size() == 1);
  CHECK(all->front().text == "deny a\n");
  CHECK(all->front().undo == std::vector<FileWrite>{{"@devices", "deny a\n"}});
  const auto read = k.v2.decode(k, k.v2, view);
  REQUIRE(read.has_value());
  CHECK_FALSE(read->has_value());
}

// ---- the way back
// ----------------------------------------------------------------------------------------------------

namespace {
std::string back(std::string_view file, std::string_view text, std::string_view before, Version version = v1) {
  std::string out;
  for (const FileWrite& w : restoring_writes(knob_of_file(file, version), file, text, before))
    out += fmt::format("{}{}={}", out.empty() ? "" : "; ", w.file, w.text);
  return out;
}
}  // namespace

TEST_CASE("restore: a value goes back as it stood") {
  CHECK(back("memory.limit_in_bytes", "5", "9223372036854771712\n") == "memory.limit_in_bytes=9223372036854771712");
  CHECK(back("memory.max", "5", "max\n", v2) == "memory.max=max");
  CHECK(back("cpu.max", "5000", "max 100000\n", v2) == "cpu.max=max 100000");
  CHECK(back("cpuset.cpus", "0", "\n") == "cpuset.cpus=\n");  // an empty line clears it
  CHECK(back("cpuset.cpus", "0", "0-1\n") == "cpuset.cpus=0-1");
  CHECK(back("freezer.state", "FROZEN", "THAWED\n") == "freezer.state=THAWED");
  CHECK(back("freezer.state", "THAWED", "FREEZING\n") == "freezer.state=FROZEN");
  CHECK(back("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\n") == "memory.oom_control=0");
  CHECK(back("memory.oom_control", "0", "oom_kill_disable 1\nunder_oom 1\n") == "memory.oom_control=1");
  CHECK(back("memory.oom.group", "1", "0\n", v2) == "memory.oom.group=0");
}

TEST_CASE("restore: a row of a keyed file goes back alone") {
  const std::string_view max = "8:0 rbps=5 wbps=max riops=max wiops=max\n8:16 rbps=9 wbps=max riops=max wiops=max\n";
  CHECK(back("io.max", "8:0 rbps=7", max, v2) == "io.max=8:0 rbps=5 wbps=max riops=max wiops=max");
  CHECK(back("io.max", "8:1 rbps=7 wiops=2", max, v2) == "io.max=8:1 rbps=max wiops=max");
  CHECK(back("io.latency", "8:0 target=7", "", v2) == "io.latency=8:0 target=0");
  CHECK(back("io.weight", "8:0 50", "default 100\n", v2) == "io.weight=8:0 default");
  CHECK(back("io.weight", "8:0 50", "default 100\n8:0 70\n", v2) == "io.weight=8:0 70");
  CHECK(back("io.weight", "50", "default 100\n8:0 70\n", v2) == "io.weight=default 100");
  CHECK(back("blkio.bfq.weight", "50", "100\n") == "blkio.bfq.weight=100");
  CHECK(back("blkio.throttle.read_bps_device", "8:0 5", "") == "blkio.throttle.read_bps_device=8:0 0");
  CHECK(back("blkio.throttle.read_bps_device", "8:0 5", "8:0 9\n8:16 3\n") == "blkio.throttle.read_bps_device=8:0 9");
  CHECK(back("net_prio.ifpriomap", "lo 5", "lo 0\neth0 3\n") == "net_prio.ifpriomap=lo 0");
  CHECK(back("misc.max", "sev 5", "", v2) == "misc.max=sev max");
  CHECK(back("rdma.max", "mlx hca_handle=2", "mlx hca_handle=max hca_object=max\n", v2) ==
        "rdma.max=mlx hca_handle=max hca_object=max");
}

TEST_CASE("restore: controllers, devices, attached things and what has no way back") {
  CHECK(back("cgroup.subtree_control", "+cpu +memory", "cpu pids\n", v2) == "cgroup.subtree_control=-memory");
  CHECK(back("cgroup.subtree_control", "-cpu +io", "cpu pids\n", v2) == "cgroup.subtree_control=+cpu -io");
  CHECK(back("cgroup.subtree_control", "+cpu", "cpu\n", v2) == "cgroup.subtree_control=");
  CHECK(back("devices.deny", "a", "a *:* rwm\n") == "devices.allow=a");
  CHECK(back("devices.allow", "c 1:3 r", "c 1:5 rwm\nb 8:* r\n") ==
        "devices.deny=a; devices.allow=c 1:5 rwm; devices.allow=b 8:* r");
  CHECK(back("@devices", "deny a", "") == "@devices=");
  CHECK(back("@note.cpu.shares", "1 2", "3 4") == "@note.cpu.shares=3 4");
  CHECK(back("cgroup.type", "threaded", "domain\n", v2) == "");
  CHECK(back("cgroup.kill", "1", "", v2) == "");
  CHECK(back("memory.force_empty", "0", "") == "");
  CHECK(back("memory.reclaim", "1", "", v2) == "");
}

}  // namespace codec_test
