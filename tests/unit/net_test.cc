// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "cgx/net/bpf.h"
#include "cgx/net/names.h"
#include "cgx/net/nft.h"
#include "cgx/net/record.h"
#include "cgx/net/report.h"
#include "cgx/sys/text.h"

namespace net_test {

namespace net = cgx::net;

namespace {

// What the program `code` makes of a packet: an interpreter of the few instructions that mark_program() uses.
std::uint32_t priority_after(const std::vector<bpf_insn>& code, std::uint32_t priority, std::uint32_t interface) {
  std::uint32_t r[11] = {};
  for (std::size_t at = 0, steps = 0; at < code.size() && steps < 100; ++at, ++steps) {
    const bpf_insn& i = code[at];
    const auto imm = static_cast<std::uint32_t>(i.imm);
    bool taken = false;
    switch (i.code) {
      case BPF_LDX | BPF_MEM | BPF_W:
        r[i.dst_reg] = i.off == offsetof(__sk_buff, priority) ? priority : interface;
        break;
      case BPF_STX | BPF_MEM | BPF_W:
        priority = r[i.src_reg];
        break;
      case BPF_ALU | BPF_MOV | BPF_K:
        r[i.dst_reg] = imm;
        break;
      case BPF_JMP32 | BPF_JEQ | BPF_K:
        taken = r[i.dst_reg] == imm;
        break;
      case BPF_JMP32 | BPF_JNE | BPF_K:
        taken = r[i.dst_reg] != imm;
        break;
      case BPF_JMP32 | BPF_JGT | BPF_K:
        taken = r[i.dst_reg] > imm;
        break;
      case BPF_JMP | BPF_JA:
        taken = true;
        break;
      case BPF_JMP | BPF_EXIT:
        REQUIRE(r[0] == 1);
        return priority;
      default:
        FAIL("unknown instruction");
    }
    if (taken) at += static_cast<std::size_t>(i.off);
  }
  FAIL("the program does not end");
  return 0;
}

}  // namespace

TEST_CASE("net: classes are read as tc reads them") {
  CHECK(net::parse_class("10:1")->value == 0x100001);
  CHECK(net::parse_class("fffe:ffff")->value == 0xfffeffff);
  CHECK(net::parse_class("000A:00b")->value == 0xa000b);
  CHECK(net::format_class({0x100001}) == "10:1");
  for (const std::string_view bad : {"",
                                     ":",
                                     "10",
                                     "10:",
                                     ":1",
                                     "0:1",
                                     "10:0",
                                     "10:10000",
                                     "g:1",
                                     "10:1 ",
                                     " 10:1",
                                     "0x10:1",
                                     "10:-1",
                                     "+1:1",
                                     "10:1:1",
                                     "ffff:1",
                                     "00010:1"}) {
    CAPTURE(bad);
    const auto id = net::parse_class(bad);
    REQUIRE_FALSE(id);
    CHECK(id.error().fault == cgx::Fault::usage);
    CHECK(id.error().value == bad);
  }
}

TEST_CASE("net: interface names are the kernel's") {
  for (const std::string_view good : {"e", "eth0", "wlp0s20f3", "fifteen-bytes-x", "a=b", "a\"b", "veth@1", "\xc3\xa9"})
    CHECK_MESSAGE(net::check_interface_name(good).has_value(), good);
  for (const std::string_view bad :
       {"", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\nb", "sixteen-bytes-xx", "a\x01", "a\xa0"})
    CHECK_MESSAGE(!net::check_interface_name(bad).has_value(), bad);
}

TEST_CASE("net: rates and priorities of interfaces") {
  const auto rate = net::parse_rate_flag("eth0=10mbit");
  REQUIRE(rate);
  CHECK(rate->interface == "eth0");
  CHECK(rate->bits == 10'000'000);
  CHECK(net::parse_rate_flag("a=b=1gbit")->interface == "a=b");
  CHECK(net::parse_rate_flag("lo=max")->bits == cgx::sys::unlimited);
  for (const std::string_view bad :
       {"", "=", "eth0", "eth0=", "=1mbit", "eth0=1", "eth0=fast", "eth0=0mbit", "e th=1mbit"})
    CHECK_MESSAGE(!net::parse_rate_flag(bad).has_value(), bad);
  CHECK(net::parse_prio_flag("eth0=5")->priority == 5);
  CHECK(net::parse_prio_flag("eth0=0")->priority == 0);
  for (const std::string_view bad :
       {"", "eth0", "eth0=", "=5", "eth0=-1", "eth0=65536", "eth0=0x5", "eth0=5 ", "a/b=5"})
    CHECK_MESSAGE(!net::parse_prio_flag(bad).has_value(), bad);
}

TEST_CASE("net: a record survives its text and its JSON") {
  net::Record record;
  record.id = {0x108000};
  record.allocated = true;
  record.prior = {7};
  record.classifier = net::Classifier::cls_bpf;
  record.shapes = {{"et\"h\\%\xff", 2, 4026531840, {0x108000}, 8'000'000, true},
                   {"lo", 1, 4026531840, {0x108001}, 8, false}};
  record.priorities = {{"a=b", 3, 4026531840, 5}};
  const auto again = net::Record::parse(record.text());
  REQUIRE(again);
  CHECK(*again == record);
  net::Change change;
  change.key = "v1-3";
  change.before = record;
  const std::string json = net::change_json(change);
  CHECK(json.find('\n') == std::string::npos);
  const auto undo = net::parse_undo(json + "\n");
  REQUIRE(undo);
  CHECK(*undo == record);
  CHECK(net::parse_undo(net::change_json(net::Change{}))->empty());
}

TEST_CASE("net: damaged records and undo lines are refused") {
  for (const std::string_view bad : {"x",
                                     "class=0:1",
                                     "shape=lo:1",
                                     "shape=lo:0:1:10:1:8:0",
                                     "shape=lo:1:1:10:1:7:0",
                                     "prio=lo:1:1:0",
                                     "allocated=2",
                                     "prior=4294967296",
                                     "classifier=magic",
                                     "shape=lo:1:1:10:1:8:2",
                                     "other=1"})
    CHECK_MESSAGE(!net::Record::parse(bad).has_value(), bad);
  for (const std::string_view bad :
       {"", "{}", ",\"undo\":\"\"}", "{,\"undo\":\"", "{,\"undo\":\"x\"}", "{,\"undo\":\"\\\"}"})
    CHECK_MESSAGE(!net::parse_undo(bad).has_value(), bad);
}

TEST_CASE("net: the program marks by interface, a class wins over a priority") {
  net::Mark mark;
  mark.id = {0x100001};
  mark.shaped = {4};
  mark.priorities = {{4, 3}, {5, 6}, {7, 2}};
  const std::vector<bpf_insn> code = net::mark_program(mark);
  CHECK(priority_after(code, 0, 4) == 0x100001);
  CHECK(priority_after(code, 0, 5) == 6);
  CHECK(priority_after(code, 0, 7) == 2);
  CHECK(priority_after(code, 0, 6) == 0x100001);
  CHECK(priority_after(code, 2, 5) == 2);  // the program that sends has chosen
  CHECK(priority_after(code, 2, 6) == 0x100001);
  CHECK(priority_after(code, 0x100002, 6) == 0x100002);  // a group below has its own class
  CHECK(priority_after(code, 0x100002, 4) == 0x100002);

  mark.id = {};
  const std::vector<bpf_insn> priorities = net::mark_program(mark);
  CHECK(priority_after(priorities, 0, 4) == 3);
  CHECK(priority_after(priorities, 0, 9) == 0);
  CHECK(priority_after(priorities, 1, 9) == 1);
}

TEST_CASE("net: nft rules say the same, the most particular one last") {
  net::Mark mark;
  mark.id = {0x100001};
  mark.shaped = {4};
  mark.priorities = {{5, 6}};
  const std::string script = net::nft_script("t", net::nft_match_v1(mark.id), mark);
  CHECK(script ==
        "table inet t\ndelete table inet t\ntable inet t {\nchain outgoing {\n"
        "type filter hook output priority 0; policy accept;\n"
        "meta cgroup 0x100001 oif 5 meta priority set 0x6\n"
        "meta cgroup 0x100001 oif 4 meta priority set 0x100001\n}\n}\n");
}

}  // namespace net_test
