// SPDX-License-Identifier: Apache-2.0
#include "daemon/memory/victim.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cgx/sys/process.h"

#include "daemon/memory/io.h"

namespace cgx::daemon::memory {
namespace {

constexpr unsigned most_processes = 4096;
constexpr unsigned most_levels = 16;  // of groups below groups

// "/proc/PID/FILE" without allocation.
class ProcPath {
 public:
  ProcPath(pid_t pid, std::string_view file) {
    char* at = std::ranges::copy(std::string_view("/proc/"), bytes_.data()).out;
    at = std::to_chars(at, at + 12, pid).ptr;
    *at++ = '/';
    at = std::ranges::copy(file, at).out;
    *at = '\0';
  }
  [[nodiscard]] const char* text() const { return bytes_.data(); }

 private:
  std::array<char, 48> bytes_{};
};

Text read_proc(pid_t pid, std::string_view file, std::span<char> buffer) {
  const sys::Fd fd(open(ProcPath(pid, file).text(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd.valid()) return {.code = errno, .text = {}};
  return read_text(fd.get(), buffer);
}

std::int64_t integer(std::string_view text) {
  std::int64_t n = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

bool better(const Victim& a, const Victim& than, policy::Pick pick) {
  switch (pick) {
    case policy::Pick::largest:
      return a.rss > than.rss;
    case policy::Pick::newest:
      return a.start > than.start;
    case policy::Pick::oldest:
      return a.start < than.start;
    case policy::Pick::kernel:
      return a.score > than.score;
    case policy::Pick::all:
      return false;
  }
  return false;
}

bool is_protected(const Victim& v, const policy::Kill& kill) {
  // The kernel keeps 15 bytes of a name.
  for (const std::string& name : kill.protect)
    if (v.comm.view() == std::string_view(name).substr(0, 15)) return true;
  return false;
}

struct Walk {
  const policy::Kill& kill;
  pid_t not_this;
  Search found;
  std::string_view place{};  // where all are to be signalled
  int signal = 0;
  Few* few = nullptr;
  std::uint64_t struck = 0;

  void consider(pid_t pid) {
    if (found.seen >= most_processes || pid <= 1 || pid == getpid() || pid == not_this) return;
    ++found.seen;
    const Victim v = look_at(pid, kill.pick == policy::Pick::kernel);
    if (v.pid == 0 || is_protected(v, kill)) return;
    if (signal == 0 && found.victim.pid != 0 && !better(v, found.victim, kill.pick)) return;
    std::array<char, 32> buffer;
    if (const Text adj = read_proc(pid, "oom_score_adj", buffer); adj.code != 0 || integer(adj.text) == -1000) return;
    if (signal != 0) {
      if (!few->takes(v)) return;
      const sys::Fd fd(std::max(open_victim(v, place), -1));
      if (!fd.valid() || send_signal(fd.get(), signal) != 0) return;
      few->note(v);
      ++struck;
    }
    found.victim = v;
  }

  void processes(int dir) {
    const sys::Fd fd(sys::open_part(dir, "cgroup.procs", O_RDONLY));
    if (!fd.valid()) return;
    std::array<char, 4096> buffer;
    std::int64_t number = 0;
    bool digits = false;
    while (true) {
      const ssize_t n = read(fd.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      for (const char c : std::string_view(buffer.data(), static_cast<std::size_t>(n))) {
        if (c >= '0' && c <= '9') {
          number = number * 10 + (c - '0');
          digits = true;
        } else if (digits) {
          consider(static_cast<pid_t>(number));
          number = 0;
          digits = false;
        }
      }
    }
  }

  void subtree(int dir, unsigned level) {
    processes(dir);
    if (level == most_levels || found.seen >= most_processes) return;
    const sys::Fd list(sys::open_part(dir, ".", O_RDONLY | O_DIRECTORY));
    if (!list.valid()) return;
    alignas(8) std::array<char, 2048> buffer;
    while (true) {
      const long n = syscall(SYS_getdents64, list.get(), buffer.data(), buffer.size());
      if (n <= 0) return;
      for (long at = 0; at < n;) {
        // struct linux_dirent64: inode 8, offset 8, length 2, type 1, name
        std::uint16_t length = 0;
        std::memcpy(&length, buffer.data() + at + 16, sizeof length);
        const auto type = static_cast<unsigned char>(buffer[static_cast<std::size_t>(at) + 18]);
        const char* name = buffer.data() + at + 19;
        at += length;
        if (type != 4 /* DT_DIR */ || std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0) continue;
        const sys::Fd child(sys::open_part(dir, name, O_RDONLY | O_DIRECTORY));
        if (child.valid()) subtree(child.get(), level + 1);
      }
    }
  }
};

}  // namespace

Victim look_at(pid_t pid, bool score) {
  std::array<char, 1024> buffer;
  const Text stat = read_proc(pid, "stat", buffer);
  const auto said = stat.code == 0 ? sys::parse_stat(stat.text) : std::nullopt;
  if (!said || said->state == 'Z' || said->state == 'X') return {};
  Victim v{.pid = pid};
  v.comm.set(sys::name_in_stat(stat.text));
  v.start = said->start;
  v.rss = said->rss_pages * 4096;
  timespec t{};
  (void)clock_gettime(CLOCK_BOOTTIME, &t);
  const std::uint64_t now =
      static_cast<std::uint64_t>(t.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(t.tv_nsec) / 1000;
  const std::uint64_t born = v.start * 10'000;  // USER_HZ is 100 on every Linux that there is
  v.age = now > born ? now - born : 0;
  if (score) {
    std::array<char, 32> number;
    if (const Text s = read_proc(pid, "oom_score", number); s.code == 0)
      v.score = static_cast<std::uint64_t>(std::max<std::int64_t>(0, integer(s.text)));
  }
  return v;
}

Search find_victim(int dir, const policy::Kill& kill, pid_t not_this) {
  Walk walk{.kill = kill, .not_this = not_this, .found = {}};
  walk.subtree(dir, 0);
  return walk.found;
}

bool Few::has(const Victim& v) const {
  const auto end = struck_.begin() + static_cast<std::ptrdiff_t>(count_);
  return std::find(struck_.begin(), end, Process{v.pid, v.start}) != end;
}

bool Few::takes(const Victim& v) {
  if (!bounded_ || (!closed_ && count_ < most_) || has(v)) return true;
  left_some_ = true;
  return false;
}

void Few::note(const Victim& v) {
  if (bounded_ && !has(v)) struck_[count_++] = {v.pid, v.start};
}

Struck kill_each(int dir, std::string_view place, const policy::Kill& kill, int signal, Few& few) {
  Walk walk{.kill = kill, .not_this = 0, .found = {}, .place = place, .signal = signal, .few = &few};
  walk.subtree(dir, 0);
  return {walk.struck, walk.found.victim};
}

int open_victim(const Victim& victim, std::string_view place) {
  // The descriptor first: from then on the number cannot come to mean somebody else unseen.
  sys::Fd fd(static_cast<int>(syscall(SYS_pidfd_open, victim.pid, 0)));
  if (!fd.valid()) return -errno;
  const Victim now = look_at(victim.pid, false);
  if (now.pid == 0 || now.start != victim.start) return -ESRCH;
  std::array<char, 8192> buffer;
  const Text groups = read_proc(victim.pid, "cgroup", buffer);
  if (groups.code != 0) return -ESRCH;
  std::string_view rest = groups.text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    line.remove_prefix(colon + 1);
    if (line.starts_with(place) && (line.size() == place.size() || line[place.size()] == '/')) return fd.release();
  }
  return -ESRCH;
}

int send_signal(int pidfd, int signal) {
  return syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0 ? 0 : errno;
}

void command_of(pid_t pid, FixedText<128>& text) {
  std::array<char, 129> buffer;
  const Text t = read_proc(pid, "cmdline", std::span(buffer).first(128));
  std::string_view words = t.text;
  if (t.code == EFBIG) words = {buffer.data(), 128};  // what fits
  while (words.ends_with('\0')) words.remove_suffix(1);
  text.set(words);
  for (std::size_t i = 0; i < text.length; ++i)
    if (static_cast<unsigned char>(text.bytes[i]) < ' ') text.bytes[i] = ' ';
}

}  // namespace cgx::daemon::memory
