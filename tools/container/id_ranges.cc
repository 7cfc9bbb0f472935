// SPDX-License-Identifier: Apache-2.0
#include "id_ranges.h"

#include <array>
#include <cerrno>
#include <climits>
#include <functional>
#include <optional>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/own_dir.h"
#include "cgx/sys/text.h"

namespace cgx::launcher {
namespace {

// In the part that nobody else gives out on common hosts: as systemd-nspawn chooses them.
constexpr std::uint32_t first_base = 524288, bases = 28664, range = 65536;
constexpr const char* ids_directory = "/run/cgx/ids";
constexpr const char* ids_lock = "lock";

std::uint32_t base_of(std::uint32_t at) { return first_base + at * range; }

// One byte for each range: false, where another process has it.
Result<bool> lock_byte(const sys::Fd& file, std::uint32_t at, short type) {
  struct flock lock{.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1, .l_pid = 0};
  if (fcntl(file.get(), F_OFD_SETLK, &lock) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  return fail_errno(errno, fmt::format("{}/{}", ids_directory, ids_lock));
}

Result<sys::Fd> open_lock(const sys::Fd& dir, int flags) {
  sys::Fd file(openat(dir.get(), ids_lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600));
  if (!file.valid()) return fail_errno(errno, fmt::format("{}/{}", ids_directory, ids_lock));
  return file;
}

// The record that has the range; none where it is gone. One that cannot be looked for is there.
Result<std::optional<std::string>> user_of(const sys::Fd& dir, const std::string& link) {
  std::array<char, PATH_MAX> target{};
  const ssize_t n = readlinkat(dir.get(), link.c_str(), target.data(), target.size());
  if (n < 0 && errno == ENOENT) return std::nullopt;
  if (n < 0) return fail_errno(errno, fmt::format("{}/{}", ids_directory, link));
  std::string record(target.data(), static_cast<std::size_t>(n));
  struct stat st{};
  if (lstat(record.c_str(), &st) != 0 && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  return record;
}

Result<> note_user(const sys::Fd& dir, const std::string& link, const std::string& record) {
  if (unlinkat(dir.get(), link.c_str(), 0) != 0 && errno != ENOENT)
    return fail_errno(errno, fmt::format("{}/{}", ids_directory, link));
  if (symlinkat(record.c_str(), dir.get(), link.c_str()) != 0)
    return fail_errno(errno, fmt::format("{}/{}", ids_directory, link));
  return {};
}

}  // namespace

Result<IdRange> claim_ids(const std::string& record, std::string_view name) {
  const sys::Fd dir = CGX_TRY(sys::open_own_dir(ids_directory));
  IdRange mine{.base = 0, .size = range, .lock = CGX_TRY(open_lock(dir, O_CREAT))};
  auto at = static_cast<std::uint32_t>(std::hash<std::string_view>{}(name) % bases);
  for (std::uint32_t round = 0; round < bases; ++round, at = (at + 1) % bases) {
    if (!CGX_TRY(lock_byte(mine.lock, at, F_WRLCK))) continue;
    mine.base = base_of(at);
    const std::string link = std::to_string(mine.base);
    const auto user = CGX_TRY(user_of(dir, link));
    if (!user || *user == record) {  // an older container of that name is gone: the record is new
      CGX_CHECK(note_user(dir, link, record));
      return mine;
    }
    (void)CGX_TRY(lock_byte(mine.lock, at, F_UNLCK));
  }
  return fail(ENOSPC, "--userns auto: all ranges of ids are taken");
}

// What fails here is done by the next one that needs the range.
void release_ids() {
  const auto dir = sys::find_own_dir(ids_directory);
  if (!dir) return;
  const auto file = open_lock(*dir, 0);
  const auto names = sys::list_dir(dir->get(), "", sys::Entries::files);
  if (!file || !names) return;
  for (const std::string& link : *names) {
    const auto base = sys::parse_u64(link, first_base, base_of(bases - 1));
    if (!base || user_of(*dir, link).value_or("?")) continue;
    const auto at = static_cast<std::uint32_t>((*base - first_base) / range);
    if (!lock_byte(*file, at, F_WRLCK).value_or(false)) continue;
    if (const auto user = user_of(*dir, link); user && !*user) (void)unlinkat(dir->get(), link.c_str(), 0);
    (void)lock_byte(*file, at, F_UNLCK);
  }
}

}  // namespace cgx::launcher
