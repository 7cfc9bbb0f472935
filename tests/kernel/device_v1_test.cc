// SPDX-License-Identifier: Apache-2.0
// DeviceList against the v1 devices controller itself.
#include <random>
#include <string>

#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/cgroupfs/device_node.h"
#include "cgx/model/device_list.h"
#include "cgx/sys/fd.h"

#include "device_support.h"
#include "skip.h"

namespace device_v1_test {

namespace {

using cgx::DeviceList;
using cgx::DeviceRule;
using cgx::test::Group;
using cgx::test::Nodes;

// The errno of the write, 0 for none.
int write_rule(const Group& group, const DeviceRule& rule) {
  const cgx::DeviceWrite write{rule};
  const auto written = cgx::sys::write_file(group.fd(), write.file(), write.value());
  return written ? 0 : written.error().code;
}

std::string shown(const Group& group) {
  const auto text = cgx::sys::read_file(group.fd(), "devices.list");
  return text ? *text : text.error().text();
}

}  // namespace

TEST_CASE("devices v1: random rules lead to the state and the decisions that the kernel comes to") {
  const auto root = cgx::test::v1_devices_root();
  if (!root) CGX_SKIP("needs a v1 devices hierarchy at /sys/fs/cgroup/devices");
  const Nodes nodes;
  if (geteuid() != 0 || !nodes.usable()) CGX_SKIP("needs to be root and to make device nodes in /tmp");
  int refused = 0;
  for (unsigned seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const Group parent(*root);
    DeviceList parent_list;
    const unsigned parent_rules = seed % 3 == 0 ? 0 : 6;
    for (unsigned i = 0; i < parent_rules; ++i) {
      const DeviceRule rule = cgx::test::random_rule(random);
      CAPTURE(rule.text());
      REQUIRE(write_rule(parent, rule) == 0);
      parent_list.apply(rule);
    }
    CHECK(shown(parent) == parent_list.kernel_text());

    const Group child(parent.path());
    DeviceList list = parent_list;  // a new group is a copy
    for (int i = 0; i < 10; ++i) {
      const DeviceRule rule = cgx::test::random_rule(random);
      const std::string before = list.text();
      const std::string trying = rule.text();
      CAPTURE(before);
      CAPTURE(trying);
      const bool taken = cgx::parent_takes(parent_list, rule);
      REQUIRE(write_rule(child, rule) == (taken ? 0 : EPERM));
      if (taken) list.apply(rule, &parent_list);
      refused += taken ? 0 : 1;
      CHECK(shown(child) == list.kernel_text());
    }
    CAPTURE(list.text());
    CHECK(nodes.allowed(child) == Nodes::expected(list));
    // A group with children keeps its default.
    CHECK(write_rule(parent, DeviceRule{.allow = false, .major = {}, .minor = {}}) == EINVAL);
  }
  CHECK(refused > 10);  // the refusals were tried too
}

TEST_CASE("devices v1: the writes lead from one state to another and back") {
  const auto root = cgx::test::v1_devices_root();
  if (!root) CGX_SKIP("needs a v1 devices hierarchy at /sys/fs/cgroup/devices");
  const Nodes nodes;
  if (geteuid() != 0 || !nodes.usable()) CGX_SKIP("needs to be root and to make device nodes in /tmp");
  const Group group(*root);
  DeviceList now;
  for (unsigned seed = 100; seed < 130; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    DeviceList wanted;
    for (int i = 0; i < 8; ++i) wanted.apply(cgx::test::random_rule(random));
    for (const DeviceList& to : {wanted, now, wanted}) {
      for (const cgx::DeviceWrite& write : cgx::device_writes(now, to)) REQUIRE(write_rule(group, write.rule) == 0);
      now = to;
      CHECK(*DeviceList::parse_kernel(shown(group)) == *DeviceList::parse_kernel(to.kernel_text()));
      CHECK(nodes.allowed(group) == Nodes::expected(to));
    }
  }
}

TEST_CASE("devices: nodes are looked up by path") {
  CHECK(*cgx::device_node("/dev/null") == cgx::NodeType{.type = 'c', .major = 1, .minor = 3});
  for (const char* path : {"/dev/cgx-test-missing", "/dev", "/dev/null/x", ""}) {
    CAPTURE(path);
    const auto node = cgx::device_node(path);
    REQUIRE(!node.has_value());
    CHECK(node.error().fault == cgx::Fault::usage);
  }
}

}  // namespace device_v1_test
