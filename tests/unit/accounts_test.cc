// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/accounts.h"

#include <doctest/doctest.h>

namespace accounts_test {

namespace sys = cgx::sys;

TEST_CASE("accounts: a name's number in passwd and group") {
  constexpr auto passwd =
      "root:x:0:0:root:/root:/bin/sh\n"
      "# nobody:x:1:1::/:/bin/sh\n"
      "+nis\n"
      "broken:x:-1:0::/:/bin/sh\n"
      "broken:x:7:0::/:/bin/sh\n"
      "twice:x:8:0::/:/bin/sh\n"
      "twice:x:9:0::/:/bin/sh\n"
      "most:x:4294967294:0::/:\n"
      "all:x:4294967295:0::/:\n"
      "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin";
  CHECK(sys::account_id_in(passwd, "root") == 0);
  CHECK(sys::account_id_in(passwd, "broken") == 7);
  CHECK(sys::account_id_in(passwd, "twice") == 8);
  CHECK(sys::account_id_in(passwd, "most") == 4294967294);
  CHECK(sys::account_id_in(passwd, "nobody") == 65534);
  for (const auto* none : {"all", "+nis", "nis", "", "oot", "roo", "x", "/root"})
    CHECK_FALSE(sys::account_id_in(passwd, none));
  CHECK(sys::account_id_in("www:x:33:\nmail:x:8:a,b\n", "mail") == 8);
  CHECK_FALSE(sys::account_id_in("", "root"));
}

TEST_CASE("accounts: of this host") {
  const auto root = sys::account_id(sys::Account::user, "root");
  REQUIRE(root);
  CHECK(*root == 0);
  const auto group = sys::account_id(sys::Account::group, "root");
  REQUIRE(group);
  CHECK(*group == 0);
  const auto none = sys::account_id(sys::Account::user, "cgx-no-such-user");
  REQUIRE(none);
  CHECK_FALSE(*none);
}

TEST_CASE("accounts: a line of passwd has a name and numbers, and perhaps a home") {
  const auto whole = sys::parse_passwd_line("www:x:33:34:the web:/srv:/bin/sh");
  REQUIRE(whole);
  CHECK(whole->name == "www");
  CHECK(whole->uid == 33);
  CHECK(whole->gid == 34);
  CHECK(whole->home == "/srv");
  const auto bare = sys::parse_passwd_line("www::4294967294:0");
  REQUIRE(bare);
  CHECK(bare->uid == 0xfffffffe);
  CHECK(bare->home.empty());
  CHECK(sys::parse_passwd_line("a:x:1:2:::")->home.empty());
  for (const std::string_view line : {"",
                                      ":x:0:0:::",
                                      "www",
                                      "www:x:33",
                                      "www:x::34::/srv:",
                                      "www:x:33:::/srv:",
                                      "www:x:-1:34::/srv:",
                                      "www:x: 33:34::/srv:",
                                      "www:x:4294967295:34::/srv:",
                                      "www:x:33:99999999999999999999::/srv:",
                                      "+::::::",
                                      "# www:x:y:z"}) {
    CAPTURE(line);
    CHECK_FALSE(sys::parse_passwd_line(line));
  }
}

}  // namespace accounts_test
