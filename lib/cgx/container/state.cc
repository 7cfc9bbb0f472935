// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/state.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/sys/own_dir.h"
#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

constexpr const char* state_file = "state.json";
constexpr const char* config_file = "config.json";
constexpr const char* lock_file = "lock";
constexpr const char* fifo_file = "exec.fifo";

std::unexpected<Error> no_container() { return fail(ENOENT, "container does not exist"); }

bool id_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '+' ||
         c == '-' || c == '.';
}

struct flock whole_file(short type) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

std::string_view status_word(Status status) {
  switch (status) {
    case Status::creating:
      return "creating";
    case Status::created:
      return "created";
    case Status::running:
      return "running";
    case Status::paused:
      return "paused";
    case Status::stopped:
      break;
  }
  return "stopped";
}

Result<Store> Store::open(const std::string& root) {
  Store store;
  store.path_ = root;
  store.dir_ = CGX_TRY(sys::open_own_dir(root));
  return store;
}

Result<> Store::check_id(std::string_view id) {
  if (id.empty()) return fail(EINVAL, "container id cannot be empty");
  if (id.size() > 1024 || id == "." || id == ".." || !std::ranges::all_of(id, id_char))
    return fail(EINVAL, "invalid container ID format");
  return {};
}

Result<Store::Entry> Store::open_entry(const std::string& id) const {
  Entry entry;
  entry.id_ = id;
  entry.parent_ = sys::Fd(fcntl(dir_.get(), F_DUPFD_CLOEXEC, 3));
  if (!entry.parent_.valid()) return fail_errno(errno, path_);
  entry.dir_ = sys::Fd(openat(dir_.get(), id.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!entry.dir_.valid()) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return no_container();
    return fail_errno(errno, fmt::format("{}/{}", path_, id));
  }
  return entry;
}

Result<Store::Entry> Store::create(const std::string& id) {
  CGX_CHECK(check_id(id));
  while (true) {
    if (mkdirat(dir_.get(), id.c_str(), 0711) != 0) {
      if (errno == EEXIST) return fail(EEXIST, "container with given ID already exists");
      return fail_errno(errno, fmt::format("{}/{}", path_, id));
    }
    auto entry = open_entry(id);
    if (!entry && entry.error().code == ENOENT) continue;  // `delete --force` was there in between
    auto locked = entry ? entry->lock() : Result<bool>(std::unexpected(entry.error()));
    if (locked && *locked) return entry;
    if (locked) continue;
    // Nothing was made in it: whoever has taken the lock meanwhile is about to remove it.
    if (entry) (void)unlinkat(entry->directory(), lock_file, 0);
    (void)unlinkat(dir_.get(), id.c_str(), AT_REMOVEDIR);
    return std::unexpected(std::move(locked).error());
  }
}

Result<Store::Entry> Store::find(const std::string& id, How how) {
  CGX_CHECK(check_id(id));
  Entry entry = CGX_TRY(open_entry(id));
  if (how == How::change && !CGX_TRY(entry.lock())) return no_container();
  return entry;
}

Result<std::vector<std::string>> Store::ids() const {
  auto names = CGX_TRY(sys::list_dir(dir_.get(), "", sys::Entries::directories));
  std::erase_if(names, [](const std::string& name) { return !check_id(name); });
  std::ranges::sort(names);
  return names;
}

Result<bool> Store::Entry::lock() {
  lock_ = sys::Fd(openat(dir_.get(), lock_file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock_.valid()) {
    if (errno == ENOENT) return false;
    return fail_errno(errno, "the container's lock");
  }
  struct flock lock = whole_file(F_WRLCK);
  while (fcntl(lock_.get(), F_SETLKW, &lock) != 0)
    if (errno != EINTR) return fail_errno(errno, "the container's lock");
  struct stat now{};
  if (fstat(lock_.get(), &now) != 0) return fail_errno(errno, "the container's lock");
  return now.st_nlink > 0;
}

void Store::Entry::unlock() { lock_.reset(-1); }

bool Store::Entry::locked_by_another() const {
  // Closing any descriptor of the file would give up a lock of this process.
  if (lock_.valid()) return false;
  const sys::Fd file(openat(dir_.get(), lock_file, O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  struct flock lock = whole_file(F_WRLCK);
  return file.valid() && fcntl(file.get(), F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

Result<State> Store::Entry::read() const {
  const auto text = sys::read_file(dir_.get(), state_file);
  if (!text) {
    if (text.error().code == ENOENT) return no_container();
    return fail_errno(text.error().code, "the container's state.json");
  }
  State state = CGX_TRY(parse_state(*text));
  auto config = sys::read_file(dir_.get(), config_file);
  // ENOENT means that nothing was made yet, and the state, which is written after it, says that something was.
  if (!config && config.error().code == ENOENT) return fail(EBADMSG, "the container's config.json is missing");
  if (!config) return fail_errno(config.error().code, "the container's config.json");
  state.config = std::move(*config);
  return state;
}

Result<> Store::Entry::write(const State& state) {
  if (!sys::exists(dir_.get(), config_file)) CGX_CHECK(sys::replace_file(dir_.get(), config_file, state.config));
  return sys::replace_file(dir_.get(), state_file, state_text(state));
}

Result<std::string> Store::Entry::read_text(const std::string& name) const { return sys::read_file(dir_.get(), name); }

Result<> Store::Entry::write_text(const std::string& name, std::string_view text) const {
  return sys::replace_file(dir_.get(), name, text);
}

Result<> Store::Entry::make_start_fifo(uid_t owner) {
  if (mkfifoat(dir_.get(), fifo_file, 0622) != 0) return fail_errno(errno, "exec.fifo");
  // The umask may have taken bits; the container's root opens it by descriptor.
  if (fchmodat(dir_.get(), fifo_file, 0622, 0) != 0) return fail_errno(errno, "exec.fifo");
  if (owner != geteuid() && fchownat(dir_.get(), fifo_file, owner, static_cast<gid_t>(-1), AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno(errno, "exec.fifo");
  return {};
}

Result<sys::Fd> Store::Entry::open_start_fifo(int flags) const {
  sys::Fd fifo(openat(dir_.get(), fifo_file, flags | O_NOFOLLOW | O_CLOEXEC));
  if (!fifo.valid()) return fail_errno(errno, "exec.fifo");
  return fifo;
}

Result<bool> Store::Entry::has_start_fifo() const {
  struct stat st{};
  if (fstatat(dir_.get(), fifo_file, &st, AT_SYMLINK_NOFOLLOW) == 0) return true;
  if (errno == ENOENT) return false;
  return fail_errno(errno, fifo_file);
}

Result<> Store::Entry::remove_start_fifo() {
  if (unlinkat(dir_.get(), fifo_file, 0) != 0 && errno != ENOENT) return fail_errno(errno, "exec.fifo");
  return {};
}

Result<> Store::Entry::remove() {
  if (unlinkat(dir_.get(), "notify/notify.sock", 0) == 0 || errno == ENOENT)
    (void)unlinkat(dir_.get(), "notify", AT_REMOVEDIR);  // sd_notify; most have none
  // The lock last: who waits for it finds that its file has gone. Somebody may have made a new one meanwhile.
  for (int round = 0;; ++round) {
    auto names = CGX_TRY(sys::list_dir(dir_.get(), "", sys::Entries::files));
    std::ranges::stable_partition(names, [](const std::string& name) { return name != lock_file; });
    for (const std::string& name : names)
      if (unlinkat(dir_.get(), name.c_str(), 0) != 0 && errno != ENOENT) return fail_errno(errno, name);
    if (unlinkat(parent_.get(), id_.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) break;
    if (errno != ENOTEMPTY || round == 100) return fail_errno(errno, id_);
  }
  unlock();
  return {};
}

std::string time_now() {
  using namespace std::chrono;
  // gmtime_r(3) would read /etc/localtime.
  const auto now = time_point_cast<nanoseconds>(system_clock::now());
  const auto day = floor<days>(now);
  const year_month_day date(day);
  const hh_mm_ss time(now - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z",
                     static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()),
                     time.hours().count(),
                     time.minutes().count(),
                     time.seconds().count(),
                     time.subseconds().count());
}

Result<std::uint64_t> start_time_of(pid_t pid) {
  const sys::ProcessStat stat = CGX_TRY(sys::stat_of(pid));
  if (stat.state == 'Z' || stat.state == 'X') return fail_errno(ESRCH, "the process");
  return stat.start;
}

Result<bool> has_executed(pid_t pid, std::optional<std::uint64_t> start) {
  // PF_FORKNOEXEC of include/linux/sched.h. execve(2) takes it away before it closes descriptors.
  constexpr std::uint64_t not_executed = 0x40;
  const sys::ProcessStat stat = CGX_TRY(sys::stat_of(pid));
  if (start && stat.start != *start) return fail_errno(ESRCH, "the process");
  return (stat.flags & not_executed) == 0;
}

Result<bool> process_lives(pid_t pid, std::uint64_t start) {
  if (pid <= 0) return false;
  const auto now = start_time_of(pid);
  if (!now && now.error().code != ESRCH) return std::unexpected(now.error());
  return now && *now == start;
}

// The start time is asked for after the opening: then what is open is of that very process.
Result<sys::Fd> open_process(pid_t pid, std::uint64_t start) {
  if (pid <= 0) return fail_errno(ESRCH, "the process");
  sys::Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) {
    const int code = errno;
    // A number that is still that of a session or process group is EINVAL or ENOENT, by the kernel's version.
    if ((code == EINVAL || code == ENOENT) && !CGX_TRY(process_lives(pid, start)))
      return fail_errno(ESRCH, fmt::format("process {}", pid));
    if (code == ENOSYS || code == EPERM)
      return fail(ENOTSUP,
                  fmt::format("process {}: pidfd_open(2) is not supported here: {} (Linux 5.3; a seccomp filter may "
                              "refuse it)",
                              pid,
                              errno_text(code)));
    return fail_errno(code, fmt::format("process {}", pid));
  }
  if (!CGX_TRY(process_lives(pid, start))) return fail_errno(ESRCH, fmt::format("process {}", pid));
  return pidfd;
}

Result<sys::Fd> open_in_proc(pid_t pid, std::uint64_t start, std::string_view file, int flags) {
  if (pid <= 0) return fail_errno(ESRCH, "the process");
  const std::string path = fmt::format("/proc/{}/{}", pid, file);
  sys::Fd fd(open(path.c_str(), flags | O_CLOEXEC));
  if (!fd.valid()) return fail_errno(errno == ENOENT ? ESRCH : errno, path);
  if (!CGX_TRY(process_lives(pid, start))) return fail_errno(ESRCH, path);
  return fd;
}

Result<bool> init_lives(const State& state) { return process_lives(state.pid, state.pid_start); }

Result<Hierarchies> hierarchies_of(const State& state) {
  Hierarchies all = CGX_TRY(Hierarchies::discover());
  if (state.bases.empty()) return all;
  return all.nested(state.bases);
}

Result<Status> status_of(const State& state, const Store::Entry& entry) {
  const bool alive = CGX_TRY(init_lives(state));
  if (!state.ready) return alive || entry.locked_by_another() ? Status::creating : Status::stopped;
  if (!alive) return Status::stopped;
  if (CGX_TRY(entry.has_start_fifo())) return Status::created;
  if (state.group.empty()) return Status::running;
  const Hierarchies hierarchies = CGX_TRY(hierarchies_of(state));
  const auto stopped = frozen(Cgroup(hierarchies, state.group));
  if (stopped) return *stopped ? Status::paused : Status::running;
  // Without its group it is not stopped by it.
  if (stopped.error().code == ENOENT || stopped.error().code == ENODEV) return Status::running;
  return std::unexpected(stopped.error());
}

}  // namespace cgx::container
