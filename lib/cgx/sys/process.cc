// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <system_error>

#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

namespace cgx::sys {
namespace {

bool ignored_children = false;

void set_child_signal(void (*action)(int)) {
  struct sigaction wanted{};
  wanted.sa_handler = action;
  (void)sigaction(SIGCHLD, &wanted, nullptr);
}

}  // namespace

void wait_for_children() {
  struct sigaction before{};
  if (sigaction(SIGCHLD, nullptr, &before) != 0 || before.sa_handler != SIG_IGN) return;
  ignored_children = true;
  set_child_signal(SIG_DFL);
}

void restore_child_signal() {
  if (ignored_children) set_child_signal(SIG_IGN);
}

int signal_process(int pidfd, int signal) {
  if (syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0) return 0;
  if (errno != ENOSYS) return errno;
  const auto info = read_path(fmt::format("/proc/self/fdinfo/{}", pidfd));
  if (!info) return info.error().code;
  for (const std::string_view line : lines(*info)) {
    if (!line.starts_with("Pid:")) continue;
    // -1: it was waited for, 0: it is of another pid namespace.
    const auto pid = parse_i64(trim(line.substr(4)), -1, 1 << 22);
    if (!pid || *pid <= 0) return ESRCH;
    return kill(static_cast<pid_t>(*pid), signal) == 0 ? 0 : errno;
  }
  return ENOSYS;
}

std::string_view name_in_stat(std::string_view text) {
  const std::size_t open = text.find('(');
  const std::size_t close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return {};
  return text.substr(open + 1, close - open - 1);
}

std::optional<ProcessStat> parse_stat(std::string_view text) {
  struct Field {
    unsigned number;  // of proc(5)
    std::uint64_t ProcessStat::* member;
  };
  constexpr std::array<Field, 5> fields{{{9, &ProcessStat::flags},
                                         {14, &ProcessStat::user_ticks},
                                         {15, &ProcessStat::system_ticks},
                                         {22, &ProcessStat::start},
                                         {24, &ProcessStat::rss_pages}}};
  const std::size_t name = text.rfind(')');
  if (name == std::string_view::npos) return std::nullopt;
  ProcessStat stat;
  text.remove_prefix(name + 1);
  unsigned number = 2;
  for (const Field& wanted : fields) {
    std::string_view field;
    while (number < wanted.number) {
      text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
      field = text.substr(0, text.find_first_of(" \n"));
      text.remove_prefix(field.size());
      if (++number == 3 && !field.empty()) stat.state = field.front();
    }
    const auto [end, code] = std::from_chars(field.data(), field.data() + field.size(), stat.*wanted.member);
    if (code != std::errc() || end != field.data() + field.size()) return std::nullopt;
  }
  return stat;
}

Result<ProcessStat> stat_of(pid_t pid) {
  const auto text = read_path(fmt::format("/proc/{}/stat", pid));
  if (!text) return fail_errno(text.error().code == ENOENT ? ESRCH : text.error().code, "the process");
  const auto stat = parse_stat(*text);
  if (!stat) return fail(EPROTO, fmt::format("/proc/{}/stat has another form than it should have", pid));
  return *stat;
}

Result<std::uint64_t> started(pid_t pid) { return CGX_TRY(stat_of(pid)).start; }

}  // namespace cgx::sys
