// SPDX-License-Identifier: Apache-2.0
// The values of a group and the parsing of the files; which files there are is in sampler.cc.
#include "cgx/cgroupfs/usage.h"

#include <algorithm>
#include <limits>

#include <unistd.h>

#include "cgx/sys/text.h"

namespace cgx {
namespace {

// In place of a value that is not there.
constexpr std::uint64_t none = std::numeric_limits<std::uint64_t>::max();

Usage::Device no_values(sys::DevNumber device) {
  Usage::Device d{device, {}};
  d.values.fill(none);
  return d;
}

// The next line of `text`, which it is taken from.
std::string_view next_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

// The next word between blanks; empty at the end.
std::string_view next_word(std::string_view& line) {
  while (line.starts_with(' ')) line.remove_prefix(1);
  const std::size_t end = line.find(' ');
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
  return word;
}

// "1.23" is 123.
std::optional<std::uint64_t> hundredths(std::string_view text) {
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos || text.size() != dot + 3) return std::nullopt;
  const auto whole = sys::parse_u64(text.substr(0, dot), 0, 1'000'000);
  const auto rest = sys::parse_u64(text.substr(dot + 1));
  if (!whole || !rest) return std::nullopt;
  return *whole * 100 + *rest;
}

std::optional<std::uint64_t> scaled(std::string_view text, const StatField& field) {
  if (text.find('.') != std::string_view::npos) return hundredths(text);
  const auto n = sys::parse_u64(text);
  if (!n) return std::nullopt;
  switch (field.scale) {
    case StatScale::base:
      return *n;
    case StatScale::nsec:
      return *n / 1000;
    case StatScale::ticks: {
      const long ticks = sysconf(_SC_CLK_TCK);  // no system call: the auxiliary vector has it
      return ticks > 0 ? std::optional(*n * 1'000'000 / static_cast<std::uint64_t>(ticks)) : std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> Usage::get(StatId id) const {
  if (id >= values_.size() || values_[id] == none) return std::nullopt;
  return values_[id];
}

std::optional<std::uint64_t> Usage::get(std::string_view name) const {
  const auto id = find_stat(name);
  return id ? get(*id) : std::nullopt;
}

std::optional<std::uint64_t> Usage::get(const Device& device, StatId id) const {
  const StatId first = first_device_stat();
  if (id < first || id - first >= device.values.size() || device.values[id - first] == none) return std::nullopt;
  return device.values[id - first];
}

std::optional<std::uint64_t> Usage::sum(StatId id) const {
  std::optional<std::uint64_t> total;
  for (const Device& d : devices_)
    if (const auto n = get(d, id)) total = total.value_or(0) + *n;
  return total;
}

void Usage::set(StatId id, std::uint64_t value) {
  if (values_.empty()) values_.assign(stat_count(), none);
  values_[id] = value;
}

void Usage::clear() {
  std::ranges::fill(values_, none);
  devices_.clear();
}

void Usage::set(sys::DevNumber device, StatId id, std::uint64_t value) {
  const auto at = std::ranges::lower_bound(devices_, device, {}, &Device::device);
  const auto entry = at != devices_.end() && at->device == device ? at : devices_.insert(at, no_values(device));
  const StatId slot = id - first_device_stat();
  if (slot >= entry->values.size()) return;
  if (entry->values[slot] == none) entry->values[slot] = value;
}

void Usage::take(const StatFile& file, std::string_view text) {
  if (file.format != StatFormat::number) return take_lines(file, text);
  for (const StatField& field : file.fields)
    if (const auto n = scaled(sys::trim(text), field)) set(field.id, *n);
}

void Usage::take_lines(const StatFile& file, std::string_view text) {
  std::size_t next = 0;
  while (!text.empty()) take_line(file, next_line(text), next);
  // Kernels of some years list a v1 device with zeros though it is busy, until it gets a limit: that is no count.
  if (file.format == StatFormat::blkio)
    std::erase_if(devices_, [](const Device& d) {
      return std::ranges::all_of(d.values, [](std::uint64_t n) { return n == 0 || n == none; });
    });
}

// `next` is the field that is expected: files keep their order, so that nearly every search ends at its first step.
void Usage::take_line(const StatFile& file, std::string_view line, std::size_t& next) {
  const std::string_view first = next_word(line);
  const auto find = [&](std::string_view key) -> const StatField* {
    for (std::size_t i = 0; i < file.fields.size(); ++i) {
      const std::size_t at = (next + i) % file.fields.size();
      if (file.fields[at].key != key) continue;
      next = at + 1;
      return &file.fields[at];
    }
    return nullptr;
  };
  switch (file.format) {
    case StatFormat::number:
      return;
    case StatFormat::keyed:
      if (const StatField* field = find(first))
        if (const auto n = scaled(line, *field)) set(field->id, *n);
      return;
    case StatFormat::pressure:
      while (!line.empty()) {
        const std::string_view word = next_word(line);
        const std::size_t eq = word.find('=');
        if (eq == std::string_view::npos) continue;
        for (const StatField& field : file.fields) {
          if (field.key.size() != first.size() + 1 + eq || !field.key.starts_with(first) ||
              !field.key.ends_with(word.substr(0, eq)))
            continue;
          if (const auto n = scaled(word.substr(eq + 1), field)) set(field.id, *n);
        }
      }
      return;
    case StatFormat::io_stat:
    case StatFormat::blkio: {
      const auto device = sys::parse_dev_number(first);  // not so: the line `Total N`
      if (!device) return;
      while (!line.empty()) {
        std::string_view key = next_word(line);
        std::string_view value;
        if (file.format == StatFormat::blkio) {
          value = next_word(line);
        } else if (const std::size_t eq = key.find('='); eq != std::string_view::npos) {
          value = key.substr(eq + 1);
          key = key.substr(0, eq);
        }
        if (const StatField* field = find(key))
          if (const auto n = scaled(value, *field)) set(*device, field->id, *n);
      }
      return;
    }
  }
}

std::optional<double> rate(std::optional<std::uint64_t> before,
                           std::optional<std::uint64_t> after,
                           std::chrono::duration<double> time) {
  if (!before || !after || *after < *before || time.count() <= 0) return std::nullopt;
  return static_cast<double>(*after - *before) / time.count();
}

std::optional<double> rate(const Usage& before, const Usage& after, StatId id) {
  if (stat_row(id).per_device) return rate(before.sum(id), after.sum(id), after.when - before.when);
  return rate(before.get(id), after.get(id), after.when - before.when);
}

}  // namespace cgx
