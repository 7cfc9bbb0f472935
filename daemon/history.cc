// SPDX-License-Identifier: Apache-2.0
#include "daemon/history.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <type_traits>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cgx::daemon {
namespace {

static_assert(std::is_trivially_copyable_v<Decision>, "it goes to the file as it is");

struct Head {
  std::array<char, 8> magic{'c', 'g', 'x', 'h', 'i', 's', 't', '1'};
  std::uint64_t record = sizeof(Decision);
  bool operator==(const Head&) const = default;
};

off_t place_of(std::uint64_t id) { return static_cast<off_t>(sizeof(Head) + (id % History::most) * sizeof(Decision)); }

}  // namespace

Result<> History::keep_in(int dir) {
  sys::Fd file(openat(dir, "history", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file.valid()) return fail_errno(errno, "history");
  Head head;
  const Head own;
  if (pread(file.get(), &head, sizeof head, 0) != static_cast<ssize_t>(sizeof head) || head != own) {
    if (ftruncate(file.get(), 0) != 0 || pwrite(file.get(), &own, sizeof own, 0) != static_cast<ssize_t>(sizeof own))
      return fail_errno(errno, "history");
  }
  std::vector<Decision> found;
  Decision decision;
  for (std::uint64_t slot = 0; slot < most; ++slot) {
    if (pread(file.get(), &decision, sizeof decision, place_of(slot)) != static_cast<ssize_t>(sizeof decision))
      continue;
    if (decision.id != 0 && decision.id % most == slot) found.push_back(decision);
  }
  std::sort(found.begin(), found.end(), [](const Decision& a, const Decision& b) { return a.id < b.id; });
  decisions_.assign(found.begin(), found.end());
  newest_ = decisions_.empty() ? 0 : decisions_.back().id;
  file_ = std::move(file);
  return {};
}

void History::add(Decision& decision) {
  decision.id = ++newest_;
  decisions_.push_back(decision);
  if (decisions_.size() > most) decisions_.pop_front();
  // Memory that is short must not stop the daemon: the entry is then in the ring alone.
  if (file_.valid()) (void)!pwrite(file_.get(), &decision, sizeof decision, place_of(decision.id));
}

std::vector<Decision> History::last(std::size_t count) const {
  const auto first = decisions_.end() - static_cast<std::ptrdiff_t>(std::min(count, decisions_.size()));
  return {first, decisions_.end()};
}

}  // namespace cgx::daemon
