// SPDX-License-Identifier: Apache-2.0
#include "exec_note.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/maker_note.h"
#include "cgx/cgroupfs/place.h"
#include "cgx/cgroupfs/presence.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

namespace cgx::tool {
namespace {

Result<std::uint64_t> pid_namespace() {
  struct stat st{};
  if (stat("/proc/self/ns/pid", &st) != 0) return fail_errno(errno, "/proc/self/ns/pid");
  return static_cast<std::uint64_t>(st.st_ino);
}

Result<std::string> own_note() {
  const pid_t pid = getpid();
  return fmt::format("{} {} {}", pid, CGX_TRY(sys::started(pid)), CGX_TRY(pid_namespace()));
}

// What is mounted read-only is in the way everywhere, and is told as that.
bool may_make_in(const Hierarchy& h, const std::string& group) {
  return faccessat(AT_FDCWD, h.path(group).c_str(), W_OK, AT_EACCESS) == 0 || errno != EACCES;
}
bool may_make_in(const Hierarchies& hierarchies, const std::string& group) {
  return std::ranges::all_of(hierarchies.all(), [&](const Hierarchy& h) { return may_make_in(h, group); });
}

}  // namespace

std::string above_fresh(const Hierarchies& hierarchies) {
  // One tells for all: whoever is not root was given no root of any.
  if (hierarchies.all().empty() || may_make_in(hierarchies.all().front(), "")) return {};
  const auto places = places_of(hierarchies, 0);
  if (!places || places->size() != hierarchies.all().size()) return {};
  const std::string& own = places->front().group;
  if (own.starts_with("..") || !std::ranges::all_of(*places, [&](const Place& p) { return p.group == own; })) return {};
  // On v2 the caller's own group, which has a process in it, gives no controllers to groups below. One beside it can.
  const Hierarchy* v2 = hierarchies.unified();
  const std::string beside(parent_of(own));
  if (v2 != nullptr && !v2->controllers().empty() && !beside.empty() && may_make_in(hierarchies, beside)) return beside;
  return may_make_in(hierarchies, own) ? own : std::string();
}

Result<> note_maker(const Cgroup& group) {
  const std::string text = CGX_TRY(own_note());
  // One is enough: who looks for it looks everywhere.
  CGX_CHECK(group.require());
  return sys::set_note(CGX_TRY(group.dir(*group.present().front())), maker_note, text);
}

Maker maker_of(const Cgroup& group) {
  bool unread = !is_there(group);
  for (const Hierarchy* h : group.present()) {
    const auto dir = group.dir(*h);
    const auto note = dir ? sys::get_note(*dir, maker_note) : std::unexpected(dir.error());
    unread = unread || !note;
    if (!note || !*note) continue;
    if (**note == kept_note) return Maker::kept;
    const auto words = sys::words(**note);
    if (words.size() != 3) return Maker::unknown;
    const auto pid = sys::parse_u64(words[0], 1, 0x7fffffff), start = sys::parse_u64(words[1]),
               space = sys::parse_u64(words[2]);
    const auto here = pid_namespace();
    if (!pid || !start || !space || !here || *space != *here) return Maker::unknown;
    const auto now = sys::started(static_cast<pid_t>(*pid));
    if (!now && now.error().code != ESRCH) return Maker::unknown;
    return now && *now == *start ? Maker::lives : Maker::gone;
  }
  return unread ? Maker::unknown : Maker::none;
}

std::size_t directories_of(const Hierarchies& hierarchies, const std::string& group) {
  return static_cast<std::size_t>(std::ranges::count_if(hierarchies.all(), [&](const Hierarchy& h) {
    const auto root = h.root();
    return root && sys::exists(*root, group);
  }));
}

Result<bool> is_maker(const Hierarchies& hierarchies, const std::string& group) {
  const std::string own = CGX_TRY(own_note());
  for (const Hierarchy& h : hierarchies.all()) {
    const auto dir = sys::open_beneath(CGX_TRY(h.root()), group, O_RDONLY | O_DIRECTORY);
    if (!dir && dir.error().code == ENOENT) continue;
    if (!dir) return std::unexpected(dir.error());
    if (const auto note = CGX_TRY(sys::get_note(dir->get(), maker_note)); note && *note == own) return true;
  }
  return false;
}

}  // namespace cgx::tool
