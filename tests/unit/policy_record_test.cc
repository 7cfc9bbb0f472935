// SPDX-License-Identifier: Apache-2.0
// The record of what is managed: it comes back as it was written, and nothing else is taken for one.
#include <cerrno>
#include <string>

#include <sys/stat.h>

#include <doctest/doctest.h>

#include "cgx/policy/record.h"

#include "scratch.h"

namespace policy_record_test {

namespace {

using namespace cgx;
using policy::ManagedGroup;
using policy::Record;
using policy::RecordFile;

Record sample() {
  ManagedGroup web{.name = "web", .source = "/etc/a file.yaml", .made = "cpu,cpuacct unified", .inode = 4711};
  web.owner = "1000:-1";
  web.owner_before = "0:0";
  web.limits.push_back({.key = "memory.max", .knob = "memory.max", .wanted = "5000", .before = "", .reads = "4096"});
  web.limits.push_back({.key = "devices", .knob = "devices", .wanted = "deny a\nallow c 1:3 rwm"});
  web.limits.push_back({.key = "raw.a\\b", .knob = "a\\b", .raw = true, .wanted = "\t\\-", .before = "\\-"});
  web.adopted = {{"cpu,cpuacct", 4712}, {"uni\tfied", 4713}};
  Record record;
  record.groups = {{.name = "a", .source = "-", .named = false}, web};
  record.unfinished = {"/etc/x\ty"};
  return record;
}

}  // namespace

TEST_CASE("policy record: comes back as it was written") {
  const auto back = Record::parse(sample().text().value());
  REQUIRE(back.has_value());
  CHECK(*back == sample());
  CHECK(back->find("web")->find("memory.max")->before == "");
  CHECK_FALSE(back->find("web")->find("devices")->before.has_value());
  CHECK(back->find("nothing") == nullptr);
  CHECK(*Record::parse(Record{}.text().value()) == Record{});
}

TEST_CASE("policy record: nothing else is taken for one") {
  const std::string good = sample().text().value();
  for (std::size_t n = 0; n < good.size(); ++n) {
    CAPTURE(n);
    const auto cut = Record::parse(good.substr(0, n));
    REQUIRE((!cut || n + 1 == good.size()));  // without its last newline it is whole
    if (!cut) CHECK(cut.error().code == EBADMSG);
    std::string other = good;
    other[n] = other[n] == 'x' ? 'y' : 'x';
    CHECK_FALSE(Record::parse(other).has_value());
  }
  const auto newer = Record::parse("cgx managed 2\nend\t0\n");
  REQUIRE_FALSE(newer.has_value());
  CHECK(newer.error().what == "is of version 2, and this cgx knows version 1");
}

TEST_CASE("policy record: the file") {
  const test::ScratchDir scratch;
  const std::string dir = scratch.path() + "/run";
  CHECK(policy::read_record(dir) == Record{});  // no directory, no record
  {
    const auto file = RecordFile::open(dir);
    REQUIRE(file.has_value());
    REQUIRE(file->write(sample()).has_value());
    CHECK(*file->read() == sample());
  }
  CHECK(policy::read_record(dir) == sample());
  scratch.file("run/managed", "something else\n");
  const auto wrong = policy::read_record(dir);
  REQUIRE_FALSE(wrong.has_value());
  CHECK(wrong.error().what == dir + "/managed is no record of cgx");
  CHECK_FALSE(wrong.error().hint.empty());
}

TEST_CASE("policy record: its lock is the owner's alone, also where an older one was not") {
  const test::ScratchDir scratch;
  scratch.dir("run");
  scratch.file("run/managed.lock", "");
  const std::string lock = scratch.path() + "/run/managed.lock";
  REQUIRE(chmod(lock.c_str(), 0644) == 0);
  REQUIRE(RecordFile::open(scratch.path() + "/run").has_value());
  struct stat st{};
  REQUIRE(stat(lock.c_str(), &st) == 0);
  CHECK((st.st_mode & 07777U) == 0600);
}

TEST_CASE("policy record: stays in the directory that was looked at") {
  const test::ScratchDir scratch;
  const std::string dir = scratch.path() + "/run";
  const auto file = RecordFile::open(dir);
  REQUIRE(file.has_value());
  REQUIRE(rename(dir.c_str(), (scratch.path() + "/aside").c_str()) == 0);
  scratch.dir("run");
  scratch.file("run/managed", "something else\n");
  REQUIRE(file->write(sample()).has_value());
  CHECK(*file->read() == sample());
  CHECK(policy::read_record(scratch.path() + "/aside") == sample());
}

TEST_CASE("policy record: of an earlier boot it says nothing") {
  std::string text = sample().text().value();
  const std::size_t at = text.find("boot\t") + 5;
  text[at] = text[at] == '0' ? '1' : '0';
  // With a checksum that is right, as it was then.
  const std::string body = text.substr(0, text.rfind("end\t"));
  std::uint64_t sum = 0xcbf29ce484222325U;
  for (const char c : body) sum = (sum ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  std::string end(16, '0');
  for (std::size_t i = 0; i < 16; ++i) end[15 - i] = "0123456789abcdef"[sum >> (4 * i) & 15U];
  const auto stale = Record::parse(body + "end\t" + end + "\n");
  REQUIRE(stale.has_value());
  CHECK(*stale == Record{});
}

}  // namespace policy_record_test
