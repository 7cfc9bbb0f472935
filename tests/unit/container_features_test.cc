// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <doctest/doctest.h>

#include "cgx/container/json_tree.h"
#include "cgx/container/spec.h"

namespace container_features_test {

namespace {
using namespace cgx::container;

bool lists(const json::Value& list, std::string_view word) {
  for (const json::Value item : list)
    if (item.text().value_or("") == word) return true;
  return false;
}

}  // namespace

TEST_CASE("features: what clients look for") {
  const auto tree = json::parse(features_json());
  INFO((tree ? "" : tree.error().text()));
  REQUIRE(tree.has_value());
  const json::Value features(*tree, 0);
  CHECK(features["ociVersionMin"].text() == "1.0.0");
  CHECK(features["ociVersionMax"].text() == "1.3.0");
  CHECK(features["hooks"].size() == 6);
  for (const char* option : {"bind", "rbind", "ro", "rro", "rslave", "nosuid", "tmpcopyup", "idmap", "ridmap"}) {
    CAPTURE(option);
    CHECK(lists(features["mountOptions"], option));
  }
  const json::Value system = features["linux"];
  CHECK(system["namespaces"].size() == 8);
  CHECK(system["capabilities"].size() == 41);
  CHECK(system["cgroup"]["v1"].boolean() == true);
  CHECK(system["cgroup"]["v2"].boolean() == true);
  const json::Value seccomp = system["seccomp"];
  CHECK(seccomp["enabled"].boolean() == true);
  CHECK(lists(seccomp["actions"], "SCMP_ACT_NOTIFY"));
  CHECK(lists(seccomp["operators"], "SCMP_CMP_MASKED_EQ"));
  CHECK(lists(seccomp["archs"], "SCMP_ARCH_X86_64"));
  CHECK(lists(seccomp["knownFlags"], "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"));
  CHECK(lists(seccomp["supportedFlags"], "SECCOMP_FILTER_FLAG_LOG"));
  CHECK(system["mountExtensions"]["idmap"]["enabled"].boolean() == true);
  CHECK(system["intelRdt"]["enabled"].boolean() == false);
  CHECK(system["netDevices"]["enabled"].boolean() == true);
  CHECK(lists(features["potentiallyUnsafeConfigAnnotations"], "run.oci.keep_original_groups"));
  CHECK(lists(features["potentiallyUnsafeConfigAnnotations"], "run.oci.hooks.stdout"));
}

}  // namespace container_features_test
