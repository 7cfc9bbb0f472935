// SPDX-License-Identifier: Apache-2.0
// What groups use, at an instant. A Sampler works out once which files hold the statistics wanted on this host, and
// then reads each file of a group once and parses it in one pass.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/model/stat.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

namespace cgx {

struct Listed;  // walk.h

// A number of a file that belongs to a row.
struct StatField {
  std::string_view key;
  StatId id = 0;
  StatScale scale = StatScale::base;
};

// One file with all that is wanted of it.
struct StatFile {
  std::string_view name;
  Controller controller = Controller::core;
  StatFormat format = StatFormat::number;
  std::vector<StatField> fields;
  bool absent = false;  // this kernel has no such file
};

// The values of one group, by row, in base units. A value that the kernel does not count is not there; it is never 0.
class Usage {
 public:
  struct Device {
    sys::DevNumber device;
    std::array<std::uint64_t, most_device_stats> values;  // by row, from first_device_stat()
  };

  [[nodiscard]] std::optional<std::uint64_t> get(StatId id) const;
  [[nodiscard]] std::optional<std::uint64_t> get(std::string_view name) const;
  // Of a row that is per device: of one device, and the sum over all (nullopt: no device is counted).
  [[nodiscard]] std::optional<std::uint64_t> get(const Device& device, StatId id) const;
  [[nodiscard]] std::optional<std::uint64_t> sum(StatId id) const;
  [[nodiscard]] const std::vector<Device>& devices() const { return devices_; }  // by number
  [[nodiscard]] bool empty() const { return values_.empty() && devices_.empty(); }

  void set(StatId id, std::uint64_t value);
  // Forgets all values and keeps the memory, for the next reading.
  void clear();
  // A device that has a value already keeps it: the first file counts.
  void set(sys::DevNumber device, StatId id, std::uint64_t value);
  // Takes what `file` wants of a file's text. Keys that are missing, and lines that are malformed, are passed over.
  void take(const StatFile& file, std::string_view text);

  std::chrono::steady_clock::time_point when{};  // the reading began

 private:
  void take_lines(const StatFile& file, std::string_view text);
  void take_line(const StatFile& file, std::string_view line, std::size_t& next);

  std::vector<std::uint64_t> values_;
  std::vector<Device> devices_;
};

// What a counter grew by in a second; nullopt: not counted in both, no time passed, or it went back (the group was
// removed and made again).
[[nodiscard]] std::optional<double> rate(std::optional<std::uint64_t> before,
                                         std::optional<std::uint64_t> after,
                                         std::chrono::duration<double> time);
[[nodiscard]] std::optional<double> rate(const Usage& before, const Usage& after, StatId id);

class Sampler {
 public:
  // For the statistics of `names`, or for all. `hierarchies` must outlive the sampler.
  [[nodiscard]] static Result<Sampler> create(const Hierarchies& hierarchies,
                                              std::span<const std::string_view> names = {});

  // Reads a group (a name as parse_group_name() answers it). Does not block. ENOENT: the group is in no hierarchy that
  // counts anything here, or in none at all, or went away meanwhile. EACCES names the file.
  [[nodiscard]] Result<Usage> read(std::string_view group);
  // The same of a group that walk() has found: it is looked for in those hierarchies alone. Keeps the directory of its
  // parent open, one in each hierarchy, since those that follow mostly have the same.
  [[nodiscard]] Result<Usage> read(const Listed& group);

  // What is read, a list a hierarchy: for tests and benchmarks.
  struct Source {
    const Hierarchy* hierarchy;
    std::vector<StatFile> files;
  };
  [[nodiscard]] const std::vector<Source>& sources() const { return sources_; }

 private:
  Result<> choose(const Hierarchies& hierarchies, const StatSource& source, StatId id);
  void add(const Hierarchy& h, std::string_view file, const StatSource& source, StatId id);
  // A group's parent: the last one that a group was looked for in.
  struct Parent {
    std::string name;
    sys::Fd dir;
  };
  Result<Usage> read_in(std::string_view group, const Listed* listed);
  static Result<sys::Fd> open_below(const Hierarchy& h, Parent& parent, std::string_view group);
  Result<bool> read_source(Source& source, Result<sys::Fd> dir, std::string_view group, Usage& usage);
  Result<std::string_view> read_file(int dir, std::string_view name);

  const Hierarchies* hierarchies_ = nullptr;
  std::vector<Source> sources_;
  std::vector<Parent> parents_;  // one for each source
  std::vector<char> buffer_;
};

}  // namespace cgx
