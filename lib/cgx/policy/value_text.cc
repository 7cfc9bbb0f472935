// SPDX-License-Identifier: Apache-2.0
// Values as the record keeps them and as plans show them.
#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/presence.h"
#include "cgx/policy/difference.h"
#include "cgx/sys/text.h"

namespace cgx::policy {
namespace {

std::string short_size(std::uint64_t n) {
  if (n == sys::unlimited) return "max";
  constexpr std::array<std::pair<unsigned, char>, 4> units{{{40, 'T'}, {30, 'G'}, {20, 'M'}, {10, 'k'}}};
  for (const auto& [bits, letter] : units)
    if (n != 0 && (n & ((std::uint64_t{1} << bits) - 1)) == 0) return fmt::format("{}{}", n >> bits, letter);
  return std::to_string(n);
}

}  // namespace

std::optional<Value> value_of(const Knob& knob, std::string_view text) {
  const bool lines = knob.format != Format::text && knob.format != Format::keyed;
  if (text.empty() || !lines) {
    // No rows, or a list that is cleared.
    auto none = initial_value(knob, Backing{});
    if (text.empty() && none && std::holds_alternative<Table>(*none)) return none;
    return Value(std::string(text));
  }
  std::optional<Value> value;
  for (const std::string_view line : sys::lines(text)) {
    auto one = parse_value(knob, line, {});
    if (!one) return {};
    if (!value)
      value = *std::move(one);
    else if (!merge_value(*value, *one))
      return {};
  }
  return value;
}

Result<std::optional<std::string>> current_text(const Cgroup& group, const Limit& limit) {
  using Text = Result<std::optional<std::string>>;
  // No such file, or one that can only be written (EACCES), has no text; what could not be read this once may have.
  if (limit.knob != nullptr) {
    const auto now = read_knob(group, *limit.knob);
    if (!now && !says_no_value(now.error())) return std::unexpected(now.error());
    return now && *now ? Text(exact(*limit.knob, **now)) : Text();
  }
  const auto c = controller_of_file(limit.file);
  if (!c) return Text();
  const auto text = group.read(*c, limit.file);
  if (!text && !says_no_value(text.error()) && text.error().code != EACCES) return std::unexpected(text.error());
  return text ? Text(std::string(sys::trim(*text))) : Text();
}

bool same_raw(std::string_view wanted, std::string_view now) {
  wanted = sys::trim(wanted);
  now = sys::trim(now);
  if (wanted == now) return true;
  const auto a = sys::parse_size(wanted);
  const auto b = sys::parse_size(now);
  if (a && b) return *a == *b;
  const auto left = sys::IdSet::parse(wanted);
  const auto right = sys::IdSet::parse(now);
  return left && right && *left == *right;
}

std::string short_text(const Knob& knob, const Value& value) {
  std::string text;
  if (const auto* n = std::get_if<std::uint64_t>(&value); n != nullptr && knob.format == Format::size) {
    text = short_size(*n);
  } else if (const auto* q = std::get_if<sys::Quota>(&value); q != nullptr && knob.format == Format::quota) {
    // A share of one CPU, where the period is the usual one.
    const bool usual = q->period == 100'000 && q->quota != sys::unlimited && q->quota % 1000 == 0;
    text = usual ? fmt::format("{}%", q->quota / 1000) : exact(knob, value);
  } else {
    text = exact(knob, value);
  }
  if (text.empty()) return "none";
  std::string line;
  for (const std::string_view part : sys::lines(text)) line += (line.empty() ? "" : ", ") + std::string(part);
  return line;
}

Result<std::uint64_t> inode_of(const Hierarchies& hierarchies, std::string_view group) {
  const Cgroup cgroup(hierarchies, std::string(group));
  if (!CGX_TRY(is_there(cgroup))) return 0;
  const std::vector<const Hierarchy*>& present = cgroup.present();
  const auto core = std::ranges::find(present, hierarchies.of(Controller::core));
  struct stat st{};
  if (fstat(CGX_TRY(cgroup.dir(core != present.end() ? **core : *present.front())), &st) != 0)
    return located(Result<std::uint64_t>(fail(errno, errno_text(errno))), group);
  return st.st_ino;
}

}  // namespace cgx::policy
