// SPDX-License-Identifier: Apache-2.0
#include "cgx/model/knob.h"

#include <algorithm>
#include <array>

#include "cgx/model/knobs/tables.h"

namespace cgx {
namespace {

// A pattern's '*' is one part of a file name: hugetlb.*.max is hugetlb.2MB.max, not hugetlb.2MB.rsvd.max.
bool matches(std::string_view pattern, std::string_view file) {
  const std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == file;
  const std::string_view head = pattern.substr(0, star);
  const std::string_view tail = pattern.substr(star + 1);
  if (file.size() <= head.size() + tail.size() || !file.starts_with(head) || !file.ends_with(tail)) return false;
  return file.substr(head.size(), file.size() - head.size() - tail.size()).find('.') == std::string_view::npos;
}

// A file may serve two rows (cpu.weight holds shares too): the row without a conversion is the file's own.
const Knob* owner_of(std::string_view file, Version version) {
  const Knob* found = nullptr;
  for (const auto& table : knob_tables())
    for (const Knob& k : table) {
      const Backing& b = backing(k, version);
      for (const std::string_view f : b.files)
        if (!f.empty() && matches(f, file) && (found == nullptr || b.fidelity == Fidelity::exact)) found = &k;
    }
  return found;
}

}  // namespace

std::span<const std::span<const Knob>> knob_tables() {
  static const std::array tables{knobs::core(),
                                 knobs::cpu(),
                                 knobs::cpuset(),
                                 knobs::memory(),
                                 knobs::memory_stats(),
                                 knobs::io(),
                                 knobs::others()};
  return tables;
}

void for_each_knob(const std::function<void(const Knob&)>& each) {
  for (const auto& table : knob_tables())
    for (const Knob& k : table) each(k);
}

const Knob* knob_of_file(std::string_view file, Version version) { return owner_of(file, version); }

bool is_called(const Knob& knob, std::string_view name) {
  if (name.empty()) return false;
  return name == knob.name || name == knob.v1.files[0] || name == knob.v2.files[0] ||
         (name.starts_with("--") && name.substr(2) == knob.flag);
}

const Knob* find_knob(std::string_view name) {
  const std::string_view flag = name.starts_with("--") ? name.substr(2) : name;
  const Knob* by_name = nullptr;
  for (const auto& table : knob_tables())
    for (const Knob& k : table) {
      if (!flag.empty() && k.flag == flag) return &k;
      if (k.name == name) by_name = &k;
    }
  if (by_name != nullptr) return by_name;
  if (const Knob* k = owner_of(name, Version::v2)) return k;
  return owner_of(name, Version::v1);
}

std::optional<Controller> controller_of_file(std::string_view file) {
  // All raw names of files pass here. "memory.x/../cgroup.procs" begins with a controller and is another one's file.
  const auto in_no_name = [](unsigned char c) { return c <= ' ' || c >= 0x7f || c == '/'; };
  if (std::ranges::any_of(file, in_no_name)) return {};
  if (file == "tasks" || file == "notify_on_release" || file == "release_agent") return Controller::core;
  // Pressure and cpu.stat are there without their controller.
  if (file.ends_with(".pressure") || file == "cgroup.pressure") return Controller::core;
  const std::string_view prefix = file.substr(0, file.find('.'));
  if (prefix == "cgroup") return Controller::core;
  if (const auto c = find_controller(prefix); c && prefix != "core") return c;
  return {};
}

std::optional<Value> initial_value(const Knob& knob, const Backing& b) {
  if (b.initial == parents || b.initial == no_setting) return {};
  if (!b.initial.empty()) {
    auto value = parse_value(knob, b.initial, {});
    return value ? std::optional(*std::move(value)) : std::nullopt;
  }
  switch (knob.format) {
    case Format::size:
    case Format::count:
      return Value(knob.kind == Kind::protection ? std::uint64_t{0} : sys::unlimited);
    case Format::number:
    case Format::usec:
    case Format::flag:
    case Format::classid:
      return Value(std::uint64_t{0});
    case Format::quota:
      return Value(sys::Quota{sys::unlimited, 100'000});
    case Format::rt:
      return Value(sys::Quota{0, 1'000'000});
    default:
      return is_table(knob.format) ? Value(Table{}) : Value(std::string());
  }
}

bool configures(const Knob& knob, const Backing& b) {
  return b.encode != nullptr && b.decode != nullptr && knob.kind != Kind::stat && knob.kind != Kind::command &&
         b.initial != no_setting;
}

}  // namespace cgx
