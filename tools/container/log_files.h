// SPDX-License-Identifier: Apache-2.0
// The two files of a container's log, log.1 (the older half, perhaps not there) and log, as one text that grows: lines
// with where they are, the place where the last ones begin, and what comes after a file that was renamed meanwhile.
// Knows the names of the files and the form of their lines; what is done with these is up to the caller.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/sys/fd.h"
#include "cgx/sys/result.h"

#include "log_format.h"

namespace cgx::launcher {

// In bytes; no monitor writes a longer one.
inline constexpr std::size_t most_log_line = 1U << 20U;

// One file that is read from its start to where it ends now, and again when it has grown.
class LogFile {
 public:
  explicit LogFile(sys::Fd fd) : fd_(std::move(fd)) {}
  using Each = std::function<void(std::string_view line, std::uint64_t at)>;
  // Calls `each` with every further line that is whole. Those longer than most_log_line are passed over.
  [[nodiscard]] Result<> read(const Each& each);
  // The line at the end that has no newline: its writer is at work, or was killed.
  [[nodiscard]] std::string_view rest() const { return dropping_ ? std::string_view() : std::string_view(rest_); }
  [[nodiscard]] std::uint64_t rest_at() const { return at_ - rest_.size(); }
  void start_at(std::uint64_t offset) { at_ = offset; }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  void take(std::string_view bytes, const Each& each);

  sys::Fd fd_;
  std::uint64_t at_ = 0;  // read up to here
  std::string rest_;
  bool dropping_ = false;
};

// log.1 and log, those that are there, the older one first; of one moment, though the monitor renames them.
[[nodiscard]] Result<std::vector<LogFile>> open_log(int dir);
// What came after `file`, which the monitor may have renamed, or removed, meanwhile: nothing, log, or log.1 and log.
[[nodiscard]] Result<std::vector<LogFile>> open_log_after(int dir, const LogFile& file);

// Where the last lines begin: of each stream, the file and the offset of the first entry that belongs to them. Entries
// of one stream at or after its place are wanted, and no others.
struct LogPlace {
  std::size_t file = 0;
  std::uint64_t offset = 0;
  auto operator<=>(const LogPlace&) const = default;
};
using LogPlaces = std::array<LogPlace, 2>;  // by LogStream

// Of the last `count` lines among the entries that `counts` says yes to; parts of a line are one. Reads from the end,
// and no more than it needs to.
using Counts = std::function<bool(const LogEntry& head)>;  // the text of the entry may be cut
[[nodiscard]] Result<LogPlaces> find_last_lines(const std::vector<LogFile>& files,
                                                std::uint64_t count,
                                                const Counts& counts);

}  // namespace cgx::launcher
