// SPDX-License-Identifier: Apache-2.0
// The directory in which cgxd keeps what has to outlive it: what is managed, what is paused, the history. Only one cgxd
// at a time has it.
#pragma once

#include <string>
#include <string_view>

#include "cgx/sys/fd.h"

namespace cgx::daemon {

class StateDir {
 public:
  // Made where it is missing, with the directories above, 0755 and the caller's. EBUSY: another cgxd has it, and the
  // error says its pid; EPERM: others may write to it or it is somebody else's, so that what it says cannot be trusted.
  [[nodiscard]] static Result<StateDir> open(const std::string& path);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] int fd() const { return dir_.get(); }
  // The whole file, or nothing of it, also after a crash: written beside it and renamed.
  [[nodiscard]] Result<> write(std::string_view name, std::string_view text) const;
  // Empty where there is none. A file that cannot be read is an error: what stands in it must not be taken for gone.
  [[nodiscard]] Result<std::string> read(std::string_view name) const;
  void remove(std::string_view name) const;

 private:
  StateDir(std::string path, sys::Fd dir, sys::Fd lock)
      : path_(std::move(path)), dir_(std::move(dir)), lock_(std::move(lock)) {}
  std::string path_;
  sys::Fd dir_;
  sys::Fd lock_;
};

}  // namespace cgx::daemon
