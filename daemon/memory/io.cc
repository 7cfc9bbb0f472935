// SPDX-License-Identifier: Apache-2.0
#include "daemon/memory/io.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include <time.h>
#include <unistd.h>

#include "cgx/sys/text.h"

namespace cgx::daemon::memory {

Micros now_micros() {
  timespec t{};
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<Micros>(t.tv_sec) * 1'000'000 + static_cast<Micros>(t.tv_nsec) / 1000;
}

Text read_text(int fd, std::span<char> buffer) {
  std::size_t have = 0;
  while (have < buffer.size()) {
    const ssize_t n = pread(fd, buffer.data() + have, buffer.size() - have, static_cast<off_t>(have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return {.code = errno, .text = {}};
    if (n == 0) return {.text = {buffer.data(), have}};
    have += static_cast<std::size_t>(n);
    // Files of groups and of /proc come whole in one read where they are shorter than what was asked for.
    if (have < buffer.size() && have < 4096) return {.text = {buffer.data(), have}};
  }
  return {.code = EFBIG, .text = {}};
}

Number read_number(int fd) {
  std::array<char, 64> buffer;
  const Text t = read_text(fd, buffer);
  if (t.code != 0) return {.code = t.code};
  if (t.text.starts_with("max")) return {.value = sys::unlimited};
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(t.text.data(), t.text.data() + t.text.size(), value);
  if (error != std::errc{}) return {.code = EBADMSG};
  // v1's word for no limit is the largest number of whole pages below 2^63.
  return {.value = value > sys::unlimited / 4 ? sys::unlimited : value};
}

std::uint64_t number_of(std::string_view file, std::string_view key) {
  while (!file.empty()) {
    const std::size_t end = std::min(file.find('\n'), file.size());
    const std::string_view line = file.substr(0, end);
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ') {
      std::uint64_t value = 0;
      (void)std::from_chars(line.data() + key.size() + 1, line.data() + line.size(), value);
      return value;
    }
    file.remove_prefix(std::min(end + 1, file.size()));
  }
  return 0;
}

int write_text(int fd, std::string_view text) {
  ssize_t n = -1;
  do {
    n = pwrite(fd, text.data(), text.size(), 0);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return errno;
  return static_cast<std::size_t>(n) == text.size() ? 0 : EIO;
}

int write_number(int fd, std::uint64_t value) {
  if (value == sys::unlimited) return write_text(fd, "max");
  std::array<char, 24> buffer;
  const auto done = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return write_text(fd, {buffer.data(), static_cast<std::size_t>(done.ptr - buffer.data())});
}

std::string_view reason(int code) {
  const char* text = strerrordesc_np(code);
  return text != nullptr ? text : "unknown error";
}

}  // namespace cgx::daemon::memory
