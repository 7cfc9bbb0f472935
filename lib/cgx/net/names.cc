// SPDX-License-Identifier: Apache-2.0
#include "cgx/net/names.h"

#include <charconv>
#include <utility>

#include <net/if.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx::net {

namespace {

// One half of a class number: one to four hexadecimal digits, nothing else; 0 stands for a wrong one, because no
// half may be 0.
std::uint32_t parse_half(std::string_view text) {
  std::uint32_t value = 0;
  if (text.empty() || text.size() > 4) return 0;
  const auto [stop, error] = std::from_chars(text.begin(), text.end(), value, 16);
  return error == std::errc{} && stop == text.end() ? value : 0;
}

// Splits IF=VALUE at the last '=': an interface name may hold one, no value does. Empty parts are left to the
// checks of each part.
std::pair<std::string_view, std::string_view> split_flag(std::string_view text) {
  const std::size_t at = text.rfind('=');
  if (at == std::string_view::npos) return {};
  return {text.substr(0, at), text.substr(at + 1)};
}

}  // namespace

Result<ClassId> parse_class(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon != std::string_view::npos) {
    const std::uint32_t major = parse_half(text.substr(0, colon));
    const std::uint32_t minor = parse_half(text.substr(colon + 1));
    if (major == 0xffffU) return bad_value(text, "is not a traffic class: ffff: is reserved by the kernel");
    if (major != 0 && minor != 0) return ClassId{major << 16U | minor};
  }
  return bad_value(text, "is not a traffic class (MAJ:MIN, hexadecimal 1 to ffff each, like 10:1)");
}

std::string format_class(ClassId id) { return fmt::format("{:x}:{:x}", id.major(), id.minor()); }

Result<> check_interface_name(std::string_view name) {
  // The kernel's dev_valid_name(), which takes 0xa0 for a blank too, and no control character, which
  // the kernel allows but which would break lines of output.
  bool fits = !name.empty() && name.size() < IFNAMSIZ && name != "." && name != "..";
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    fits = fits && byte > ' ' && byte != 0x7f && byte != 0xa0 && c != '/' && c != ':';
  }
  if (fits) return {};
  return bad_value(name, fmt::format("is not an interface name (1 to {} bytes, no '/', ':' or blank)", IFNAMSIZ - 1));
}

Result<RateFlag> parse_rate_flag(std::string_view text) {
  const auto [name, value] = split_flag(text);
  if (name.empty() || value.empty()) return bad_value(text, "is not IF=RATE (like eth0=10mbit)");
  CGX_CHECK(check_interface_name(name));
  if (value == "max") return RateFlag{std::string(name), sys::unlimited};
  return RateFlag{std::string(name), CGX_TRY(sys::parse_rate(value))};
}

Result<PrioFlag> parse_prio_flag(std::string_view text) {
  const auto [name, value] = split_flag(text);
  if (name.empty() || value.empty()) return bad_value(text, "is not IF=N (like eth0=5)");
  CGX_CHECK(check_interface_name(name));
  const auto number = sys::parse_u64(value, 0, 0xffff);
  if (!number) return bad_value(value, "is not a priority (0 to 65535)");
  return PrioFlag{std::string(name), static_cast<std::uint32_t>(*number)};
}

}  // namespace cgx::net
