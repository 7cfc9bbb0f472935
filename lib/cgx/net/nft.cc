// SPDX-License-Identifier: Apache-2.0
#include "cgx/net/nft.h"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

namespace cgx::net {

namespace {

Result<sys::Fd> memory_file(std::string_view content) {
  sys::Fd file(memfd_create("cgx-net", MFD_CLOEXEC));
  if (!file.valid()) return fail_errno(errno, "make a memory file");
  if (!content.empty()) CGX_CHECK(sys::write_fd(file.get(), content));
  if (lseek(file.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "rewind a memory file");
  return file;
}

// nft reads the script as a whole and applies it as one transaction.
Result<> run_nft(std::string_view script) {
  CGX_CHECK(sys::mutation("nft", script));
  const sys::Fd input = CGX_TRY(memory_file(script));
  const sys::Fd output = CGX_TRY(memory_file({}));
  posix_spawn_file_actions_t actions;
  if (const int e = posix_spawn_file_actions_init(&actions); e != 0) return fail_errno(e, "run nft");
  int e = posix_spawn_file_actions_adddup2(&actions, input.get(), STDIN_FILENO);
  if (e == 0) e = posix_spawn_file_actions_adddup2(&actions, output.get(), STDOUT_FILENO);
  if (e == 0) e = posix_spawn_file_actions_adddup2(&actions, output.get(), STDERR_FILENO);
  std::string name = "nft";
  std::string option = "-f";
  std::string from_stdin = "-";
  std::array<char*, 4> argv = {name.data(), option.data(), from_stdin.data(), nullptr};
  pid_t child = -1;
  if (e == 0) e = posix_spawnp(&child, "nft", &actions, nullptr, argv.data(), environ);
  (void)posix_spawn_file_actions_destroy(&actions);
  if (e != 0) return fail_errno(e, "run nft");
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return fail_errno(errno, "wait for nft");
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  if (lseek(output.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "read what nft said");
  const std::string said = CGX_TRY(sys::read_all(output.get()));
  const std::vector<std::string_view> said_lines = sys::lines(said);
  return fail(EOPNOTSUPP,
              fmt::format("nft refused: {}", said_lines.empty() ? "(no reason given)" : said_lines.front()));
}

}  // namespace

NftMatch nft_match_v1(ClassId id) { return {fmt::format("meta cgroup {:#x}", id.value), 0}; }

Result<NftMatch> nft_match_v2(int group_fd) {
  std::array<char, 4097> link{};
  const std::string from = fmt::format("/proc/self/fd/{}", group_fd);
  const ssize_t n = readlink(from.c_str(), link.data(), link.size() - 1);
  if (n < 0) return fail_errno(errno, "read " + from);
  std::string_view path(link.data(), static_cast<std::size_t>(n));
  constexpr std::string_view root = "/sys/fs/cgroup/";
  if (!path.starts_with(root) || path.find_first_of("\"\n") != std::string_view::npos)
    return fail(ENOTSUP, fmt::format("nft cannot name the group {}", path));
  path.remove_prefix(root.size());
  // The level is the depth below the hierarchy's own root, which on a hybrid host lies below /sys/fs/cgroup.
  unsigned level = 0;
  struct stat here = {};
  if (fstat(group_fd, &here) != 0) return fail_errno(errno, "stat the group");
  std::string up = "..";
  for (struct stat above = {}; fstatat(group_fd, up.c_str(), &above, 0) == 0 && above.st_dev == here.st_dev;
       up += "/..")
    ++level;
  return NftMatch{fmt::format("socket cgroupv2 level {} \"{}\"", level, path), level};
}

std::string nft_script(std::string_view table, const NftMatch& match, const Mark& mark) {
  // Adding before deleting makes the deletion succeed where there was no such table.
  std::string script = fmt::format("table inet {0}\ndelete table inet {0}\n", table);
  script += fmt::format(
      "table inet {} {{\nchain outgoing {{\ntype filter hook output priority {}; policy accept;\n", table, match.level);
  // The last rule that matches wins: what is said of one interface comes after what is said of all, and a class
  // of this group on the interface after a priority.
  if (mark.id.value != 0 && mark.shaped.empty())
    script += fmt::format("{} meta priority set {:#x}\n", match.text, mark.id.value);
  for (const Mark::OnInterface& p : mark.priorities)
    script += fmt::format("{} oif {} meta priority set {:#x}\n", match.text, p.index, p.priority);
  if (mark.id.value != 0)
    for (const unsigned index : mark.shaped)
      script += fmt::format("{} oif {} meta priority set {:#x}\n", match.text, index, mark.id.value);
  return script + "}\n}\n";
}

Result<> nft_set(std::string_view table, const NftMatch& match, const Mark& mark) {
  return run_nft(nft_script(table, match, mark));
}

Result<> nft_remove(std::string_view table) {
  return run_nft(fmt::format("table inet {0}\ndelete table inet {0}\n", table));
}

}  // namespace cgx::net
