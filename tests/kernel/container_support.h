// SPDX-License-Identifier: Apache-2.0
// A root of busybox, a specification that runs a command in it, and what the command said.
#pragma once

#include <string>
#include <vector>

#include <unistd.h>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/container/launch.h"
#include "cgx/container/spec.h"

#include "scratch.h"
#include "skip.h"

namespace cgx::test {

// A directory with busybox's commands in /bin. `found` is false where this host has no static busybox.
class BusyboxRoot {
 public:
  BusyboxRoot();
  [[nodiscard]] bool found() const { return found_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const ScratchDir& dir() const { return dir_; }

 private:
  ScratchDir dir_;
  std::string path_;
  bool found_ = false;
};

// What `runc spec` says, but for seccomp and the masked paths: sh -c `command`, all namespaces but the user's.
[[nodiscard]] container::Spec spec_for(const std::string& root, const std::string& command);
[[nodiscard]] container::LaunchRequest request_for(const container::Spec& spec);

struct Ended {
  std::string error;  // of launch()
  int code = 0;       // its errno
  int status = -1;    // of waitpid
  std::string output;
  std::vector<std::string> warnings;
};
// Launches with the standard streams going to a file, and waits for the end.
[[nodiscard]] Ended run(container::LaunchRequest& request);
[[nodiscard]] Ended run(const container::Spec& spec);
[[nodiscard]] Ended enter_and_wait(container::EnterRequest& request);

// In every hierarchy. Aborts the test case where it cannot be made.
void make_group(const Hierarchies& hierarchies, const std::string& name);

// The value of `Key:` in text like that of /proc/PID/status, without blanks around it.
[[nodiscard]] std::string field(const std::string& text, const std::string& key);
// Whether the calling process has any child left.
[[nodiscard]] bool has_children();

// Descriptors 0, 1 and 2 as a file, until the end.
class Streams {
 public:
  Streams();
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;
  ~Streams() { restore(); }
  void restore();
  [[nodiscard]] std::string text() const;

 private:
  sys::Fd file_, in_, out_, err_;
};

}  // namespace cgx::test

// A BusyboxRoot of that name; the test case is skipped where there cannot be one.
#define CGX_BUSYBOX(root)                     \
  if (geteuid() != 0) CGX_SKIP("needs root"); \
  const ::cgx::test::BusyboxRoot root;        \
  if (!(root).found()) CGX_SKIP("needs busybox-static")
