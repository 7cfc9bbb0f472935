// SPDX-License-Identifier: Apache-2.0
#include "cgx/model/device_rules.h"

#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "cgx/model/device_list.h"

namespace device_rules_test {

namespace {

using cgx::DeviceList;
using cgx::DeviceRule;
using cgx::DeviceWrite;

cgx::Result<cgx::NodeType> fake_node(const std::string& path) {
  if (path == "/dev/null") return cgx::NodeType{.type = 'c', .major = 1, .minor = 3};
  if (path == "/dev/by-path/pci-0000:00:1f.2") return cgx::NodeType{.type = 'b', .major = 8, .minor = 0};
  return cgx::bad_value(path, "names no device node");
}

DeviceRule rule(const std::string& text) {
  auto parsed = cgx::parse_device_rule(text, fake_node);
  REQUIRE_MESSAGE(parsed.has_value(), text, ": ", parsed.has_value() ? "" : parsed.error().text());
  return *parsed;
}

DeviceList list(const std::vector<std::string>& rules, DeviceList start = {}) {
  for (const std::string& text : rules) start.apply(rule(text));
  return start;
}

std::vector<std::string> writes(const DeviceList& from, const DeviceList& to, const DeviceList* parent = nullptr) {
  std::vector<std::string> texts;
  for (const DeviceWrite& write : cgx::device_writes(from, to, parent))
    texts.push_back(std::string(write.file().substr(8)) + " " + write.value());
  return texts;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("device rules: every form has one canonical text") {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"allow c 1:3 rwm", "allow c 1:3 rwm"},
      {"c 1:3 rwm", "allow c 1:3 rwm"},
      {"  deny   b  8:*   mwr ", "deny b 8:* rwm"},
      {"deny c *:* m", "deny c *:* m"},
      {"c 4095:1048575 r", "allow c 4095:1048575 r"},
      {"c 0:0 w", "allow c 0:0 w"},
      {"a", "allow a"},
      {"allow a", "allow a"},
      {"deny a", "deny a"},
      {"deny all", "deny a"},
      {"a *:* rwm", "allow a"},
      {"deny a *:*", "deny a"},
      {"/dev/null:rw", "allow c 1:3 rw"},
      {"deny /dev/null:m", "deny c 1:3 m"},
      {"/dev/by-path/pci-0000:00:1f.2:r", "allow b 8:0 r"},
  };
  for (const auto& [given, canonical] : table) {
    CAPTURE(given);
    CHECK(rule(given).text() == canonical);
    CHECK(rule(canonical) == rule(given));
  }
}

TEST_CASE("device rules: malformed ones are usage errors that hold the rule") {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"", "is not a device rule"},
      {"   ", "is not a device rule"},
      {"allow", "says not what to allow"},
      {"deny ", "says not what to deny"},
      {"permit c 1:3 r", "is not a device rule"},
      {"Allow c 1:3 r", "is not a device rule"},
      {"dev/null:r", "is not a device rule"},
      {"c1:3 r", "is not a device rule"},
      {"allow allow c 1:3 r", "is not a device rule"},
      {"d 1:3 r", "type other than"},
      {"C 1:3 r", "type other than"},
      {"* 1:3 r", "type other than"},
      {"c", "lacks a part"},
      {"c 1:3", "lacks a part"},
      {"c rwm", "lacks a part"},
      {"c 1:3 rwm rwm", "words after the access"},
      {"c 1:3 r w", "words after the access"},
      {"c 1 3 r", "words after the access"},
      {"c 13 r", "no MAJ:MIN"},
      {"c :3 r", "no major number"},
      {"c 1: r", "no minor number"},
      {"c -1:3 r", "neither a number nor *"},
      {"c 1:-3 r", "neither a number nor *"},
      {"c +1:3 r", "neither a number nor *"},
      {"c 0x1:3 r", "neither a number nor *"},
      {"c 1:3:4 r", "neither a number nor *"},
      {"c **:3 r", "neither a number nor *"},
      {"c 1-3:3 r", "more than one major"},
      {"c 1:0-3 r", "more than one minor"},
      {"c 1:3,5 r", "more than one minor"},
      {"c 4096:0 r", "over the kernel's largest, 4095"},
      {"c 0:1048576 r", "over the kernel's largest, 1048575"},
      {"c 99999999999999999999:0 r", "over the kernel's largest"},
      {"c 1:3 x", "other than the letters"},
      {"c 1:3 RW", "other than the letters"},
      {"c 1:3 rwx", "other than the letters"},
      {"c 1:3 r,w", "other than the letters"},
      {"c 1:3 rr", "names the access r twice"},
      {"c 1:3 rwmr", "names the access r twice"},
      {"a 1:3 rwm", "every device"},
      {"a 1:3", "every device"},
      {"a rwm", "every device"},
      {"a *:* rwm x", "every device"},
      {"deny a *:* r", "limits the access"},
      {"a *:* x", "other than the letters"},
      {"/dev/null", "lacks the access"},
      {"/dev/null:", "has no access"},
      {"/dev/null:x", "other than the letters"},
      {"/dev/null:ww", "names the access w twice"},
      {"/dev/nil:r", "names no device node"},
      {"allow /:r", "names no device node"},
      {"c 1:3 r\nc 1:5 r", "control character"},
      {"c 1:3 r\n", "control character"},
      {"c\t1:3 r", "control character"},
      {std::string("c 1:3 r\0", 8), "control character"},
      {"\x1b[31m", "control character"},
  };
  for (const auto& [given, why] : table) {
    CAPTURE(given);
    const auto parsed = cgx::parse_device_rule(given, fake_node);
    REQUIRE(!parsed.has_value());
    CHECK(parsed.error().fault == cgx::Fault::usage);
    CHECK(parsed.error().value == given);
    CHECK_MESSAGE(parsed.error().what.find(why) != std::string::npos, parsed.error().what);
  }
}

TEST_CASE("device rules: lines of devices.list") {
  CHECK(cgx::parse_devices_line("a *:* rwm")->text() == "allow a");
  CHECK(cgx::parse_devices_line("b 8:* rw")->text() == "allow b 8:* rw");
  CHECK(cgx::parse_devices_line("c 5000:4294967295 m")->major == 5000U);  // the kernel takes any 32 bits
  for (const char* bad : {"", "allow c 1:3 r", "c 1:3", "c 4294967296:1 r", "/dev/null:r"}) {
    CAPTURE(bad);
    const auto parsed = cgx::parse_devices_line(bad);
    CHECK(!parsed.has_value());
  }
}

TEST_CASE("device list: rules apply as the v1 controller applies them") {
  CHECK(list({"deny c 1:3 w", "deny c 1:3 r"}).text() == "allow a\ndeny c 1:3 rw\n");
  CHECK(list({"deny c 1:3 rwm", "allow c 1:3 r"}).text() == "allow a\ndeny c 1:3 wm\n");
  CHECK(list({"deny c 1:3 r", "allow c 1:3 rwm"}) == DeviceList());
  CHECK(list({"deny c 1:3 r", "deny a"}) == DeviceList::nothing());
  CHECK(list({"deny a", "allow c 1:3 r", "allow b 1:3 r", "deny c 1:3 rw"}).kernel_text() == "b 1:3 r\n");
  // What is not there is not taken away, and a wider exception stays.
  CHECK(list({"deny a", "allow c 1:* rwm", "deny c 1:3 rwm"}).kernel_text() == "c 1:* rwm\n");
  CHECK(list({"deny c 1:* rwm", "allow c *:* rwm"}).text() == "allow a\ndeny c 1:* rwm\n");
  CHECK(list({"deny c 1:3 r"}).kernel_text() == "a *:* rwm\n");
  const DeviceList parent = list({"deny b 8:0 w"});
  DeviceList child = DeviceList::nothing();
  child.apply(rule("allow a"), &parent);
  CHECK(child == parent);
}

TEST_CASE("device list: decisions") {
  const DeviceList open = list({"deny c 1:* w", "deny b 8:0 rwm"});
  CHECK(open.permits('c', 1, 3, cgx::device_read));
  CHECK(!open.permits('c', 1, 3, cgx::device_write));
  CHECK(!open.permits('c', 1, 3, cgx::device_read | cgx::device_write));
  CHECK(open.permits('b', 1, 3, cgx::device_write));
  CHECK(!open.permits('b', 8, 0, cgx::device_mknod));
  CHECK(open.permits('b', 8, 1, cgx::device_mknod));
  const DeviceList closed = list({"deny a", "allow c 1:3 r", "allow c 1:* w"});
  CHECK(closed.permits('c', 1, 3, cgx::device_read));
  CHECK(closed.permits('c', 1, 3, cgx::device_write));
  // Each bit is given, but by no single exception.
  CHECK(!closed.permits('c', 1, 3, cgx::device_read | cgx::device_write));
  CHECK(!closed.permits('b', 1, 3, cgx::device_read));
}

TEST_CASE("device list: a rule that the kernel would take and ignore is refused") {
  for (const auto& [rules, last] : std::vector<std::pair<Texts, std::string>>{
           {{"deny c 1:* rwm"}, "allow c 1:3 r"},
           {{"deny c 1:3 r"}, "allow c *:* rwm"},
           {{"deny a", "allow c 1:* rwm"}, "deny c 1:3 w"},
           {{"deny a", "allow c *:3 rwm"}, "deny c 1:* w"},
       }) {
    CAPTURE(last);
    const std::vector<DeviceRule> one{rule(last)};
    const auto result = cgx::with_rules(list(rules), one);
    REQUIRE(!result.has_value());
    CHECK(result.error().fault == cgx::Fault::usage);
    CHECK(result.error().value == rule(last).text());
    CHECK(!result.error().hint.empty());
  }
  for (const auto& [rules, last] : std::vector<std::pair<Texts, std::string>>{
           {{"deny c 1:* w"}, "allow c 1:3 r"},  // no bit in common
           {{"deny c 1:* r"}, "allow b 1:3 r"},
           {{"deny c 1:* rwm"}, "allow c 1:* r"},
           {{"deny a", "allow c 1:* rwm"}, "deny c 2:3 w"},
           {{"deny a", "allow c 1:* rwm"}, "allow c 1:3 w"},
           {{"deny a", "allow c 1:* rwm"}, "deny a"},
       }) {
    CAPTURE(last);
    const std::vector<DeviceRule> one{rule(last)};
    const auto result = cgx::with_rules(list(rules), one);
    CHECK(result.has_value());
  }
  std::vector<DeviceRule> many;
  for (unsigned i = 0; i <= cgx::most_device_exceptions; ++i)
    many.push_back(rule("deny c 9:" + std::to_string(i) + " r"));
  CHECK(!cgx::with_rules({}, many).has_value());
  many.pop_back();
  CHECK(cgx::with_rules({}, many).has_value());
}

TEST_CASE("device list: the writes between two states are the fewest, and undo each other") {
  CHECK(writes({}, {}) == Texts{});
  CHECK(writes({}, list({"deny c 1:3 rw"})) == Texts{"deny c 1:3 rw"});
  CHECK(writes(list({"deny c 1:3 rw"}), list({"deny c 1:3 wm"})) == Texts{"deny c 1:3 m", "allow c 1:3 r"});
  CHECK(writes({}, list({"deny a", "allow c 1:3 r"})) == Texts{"deny a", "allow c 1:3 r"});
  CHECK(writes(list({"deny a", "allow c 1:3 r"}), {}) == Texts{"allow a"});
  // What is new comes before what goes.
  CHECK(writes(list({"deny a", "allow c 1:* r"}), list({"deny a", "allow c 1:3 r"})) ==
        Texts{"allow c 1:3 r", "deny c 1:* r"});
  CHECK(writes(list({"deny a", "allow c 1:3 r", "allow c 1:5 r"}),
               list({"deny a", "allow c 1:5 r", "allow c 1:3 r"})) == Texts{});
  const DeviceList parent = list({"deny b 8:0 rwm"});
  CHECK(writes(DeviceList::nothing(), list({"deny b 8:0 rwm", "deny c 1:3 r"}), &parent) ==
        Texts{"allow a", "deny c 1:3 r"});

  const std::vector<DeviceList> states = {{},
                                          DeviceList::nothing(),
                                          list({"deny c 1:3 rw", "deny b *:* m"}),
                                          list({"deny a", "allow c 1:3 rw", "allow c 1:* r"}),
                                          list({"deny a", "allow c 1:* rwm"})};
  for (const DeviceList& from : states)
    for (const DeviceList& to : states) {
      DeviceList now = from;
      std::vector<DeviceList> passed{from};
      for (const DeviceWrite& write : cgx::device_writes(from, to)) {
        now.apply(write.rule);
        passed.push_back(now);
      }
      CHECK(now == to);
      for (DeviceList undone : passed) {  // rolling back from any point leads home
        for (const DeviceWrite& write : cgx::device_writes(undone, from)) undone.apply(write.rule);
        CHECK(undone == from);
      }
      CHECK(*DeviceList::parse(to.text()) == to);
    }
}

TEST_CASE("device list: the state of a group is what the kernel shows, and what was noted where it shows nothing") {
  const std::string note = list({"deny c 1:3 rwm"}).text();
  CHECK(cgx::current_devices("a *:* rwm\n", note)->text() == note);
  CHECK(*cgx::current_devices("a *:* rwm\n", {}) == DeviceList());
  CHECK(cgx::current_devices("c 1:3 r\n", note)->text() == "deny a\nallow c 1:3 r\n");
  CHECK(*cgx::current_devices("a *:* rwm\n", "deny a\n") == DeviceList());
  CHECK(*cgx::current_devices("a *:* rwm\n", "nonsense") == DeviceList());
  CHECK(*cgx::current_devices("", note) == DeviceList::nothing());
  CHECK(!cgx::current_devices("nonsense\n", note).has_value());
  CHECK(!DeviceList::parse("c 1:3 r\n").has_value());
}

TEST_CASE("device list: refusals of the kernel are explained") {
  const cgx::Error children = cgx::explain_refusal(cgx::fail(EINVAL, "x").error(), rule("deny a"));
  CHECK(children.text() == "devices.deny: \"a\" cannot change the default of a group that has children");
  const cgx::Error parent = cgx::explain_refusal(cgx::fail(EPERM, "x").error(), rule("c 1:3 r"));
  CHECK(parent.text().starts_with("devices.allow: \"c 1:3 r\" was refused: the parent"));
  const cgx::Error other = cgx::explain_refusal(cgx::fail(ENODEV, "No such device").error(), rule("deny c 1:3 r"));
  CHECK(other.text() == "devices.deny: \"c 1:3 r\" No such device");
}

}  // namespace device_rules_test
