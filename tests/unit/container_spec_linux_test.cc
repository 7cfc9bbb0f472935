// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <doctest/doctest.h>

#include "cgx/container/user_namespace.h"

#include "container_spec_text.h"
#include "scratch.h"

namespace container_spec_linux_test {

namespace {
using namespace cgx::container;
using cgx::test::linux_problem;
using cgx::test::problem_with;
using cgx::test::spec_with;
}  // namespace

TEST_CASE("spec: linux") {
  const Spec spec = spec_with(R"("hostname":"h","domainname":"d","linux":{
    "namespaces":[{"type":"uts"},{"type":"user"},{"type":"network","path":"/run/netns/a"},{"type":"time"},{"type":"ipc"}],
    "uidMappings":[{"containerID":0,"hostID":1000,"size":1000},{"containerID":1000,"hostID":5000,"size":60000}],
    "gidMappings":[{"containerID":0,"hostID":1000,"size":1}],
    "timeOffsets":{"monotonic":{"secs":-5,"nanosecs":7},"boottime":{"secs":9}},
    "devices":[{"path":"/dev/fuse","type":"c","major":10,"minor":229,"fileMode":8630,"uid":1},{"path":"/dev/p","type":"p"}],
    "cgroupsPath":"/a/b","rootfsPropagation":"rslave","maskedPaths":["/proc/kcore"],"readonlyPaths":["/proc/sys"],
    "mountLabel":"m","personality":{"domain":"LINUX32"},
    "sysctl":{"net.ipv4.ip_forward":"1","net/ipv4/conf/eth0.1/forwarding":"1","kernel.shmmax":"5","user.max_user_namespaces":"3"},
    "memoryPolicy":{"mode":"MPOL_BIND","nodes":"0-1,3","flags":["MPOL_F_STATIC_NODES"]},
    "netDevices":{"eth5":{"name":"eth0"},"eth6":{}}})");
  CHECK(spec.hostname == "h");
  CHECK(spec.domainname == "d");
  REQUIRE(spec.find(NamespaceType::network) != nullptr);
  CHECK(spec.find(NamespaceType::network)->path == "/run/netns/a");
  CHECK(spec.find(NamespaceType::user)->path.empty());
  CHECK(spec.find(NamespaceType::mount) == nullptr);
  const Linux& l = spec.linux_;
  CHECK(l.uid_mappings.size() == 2);
  REQUIRE(l.time_offsets.size() == 2);
  CHECK(l.time_offsets[0].first == "monotonic");
  CHECK(l.time_offsets[0].second.first == -5);
  CHECK(l.time_offsets[0].second.second == 7);
  REQUIRE(l.devices.size() == 2);
  CHECK(l.devices[0].mode == 0666);
  CHECK(l.devices[0].uid == 1);
  CHECK_FALSE(l.devices[0].gid);
  CHECK(l.devices[1].type == 'p');
  CHECK(l.cgroups_path == "/a/b");
  CHECK(l.rootfs_propagation == "slave");
  CHECK(l.masked_paths == std::vector<std::string>{"/proc/kcore"});
  CHECK(l.readonly_paths == std::vector<std::string>{"/proc/sys"});
  CHECK(l.mount_label == "m");
  CHECK(l.personality == "LINUX32");
  CHECK(l.sysctl.size() == 4);
  REQUIRE(l.memory_policy);
  CHECK(l.memory_policy->mode == "MPOL_BIND");
  CHECK(l.memory_policy->value == (2U | 1U << 15U));
  CHECK(l.memory_policy->nodes == "0-1,3");
  REQUIRE(l.net_devices.size() == 2);
  CHECK(l.net_devices[0] == std::pair<std::string, std::string>("eth5", "eth0"));
  CHECK(l.net_devices[1].second == "eth6");
}

TEST_CASE("spec: ids of a user namespace for which nobody says them") {
  const cgx::test::ScratchDir dir;
  const auto maps = [&](const char* ranges, std::uint32_t own, std::uint32_t inside) {
    dir.file("subuid", ranges);
    const auto list = cgx::container::default_mappings((dir.path() + "/subuid").c_str(), 4000000, own, inside);
    return cgx::container::idmap_text(list, "maps").value_or("refused");
  };
  CHECK(maps("", 4000000, 0) == "0 4000000 1\n");
  CHECK(maps("", 4000000, 1000) == "1000 4000000 1\n");
  CHECK(maps("root:1:5\n4000000:100000:65536\n", 7, 0) == "0 7 1\n1 100000 65536\n");
  CHECK(maps("4000000:100000:65536\n", 7, 1000) == "0 100000 1000\n1000 7 1\n1001 101000 64536\n");
  CHECK(maps("4000000:100000:10\n4000000:5000:5\n", 7, 12) == "0 100000 10\n10 5000 2\n12 7 1\n13 5002 3\n");
  CHECK(maps("4000000:100000:10\n", 7, 10) == "0 100000 10\n10 7 1\n");
  CHECK(maps("4000000:100000:10\n", 7, 20) == "0 100000 10\n20 7 1\n");
  CHECK(maps("4000000:x:10\n4000000:5:0\n:1:1\nbad\n", 7, 0) == "0 7 1\n");
  CHECK(maps("4000000:4294967290:65536\n", 7, 0) == "0 7 1\n1 4294967290 4\n");
}

TEST_CASE("spec: what is wrong in linux") {
  CHECK(linux_problem(R"("namespaces":[{"type":"pid"},{"type":"pid"}])") ==
        "linux.namespaces[1].type: \"pid\" stands twice");
  CHECK(linux_problem(R"("namespaces":[{"type":"net"}])") == "linux.namespaces[0].type: \"net\" is not known");
  CHECK(linux_problem(R"("namespaces":[{"type":"pid","path":"x"}])") ==
        "linux.namespaces[0].path: \"x\" is not absolute");
  CHECK(linux_problem(R"("namespaces":[{}])") == "linux.namespaces[0].type: is missing");
  CHECK(linux_problem(R"("uidMappings":[{"containerID":0,"hostID":0,"size":1}])") ==
        "linux.uidMappings: needs a user namespace");
  CHECK(linux_problem(R"("namespaces":[{"type":"user"}])") == "none");
  CHECK(linux_problem(R"("namespaces":[{"type":"user","path":"/proc/1/ns/user"}])") == "none");
  CHECK(linux_problem(R"("uidMappings":[{"containerID":0,"hostID":0,"size":0}])") ==
        "linux.uidMappings[0].size: \"0\" maps nothing");
  CHECK(
      linux_problem(
          R"("uidMappings":[{"containerID":1,"hostID":0,"size":4294967295},{"containerID":5,"hostID":4294967295,"size":1}])") ==
      "linux.uidMappings[1].containerID: \"5\" is mapped twice");
  CHECK(
      linux_problem(R"("uidMappings":[{"containerID":0,"hostID":5,"size":2},{"containerID":9,"hostID":6,"size":1}])") ==
      "linux.uidMappings[1].hostID: \"6\" is mapped twice");
  CHECK(linux_problem(R"("uidMappings":[{"containerID":4294967295,"hostID":5,"size":2}])") ==
        "linux.uidMappings[0].size: \"2\" goes over the last id");
  CHECK(linux_problem(R"("timeOffsets":{"monotonic":{"secs":1}})") == "linux.timeOffsets: needs a new time namespace");
  CHECK(linux_problem(R"("timeOffsets":{"realtime":{"secs":1}})") ==
        "linux.timeOffsets.realtime: is of a clock that has no offset");
  CHECK(linux_problem(R"("timeOffsets":{"boottime":{"nanosecs":1000000000}})")
            .starts_with("linux.timeOffsets.boottime.nanosecs: "));
  CHECK(linux_problem(R"("devices":[{"path":"/a","type":"x","major":1,"minor":1}])") ==
        "linux.devices[0].type: \"x\" is not c, u, b or p");
  CHECK(linux_problem(R"("devices":[{"path":"a","type":"c","major":1,"minor":1}])") ==
        "linux.devices[0].path: \"a\" is not absolute");
  CHECK(linux_problem(R"("devices":[{"path":"/a","type":"c","major":1}])") == "linux.devices[0].minor: is missing");
  CHECK(linux_problem(R"("devices":[{"path":"/a","type":"c","major":4096,"minor":1}])")
            .starts_with("linux.devices[0].major: "));
  CHECK(linux_problem(R"("rootfsPropagation":"x")") == "linux.rootfsPropagation: \"x\" is not known");
  CHECK(linux_problem(R"("rootfsPropagation":"")") == "none");
  CHECK(linux_problem(R"("maskedPaths":["x"])") == "linux.maskedPaths[0]: \"x\" is not absolute");
  CHECK(linux_problem(R"("personality":{"domain":"BSD"})") == "linux.personality.domain: \"BSD\" is not known");
  CHECK(linux_problem(R"("personality":{"domain":"LINUX","flags":["X"]})") ==
        "linux.personality.flags: are not supported");
  CHECK(linux_problem(R"("netDevices":{"eth0":{}})") == "linux.netDevices: needs a network namespace");
  CHECK(linux_problem(R"("netDevices":{"a/b":{}})") == "linux.netDevices.a/b: is of no name of an interface");
  CHECK(linux_problem(R"("intelRdt":{})") == "linux.intelRdt: is not supported");
  CHECK(linux_problem(R"("memoryPolicy":{})") == "linux.memoryPolicy.mode: is missing");
  CHECK(linux_problem(R"("memoryPolicy":{"mode":"MPOL_X"})") == "linux.memoryPolicy.mode: \"MPOL_X\" is not known");
  CHECK(linux_problem(R"("memoryPolicy":{"mode":"MPOL_BIND"})") == "linux.memoryPolicy.nodes: is missing");
  CHECK(linux_problem(R"("memoryPolicy":{"mode":"MPOL_BIND","nodes":""})") ==
        "linux.memoryPolicy.nodes: is empty, and MPOL_BIND needs nodes");
  CHECK(linux_problem(R"("memoryPolicy":{"mode":"MPOL_BIND","nodes":"1024"})") ==
        "linux.memoryPolicy.nodes: \"1024\" is no list of nodes");
  CHECK(linux_problem(R"("memoryPolicy":{"mode":"MPOL_LOCAL","nodes":"0"})") ==
        "linux.memoryPolicy.nodes: \"0\" cannot be with MPOL_LOCAL");
  CHECK(linux_problem(R"("memoryPolicy":{"mode":"MPOL_BIND","nodes":"0","flags":["MPOL_F_X"]})") ==
        "linux.memoryPolicy.flags[0]: \"MPOL_F_X\" is not known");
  CHECK(problem_with(R"("hostname":"h")") == "hostname: \"h\" needs a uts namespace");
}

TEST_CASE("spec: sysctls are of a namespace of the container, and stay below /proc/sys") {
  const auto with = [](std::string_view name) {
    return linux_problem(
        fmt::format(R"("namespaces":[{{"type":"network"}},{{"type":"ipc"}}],"sysctl":{{"{}":"1"}})", name));
  };
  CHECK(with("net.core.somaxconn") == "none");
  CHECK(with("fs.mqueue.msg_max") == "none");
  for (const char* bad : {"../../sysrq-trigger",
                          "net/../../sysrq-trigger",
                          "net.ipv4..x",
                          "/net/x",
                          "net",
                          "net.x.",
                          "net/x//y",
                          "net.a b"})
    CHECK(with(bad).ends_with("is of no name of a sysctl"));
  CHECK(with("kernel.core_pattern").ends_with("is of the host: no namespace has its own"));
  CHECK(with("kernel/core_pattern").ends_with("is of the host: no namespace has its own"));
  CHECK(with("vm.swappiness").ends_with("is of the host: no namespace has its own"));
  CHECK(with("kernel.shmmaxx").ends_with("is of the host: no namespace has its own"));
  CHECK(with("user.max_user_namespaces").ends_with("is of the host: no namespace has its own"));
  CHECK(with("kernel.hostname").ends_with("is what `hostname` is for"));
  CHECK(with("kernel.domainname").ends_with("needs the namespace uts"));
  CHECK(linux_problem(R"("sysctl":{"net.ipv4.ip_forward":"1"})").ends_with("needs the namespace network"));
}

TEST_CASE("resources: everything") {
  const auto read = read_resources(R"({
    "devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":-1,"access":"r"}],
    "memory":{"limit":-1,"reservation":2,"swap":3,"kernel":4,"kernelTCP":5,"swappiness":60,"disableOOMKiller":true,
              "useHierarchy":false,"checkBeforeUpdate":true},
    "cpu":{"shares":1024,"quota":-1,"period":100000,"burst":7,"realtimeRuntime":5,"realtimePeriod":6,"cpus":"0-1","mems":"0","idle":1},
    "pids":{"limit":-1},
    "blockIO":{"weight":10,"leafWeight":11,"weightDevice":[{"major":8,"minor":0,"weight":500}],
      "throttleReadBpsDevice":[{"major":8,"minor":1,"rate":600}],"throttleWriteBpsDevice":[{"major":8,"minor":2,"rate":18446744073709551615}],
      "throttleReadIOPSDevice":[{"major":8,"minor":3,"rate":1}],"throttleWriteIOPSDevice":[{"major":8,"minor":4,"rate":2}]},
    "hugepageLimits":[{"pageSize":"2MB","limit":9223372036854772000}],
    "rdma":{"mlx5_1":{"hcaHandles":3}},
    "network":{"classID":1048577,"priorities":[{"name":"eth0","priority":500}]},
    "unified":{"memory.high":"5M","io.max":"8:0 rbps=1\n8:16 rbps=2"}})");
  INFO((read ? "" : read.error().text()));
  REQUIRE(read.has_value());
  const Resources& r = *read;
  REQUIRE(r.devices.size() == 2);
  CHECK_FALSE(r.devices[0].allow);
  CHECK(r.devices[0].type == 'a');
  CHECK(r.devices[1].major == 10);
  CHECK_FALSE(r.devices[1].minor);
  CHECK(r.devices[1].access == "r");
  CHECK(r.memory->limit == -1);
  CHECK(r.memory->kernel_tcp == 5);
  CHECK(r.memory->disable_oom_killer == true);
  CHECK(r.memory->use_hierarchy == false);
  CHECK(r.memory->check_before_update == true);
  CHECK(r.cpu->shares == 1024);
  CHECK(r.cpu->quota == -1);
  CHECK(r.cpu->burst == 7);
  CHECK(r.cpu->cpus == "0-1");
  CHECK(r.cpu->idle == 1);
  CHECK(r.pids_limit == -1);
  CHECK(r.block_io->weight == 10);
  CHECK(r.block_io->weight_device.at(0).weight == 500);
  CHECK_FALSE(r.block_io->weight_device.at(0).leaf_weight);
  CHECK(r.block_io->read_bps.at(0).rate == 600);
  CHECK(r.block_io->write_iops.at(0).minor == 4);
  CHECK(r.hugepages.at(0).page_size == "2MB");
  CHECK(r.rdma.at(0).device == "mlx5_1");
  CHECK_FALSE(r.rdma.at(0).objects);
  CHECK(r.net_class_id == 1048577);
  CHECK(r.net_priorities.at(0).second == 500);
  CHECK(r.unified.at(0).first == "memory.high");
  CHECK(r.unified.at(1).second == "8:0 rbps=1\n8:16 rbps=2");
  const auto none = read_resources("{}");
  CHECK_FALSE(none->memory);
  CHECK_FALSE(none->pids_limit);
}

TEST_CASE("resources: what is wrong has a place") {
  const auto wrong = [](std::string_view text) {
    const auto read = read_resources(text);
    return read ? "none" : read.error().text();
  };
  CHECK(wrong(R"({"memory":{"limit":"5M"}})") == "memory.limit: \"5M\" must be a whole number");
  CHECK(wrong(R"({"memory":{"limit":9223372036854775808}})")
            .starts_with("memory.limit: \"9223372036854775808\" must be from"));
  CHECK(wrong(R"({"cpu":{"shares":-1}})").starts_with("cpu.shares: \"-1\" must be from 0"));
  CHECK(wrong(R"({"blockIO":{"weight":65536}})") == "blockIO.weight: \"65536\" must be from 0 to 65535");
  CHECK(wrong(R"({"blockIO":{"weightDevice":[{"major":8,"minor":0}]}})") ==
        "blockIO.weightDevice[0]: has neither weight nor leafWeight");
  CHECK(wrong(R"({"blockIO":{"throttleReadBpsDevice":[{"major":8,"rate":1}]}})") ==
        "blockIO.throttleReadBpsDevice[0].minor: is missing");
  CHECK(wrong(R"({"devices":[{"allow":true,"type":"x"}]})") == "devices[0].type: \"x\" is not a, b or c");
  CHECK(wrong(R"({"devices":[{"allow":true,"access":"rx"}]})") ==
        "devices[0].access: \"rx\" is not made of r, w and m");
  CHECK(wrong(R"({"hugepageLimits":[{"pageSize":"2M","limit":1}]})") ==
        "hugepageLimits[0].pageSize: \"2M\" is no size of pages, as 2MB");
  CHECK(wrong(R"({"rdma":{"a":{}}})") == "rdma.a: has neither hcaHandles nor hcaObjects");
  CHECK(wrong(R"({"unified":{"../x":"1"}})") == "unified.../x: \"1\" is of no name of a file");
  CHECK(wrong(R"({"unified":{"a/b":"1"}})") == "unified.a/b: \"1\" is of no name of a file");
}

}  // namespace container_spec_linux_test
