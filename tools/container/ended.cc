// SPDX-License-Identifier: Apache-2.0
#include "ended.h"

#include <cerrno>
#include <cstdio>
#include <ctime>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/own_dir.h"

namespace cgx::launcher {
namespace {

constexpr std::size_t most_ending = 64U << 10U;

// No container has such a name.
std::string directory(const std::string& run_root) { return run_root + "/@ended"; }

bool is_old(const struct stat& st) {
  const std::time_t now = std::time(nullptr);
  return st.st_mtim.tv_sec > now || now - st.st_mtim.tv_sec > std::chrono::seconds(ends_are_kept).count();
}

void forget_old(int dir) {
  const auto names = sys::list_dir(dir, "", sys::Entries::files);
  if (!names) return;
  for (const std::string& name : *names) {
    struct stat st{};
    if (fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && is_old(st)) (void)unlinkat(dir, name.c_str(), 0);
  }
}

}  // namespace

Result<> keep_ending(const std::string& run_root, const std::string& name, const Ending& ending) {
  const sys::Fd dir = CGX_TRY(sys::open_own_dir(directory(run_root)));
  forget_old(dir.get());
  // A name of an ending does not begin so.
  const std::string part = fmt::format("@{}", getpid());
  return sys::replace_file(dir.get(), name, ending_text(ending), {.aside = part});
}

std::optional<Ending> kept_ending(const std::string& run_root, const std::string& name) {
  if (!Store::check_id(name)) return std::nullopt;
  const auto dir = sys::find_own_dir(directory(run_root));
  if (!dir) return std::nullopt;
  const sys::Fd file(openat(dir->get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat st{};
  if (!file.valid() || fstat(file.get(), &st) != 0 || is_old(st)) return std::nullopt;
  const auto text = sys::read_all(file.get(), most_ending);
  const auto ending = text ? parse_ending(*text) : std::unexpected(text.error());
  return ending ? std::optional(*ending) : std::nullopt;
}

void forget_ending(const std::string& run_root, const std::string& name) {
  if (const auto dir = sys::find_own_dir(directory(run_root))) (void)unlinkat(dir->get(), name.c_str(), 0);
}

void forget_endings(const std::string& run_root) {
  if (const auto dir = sys::find_own_dir(directory(run_root))) forget_old(dir->get());
}

}  // namespace cgx::launcher
