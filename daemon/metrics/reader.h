// SPDX-License-Identifier: Apache-2.0
// Inside daemon/metrics/: reads one group after the other, thousands of them, with as few system calls as can be. The
// files that are worth it stay open from one scrape to the next; a descriptor costs the kernel some 4.5 KiB, so the
// others are opened each time. Not thread safe.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/cgroupfs/usage.h"
#include "cgx/sys/fd.h"

#include "daemon/metrics/snapshot.h"

namespace cgx::daemon {

inline constexpr std::size_t most_hot = 6;

// What is kept of a group between scrapes.
struct KeptGroup {
  std::string name;
  std::shared_ptr<const Labels> labels;
  bool made_again = false;  // set where the group is another one of the same name
  std::array<sys::Fd, most_hot> hot;
  // The texts that `limits` were made of: they seldom change, so that they are seldom decoded.
  std::array<std::string, most_limit_metrics + 4> limit_texts;
  std::array<std::uint64_t, most_limit_metrics> limits{};
};

class GroupReader {
 public:
  // `hierarchies` must outlive it. At most `descriptors` are kept open.
  [[nodiscard]] static Result<GroupReader> create(const Hierarchies& hierarchies, std::size_t descriptors);

  enum class Outcome : std::uint8_t {
    read,
    gone,
    starved,  // no more descriptors are to be had: nothing was read
    failed,   // something could not be read: error() says what; the rest is there
  };
  // Puts the group's numbers into `into`. Does not block, and allocates nothing when the group was read before.
  [[nodiscard]] Outcome read(KeptGroup& group, Reading& into, bool processes);
  [[nodiscard]] const Error& error() const { return error_; }

  // Tries files again that were missing.
  void look_again();
  // Closes what is kept of the group.
  void release(KeptGroup& group);
  [[nodiscard]] std::size_t kept() const { return kept_; }
  [[nodiscard]] std::size_t budget() const { return budget_; }
  void set_budget(std::size_t descriptors) { budget_ = descriptors; }

  // For tests and benchmarks: what is read, as `HIERARCHY-DIR FILE kept|opened` without those this kernel lacks.
  [[nodiscard]] std::vector<std::string> files() const;

 private:
  struct File {
    StatFile stat;   // no fields: read for a limit only
    int limit = -1;  // its place in KeptGroup::limit_texts
    int hot = -1;    // its place in KeptGroup::hot
  };
  // The files of one controller in one hierarchy: they come and go together.
  struct Section {
    const Hierarchy* hierarchy;
    int root;
    Controller controller;
    std::vector<File> files;
  };
  struct LimitRow {
    const Knob* knob = nullptr;
    const Backing* backing = nullptr;  // none: this host has no such limit
  };
  struct Look {
    bool any = false;      // something was read
    bool removed = false;  // the group went away, now or since the last scrape
    bool starved = false;
    bool failed = false;
    bool limits_changed = false;
  };

  Result<> add_limits(const Hierarchies& hierarchies);
  Result<File*> file_of(const Hierarchy& h, Controller controller, std::string_view name);
  void read_section(Section& section, KeptGroup& group, Reading& into, Look& look);
  Result<std::string_view> read_file(const Section& section, const File& file, KeptGroup& group, Look& look);
  Result<std::string_view> read_fd(int fd);
  void decode_limits(KeptGroup& group) const;
  void count_processes(std::string_view group, Reading& into);
  [[nodiscard]] bool exists(std::string_view group) const;

  const Hierarchies* hierarchies_ = nullptr;
  std::vector<Section> sections_;
  std::vector<std::string_view> limit_files_;
  std::array<LimitRow, most_limit_metrics> limits_{};
  std::vector<char> buffer_;
  std::string path_;
  std::size_t kept_ = 0;
  std::size_t budget_ = 0;
  Error error_;
};

}  // namespace cgx::daemon
