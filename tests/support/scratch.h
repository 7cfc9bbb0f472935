// SPDX-License-Identifier: Apache-2.0
// What tests make and must take away again: names for groups, and directories. Both bear the pid of the test, by
// which tests/run tells what this run left behind from what another one is using.
#pragma once

#include <string>
#include <string_view>

#include "cgx/sys/fd.h"

namespace cgx::test {

// `cgx-test-PID-N`, another one each time: for a group that the test makes and removes.
[[nodiscard]] std::string unique_name();

// A fresh directory below /tmp, removed with all that is in it at the end (mounts in it are not followed). Aborts
// the test case (by an exception) where it cannot be made.
class ScratchDir {
 public:
  ScratchDir();
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;
  ~ScratchDir();

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] int fd() const { return fd_.get(); }  // O_PATH
  // Writes a file, makes a directory or a symbolic link, below it; parents have to be there.
  void file(std::string_view name, std::string_view content) const;
  void dir(std::string_view name) const;
  void link(std::string_view name, std::string_view target) const;

 private:
  std::string path_;
  sys::Fd fd_;
};

// The path of a program of tests/support: of the build that CGX_BUILD names, else beside this one. Builds with
// sanitizers have none, since they are static.
[[nodiscard]] std::string helper(std::string_view name);

// What a file holds, for comparing: the text, or the error in angle brackets.
[[nodiscard]] std::string content(const std::string& path);

}  // namespace cgx::test
