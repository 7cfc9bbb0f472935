// SPDX-License-Identifier: Apache-2.0
#include "log_writer.h"

#include <cstdio>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log_format.h"
#include "record.h"

namespace cgx::launcher {
namespace {

constexpr std::size_t most_log = 10U << 20U;
constexpr std::size_t most_part = 16U << 10U;

}  // namespace

void LogWriter::add(Stream stream, std::string_view bytes) {
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

void LogWriter::flush() {
  if (pending_.empty()) return;
  if (file_.valid() && size_ + pending_.size() > most_log && size_ > 0) {
    (void)rename(path_.c_str(), (path_ + ".1").c_str());
    file_.reset(-1);
  }
  if (!file_.valid()) {
    file_ = sys::Fd(open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
    struct stat st{};
    size_ = file_.valid() && fstat(file_.get(), &st) == 0 ? static_cast<std::size_t>(st.st_size) : 0;
  }
  if (cut_) pending_.insert(0, 1, '\n');  // of a disk that was full within an entry
  const ssize_t n = file_.valid() ? write(file_.get(), pending_.data(), pending_.size()) : -1;
  cut_ = n >= 0 && static_cast<std::size_t>(n) < pending_.size();
  if (n > 0) size_ += static_cast<std::size_t>(n);
  pending_.clear();
}

}  // namespace cgx::launcher
