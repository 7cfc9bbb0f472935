// SPDX-License-Identifier: Apache-2.0
// What is kept of a container between commands: ROOT/ID/state.json, a lock, the bundle's config as it was read, and
// the fifo that `start` opens. Written whole and renamed; a SIGKILL at any moment leaves the old or the new.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/container/spec.h"
#include "cgx/sys/fd.h"

namespace cgx::container {

enum class Status : std::uint8_t { creating, created, running, paused, stopped };
[[nodiscard]] std::string_view status_word(Status status);

struct State {
  std::string id, bundle, rootfs, oci_version, created;  // created: RFC 3339 with nanoseconds, UTC
  std::string owner;                                     // user name, or "#UID"
  pid_t pid = 0;
  std::uint64_t pid_start = 0;             // field 22 of /proc/PID/stat: the pid is still that process
  bool ready = false;                      // false: `create` is at work, or was ended while it was
  std::string group;                       // name of the cgroup; empty: none
  std::vector<Base> bases;                 // what it is counted from, where that is not the root of each hierarchy
  std::string systemd_scope;               // unit, where systemd made the group
  bool group_made = false;                 // by this container in every hierarchy, with all that is below it
  std::vector<Base> made;                  // it and those above it where they were missing, the deepest ones first
  std::vector<std::string> tracking_made;  // it and those above it that were missing where systemd tracks, see there
  Pairs annotations;
  std::string config;  // the bundle's config.json at create; a file of its own
};

// A directory of containers, ROOT. Made (0700) where it is missing; EPERM where others can write to it: own_dir.h.
class Store {
 public:
  [[nodiscard]] static Result<Store> open(const std::string& root);
  // `[A-Za-z0-9_+.-]+`, at most 1024 bytes, not "." or "..": EINVAL else, in runc's words.
  [[nodiscard]] static Result<> check_id(std::string_view id);

  // Takes ROOT/ID for a new container and locks it. EEXIST: "container with given ID already exists".
  class Entry;
  [[nodiscard]] Result<Entry> create(const std::string& id);
  // ENOENT: "container does not exist". Who changes a container waits here while another command does, and has it for
  // as long as the Entry lives; who only looks does not wait.
  enum class How : std::uint8_t { look, change };
  [[nodiscard]] Result<Entry> find(const std::string& id, How how = How::change);
  [[nodiscard]] Result<std::vector<std::string>> ids() const;  // sorted

 private:
  [[nodiscard]] Result<Entry> open_entry(const std::string& id) const;

  sys::Fd dir_;
  std::string path_;
};

// The lock is one of the process (fcntl(2)), not of the open file: a container that waits to be started has inherited
// all descriptors, and would keep an flock(2) when `create` is killed. So two Entries of one process do not exclude
// each other.
class Store::Entry {
 public:
  // ENOENT: `create` was ended before it wrote a state, and nothing else was made. EBADMSG: what is there is damaged.
  [[nodiscard]] Result<State> read() const;
  [[nodiscard]] Result<> write(const State& state);
  // Further files of the container, by their owner's names. Written as the state is; ENOENT where there is none.
  [[nodiscard]] Result<std::string> read_text(const std::string& name) const;
  [[nodiscard]] Result<> write_text(const std::string& name, std::string_view text) const;
  [[nodiscard]] int directory() const { return dir_.get(); }
  [[nodiscard]] Result<> make_start_fifo(uid_t owner);
  [[nodiscard]] Result<sys::Fd> open_start_fifo(int flags) const;  // O_PATH, O_WRONLY, O_RDONLY|O_NONBLOCK
  [[nodiscard]] Result<bool> has_start_fifo() const;
  [[nodiscard]] Result<> remove_start_fifo();
  [[nodiscard]] Result<> remove();  // the directory and all that is in it
  void unlock();
  [[nodiscard]] bool locked_by_another() const;
  [[nodiscard]] const std::string& id() const { return id_; }

 private:
  friend class Store;
  [[nodiscard]] Result<bool> lock();  // false: the directory is gone meanwhile
  sys::Fd parent_, dir_, lock_;
  std::string id_;
};

[[nodiscard]] std::string time_now();  // RFC 3339 with nanoseconds, UTC

// Field 22 of /proc/PID/stat; ESRCH where there is no such process, or it is a zombie.
[[nodiscard]] Result<std::uint64_t> start_time_of(pid_t pid);
// A process that was noted by its number and start time: a number alone may be another process by now. ESRCH: it has
// ended. `open_process` returns a pidfd, `open_in_proc` a file of /proc/PID, such as "ns/net".
[[nodiscard]] Result<sys::Fd> open_process(pid_t pid, std::uint64_t start);
[[nodiscard]] Result<sys::Fd> open_in_proc(pid_t pid, std::uint64_t start, std::string_view file, int flags);
// Whether it is there; an error where that cannot be found out (no descriptors, no memory).
[[nodiscard]] Result<bool> process_lives(pid_t pid, std::uint64_t start);
[[nodiscard]] Result<bool> init_lives(const State& state);  // of the container's first process
// Whether the process has executed a program since it was made; a zombie answers what it had done. `start`: none for a
// child that nobody has waited for, whose number is its own. ESRCH: there is none.
[[nodiscard]] Result<bool> has_executed(pid_t pid, std::optional<std::uint64_t> start = {});

// The hierarchies in which `state.group` is the name of the container's group.
[[nodiscard]] Result<Hierarchies> hierarchies_of(const State& state);

// What it is doing now, from /proc, the fifo and the freezer.
[[nodiscard]] Result<Status> status_of(const State& state, const Store::Entry& entry);
// The state of the specification as JSON, for hooks.
[[nodiscard]] std::string state_json(const State& state, std::string_view status, pid_t pid);

// The text of state.json, and what it says. EBADMSG: it is none.
[[nodiscard]] std::string state_text(const State& state);
[[nodiscard]] Result<State> parse_state(std::string_view text);

}  // namespace cgx::container
