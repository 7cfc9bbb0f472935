// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cerrno>
#include <ctime>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

#include "oci.h"

namespace cgx::oci {
namespace {

int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return 0;
}

std::string now() {
  timespec ts{};
  (void)clock_gettime(CLOCK_REALTIME, &ts);
  tm parts{};
  (void)gmtime_r(&ts.tv_sec, &parts);
  std::array<char, 40> text{};
  const std::size_t n = strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), n};
}

// As a value of `key=value` lines is written: in quotes with C's escapes.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += {'\\', c};
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (static_cast<unsigned char>(c) < ' ' || c == 0x7f)
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    else
      out += c;
  }
  return out + '"';
}

// In /tmp anybody may have put something there before: a link of another user, to have a file of ours written, or a
// FIFO that nobody reads, which would be waited for.
Result<sys::Fd> open_file(const std::string& file) {
  const auto bad = [&](std::string_view why) { return fail(EPERM, fmt::format("open {}: {}", file, why)); };
  constexpr int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  struct stat st{};
  sys::Fd fd(::open(file.c_str(), flags | O_NOFOLLOW, 0644));
  // In a sticky directory Linux answers EACCES for what is neither a file nor a FIFO.
  if (!fd.valid() && (errno == ELOOP || errno == EACCES)) {
    const int code = errno;
    if (lstat(file.c_str(), &st) != 0 || !S_ISLNK(st.st_mode))
      return fail(code, fmt::format("open {}: {}", file, errno_text(code)));
    if (st.st_uid != 0 && st.st_uid != geteuid()) return bad(fmt::format("is a symbolic link of uid {}", st.st_uid));
    fd.reset(::open(file.c_str(), flags, 0644));
  }
  if (!fd.valid() && errno == ENXIO) return bad("is a FIFO or a socket that nobody reads");
  if (!fd.valid() || fstat(fd.get(), &st) != 0) return fail(errno, fmt::format("open {}: {}", file, errno_text(errno)));
  if (S_ISREG(st.st_mode) && st.st_nlink > 1) return bad("has another name, by a hard link");
  // He could let it fill up, and every write wait.
  if (S_ISFIFO(st.st_mode) && st.st_uid != 0 && st.st_uid != geteuid())
    return bad(fmt::format("is a FIFO of uid {}", st.st_uid));
  const int now = fcntl(fd.get(), F_GETFL);
  if (now < 0 || fcntl(fd.get(), F_SETFL, now & ~O_NONBLOCK) != 0) return fail_errno(errno, file);
  return fd;
}

}  // namespace

Result<> Log::open(std::string_view file, std::string_view format, std::string_view level, bool debug) {
  struct Level {
    std::string_view word;
    int most;
  };
  static constexpr std::array levels{Level{"panic", 0},
                                     Level{"fatal", 1},
                                     Level{"error", 2},
                                     Level{"warn", 3},
                                     Level{"warning", 3},
                                     Level{"info", 4},
                                     Level{"debug", 5},
                                     Level{"trace", 6}};
  if (!level.empty()) {
    const Level* found = nullptr;
    for (const Level& l : levels)
      if (l.word == level) found = &l;
    if (found == nullptr) return fail(EINVAL, fmt::format("invalid log-level: {}", level));
    most_ = found->most;
  }
  if (debug) most_ = 5;
  if (format != "text" && format != "json" && !format.empty())
    return fail(EINVAL, fmt::format("invalid log-format: {}", format));
  json_ = format == "json";
  if (file.starts_with("file:")) file.remove_prefix(5);
  if (file.empty() || file == "/dev/stderr") return {};
  fd_ = CGX_TRY(open_file(std::string(file))).release();  // open for as long as the process is
  return {};
}

void Log::line(int level, std::string_view word, std::string_view message) const {
  if (take_) {
    if (level <= 3) take_(message);
    return;
  }
  if (level <= most_) {
    std::string text;
    if (json_) {
      sys::JsonWriter json;
      json.open_object().key("level").string(word).key("msg").string(message).key("time").string(now()).close_object();
      text = json.take() + "\n";
    } else if (isatty(fd_) == 1) {
      std::string four;
      for (const char c : word.substr(0, 4)) four += static_cast<char>(c - 'a' + 'A');
      text = fmt::format("{}[0000] {}\n", four, message);
    } else {
      text = fmt::format("time=\"{}\" level={} msg={}\n", now(), word, quoted(message));
    }
    (void)write_all(fd_, text);  // there is nowhere else to tell
  }
  if (fd_ != STDERR_FILENO && level <= 2) (void)write_all(STDERR_FILENO, fmt::format("{}\n", message));
}

void print(std::string_view text) {
  const int code = write_all(STDOUT_FILENO, text);
  if (code == 0) return;
  if (code != EPIPE) (void)write_all(STDERR_FILENO, fmt::format("cgx-oci: standard output: {}\n", errno_text(code)));
  _exit(1);
}

std::string pretty_json(std::string_view json) {
  std::string out;
  std::size_t depth = 0;
  bool in_string = false;
  const auto line = [&] { out += '\n' + std::string(2 * depth, ' '); };
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      out += c;
      if (c == '\\' && i + 1 < json.size())
        out += json[++i];
      else if (c == '"')
        in_string = false;
      continue;
    }
    const bool empty = i + 1 < json.size() && ((c == '{' && json[i + 1] == '}') || (c == '[' && json[i + 1] == ']'));
    if (empty) {
      out += {c, json[++i]};
    } else if (c == '{' || c == '[') {
      out += c;
      ++depth;
      line();
    } else if (c == '}' || c == ']') {
      --depth;
      line();
      out += c;
    } else if (c == ',') {
      out += c;
      line();
    } else if (c == ':') {
      out += ": ";
    } else {
      in_string = c == '"';
      out += c;
    }
  }
  return out;
}

}  // namespace cgx::oci
