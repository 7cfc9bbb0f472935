// SPDX-License-Identifier: Apache-2.0
#include "log_writer.h"

#include <algorithm>
#include <cstdio>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log_format.h"
#include "record.h"

namespace cgx::launcher {
namespace {

constexpr std::size_t most_part = 16U << 10U;

}  // namespace

void LogWriter::add(Stream stream, std::string_view bytes) {
  if (most_ == 0) return;
  std::string& rest = rest_.at(static_cast<std::size_t>(stream));
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    if (end == std::string_view::npos) {
      rest += bytes;
      break;
    }
    if (rest.empty()) {
      put(stream, true, bytes.substr(0, end));
    } else {
      rest += bytes.substr(0, end);
      put(stream, true, rest);
      rest.clear();
    }
    bytes.remove_prefix(end + 1);
  }
  if (rest.size() >= most_part) {
    put(stream, false, rest);
    rest.clear();
  }
  flush();
}

void LogWriter::finish() {
  for (const Stream stream : {Stream::out, Stream::err}) {
    std::string& rest = rest_.at(static_cast<std::size_t>(stream));
    if (!rest.empty()) put(stream, false, rest);
    rest.clear();
  }
  flush();
}

void LogWriter::put(Stream stream, bool full, std::string_view text) {
  const LogStream to = stream == Stream::out ? LogStream::out : LogStream::err;
  const std::string time = time_now();
  for (; text.size() > most_part; text.remove_prefix(most_part))
    pending_ += format_entry(time, to, LogPart::part, text.substr(0, most_part));
  pending_ += format_entry(time, to, full ? LogPart::full : LogPart::part, text);
}

void LogWriter::open_file() {
  file_ = sys::Fd(open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  struct stat st{};
  size_ = file_.valid() && fstat(file_.get(), &st) == 0 ? static_cast<std::size_t>(st.st_size) : 0;
}

// What cannot be kept beside the file is lost: else it would grow without a bound. A rename to another name of the same
// file does nothing, and is no error.
void LogWriter::rotate() {
  if (rename(path_.c_str(), (path_ + ".1").c_str()) == 0) open_file();
  if (size_ > 0 && file_.valid() && ftruncate(file_.get(), 0) == 0) size_ = 0;
  if (size_ == 0) cut_ = false;
}

void LogWriter::flush() {
  for (std::string_view rest = pending_; !rest.empty();) {
    std::size_t fits = rest.find('\n') + 1;  // at least one entry, of whatever size
    if (!file_.valid()) open_file();
    if (size_ > 0 && size_ + fits > most_) rotate();
    if (size_ < most_)
      if (const std::size_t end = rest.substr(0, most_ - size_).rfind('\n'); end != std::string_view::npos)
        fits = std::max(fits, end + 1);
    write_entries(rest.substr(0, fits));
    rest.remove_prefix(fits);
  }
  pending_.clear();
}

void LogWriter::write_entries(std::string_view entries) {
  std::string with_end;
  if (cut_) {  // of a disk that was full within an entry
    with_end = '\n' + std::string(entries);
    entries = with_end;
  }
  const ssize_t n = file_.valid() ? write(file_.get(), entries.data(), entries.size()) : -1;
  if (n >= 0) cut_ = static_cast<std::size_t>(n) < entries.size();
  if (n > 0) size_ += static_cast<std::size_t>(n);
}

}  // namespace cgx::launcher
