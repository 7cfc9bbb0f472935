// SPDX-License-Identifier: Apache-2.0
// Parsing /proc/PID/cgroup against what is mounted.
#include "cgx/cgroupfs/place.h"

#include <doctest/doctest.h>

namespace place_test {

namespace {

using cgx::Hierarchies;
using cgx::Mount;
using cgx::Version;

Mount v1(std::string dir, std::initializer_list<cgx::Controller> controllers, std::string root = "/") {
  Mount m{.version = Version::v1,
          .dir = std::move(dir),
          .root = std::move(root),
          .controllers = {},
          .name = {},
          .options = {}};
  for (const cgx::Controller c : controllers) m.controllers.add(c);
  return m;
}
Mount v2(std::string root = "/") {
  return {.version = Version::v2, .dir = "/u", .root = std::move(root), .controllers = {}, .name = {}, .options = {}};
}

std::string group_in(const std::vector<cgx::Place>& places, std::string_view dir) {
  for (const cgx::Place& p : places)
    if (p.hierarchy->dir() == dir) return p.group;
  return "(none)";
}

}  // namespace

TEST_CASE("place: controllers are tokens, co-mounted or not") {
  using enum cgx::Controller;
  const auto h =
      Hierarchies::of_mounts({v1("/cpu", {cpu, cpuacct}), v1("/cpuset", {cpuset}), v1("/blkio", {io}), v2()});
  const auto places =
      cgx::parse_places("12:cpuset:/a\n11:cpu,cpuacct:/b/c\n10:blkio:/\n9:name=systemd:/s\n8:cpux:/x\n0::/u v\n", h);
  CHECK(places.size() == 4);
  CHECK(group_in(places, "/cpuset") == "a");
  CHECK(group_in(places, "/cpu") == "b/c");
  CHECK(group_in(places, "/blkio").empty());
  CHECK(group_in(places, "/u") == "u v");
}

TEST_CASE("place: names may hold colons, lines may be malformed") {
  const auto h = Hierarchies::of_mounts({v2()});
  CHECK(group_in(cgx::parse_places("0::/a:b:c\n", h), "/u") == "a:b:c");
  for (const char* bad : {"", "\n", "0", "0:", ":", "x:y\n", "1:cpu:/a\n"}) CHECK(cgx::parse_places(bad, h).empty());
}

TEST_CASE("place: only what the mount shows") {
  const auto h = Hierarchies::of_mounts({v2("/a")});
  CHECK(group_in(cgx::parse_places("0::/a/b\n", h), "/u") == "b");
  CHECK(group_in(cgx::parse_places("0::/a\n", h), "/u").empty());
  CHECK(cgx::parse_places("0::/ab\n", h).empty());
  CHECK(cgx::parse_places("0::/\n", h).empty());
  // Outside of this cgroup namespace.
  const auto whole = Hierarchies::of_mounts({v2()});
  CHECK(group_in(cgx::parse_places("0::/../x\n", whole), "/u") == "../x");
}

TEST_CASE("place: hierarchies nested in the groups of a process") {
  using enum cgx::Controller;
  Mount tracking = v1("/s", {});
  tracking.name = "systemd";
  const auto h =
      Hierarchies::of_mounts({v1("/cpu", {cpu}), v1("/m", {memory}, "/in"), v1("/pids", {pids}), tracking, v2()});
  const auto bases = cgx::parse_bases("5:cpu:/\n4:memory:/in/job\n3:pids:/b/c\n2:name=systemd:/s\n0::/../out\n", h);
  CHECK(bases == std::vector<cgx::Base>{{"memory", "job"}, {"pids", "b/c"}, {"name=systemd", "s"}});
  const auto nested = h.nested(bases);
  REQUIRE(nested.all().size() == 4);
  CHECK(nested.of(cpu)->path("x") == "/cpu/x");
  CHECK(nested.of(memory)->path("x") == "/m/job/x");
  CHECK(nested.of(memory)->mount_point() == "/m");
  CHECK(nested.of(pids)->path("x") == "/pids/b/c/x");
  CHECK(nested.named()[0].path("x") == "/s/s/x");
  // Names are counted from there on.
  const auto places = cgx::parse_places("4:memory:/in/job/x\n3:pids:/b\n1:cpu:/x\n", nested);
  CHECK(group_in(places, "/m/job") == "x");
  CHECK(group_in(places, "/pids/b/c") == "(none)");
  CHECK(group_in(places, "/cpu") == "x");
}

TEST_CASE("place: a group lies in another by names, not by text") {
  CHECK(cgx::lies_in("web/api", "web"));
  CHECK(cgx::lies_in("web", "web"));
  CHECK(cgx::lies_in("web", ""));
  CHECK_FALSE(cgx::lies_in("web2", "web"));
  CHECK_FALSE(cgx::lies_in("web", "web/api"));
  CHECK_FALSE(cgx::lies_in("", "web"));
}

}  // namespace place_test
