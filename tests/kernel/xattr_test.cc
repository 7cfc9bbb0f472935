// SPDX-License-Identifier: Apache-2.0
// Notes on real groups.
#include "cgx/sys/xattr.h"

#include <cerrno>
#include <optional>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/sys/fd.h"

#include "device_support.h"
#include "skip.h"

namespace xattr_test {

TEST_CASE("notes: kept with a group, of either version, and gone with it") {
  if (geteuid() != 0) CGX_SKIP("needs to be root");
  int tried = 0;
  for (const auto& root : {cgx::test::unified_root(), cgx::test::v1_devices_root()}) {
    if (!root) continue;
    ++tried;
    CAPTURE(*root);
    const cgx::test::Group group(*root);
    CHECK(!cgx::sys::get_note(group.fd(), "devices").value_or("failed").has_value());
    CHECK(cgx::sys::remove_note(group.fd(), "devices").has_value());
    const std::string large(40'000, 'x');
    for (const std::string& text : {std::string("deny a\n"), std::string(), large}) {
      REQUIRE(cgx::sys::set_note(group.fd(), "devices", text).has_value());
      CHECK(cgx::sys::get_note(group.fd(), "devices").value_or(std::nullopt) == text);
    }
    CHECK(!cgx::sys::get_note(group.fd(), "other").value_or("failed").has_value());
    CHECK(cgx::sys::remove_note(group.fd(), "devices").has_value());
    CHECK(!cgx::sys::get_note(group.fd(), "devices").value_or("failed").has_value());
  }
  if (tried == 0) CGX_SKIP("needs a cgroup hierarchy");
}

TEST_CASE("notes: an owner without capabilities has its own, which root does not believe") {
  const auto root = cgx::test::unified_root();
  if (geteuid() != 0 || !root) CGX_SKIP("needs to be root and a cgroup v2 hierarchy");
  const cgx::test::Group group(*root);
  REQUIRE(cgx::sys::change_owner(group.fd(), "", 65534, 65534).has_value());
  const auto as_owner = [&](const char* text) {
    return cgx::test::inside(
        group,
        [&] {
          const auto set = cgx::sys::set_note(group.fd(), "k", text);
          const auto got = cgx::sys::get_note(group.fd(), "k");
          return set && got ? got->value_or("nothing") : "refused";
        },
        65534);
  };
  CHECK(as_owner("mine") == "mine");
  CHECK(!cgx::sys::get_note(group.fd(), "k").value_or("failed").has_value());
  // Nor after the group has been taken back.
  REQUIRE(cgx::sys::change_owner(group.fd(), "", 0, 0).has_value());
  CHECK(!cgx::sys::get_note(group.fd(), "k").value_or("failed").has_value());
  REQUIRE(cgx::sys::set_note(group.fd(), "k", "root's").has_value());
  CHECK(cgx::sys::get_note(group.fd(), "k").value_or(std::nullopt) == "root's");
  const auto fd = cgx::sys::open_beneath(group.fd(), ".", O_RDONLY | O_DIRECTORY);
  REQUIRE(fd.has_value());
  CHECK(!cgx::sys::get_xattr(fd->get(), "user.cgx.k")->has_value());
  CHECK(cgx::sys::get_xattr(group.fd(), "user.cgx.k").error().code == EBADF);  // an O_PATH descriptor
}

}  // namespace xattr_test
