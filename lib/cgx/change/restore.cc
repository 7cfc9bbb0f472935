// SPDX-License-Identifier: Apache-2.0
#include "cgx/change/restore.h"

#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx {
namespace {

FileWrite one(std::string_view file, std::string text) { return {std::string(file), std::move(text)}; }

// The line of `before` whose first word is `key`.
std::string_view line_of(std::string_view before, std::string_view key) {
  for (const std::string_view line : sys::lines(before))
    if (line.starts_with(key) && line.size() > key.size() && line[key.size()] == ' ') return line;
  return {};
}

// A keyed file takes one row a write: the old row, or the same row without limits.
FileWrite row(Format format, std::string_view file, std::string_view text, std::string_view before) {
  const auto parts = sys::words(text);
  const std::string_view key = parts.empty() ? std::string_view() : parts[0];
  if (const std::string_view old = line_of(before, key); !old.empty()) return one(file, std::string(old));
  const bool v1 = file.starts_with("blkio.") || file.starts_with("net_prio.");
  std::string cleared(key);
  if (format == Format::io_latency) return one(file, cleared + " target=0");
  if (format == Format::io_weight) return one(file, cleared + (v1 ? " 0" : " default"));
  if (format == Format::if_count || format == Format::if_rate) return one(file, cleared + " 0");
  if (parts.size() == 2 && parts[1].find('=') == std::string_view::npos)
    return one(file, cleared + (v1 ? " 0" : " max"));
  for (std::size_t i = 1; i < parts.size(); ++i)
    cleared += fmt::format(" {}=max", parts[i].substr(0, parts[i].find('=')));
  return one(file, cleared);
}

// v1 devices: the list as it was. Nothing but a full reset brings back what a rule took away.
std::vector<FileWrite> device_list(std::string_view before) {
  const auto old = sys::lines(before);
  if (old.size() == 1 && sys::trim(old[0]) == "a *:* rwm") return {one("devices.allow", "a")};
  std::vector<FileWrite> writes{one("devices.deny", "a")};
  for (const std::string_view line : old) writes.push_back(one("devices.allow", std::string(sys::trim(line))));
  return writes;
}

}  // namespace

std::vector<FileWrite> restoring_writes(const Knob* knob,
                                        std::string_view file,
                                        std::string_view text,
                                        std::string_view before) {
  if (file == "cgroup.type" || (knob != nullptr && knob->kind == Kind::command)) return {};
  if (file == "devices.allow" || file == "devices.deny") return device_list(before);
  if (file == "memory.oom_control")
    return {one(file, std::to_string(sys::keyed_u64(before, "oom_kill_disable").value_or(0)))};
  if (file == "cgroup.subtree_control") {
    std::string back;
    for (const std::string_view word : sys::words(text)) {
      bool had = false;
      for (const std::string_view now : sys::words(before)) had = had || word.substr(1) == now;
      if (had == word.starts_with('+')) continue;  // it changed nothing
      back += fmt::format("{}{}{}", back.empty() ? "" : " ", word.starts_with('+') ? '-' : '+', word.substr(1));
    }
    return {one(file, back)};
  }
  if (file.starts_with('@')) return {one(file, std::string(before))};
  if (knob != nullptr) switch (knob->format) {
      case Format::io_max:
      case Format::io_latency:
      case Format::key_count:
      case Format::dev_key_count:
      case Format::if_count:
      case Format::if_rate:
        return {row(knob->format, file, text, before)};
      case Format::io_weight:
        if (sys::words(text).size() > 1) return {row(knob->format, file, text, before)};
        for (const std::string_view line : sys::lines(before))
          return {one(file, std::string(line))};  // `default N` or N
        break;
      default:
        break;
    }
  const std::string_view old = sys::trim(before);
  if (file == "freezer.state" && old == "FREEZING") return {one(file, "FROZEN")};
  // write(2) of nothing does nothing; an empty line clears a cpuset.
  return {one(file, old.empty() ? "\n" : std::string(old))};
}

}  // namespace cgx
