// SPDX-License-Identifier: Apache-2.0
// What top shows, for the plain table and for the live view alike: rows made of two readings, columns, order.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/cgroupfs/usage.h"

namespace cgx::tool {

enum class TopColumn : std::uint8_t { cpu, memory, io, pids, pressure, name };

struct TopColumnRow {
  TopColumn id;
  std::string_view name;  // for --sort, and in JSON
  std::string_view heading;
  char key;   // in the live view
  int width;  // 0: what is left
  std::string_view doc;
};
[[nodiscard]] std::span<const TopColumnRow> top_columns();

// What a group did between two readings. A value that is not known, or not yet, is not there.
struct TopRow {
  std::string group;
  std::optional<double> cpu;            // percent of one CPU
  std::optional<std::uint64_t> memory;  // bytes
  std::optional<double> io;             // bytes a second, read and written, all devices
  std::optional<std::uint64_t> pids;    // processes and threads
  std::optional<double> pressure;       // percent of the time: the highest of CPU, memory and IO, some
};

enum class TopOrder : std::uint8_t { usual, turned };  // usual: most first, names from a to z
void sort_rows(std::vector<TopRow>& rows, TopColumn by, TopOrder order);
// The text of one cell; "-" for what is not known.
[[nodiscard]] std::string cell(const TopRow& row, TopColumn column);

class TopReader {
 public:
  // `group` and those below it, `depth` levels. `hierarchies` must outlive the reader.
  [[nodiscard]] static Result<TopReader> create(const Hierarchies& hierarchies, std::string group, unsigned depth);
  // Rows since the reading before; the first one has no rates. ENOENT: the group is gone.
  [[nodiscard]] Result<std::vector<TopRow>> read();

 private:
  TopReader(const Hierarchies& hierarchies, std::string group, unsigned depth, Sampler sampler)
      : hierarchies_(&hierarchies), group_(std::move(group)), depth_(depth), sampler_(std::move(sampler)) {}

  const Hierarchies* hierarchies_;
  std::string group_;
  unsigned depth_;
  Sampler sampler_;
  std::map<std::string, Usage> before_;
};

}  // namespace cgx::tool
