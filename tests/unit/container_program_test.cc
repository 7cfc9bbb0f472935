// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <string>

#include <sys/stat.h>

#include <doctest/doctest.h>

#include "cgx/container/program.h"

#include "scratch.h"

namespace container_program_test {

TEST_CASE("container program: the search says what it went past") {
  const cgx::test::ScratchDir root;
  root.dir("one");
  root.dir("two");
  root.file("one/tool", "text");
  root.file("two/tool", "text");
  REQUIRE(chmod((root.path() + "/one/tool").c_str(), 0644) == 0);
  REQUIRE(chmod((root.path() + "/two/tool").c_str(), 0755) == 0);
  const auto find = [&](const std::string& dirs) { return cgx::container::find_program("tool", {"PATH=" + dirs}); };
  const std::string one = root.path() + "/one", two = root.path() + "/two";
  const auto found = find(one + ":/nowhere:" + two);
  REQUIRE(found);
  CHECK(*found == two + "/tool");
  const auto refused = find("/nowhere:" + one);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ENOENT);
  CHECK(refused.error().what ==
        "exec: \"tool\": executable file not found in $PATH (" + one + "/tool: permission denied)");
  const auto missing = find("/nowhere:" + one + "/tool");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().what == "exec: \"tool\": executable file not found in $PATH");
}

}  // namespace container_program_test
