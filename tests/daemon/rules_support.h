// SPDX-License-Identifier: Apache-2.0
// For tests of rules: processes that rules can be about, and no others on this machine.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/sys/fd.h"

#include "daemon/rules/sorter.h"
#include "groups.h"
#include "scratch.h"
#include "skip.h"

namespace cgx::test {

// A copy of tests/support/sorted.c under a name that no other process has, for rules by command or path.
class Program {
 public:
  explicit Program(const ScratchDir& dir);
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::string& comm() const { return comm_; }

 private:
  std::string comm_;  // at most 15 bytes, as the kernel cuts the rest
  std::string path_;
};

// A process that is no child of this one: cgxd's own children are never sorted.
class Started {
 public:
  explicit Started(const std::vector<std::string>& words);
  Started(const Started&) = delete;
  Started& operator=(const Started&) = delete;
  ~Started();
  // A line of its output, without the newline; empty at its end.
  [[nodiscard]] std::string line();
  [[nodiscard]] pid_t pid();  // the next line as a number
  void go();                  // writes a line to its input
  // Closes its input and waits for its end; answers the status.
  int end();

 private:
  pid_t shell_ = -1;
  sys::Fd in_;
  sys::Fd out_;
};

// Everything that a test of rules needs. `sorter` is empty where the kernel does not let us, and `why` says so.
struct Sorted {
  Hierarchies hierarchies;
  ScratchDir scratch;
  TestGroup group;
  Program program;
  std::unique_ptr<daemon::Sorter> sorter;
  std::string why;

  explicit Sorted(Hierarchies found, daemon::Sorter::Options options = {});
  // Returns when what runs already has been looked at.
  [[nodiscard]] bool rules(std::vector<policy::Rule> rules) const;
  [[nodiscard]] bool in(pid_t pid, const std::string& name) const;
  [[nodiscard]] std::string failures() const;
};
[[nodiscard]] std::optional<Hierarchies> hierarchies_of_host();

// Waits for it to become true, 20 s at most: machines are busy.
[[nodiscard]] bool soon(const std::function<bool()>& is_true);
// Whether the process is in the group in all hierarchies where the group is.
[[nodiscard]] bool is_in(const Hierarchies& hierarchies, pid_t pid, const std::string& group);

}  // namespace cgx::test

// `name`: a Sorted; ends the test case as skipped where rules cannot be tried. Further arguments go to the Sorter.
#define CGX_SORTED(name, ...)                                                 \
  auto cgx_found = ::cgx::test::hierarchies_of_host();                        \
  if (!cgx_found) CGX_SKIP("no cgroup file system is mounted");               \
  if (geteuid() != 0) CGX_SKIP("needs root");                                 \
  ::cgx::test::Sorted name(std::move(*cgx_found) __VA_OPT__(, ) __VA_ARGS__); \
  if (!name.sorter) CGX_SKIP(name.why)
