// SPDX-License-Identifier: Apache-2.0
// The file calls on real cgroup file systems, whichever versions are mounted here.
#include "cgx/sys/fd.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/sys/text.h"

#include "scratch.h"
#include "skip.h"

namespace fd_test {

namespace sys = cgx::sys;

namespace {

// A mount point of each cgroup hierarchy that has one, with its type.
std::vector<std::pair<std::string, std::string>> mounts() {
  std::vector<std::pair<std::string, std::string>> found;
  const auto text = sys::read_path("/proc/self/mountinfo");
  REQUIRE(text);
  for (const std::string_view line : sys::lines(*text)) {
    const auto fields = sys::words(line);
    const auto dash = std::ranges::find(fields, "-");
    if (dash == fields.end() || fields.end() - dash < 2 || fields[3] != "/") continue;
    if (dash[1] == "cgroup" || dash[1] == "cgroup2") found.emplace_back(sys::unescape_octal(fields[4]), dash[1]);
  }
  return found;
}

}  // namespace

TEST_CASE("kernel fd: a group is made, written, read, listed and removed in each hierarchy") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const auto all = mounts();
  if (all.empty()) CGX_SKIP("no cgroup hierarchy is mounted");
  for (const auto& [mount, type] : all) {
    CAPTURE(mount);
    const auto root = sys::open_path(mount, O_PATH | O_DIRECTORY);
    REQUIRE(root);
    const std::string name = cgx::test::unique_name();
    REQUIRE(sys::make_dir(root->get(), name));
    const auto group = sys::open_beneath(root->get(), name, O_PATH | O_DIRECTORY);
    CHECK(group.has_value());
    CHECK(sys::read_file(root->get(), name + "/cgroup.procs").value_or("?").empty());
    const std::string_view knob = type == "cgroup2" ? "cgroup.max.depth" : "notify_on_release";
    const std::string_view value = type == "cgroup2" ? "7\n" : "1\n";
    CHECK(sys::write_file(group->get(), knob, sys::trim(value)).has_value());
    CHECK(sys::read_file(group->get(), knob).value_or("?") == value);
    const auto refused = sys::write_file(group->get(), knob, "no number");
    CHECK_FALSE(refused.has_value());
    if (type == "cgroup2") CHECK(refused.error().code == EINVAL);
    CHECK(sys::make_dir(root->get(), name + "/inner").has_value());
    CHECK(sys::list_dir(root->get(), name, sys::Entries::directories).value() == std::vector<std::string>{"inner"});
    CHECK(sys::remove_dir(root->get(), name).error().code == EBUSY);
    CHECK(sys::remove_dir(root->get(), name + "/inner").has_value());
    CHECK(sys::remove_dir(root->get(), name).has_value());
    // The group's own descriptor never means a new group of the same name.
    CHECK(sys::make_dir(root->get(), name).has_value());
    CHECK(sys::read_file(group->get(), "cgroup.procs").error().code == ENOENT);
    CHECK(sys::remove_dir(root->get(), name).has_value());
  }
}

}  // namespace fd_test
