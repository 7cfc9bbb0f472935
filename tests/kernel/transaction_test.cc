// SPDX-License-Identifier: Apache-2.0
// A change that fails leaves everything as it was: proven by failing the n-th mutation for every n.
#include <algorithm>
#include <cerrno>
#include <functional>
#include <string>
#include <vector>

#include <sys/syscall.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/change/plan.h"
#include "cgx/sys/fd.h"

#include "groups.h"
#include "seccomp.h"
#include "skip.h"

namespace transaction_test {

namespace {

using namespace cgx;
using test::difference;
using test::limit;
using test::picture;
using test::raw;

const char* no_root() { return geteuid() != 0 ? "needs root" : nullptr; }

bool has(const Hierarchies& hierarchies, Controller c) { return hierarchies.of(c) != nullptr; }

// Limits of the controllers that this host has.
std::vector<Limit> many(const Hierarchies& hierarchies) {
  std::vector<Limit> limits;
  const auto add = [&](Controller c, Limit l) {
    if (has(hierarchies, c)) limits.push_back(std::move(l));
  };
  add(Controller::cpu, limit("cpu-burst", "5ms"));
  add(Controller::cpu, limit("cpu-quota", "20000/40000"));
  add(Controller::cpu, limit("cpu-shares", "300"));
  add(Controller::cpuset, limit("cpus", "0"));
  add(Controller::memory, limit("mem", "64M"));
  if (const Hierarchy* h = hierarchies.of(Controller::memory);
      h != nullptr && h->version() == Version::v1 &&
      access(h->path("", "memory.memsw.limit_in_bytes").c_str(), F_OK) == 0)
    limits.push_back(limit("memsw", "96M"));
  add(Controller::pids, limit("pids", "77"));
  if (const std::string disk = test::any_disk(); !disk.empty())
    add(Controller::io, limit("io-max", disk + ":rbps=1M,wiops=100"));
  if (has(hierarchies, Controller::devices)) {
    Limit rules = limit("device", "deny c 1:5 w");
    CHECK(merge_value(rules.value, limit("device", "deny c 1:7 rwm").value).has_value());
    limits.push_back(std::move(rules));
  }
  return limits;
}

std::vector<Limit> others(const Hierarchies& hierarchies) {
  std::vector<Limit> limits;
  const auto add = [&](Controller c, Limit l) {
    if (has(hierarchies, c)) limits.push_back(std::move(l));
  };
  add(Controller::memory, limit("mem", "128M"));
  if (const Hierarchy* h = hierarchies.of(Controller::memory);
      h != nullptr && h->version() == Version::v1 &&
      access(h->path("", "memory.memsw.limit_in_bytes").c_str(), F_OK) == 0)
    limits.push_back(limit("memsw", "256M"));
  add(Controller::cpu, limit("cpu-quota", "10000/20000"));
  add(Controller::cpu, limit("cpu-burst", "10ms"));
  add(Controller::cpu, limit("cpu-weight", "7"));
  add(Controller::cpuset, limit("cpus", "0-1"));
  add(Controller::pids, limit("pids", "max"));
  if (const std::string disk = test::any_disk(); !disk.empty())
    add(Controller::io, limit("io-max", disk + ":rbps=max,wbps=3M"));
  if (has(hierarchies, Controller::devices)) {
    Limit rules = limit("device", "deny a");
    CHECK(merge_value(rules.value, limit("device", "allow c 1:3 rw").value).has_value());
    limits.push_back(std::move(rules));
  }
  return limits;
}

void must(const Result<>& done) {
  if (!done) FAIL(done.error().text(), " (hint: ", done.error().hint, ")");
}

void build(const Hierarchies& hierarchies, const Desired& desired) {
  Transaction transaction(hierarchies);
  must(transaction.apply(desired));
}

// Applies `desired` with the n-th mutation failing, n = 1, 2, ..., until it passes. Answers how many there are.
unsigned fail_each(const Hierarchies& hierarchies, const std::string& top, const Desired& desired) {
  const test::Picture before = picture(hierarchies, top);
  for (unsigned n = 1; n < 500; ++n) {
    CAPTURE(n);
    unsigned count = 0;
    std::string what;
    const sys::FaultFn fault = [&](std::string_view operation, std::string_view name) {
      if (++count != n) return 0;
      what = std::string(operation) + " " + std::string(name);
      return EIO;
    };
    Transaction transaction(hierarchies);
    sys::inject_faults(&fault);
    const Result<> done = transaction.apply(desired);
    sys::inject_faults(nullptr);
    if (done) {
      CHECK_MESSAGE(what.empty(), "the failure of ", what, " was not told");
      // Idempotent: what is in force makes no step.
      const auto again = Plan::make(hierarchies, desired);
      if (desired.existing == Existing::allow || desired.existing == Existing::require) {
        REQUIRE(again.has_value());
        const bool values = std::ranges::all_of(desired.limits, [](const Limit& l) { return l.knob != nullptr; });
        if (!desired.owner && values) CHECK(again->text() == "");
      }
      const std::vector<std::string> left = transaction.undo();
      CHECK_MESSAGE(left.empty(), (left.empty() ? std::string() : left.front()));
      const std::string change = difference(before, picture(hierarchies, top));
      CHECK_MESSAGE(change.empty(), "after undo: ", change);
      return n - 1;
    }
    CAPTURE(what);
    REQUIRE_FALSE(what.empty());
    CHECK(done.error().code == EIO);
    CHECK(done.error().text().find("injected") != std::string::npos);
    if (done.error().knob == "cgroup.subtree_control")
      CHECK_FALSE(done.error().group.empty());  // of the root or another group above
    else
      CHECK(done.error().group.find(top) != std::string::npos);
    const std::string change = difference(before, picture(hierarchies, top));
    CHECK_MESSAGE(change.empty(), change);
  }
  FAIL("it never passed");
  return 0;
}

Hierarchies host() {
  auto found = Hierarchies::discover();
  REQUIRE(found.has_value());
  return *std::move(found);
}

}  // namespace

TEST_CASE("transaction: a failed create with many limits and new parents leaves nothing") {
  if (const char* why = no_root()) CGX_SKIP(why);
  const Hierarchies hierarchies = host();
  const test::TestGroup top(hierarchies);
  const unsigned n = fail_each(hierarchies,
                               top.name(),
                               {.group = top.name() + "/a/b",
                                .limits = many(hierarchies),
                                .existing = Existing::refuse,
                                .owner = Owner{1000, 1000}});
  CHECK(n > 10);
}

TEST_CASE("transaction: a failed set on an existing group puts every value back") {
  if (const char* why = no_root()) CGX_SKIP(why);
  const Hierarchies hierarchies = host();
  const test::TestGroup top(hierarchies);
  build(hierarchies, {.group = top.name(), .limits = many(hierarchies), .existing = Existing::refuse});
  const unsigned n = fail_each(hierarchies, top.name(), {.group = top.name(), .limits = others(hierarchies)});
  CHECK(n > 5);
}

TEST_CASE("transaction: limits that go up and down in one change") {
  if (const char* why = no_root()) CGX_SKIP(why);
  const Hierarchies hierarchies = host();
  const test::TestGroup top(hierarchies);
  build(hierarchies, {.group = top.name(), .limits = others(hierarchies), .existing = Existing::refuse});
  CHECK(fail_each(hierarchies, top.name(), {.group = top.name(), .limits = many(hierarchies)}) > 5);
}

TEST_CASE("transaction: exist-ok with an owner") {
  if (const char* why = no_root()) CGX_SKIP(why);
  const Hierarchies hierarchies = host();
  const test::TestGroup top(hierarchies);
  build(hierarchies, {.group = top.name(), .existing = Existing::refuse, .owner = Owner{7, 8}});
  CHECK(fail_each(hierarchies,
                  top.name(),
                  {.group = top.name(),
                   .limits = many(hierarchies),
                   .existing = Existing::allow,
                   .owner = Owner{3'000'000'000, static_cast<gid_t>(-1)}}) > 5);
}

TEST_CASE("transaction: an owner over 2^31 is given") {
  if (const char* why = no_root()) CGX_SKIP(why);
  const Hierarchies hierarchies = host();
  const test::TestGroup top(hierarchies);
  build(hierarchies, {.group = top.name(), .existing = Existing::refuse, .owner = Owner{3'000'000'000, 12}});
  const test::Picture now = picture(hierarchies, top.name());
  CHECK(now.at(hierarchies.all().front().path(top.name())).starts_with("3000000000:12"));
}

TEST_CASE("transaction: several groups are one change") {
  if (const char* why = no_root()) CGX_SKIP(why);
  const Hierarchies hierarchies = host();
  const test::TestGroup top(hierarchies);
  const test::Picture before = picture(hierarchies, top.name());
  Transaction transaction(hierarchies);
  must(transaction.apply({.group = top.name() + "/a", .limits = many(hierarchies), .existing = Existing::refuse}));
  must(transaction.apply({.group = top.name() + "/b", .limits = others(hierarchies), .existing = Existing::refuse}));
  CHECK(transaction.made(top.name()));
  CHECK(transaction.made(top.name() + "/b"));
  // The second /a is refused, and takes all with it.
  const auto done = transaction.apply({.group = top.name() + "/a", .existing = Existing::refuse});
  REQUIRE_FALSE(done.has_value());
  CHECK(done.error().code == EEXIST);
  const std::string change = difference(before, picture(hierarchies, top.name()));
  CHECK_MESSAGE(change.empty(), change);
}

TEST_CASE("transaction: raw files are put back") {
  if (const char* why = no_root()) CGX_SKIP(why);
  const Hierarchies hierarchies = host();
  if (!has(hierarchies, Controller::memory) || !has(hierarchies, Controller::pids)) CGX_SKIP("needs memory and pids");
  const bool v1 = hierarchies.of(Controller::memory)->version() == Version::v1;
  const test::TestGroup top(hierarchies);
  build(hierarchies, {.group = top.name(), .limits = many(hierarchies), .existing = Existing::refuse});
  CHECK(fail_each(hierarchies,
                  top.name(),
                  {.group = top.name(),
                   .limits = {raw(v1 ? "memory.limit_in_bytes" : "memory.max", "50331648"),
                              raw("pids.max", "9"),
                              raw("cpuset.cpus", "0-1")}}) == 3);
}

TEST_CASE("transaction: undoing that fails too is told beside the cause") {
  if (const char* why = no_root()) CGX_SKIP(why);
  const Hierarchies hierarchies = host();
  const test::TestGroup top(hierarchies);
  for (unsigned n = 2; n < 30; ++n) {
    CAPTURE(n);
    unsigned count = 0;
    const sys::FaultFn fault = [&](std::string_view, std::string_view) { return ++count < n ? 0 : ENOMEM; };
    Transaction transaction(hierarchies);
    sys::inject_faults(&fault);
    const auto done =
        transaction.apply({.group = top.name(), .limits = many(hierarchies), .existing = Existing::refuse});
    sys::inject_faults(nullptr);
    if (done) break;
    CHECK(done.error().code == ENOMEM);
    const std::string& hint = done.error().hint;
    const bool removal = hint.find("could not be removed again") != std::string::npos;
    const bool value = hint.find("could not be put back") != std::string::npos;
    CHECK_MESSAGE((removal || value), hint);
    if (removal) CHECK(hint.find(top.name()) != std::string::npos);
    top.remove();
  }
}

TEST_CASE("transaction: the same without openat2") {
  if (const char* why = no_root()) CGX_SKIP(why);
  const bool filtered = test::without_syscall(SYS_openat2, [] {
    const Hierarchies hierarchies = host();
    const test::TestGroup top(hierarchies);
    build(hierarchies, {.group = top.name(), .limits = many(hierarchies), .existing = Existing::refuse});
    CHECK(fail_each(hierarchies,
                    top.name(),
                    {.group = top.name() + "/x", .limits = many(hierarchies), .existing = Existing::allow}) > 5);
  });
  if (!filtered) CGX_SKIP("no seccomp filters here");
}

TEST_CASE("transaction: a cpuset that nobody filled is filled, and emptied again on failure") {
  if (const char* why = no_root()) CGX_SKIP(why);
  const Hierarchies hierarchies = host();
  const Hierarchy* h = hierarchies.of(Controller::cpuset);
  if (h == nullptr || h->version() != Version::v1) CGX_SKIP("needs a v1 cpuset hierarchy");
  const test::TestGroup top(hierarchies);
  for (const Hierarchy& other : hierarchies.all()) must(sys::make_dir(*other.root(), top.name()));
  CHECK(fail_each(hierarchies, top.name(), {.group = top.name() + "/x", .existing = Existing::allow}) > 3);
  build(hierarchies, {.group = top.name() + "/x", .existing = Existing::allow});
  CHECK_FALSE(Cgroup(hierarchies, top.name() + "/x").read(*h, "cpuset.cpus")->empty());
  CHECK(Cgroup(hierarchies, top.name() + "/x").read(*h, "cpuset.mems") == "0\n");
}

}  // namespace transaction_test
