// SPDX-License-Identifier: Apache-2.0
// Device programs on real cgroup v2 groups.
#include "cgx/cgroupfs/device_bpf.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/change/plan.h"
#include "cgx/policy/apply.h"

#include "device_support.h"
#include "policy_support.h"
#include "skip.h"

namespace device_bpf_test {

namespace {

using cgx::DeviceList;
using cgx::DeviceRule;
using cgx::test::Group;
using cgx::test::Nodes;

std::string why_not(const cgx::Result<cgx::DeviceProgram>& result) { return result ? "" : result.error().text(); }

// Why these tests cannot run, empty if they can.
std::string missing() {
  if (!cgx::test::unified_root()) return "needs a cgroup v2 hierarchy at /sys/fs/cgroup or /sys/fs/cgroup/unified";
  const auto probe = cgx::probe_device_bpf();
  return probe ? std::string() : "needs BPF: " + probe.error().text();
}

DeviceRule rule(bool allow, unsigned major, unsigned minor, unsigned access = cgx::device_rwm) {
  return {.allow = allow, .type = 'c', .major = major, .minor = minor, .access = access};
}

DeviceList deny(unsigned major, unsigned minor) {
  DeviceList list;
  list.apply(rule(false, major, minor));
  return list;
}

// By opening them for real: 1 or 0 for /dev/null and /dev/zero.
std::string null_and_zero(const Group& group) {
  return cgx::test::inside(group, [] {
    std::string answers;
    for (const char* path : {"/dev/null", "/dev/zero"}) {
      const int fd = open(path, O_RDWR | O_CLOEXEC);
      answers += fd >= 0 ? '1' : errno == EPERM ? '0' : '?';
    }
    return answers;
  });
}

std::size_t count(const Group& group, bool ours) {
  std::size_t n = 0;
  for (const cgx::AttachedProgram& program :
       cgx::device_programs(group.fd()).value_or(std::vector<cgx::AttachedProgram>()))
    n += program.ours == ours ? 1 : 0;
  return n;
}

// A program that is not cgx's, allowing or denying everything.
cgx::sys::Fd attach_foreign(const Group& group, bool allows) {
  std::array<bpf_insn, 2> code{};
  code[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  code[0].imm = allows ? 1 : 0;
  code[1].code = BPF_JMP | BPF_EXIT;
  bpf_attr load{};
  load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  load.insns = reinterpret_cast<std::uint64_t>(code.data());
  load.insn_cnt = code.size();
  load.license = reinterpret_cast<std::uint64_t>("");
  std::strcpy(static_cast<char*>(load.prog_name), "sd_devices");
  cgx::sys::Fd fd(static_cast<int>(syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load)));
  bpf_attr attach{};
  attach.target_fd = static_cast<std::uint32_t>(group.fd());
  attach.attach_bpf_fd = static_cast<std::uint32_t>(fd.get());
  attach.attach_type = BPF_CGROUP_DEVICE;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach) != 0) fd.reset(-1);
  return fd;
}

}  // namespace

TEST_CASE("device bpf: attach, replace, detach and restore bite") {
  if (const std::string why = missing(); !why.empty()) CGX_SKIP(why);
  const Group group(*cgx::test::unified_root());
  CHECK(null_and_zero(group) == "11");
  const auto first = cgx::attach_devices(group.fd(), deny(1, 3));
  REQUIRE(first.has_value());
  CHECK(!first->fd.valid());
  CHECK(null_and_zero(group) == "01");
  const auto programs = cgx::device_programs(group.fd());
  REQUIRE(programs.has_value());
  REQUIRE(programs->size() == 1);
  CHECK(programs->front().name == "cgx_devices");

  const auto second = cgx::attach_devices(group.fd(), deny(1, 5));
  REQUIRE(second.has_value());
  CHECK(second->id == programs->front().id);
  CHECK(null_and_zero(group) == "10");
  CHECK(count(group, true) == 1);

  CHECK(cgx::restore_devices(group.fd(), *second).has_value());
  CHECK(null_and_zero(group) == "01");
  CHECK(cgx::restore_devices(group.fd(), *second).has_value());  // doing it twice changes nothing
  CHECK(count(group, true) == 1);
  CHECK(cgx::restore_devices(group.fd(), *first).has_value());
  CHECK(null_and_zero(group) == "11");
  CHECK(count(group, true) == 0);

  const auto taken = cgx::detach_devices(group.fd());
  REQUIRE(taken.has_value());
  CHECK(!taken->fd.valid());
  CHECK(cgx::attach_devices(group.fd(), DeviceList::nothing()).has_value());
  CHECK(null_and_zero(group) == "00");
  CHECK(cgx::attach_devices(group.fd(), DeviceList()).has_value());  // everything allowed: no program
  CHECK(count(group, true) == 0);
  CHECK(null_and_zero(group) == "11");
}

TEST_CASE("device bpf: programs of others stay, and all must allow") {
  if (const std::string why = missing(); !why.empty()) CGX_SKIP(why);
  const Group group(*cgx::test::unified_root());
  const Group below(group.path());
  const cgx::sys::Fd foreign = attach_foreign(group, true);
  REQUIRE(foreign.valid());
  CHECK(cgx::attach_devices(group.fd(), deny(1, 3)).has_value());
  CHECK(cgx::attach_devices(group.fd(), deny(1, 5)).has_value());
  CHECK(count(group, true) == 1);
  CHECK(count(group, false) == 1);
  CHECK(cgx::attach_devices(below.fd(), deny(1, 3)).has_value());
  CHECK(null_and_zero(below) == "00");  // the one of the parent and its own
  CHECK(cgx::detach_devices(group.fd()).has_value());
  CHECK(count(group, false) == 1);
  CHECK(null_and_zero(below) == "01");
  const cgx::sys::Fd denying = attach_foreign(below, false);
  REQUIRE(denying.valid());
  CHECK(cgx::detach_devices(below.fd()).has_value());
  CHECK(count(below, false) == 1);
  CHECK(null_and_zero(below) == "00");
}

TEST_CASE("device bpf: decides as the device list does, for random rules") {
  if (const std::string why = missing(); !why.empty()) CGX_SKIP(why);
  const Nodes nodes;
  if (!nodes.usable()) CGX_SKIP("needs to make device nodes in /tmp");
  const Group group(*cgx::test::unified_root());
  for (unsigned seed = 200; seed < 300; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    DeviceList list;
    for (unsigned i = 0; i < 1 + seed % 12; ++i) list.apply(cgx::test::random_rule(random));
    CAPTURE(list.text());
    const auto attached = cgx::attach_devices(group.fd(), list);
    REQUIRE_MESSAGE(attached.has_value(), why_not(attached));
    CHECK(nodes.allowed(group) == Nodes::expected(list));
  }
}

TEST_CASE("device bpf: the largest lists load, whatever their shape") {
  if (const std::string why = missing(); !why.empty()) CGX_SKIP(why);
  const Group group(*cgx::test::unified_root());
  for (const bool allow : {false, true})
    for (const unsigned access : {7U, 5U}) {
      DeviceList list;
      list.apply(DeviceRule{.allow = !allow, .major = {}, .minor = {}});
      for (unsigned i = 0; i < cgx::most_device_exceptions - 1; ++i) list.apply(rule(allow, 200 + i, i * 7, access));
      list.apply(rule(allow, 1, 5));
      REQUIRE(list.exceptions().size() == cgx::most_device_exceptions);
      const auto attached = cgx::attach_devices(group.fd(), list);
      REQUIRE_MESSAGE(attached.has_value(), why_not(attached));
      CHECK(null_and_zero(group) == (allow ? "01" : "10"));
    }
  DeviceList over = DeviceList::nothing();
  for (unsigned i = 0; i <= cgx::most_device_exceptions; ++i) over.apply(rule(true, 9, i));
  CHECK(cgx::attach_devices(group.fd(), over).error().code == E2BIG);
  // Numbers that no device has come from devices.list of v1 only; they must not disturb.
  DeviceList odd = deny(0xffff'fffe, 0xffff'ffff);
  odd.apply(rule(false, 1, 3));
  CHECK(cgx::attach_devices(group.fd(), odd).has_value());
  CHECK(null_and_zero(group) == "01");
}

TEST_CASE("device bpf: a failure at any step leaves the program that was there") {
  if (const std::string why = missing(); !why.empty()) CGX_SKIP(why);
  const Group group(*cgx::test::unified_root());
  int failures = 0;
  for (const bool had : {false, true})
    for (int fail_at = 0; fail_at < 4; ++fail_at) {
      REQUIRE(cgx::attach_devices(group.fd(), had ? deny(1, 3) : DeviceList()).has_value());
      int step = 0;
      const cgx::sys::FaultFn fault = [&](std::string_view operation, std::string_view) {
        return operation == "bpf" && step++ == fail_at ? ENOMEM : 0;
      };
      cgx::sys::inject_faults(&fault);
      const auto attached = cgx::attach_devices(group.fd(), deny(1, 5));
      cgx::sys::inject_faults(nullptr);
      if (attached.has_value()) break;
      ++failures;
      CHECK(attached.error().code == ENOMEM);
      CHECK(null_and_zero(group) == (had ? "01" : "11"));
      CHECK(count(group, true) == (had ? 1 : 0));
    }
  CHECK(failures == 4);  // load and attach, with and without one before
}

TEST_CASE("device bpf: processes that set one group at the same time leave one program") {
  if (const std::string why = missing(); !why.empty()) CGX_SKIP(why);
  const Group group(*cgx::test::unified_root());
  std::vector<pid_t> children;
  for (unsigned i = 0; i < 8; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      bool good = true;
      for (unsigned turn = 0; turn < 25; ++turn) {
        const auto attached = cgx::attach_devices(group.fd(), deny(1, 3 + 2 * (i % 2)));
        good = good && attached.has_value();
        if (turn % 5 == 4) good = good && cgx::detach_devices(group.fd()).has_value();
      }
      good = good && cgx::attach_devices(group.fd(), deny(1, 3)).has_value();
      _exit(good ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
  CHECK(count(group, true) == 1);
  CHECK(null_and_zero(group) == "01");
}

TEST_CASE("device bpf: another one that comes just before is replaced, not stacked on") {
  if (const std::string why = missing(); !why.empty()) CGX_SKIP(why);
  for (const bool had : {false, true}) {
    CAPTURE(had);
    const Group group(*cgx::test::unified_root());
    if (had) REQUIRE(cgx::attach_devices(group.fd(), deny(1, 5)).has_value());
    // Between the look at the group and the attachment, another cgx attaches its own.
    bool came = false;
    const cgx::sys::FaultFn other = [&](std::string_view, std::string_view name) {
      if (name == "attach" && !came) {
        came = true;
        CHECK(cgx::attach_devices(group.fd(), DeviceList::nothing()).has_value());
      }
      return 0;
    };
    cgx::sys::inject_faults(&other);
    const auto attached = cgx::attach_devices(group.fd(), deny(1, 3));
    cgx::sys::inject_faults(nullptr);
    CHECK(came);
    REQUIRE_MESSAGE(attached.has_value(), why_not(attached));
    CHECK(count(group, true) == 1);
    CHECK(null_and_zero(group) == "01");
  }
}

TEST_CASE("device rules on v2: what others do to the program is seen, and put right") {
  if (const std::string why = missing(); !why.empty()) CGX_SKIP(why);
  const Group group(*cgx::test::unified_root());
  const cgx::Hierarchies v2 = cgx::Hierarchies::of_mounts(
      {cgx::Mount{.version = cgx::Version::v2, .dir = *cgx::test::unified_root(), .root = "/"}});
  const std::string name = group.path().substr(group.path().rfind('/') + 1);
  const cgx::Knob& knob = *cgx::find_knob("device");
  const auto wanted = [&](std::string_view rules) {
    return cgx::Desired{.group = name, .limits = {{&knob, std::string(rules), std::string(rules), {}}}};
  };
  // How many writes it takes, and makes them.
  const auto set = [&](std::string_view rules) {
    const auto plan = cgx::Plan::make_values(cgx::Cgroup(v2, name), wanted(rules));
    if (!plan) return plan.error().text() + "; " + plan.error().hint;
    cgx::Transaction transaction(v2);
    const auto done = transaction.apply(wanted(rules));
    transaction.commit();
    return done ? std::to_string(plan->steps().size()) : done.error().text();
  };
  const auto shown = [&] {
    const auto now = cgx::read_knob(cgx::Cgroup(v2, name), knob);
    return !now ? now.error().text() : *now ? std::get<std::string>(**now) : std::string("unknown");
  };
  CHECK(set("deny c 1:3 rwm") == "1");
  CHECK(null_and_zero(group) == "01");
  CHECK(shown() == "allow a\ndeny c 1:3 rwm");
  CHECK(set("deny c 1:3 rwm") == "0");

  REQUIRE(cgx::detach_devices(group.fd()).has_value());
  CHECK(shown() == "allow a");
  CHECK(set("deny c 1:3 rwm") == "1");
  CHECK(null_and_zero(group) == "01");

  // Rules of somebody else under the same name cannot be told, nor added to.
  REQUIRE(cgx::attach_devices(group.fd(), deny(1, 5)).has_value());
  CHECK(shown() == "unknown");
  CHECK(set("deny c 1:3 rwm").find("give all of the rules, beginning with `deny a` or `allow a`") != std::string::npos);
  CHECK(null_and_zero(group) == "10");
  CHECK(set("allow a\ndeny c 1:3 rwm") == "1");
  CHECK(null_and_zero(group) == "01");
  CHECK(set("allow a\ndeny c 1:3 rwm") == "0");
  REQUIRE(cgx::attach_devices(group.fd(), deny(1, 5)).has_value());
  CHECK(set("allow a") == "1");
  CHECK(null_and_zero(group) == "11");
  CHECK(count(group, true) == 0);
  CHECK(set("allow a") == "0");

  // systemd's program beside it changes nothing of that.
  CHECK(set("deny a") == "1");
  const cgx::sys::Fd foreign = attach_foreign(group, true);
  REQUIRE(foreign.valid());
  CHECK(shown() == "deny a");
  CHECK(set("deny a") == "0");
}

TEST_CASE("device rules on v2: a policy finds that its program was taken away or replaced") {
  if (const std::string why = missing(); !why.empty()) CGX_SKIP(why);
  const Group group(*cgx::test::unified_root());
  const cgx::Hierarchies v2 = cgx::Hierarchies::of_mounts(
      {cgx::Mount{.version = cgx::Version::v2, .dir = *cgx::test::unified_root(), .root = "/"}});
  const std::string name = group.path().substr(group.path().rfind('/') + 1);
  const cgx::test::ScratchDir state;
  cgx::policy::GroupPolicy wanted = cgx::test::group_policy(name, {{"device", "deny a"}});
  const auto apply = [&] {
    const auto done =
        cgx::policy::apply(v2, std::vector{cgx::test::source("t", {wanted})}, {.state_dir = state.path() + "/run"});
    if (!done) return done.error().text();
    std::string text;
    for (const cgx::policy::Change& change : done->changes) text += change.text() + "\n";
    return text;
  };
  CHECK(apply() == "~ " + name + " devices allow a -> deny a\n");
  CHECK(apply().empty());
  REQUIRE(cgx::detach_devices(group.fd()).has_value());
  CHECK(apply() == "~ " + name + " devices allow a -> deny a\n");
  CHECK(null_and_zero(group) == "00");
  REQUIRE(cgx::attach_devices(group.fd(), deny(1, 5)).has_value());
  CHECK(apply() == "~ " + name + " devices none -> deny a\n");
  CHECK(null_and_zero(group) == "00");
  CHECK(apply().empty());
}

TEST_CASE("device bpf: refusals say what is missing") {
  if (const std::string why = missing(); !why.empty()) CGX_SKIP(why);
  const Group group(*cgx::test::unified_root());
  const std::string answer = cgx::test::inside(
      group,
      [&] {
        const auto attached = cgx::attach_devices(group.fd(), deny(1, 3));
        return attached ? std::string("attached") : attached.error().text();
      },
      65534);
  CHECK(answer.find("CAP_BPF") != std::string::npos);
  const cgx::sys::Fd tmp(open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC));
  const auto attached = cgx::attach_devices(tmp.get(), deny(1, 3));
  REQUIRE(!attached.has_value());
  CHECK(attached.error().text().find("not in a cgroup v2") != std::string::npos);
}

}  // namespace device_bpf_test
