// SPDX-License-Identifier: Apache-2.0
#include "daemon/memory/held.h"

#include <cerrno>
#include <chrono>
#include <thread>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/sys/own_dir.h"
#include "cgx/sys/text.h"

#include "daemon/memory/outbox.h"

namespace cgx::daemon::memory {
namespace {

constexpr std::array<std::string_view, 3> words{"oom", "high", "frozen"};

std::string limits_file(const std::string& dir) { return dir + "/memory.paused"; }
std::string frozen_file(const std::string& dir) { return dir + "/memory.frozen"; }

// `oom INODE BEFORE GROUP`; groups may have blanks in their names, not newlines.
void parse(std::string_view text, std::vector<Held>& all) {
  const std::size_t end = text.rfind('\n');
  if (end == std::string_view::npos) return;
  for (const std::string_view line : sys::lines(text.substr(0, end + 1))) {
    std::array<std::string_view, 3> parts;
    std::string_view rest = line;
    for (std::string_view& part : parts) {
      part = rest.substr(0, rest.find(' '));
      rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    }
    const auto inode = sys::parse_u64(parts[1]);
    const auto group = parse_group_name(rest);
    if (!inode || !group || group->empty()) continue;
    for (std::size_t i = 0; i < words.size(); ++i)
      if (words[i] == parts[0]) all.push_back({static_cast<Held::What>(i), *inode, std::string(parts[2]), *group});
  }
}

Result<std::string> text_of(const std::string& path) {
  auto text = sys::read_path(path);
  if (!text && text.error().code == ENOENT) return std::string();
  return text;
}

Result<sys::Fd> create(const std::string& path, int flags) {
  sys::Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0600));
  if (!fd.valid()) return fail_errno(errno, path);
  return fd;
}

Result<> sync_dir(const std::string& dir) {
  const sys::Fd fd = CGX_TRY(sys::open_path(dir, O_RDONLY | O_DIRECTORY));
  if (fsync(fd.get()) != 0 && errno != EINVAL) return fail_errno(errno, dir);
  return {};
}

// Who waits with the killer off is given to it; then it is as the owner had it, be that off.
Result<> give_back_oom(const Cgroup& group, const Hierarchy& h, const Held& held) {
  const auto state = [&]() { return group.read(h, "memory.oom_control"); };
  const std::string now = CGX_TRY(state());
  if (sys::keyed_u64(now, "oom_kill_disable") == 1) CGX_CHECK(group.write(h, "memory.oom_control", "0"));
  free_children(group, [](const std::string&) { return false; });
  if (held.before != "1") return {};
  for (int i = 0; i < 200 && sys::keyed_u64(CGX_TRY(state()), "under_oom") == 1; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return group.write(h, "memory.oom_control", "1");
}

}  // namespace

void free_children(const Cgroup& group, const std::function<bool(const std::string&)>& paused) {
  const Hierarchy* h = group.hierarchies().of(Controller::memory);
  if (h == nullptr || h->version() != Version::v1) return;
  const auto dir = group.dir(*h);
  struct stat st{};
  if (!dir || fstat(*dir, &st) != 0 || st.st_nlink == 2) return;  // a directory has two links, and one more each child
  const auto below = groups_below(group);
  if (!below) return;
  for (const std::string& name : *below) {
    if (paused(name)) continue;
    const Cgroup child(group.hierarchies(), name);
    const auto state = child.read(*h, "memory.oom_control");
    if (state && sys::keyed_u64(*state, "oom_kill_disable") == 1) (void)child.write(*h, "memory.oom_control", "0");
  }
}

Result<std::vector<Held>> read_held(const std::string& state_dir) {
  std::vector<Held> all;
  parse(CGX_TRY(text_of(frozen_file(state_dir))), all);
  parse(CGX_TRY(text_of(limits_file(state_dir))), all);
  return all;
}

Result<> write_held(const std::string& state_dir, std::span<const Held> held) {
  std::string text;
  for (const Held& h : held)
    if (h.what != Held::What::frozen)
      text += fmt::format("{} {} {} {}\n", words[static_cast<std::size_t>(h.what)], h.inode, h.before, h.group);
  const sys::Fd dir = CGX_TRY(sys::open_path(state_dir, O_RDONLY | O_DIRECTORY));
  const std::string path = limits_file(state_dir);
  const std::string name = path.substr(path.rfind('/') + 1);
  const std::string aside = name + ".new";
  if (const auto done = sys::replace_file(dir.get(), name, text, {.aside = aside, .synced = true}); !done)
    return fail_errno(done.error().code, path);
  return sync_dir(state_dir);
}

Result<bool> give_back(const Hierarchies& hierarchies, const Held& held) {
  const Cgroup group(hierarchies, held.group);
  const Hierarchy* h = held.what == Held::What::frozen ? freezer_of(group) : hierarchies.of(Controller::memory);
  if (h == nullptr) return false;
  const auto dir = group.dir(*h);
  if (!dir && dir.error().code == ENOENT) return false;
  struct stat st{};
  if (fstat(CGX_TRY(located(dir, held.group)), &st) != 0 || st.st_ino != held.inode) return false;
  const bool v1 = h->version() == Version::v1;
  const auto done = [&]() -> Result<> {
    if (held.what == Held::What::frozen)
      return group.write(*h, v1 ? "freezer.state" : "cgroup.freeze", v1 ? "THAWED" : "0");
    if (held.what == Held::What::high) return group.write(*h, "memory.high", held.before);
    return give_back_oom(group, *h, held);
  }();
  if (done) return true;
  if (done.error().code == ENODEV || done.error().code == ENOENT) return false;  // it went meanwhile
  return std::unexpected(done.error());
}

Result<FrozenLog> FrozenLog::open(const std::string& state_dir) {
  FrozenLog log;
  log.fd_ = CGX_TRY(create(frozen_file(state_dir), O_APPEND));
  return log;
}

int FrozenLog::note(const Node& node) {
  FixedText<4352> line;
  Words<4352>(line) << "frozen " << static_cast<std::uint64_t>(node.freezer_inode) << " - " << node.name << "\n";
  const ssize_t n = write(fd_.get(), line.bytes.data(), line.length);
  if (n < 0) return errno;
  if (n != line.length) {
    // What was written would make one line with the next, of which nothing could be read.
    const off_t end = lseek(fd_.get(), 0, SEEK_CUR);
    return end >= n && ftruncate(fd_.get(), end - n) == 0 ? ENOSPC : errno;
  }
  if (fdatasync(fd_.get()) != 0) return errno;
  ++count_;
  return 0;
}

void FrozenLog::thawed() {
  if (count_ == 0) return;
  --count_;
  if (count_ == 0) clear();
}

void FrozenLog::clear() {
  (void)!ftruncate(fd_.get(), 0);  // too much in it does no harm
}

}  // namespace cgx::daemon::memory
