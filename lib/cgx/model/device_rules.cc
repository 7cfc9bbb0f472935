// SPDX-License-Identifier: Apache-2.0
#include "cgx/model/device_rules.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "cgx/sys/text.h"

namespace cgx {
namespace {

constexpr std::string_view forms = "(like `allow c 1:3 rwm`, `deny a`, `/dev/null:rw`)";

// The kernel's dev_t has 12 bits of major and 20 of minor, so that no device has a number beyond.
constexpr std::uint64_t most_major = 4095;
constexpr std::uint64_t most_minor = 1048575;

// Access letters, or why they are none.
std::expected<unsigned, std::string> parse_access(std::string_view text) {
  unsigned access = 0;
  for (const char c : text) {
    const unsigned bit = c == 'r' ? device_read : c == 'w' ? device_write : c == 'm' ? device_mknod : 0;
    if (bit == 0) return std::unexpected("has an access other than the letters r, w and m");
    if ((access & bit) != 0) return std::unexpected(std::string("names the access ") + c + " twice");
    access |= bit;
  }
  if (access == 0) return std::unexpected("has no access (some of r, w, m)");
  return access;
}

std::expected<std::optional<unsigned>, std::string> parse_number(std::string_view text,
                                                                 std::string_view which,
                                                                 std::uint64_t most) {
  if (text == "*") return std::nullopt;
  if (const auto n = sys::parse_u64(text, 0, most)) return static_cast<unsigned>(*n);
  const std::string name(which);
  if (text.empty()) return std::unexpected("has no " + name + " number (a number, or * for all)");
  if (text.find_first_of("-,") != std::string_view::npos && text.front() != '-')
    return std::unexpected("has more than one " + name + " number; the kernel knows a single one, or * for all");
  if (text.find_first_not_of("0123456789") != std::string_view::npos)
    return std::unexpected("has a " + name + " that is neither a number nor *");
  return std::unexpected("has a " + name + " over the kernel's largest, " + std::to_string(most));
}

// `TYPE MAJ:MIN ACCESS` in words, with the numbers limited.
std::expected<DeviceRule, std::string> parse_fields(std::span<const std::string_view> words,
                                                    std::uint64_t major_limit,
                                                    std::uint64_t minor_limit) {
  DeviceRule rule;
  const std::string_view type = words.front();
  if (type == "a" || type == "all") {
    // The kernel takes `a 1:3 r` and ignores what follows the `a`: everything would be meant.
    if (words.size() > 3 || (words.size() > 1 && words[1] != "*:*"))
      return std::unexpected("names numbers after `a`, which stands for every device; give it alone");
    if (words.size() == 3) {
      const unsigned access = CGX_TRY(parse_access(words[2]));
      if (access != device_rwm)
        return std::unexpected("limits the access of `a`, which stands for all of it; give it alone");
    }
    return rule;
  }
  if (type != "b" && type != "c") return std::unexpected("has a type other than a, b and c");
  if (words.size() < 3) return std::unexpected("lacks a part: TYPE MAJ:MIN ACCESS (like `c 1:3 rwm`)");
  if (words.size() > 3) return std::unexpected("has words after the access; one rule at a time");
  rule.type = type.front();
  const std::size_t colon = words[1].find(':');
  if (colon == std::string_view::npos) return std::unexpected("has no MAJ:MIN (like 1:3, or *:*)");
  rule.major = CGX_TRY(parse_number(words[1].substr(0, colon), "major", major_limit));
  rule.minor = CGX_TRY(parse_number(words[1].substr(colon + 1), "minor", minor_limit));
  rule.access = CGX_TRY(parse_access(words[2]));
  return rule;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }

std::string number_text(const std::optional<unsigned>& number) { return number ? std::to_string(*number) : "*"; }

}  // namespace

std::string access_text(unsigned access) {
  std::string text;
  if ((access & device_read) != 0) text += 'r';
  if ((access & device_write) != 0) text += 'w';
  if ((access & device_mknod) != 0) text += 'm';
  return text;
}

std::string DeviceRule::kernel_text() const {
  if (type == 'a') return "a";
  return std::string(1, type) + ' ' + number_text(major) + ':' + number_text(minor) + ' ' + access_text(access);
}

std::string DeviceRule::text() const { return (allow ? "allow " : "deny ") + kernel_text(); }

Result<DeviceRule> parse_device_rule(std::string_view text, const NodeResolver& resolve) {
  // A second line would be ignored by the kernel without a word.
  if (std::ranges::any_of(text, is_control)) return bad_value(text, "has a control character (one rule, on one line)");
  std::string_view rest = sys::trim(text);
  bool allow = true;
  for (const auto& [word, verdict] : {std::pair<std::string_view, bool>{"allow", true}, {"deny", false}}) {
    if (rest == word) return bad_value(text, "says not what to " + std::string(word) + " " + std::string(forms));
    if (!rest.starts_with(word) || rest[word.size()] != ' ') continue;
    allow = verdict;
    rest = sys::trim(rest.substr(word.size()));
    break;
  }
  if (rest.empty()) return bad_value(text, "is not a device rule " + std::string(forms));

  if (rest.front() == '/') {
    // The last colon ends the path: names in /dev/serial/by-path hold colons themselves.
    const std::size_t colon = rest.rfind(':');
    if (colon == std::string_view::npos) return bad_value(text, "lacks the access after the path (like /dev/null:rw)");
    const auto access = parse_access(rest.substr(colon + 1));
    if (!access) return bad_value(text, access.error());
    Result<NodeType> node = resolve(std::string(rest.substr(0, colon)));
    if (!node) {
      Error error = std::move(node).error();
      error.value = std::string(text);
      return std::unexpected(std::move(error));
    }
    return DeviceRule{
        .allow = allow, .type = node->type, .major = node->major, .minor = node->minor, .access = *access};
  }

  const std::vector<std::string_view> words = sys::words(rest);
  // A word that is no type at all is more likely a path or a typing error than a rule with a wrong type.
  if (words.front().size() > 1 && words.front() != "all")
    return bad_value(text, "is not a device rule " + std::string(forms));
  auto rule = parse_fields(words, most_major, most_minor);
  if (!rule) return bad_value(text, std::move(rule).error());
  rule->allow = allow;
  return *rule;
}

Result<DeviceRule> parse_devices_line(std::string_view line) {
  constexpr std::uint64_t most = 0xffff'ffff;
  const std::vector<std::string_view> words = sys::words(line);
  if (words.empty()) return bad_value(line, "is not a line of devices.list");
  auto rule = parse_fields(words, most, most);
  if (rule) return *rule;
  Error error{.code = EINVAL, .what = std::move(rule).error(), .group = {}, .knob = {}, .value = {}, .hint = {}};
  error.value = std::string(line);
  return std::unexpected(std::move(error));
}

}  // namespace cgx
