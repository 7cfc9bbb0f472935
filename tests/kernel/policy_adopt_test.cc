// SPDX-License-Identifier: Apache-2.0
// Groups that somebody else makes and removes, and that policies adopt: set where they are, and nothing else.
#include <cerrno>
#include <string>
#include <vector>

#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/policy/adopted.h"
#include "cgx/policy/record.h"

#include "policy_support.h"
#include "skip.h"

namespace policy_adopt_test {

namespace {

using namespace cgx;
using test::Flags;
using test::group_policy;
using test::Host;
using test::source;

const char* no_root() { return geteuid() != 0 ? "needs root" : nullptr; }

policy::GroupPolicy adopted(std::string name, const Flags& flags = {}) {
  policy::GroupPolicy g = group_policy(std::move(name), flags);
  g.adopt = true;
  return g;
}

// What the group's owner does: makes it in the hierarchies of these controllers alone, with these limits.
void make(const Host& host,
          std::string_view below,
          const std::vector<Controller>& where,
          std::vector<Limit> limits = {}) {
  ControllerSet only;
  for (const Controller c : where) only.add(c);
  Transaction owner(host.hierarchies());
  REQUIRE(
      owner.apply({.group = host.name(below), .limits = std::move(limits), .existing = Existing::allow, .only = only})
          .has_value());
  owner.commit();
}
void set(const Host& host, std::string_view below, std::string_view flag, std::string_view text) {
  Transaction owner(host.hierarchies());
  REQUIRE(owner.apply({.group = host.name(below), .limits = {test::limit(flag, text)}}).has_value());
  owner.commit();
}
void remove(const Host& host, std::string_view below) {
  REQUIRE(remove_group(Cgroup(host.hierarchies(), host.name(below)), Below::keep).has_value());
}

std::size_t places(const Host& host, std::string_view below) {
  return policy::found_in(host.hierarchies(), host.name(below)).value().size();
}

bool has_note(const std::vector<std::string>& notes, const std::string& what) {
  for (const std::string& note : notes)
    if (note.find(what) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE("policy adopt: a group that is not there is waited for, and nothing is made") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  const std::vector<policy::Source> sources{source(
      "/test.yaml", {adopted(host.name("job"), {{"mem", "64M"}}), group_policy(host.name("own"), {{"pids", "9"}})})};
  const auto plan = policy::PolicyPlan::make(host.hierarchies(), sources, host.options());
  REQUIRE(plan.has_value());
  CHECK(host.plain(plan->text()) == "+ T\n+ T/own\n");
  CHECK(has_note(plan->notes(), "job: adopted, not there: nothing to do"));
  CHECK(host.plain(host.must(sources)) == "+ T\n+ T/own\n");
  CHECK(places(host, "job") == 0);
  const auto again = host.apply(sources);
  REQUIRE(again.has_value());
  CHECK(again->changes.empty());
  CHECK(has_note(again->notes, "job: adopted, not there: nothing to do"));
}

TEST_CASE("policy adopt: limits are set where the group is, and go back to what they were") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  make(host,
       "job",
       {Controller::memory, Controller::cpu},
       {test::limit("mem", "200M"), test::limit("cpu-quota", "80%")});
  const std::size_t before = places(host, "job");
  const bool pids =
      Cgroup(host.hierarchies(), host.name("job")).dir(*host.hierarchies().of(Controller::pids)).has_value();
  const auto there = adopted(host.name("job"), {{"mem", "64M"}, {"cpu-quota", "50%"}, {"pids", "12"}});
  const auto done = host.apply({source("/test.yaml", {there})});
  REQUIRE(done.has_value());
  CHECK(has_note(done->notes, "job: pids.max is left out: the group is not in the pids hierarchy") == !pids);
  CHECK(host.read("job", "mem") == "67108864");
  CHECK(host.read("job", "cpu-quota") == "50000/100000");
  CHECK(places(host, "job") == before);
  const std::string text = host.must({there});
  CHECK(text.empty());
  const auto record = policy::read_record(host.options().state_dir);
  REQUIRE(record.has_value());
  REQUIRE(record->find(host.name("job")) != nullptr);
  CHECK(record->find(host.name("job"))->find("memory.max")->before == "209715200");
  CHECK(record->find(host.name("job"))->adopted.size() == before);
  CHECK_FALSE(host.must(std::vector<policy::GroupPolicy>{}).empty());
  CHECK(host.read("job", "mem") == "209715200");
  CHECK(host.read("job", "cpu-quota") == "80000/100000");
  CHECK(places(host, "job") == before);
  CHECK(policy::read_record(host.options().state_dir)->find(host.name("job")) == nullptr);
}

TEST_CASE("policy adopt: a group that its owner removes stays away, and one that he makes again is another") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  make(host, "job", {Controller::memory}, {test::limit("mem", "200M")});
  const std::vector<policy::GroupPolicy> groups{adopted(host.name("job"), {{"mem", "64M"}})};
  CHECK(host.plain(host.must(groups)) == "~ T/job memory.max 200M -> 64M\n");
  remove(host, "job");
  CHECK(host.must(groups).empty());
  CHECK(places(host, "job") == 0);
  make(host, "job", {Controller::memory}, {test::limit("mem", "100M")});
  CHECK(host.plain(host.must(groups)) == "~ T/job memory.max 100M -> 64M\n");
  host.must(std::vector<policy::GroupPolicy>{});
  CHECK(host.read("job", "mem") == "104857600");
}

TEST_CASE("policy adopt: what was there before is kept by hierarchy, as the owner makes it in more of them") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  if (!host.v1(Controller::memory) || !host.v1(Controller::pids)) CGX_SKIP("cgroup2 is one hierarchy");
  const std::vector<policy::GroupPolicy> groups{adopted(host.name("job"), {{"mem", "64M"}, {"pids", "12"}})};
  make(host, "job", {Controller::memory}, {test::limit("mem", "200M")});
  CHECK(host.plain(host.must(groups)) == "~ T/job memory.max 200M -> 64M\n");
  // In all the others too, so that whichever hierarchy counts first has it now.
  make(host, "job", {Controller::pids}, {test::limit("pids", "40")});
  for (const Hierarchy& h : host.hierarchies().all())
    for (const std::string& name : {host.name(), host.name("job")})
      if (const auto made = sys::make_dir(*h.root(), name); !made) REQUIRE(made.error().code == EEXIST);
  CHECK(host.plain(host.must(groups)) == "~ T/job pids.max 40 -> 12\n");
  // Gone from one of them: what is kept of the other stands.
  const Hierarchy* pids = host.hierarchies().of(Controller::pids);
  REQUIRE(sys::remove_dir(*pids->root(), host.name("job")).has_value());
  CHECK(host.must(groups).empty());
  host.must(std::vector<policy::GroupPolicy>{});
  CHECK(host.read("job", "mem") == "209715200");
  CHECK_FALSE(Cgroup(host.hierarchies(), host.name("job")).dir(*pids).has_value());
}

TEST_CASE("policy adopt: an adopted group that cannot be set holds up no other change") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  make(host, "job", {Controller::memory});
  // The kernel refuses this file's value; the next group is in the same transaction.
  const std::vector<policy::Source> sources{source("/test.yaml",
                                                   {adopted(host.name("job"), {{"memory.no_such_file", "1"}}),
                                                    adopted(host.name("later"), {{"mem", "64M"}}),
                                                    group_policy(host.name("own"), {{"pids", "9"}})})};
  const auto strict = host.apply(sources);
  REQUIRE_FALSE(strict.has_value());
  CHECK(strict.error().text().find("no_such_file") != std::string::npos);
  CHECK_FALSE(host.there("own"));
  host.options().lenient = true;
  const auto done = host.apply(sources);
  if (!done) FAIL(done.error().text());
  CHECK(host.read("own", "pids") == "9");
  CHECK(done->unset == std::vector<std::string>{host.name("job")});
  REQUIRE(done->stays.size() == 1);
  CHECK_MESSAGE(
      host.plain(done->stays[0].text).starts_with("T/job is adopted, and stays as its owner has it: memory.no_such"),
      done->stays[0].text);
  const auto again = host.apply(sources);
  REQUIRE(again.has_value());
  CHECK(again->changes.empty());
  REQUIRE(again->stays.size() == 1);
  CHECK(again->stays[0].about() == done->stays[0].about());
  CHECK(again->stays[0].text == done->stays[0].text);
}

TEST_CASE("policy adopt: a group that goes at any moment of an apply holds up no other change, and is not made again") {
  if (const char* why = no_root()) CGX_SKIP(why);
  for (const bool lenient : {true, false}) {
    for (unsigned at = 1; at < 64; ++at) {
      CAPTURE(lenient);
      CAPTURE(at);
      Host host;
      host.options().lenient = lenient;
      make(host, "job", {Controller::memory, Controller::pids}, {test::limit("mem", "200M")});
      make(host, "own", {Controller::memory, Controller::pids});
      unsigned seen = 0;
      const sys::FaultFn owner = [&](std::string_view, std::string_view) {
        if (++seen == at)
          for (const Hierarchy& h : host.hierarchies().all()) (void)rmdir(h.path(host.name("job")).c_str());
        return 0;
      };
      sys::inject_faults(&owner);
      const auto done =
          policy::apply(host.hierarchies(),
                        std::vector<policy::Source>{source("/test.yaml",
                                                           {adopted(host.name("job"), {{"mem", "64M"}, {"pids", "12"}}),
                                                            group_policy(host.name("own"), {{"pids", "9"}})})},
                        host.options());
      sys::inject_faults(nullptr);
      if (!done) FAIL(done.error().text());
      CHECK(host.read("own", "pids") == "9");
      if (seen < at) break;  // it has gone at each of them
      CHECK(places(host, "job") == 0);
    }
  }
}

TEST_CASE("policy adopt: no group is made below an adopted one") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  make(host, "job", {Controller::memory});
  host.must({source("/a.yaml", {adopted(host.name("job"), {{"mem", "64M"}})})});
  const auto done = host.apply({source("/b.yaml", {group_policy(host.name("job/step"), {{"pids", "9"}})})});
  REQUIRE_FALSE(done.has_value());
  CHECK(done.error().fault == Fault::usage);
  CHECK(host.plain(done.error().what) ==
        "test.yaml:1:1: T/job/step is below T/job, which is adopted: its owner could not remove it with a group of cgx "
        "in it");
  CHECK_FALSE(host.there("job/step"));
  host.must({source("/b.yaml", {adopted(host.name("job/step"), {{"pids", "9"}})})});
  CHECK_FALSE(host.there("job/step"));
}

TEST_CASE("policy adopt: a value that is left to the owner is neither written nor put back") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  make(host, "job", {Controller::memory}, {test::limit("mem", "200M")});
  policy::GroupPolicy job = adopted(host.name("job"), {{"mem", "64M"}});
  host.must(std::vector{job});
  set(host, "job", "mem", "150M");
  job.limits[0].left = true;
  CHECK(host.must(std::vector{job}).empty());
  CHECK(host.read("job", "mem") == "157286400");
  CHECK(policy::read_record(host.options().state_dir)->find(host.name("job"))->limits.empty());
  host.must(std::vector<policy::GroupPolicy>{});
  CHECK(host.read("job", "mem") == "157286400");
}

}  // namespace policy_adopt_test
