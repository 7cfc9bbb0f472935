// SPDX-License-Identifier: Apache-2.0
// Inside daemon/: what /proc says of one process, each file read when it is first asked for.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/cgroupfs/place.h"
#include "cgx/policy/match.h"

namespace cgx::daemon {

// Of /proc/PID/status.
struct ProcessStatus {
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
  pid_t parent = 0;
  std::vector<gid_t> groups;
};

// The directory /proc/PID is held open. The kernel binds it to the process, not to its number: all that is read through
// it is of this one process, and nothing any more once that is gone, also where the number has been given anew. That is
// as good as comparing start times, and costs nothing.
class Process final : public policy::Facts {
 public:
  // ESRCH: there is none. `proc`: a descriptor of /proc.
  [[nodiscard]] static Result<Process> open(const Hierarchies& hierarchies, int proc, pid_t pid);
  Process(Process&& other) noexcept;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() override = default;

  [[nodiscard]] pid_t pid() const override { return pid_; }
  [[nodiscard]] uid_t uid() const override { return status().uid; }
  [[nodiscard]] gid_t gid() const override { return status().gid; }
  [[nodiscard]] bool in_group(gid_t gid) const override;
  [[nodiscard]] std::string_view comm() const override;
  [[nodiscard]] std::string_view exe() const override;
  [[nodiscard]] std::span<const std::string> cgroups() const override;

  [[nodiscard]] pid_t parent() const { return status().parent; }
  [[nodiscard]] const std::vector<Place>& places() const;
  // Threads of the kernel run no program, and what has ended runs none any more: neither is moved.
  [[nodiscard]] bool runs_program() const;
  // Asks whether it is still there.
  [[nodiscard]] bool alive() const;
  // Whether it has ended by what was seen so far: then something that was answered may be empty.
  [[nodiscard]] bool gone() const { return gone_; }

 private:
  Process(const Hierarchies& hierarchies, sys::Fd dir, pid_t pid);
  [[nodiscard]] std::string read(const char* name) const;  // empty where it is gone
  [[nodiscard]] const ProcessStatus& status() const;
  void look_at_exe() const;

  const Hierarchies* hierarchies_;
  sys::Fd dir_;
  pid_t pid_;
  mutable std::optional<ProcessStatus> status_;
  mutable std::optional<std::string> comm_;
  mutable std::optional<std::string> exe_;
  mutable int exe_error_ = 0;
  mutable bool gone_ = false;
  mutable std::optional<std::vector<Place>> places_;
  mutable std::optional<std::vector<std::string>> cgroups_;
};

}  // namespace cgx::daemon
