// SPDX-License-Identifier: Apache-2.0
#include "log_files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cgx::launcher {
namespace {

constexpr std::size_t log_block = 64U << 10U;
constexpr const char* newer_log = "log";
constexpr const char* older_log = "log.1";

// -1: it is not there. What is there and no regular file is not opened: a fifo would be waited for.
Result<sys::Fd> open_log_file(int dir, const char* name) {
  sys::Fd file(openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file.valid() && errno == ENOENT) return file;
  if (!file.valid()) return fail_errno(errno, name);
  struct stat st{};
  if (fstat(file.get(), &st) != 0) return fail_errno(errno, name);
  if (!S_ISREG(st.st_mode)) return fail(EINVAL, std::string(name) + " is no regular file");
  return file;
}

bool same_file(int a, int b) {
  struct stat first{}, second{};
  return a >= 0 && b >= 0 && fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

struct LogPair {
  sys::Fd older, newer;
};
Result<LogPair> open_log_pair(int dir) {
  LogPair pair;
  // The newer one first: renamed in between it is what is found as the older one, and it is looked again. The other way
  // round the middle one of three would be missed.
  for (int tries = 0; tries < 100; ++tries) {
    pair.newer = CGX_TRY(open_log_file(dir, newer_log));
    pair.older = CGX_TRY(open_log_file(dir, older_log));
    if (!same_file(pair.newer.get(), pair.older.get())) return pair;
  }
  pair.newer.reset(-1);
  return pair;
}

Result<std::size_t> read_at(int fd, std::span<char> buffer, std::uint64_t offset) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t n = pread(fd, buffer.data() + done, buffer.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "log");
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

Result<std::uint64_t> size_of_log(int fd) {
  struct stat st{};
  if (fstat(fd, &st) != 0) return fail_errno(errno, "log");
  return static_cast<std::uint64_t>(st.st_size);
}

// Calls `each` with the beginning of each line of a file, up to most_log_head bytes, from the last one to the first, as
// long as it answers true.
template <class F>
Result<bool> each_line_backward(const LogFile& file, std::uint64_t size, F each) {
  std::string block(log_block, '\0');
  std::string after;  // what follows the block, as much as a line's beginning may need of it
  for (std::uint64_t end = size; end > 0;) {
    const std::uint64_t begin = end > log_block ? end - log_block : 0;
    block.resize(end - begin);
    // Shorter than it was: somebody else's doing. What is missing is no line.
    const std::size_t n = CGX_TRY(read_at(file.fd(), block, begin));
    block.resize(n);
    const std::string joined = block + after;
    const auto head_at = [&](std::size_t at) {
      const std::string_view head = std::string_view(joined).substr(at, most_log_head);
      return head.substr(0, head.find('\n'));
    };
    for (std::size_t at = block.size(); at > 0;) {
      const void* found = memrchr(block.data(), '\n', at);
      if (found == nullptr) break;
      at = static_cast<std::size_t>(static_cast<const char*>(found) - block.data());
      if (at + 1 < joined.size() && !each(head_at(at + 1), begin + at + 1)) return false;
    }
    if (begin == 0 && !joined.empty() && !each(head_at(0), 0)) return false;
    after = joined.substr(0, most_log_head);
    end = begin;
    block.resize(log_block);
  }
  return true;
}

}  // namespace

Result<> LogFile::read(const Each& each) {
  const std::uint64_t size = CGX_TRY(size_of_log(fd_.get()));
  std::string block(size > at_ ? log_block : 0, '\0');
  // No further than that: it may be written faster than it is read.
  while (at_ < size) {
    const std::size_t n = CGX_TRY(read_at(fd_.get(), block, at_));
    if (n == 0) break;
    take(std::string_view(block).substr(0, n), each);
  }
  return {};
}

void LogFile::take(std::string_view bytes, const Each& each) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    if (!dropping_ && rest_.size() + part.size() > most_log_line) {
      dropping_ = true;
      rest_.clear();
    }
    if (end == std::string_view::npos) {
      if (!dropping_) rest_ += part;
      at_ += part.size();
      return;
    }
    const std::uint64_t line_at = at_ - rest_.size();
    at_ += part.size() + 1;
    if (dropping_) {
      dropping_ = false;
    } else if (rest_.empty()) {
      each(part, line_at);
    } else {
      rest_ += part;
      each(rest_, line_at);
    }
    rest_.clear();
    bytes.remove_prefix(end + 1);
  }
}

Result<std::vector<LogFile>> open_log(int dir) {
  LogPair pair = CGX_TRY(open_log_pair(dir));
  std::vector<LogFile> files;
  for (sys::Fd* fd : {&pair.older, &pair.newer})
    if (fd->valid()) files.emplace_back(std::move(*fd));
  return files;
}

Result<std::vector<LogFile>> open_log_after(int dir, const LogFile& file) {
  LogPair pair = CGX_TRY(open_log_pair(dir));
  std::vector<LogFile> files;
  if (same_file(pair.newer.get(), file.fd())) return files;
  // Neither: it was renamed twice, and the older one came after it.
  if (pair.older.valid() && !same_file(pair.older.get(), file.fd())) files.emplace_back(std::move(pair.older));
  if (pair.newer.valid()) files.emplace_back(std::move(pair.newer));
  return files;
}

Result<LogPlaces> find_last_lines(const std::vector<LogFile>& files, std::uint64_t count, const Counts& counts) {
  struct Seen {
    std::optional<LogPlace> first;  // of what is wanted
    bool closed = false;            // what is before is not wanted
  };
  std::array<Seen, 2> streams;
  std::uint64_t lines = 0;
  const auto take = [&](const LogPlace& place, std::string_view head) {
    const auto entry = parse_entry(head);
    if (!entry || !counts(*entry)) return true;
    Seen& seen = streams.at(static_cast<std::size_t>(entry->stream));
    if (seen.closed) return true;
    // A full entry ends a line, and so does a part that nothing follows. Parts before it are of the same one.
    if (entry->part == LogPart::full || !seen.first) {
      if (lines == count)
        seen.closed = true;
      else
        ++lines;
    }
    if (!seen.closed) seen.first = place;
    // A stream of which nothing is wanted has no line that goes on before here.
    return lines < count ||
           std::ranges::any_of(streams, [](const Seen& s) { return s.first.has_value() && !s.closed; });
  };
  LogPlace end;  // as it is now: what is written from here on is wanted whatever came before
  for (std::size_t i = files.size(); i > 0; --i) {
    const std::uint64_t size = CGX_TRY(size_of_log(files[i - 1].fd()));
    if (i == files.size()) end = {i - 1, size};
    if (count == 0) break;
    const bool on = CGX_TRY(each_line_backward(
        files[i - 1], size, [&](std::string_view head, std::uint64_t at) { return take({i - 1, at}, head); }));
    if (!on) break;
  }
  return LogPlaces{streams[0].first.value_or(end), streams[1].first.value_or(end)};
}

}  // namespace cgx::launcher
