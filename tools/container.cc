// SPDX-License-Identifier: Apache-2.0
// run, container and gc: cgx-container, the program with the launcher in it, does them in the place of this one.
#include <cerrno>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/program.h"

#include "command.h"

namespace cgx::tool {
namespace {

// Comes back only where it fails.
Result<int> become_container(const Call& call) {
  const std::string program = CGX_TRY(sys::helper_path("cgx-container"));
  std::vector<std::string> words{"cgx-container", std::string(call.command->name)};
  words.insert(words.end(), call.arguments.begin(), call.arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  (void)execv(program.c_str(), argv.data());
  return fail_errno(errno, program);
}

}  // namespace

Result<int> run_run(const Call& call) { return become_container(call); }
Result<int> run_container(const Call& call) { return become_container(call); }
Result<int> run_gc(const Call& call) { return become_container(call); }

}  // namespace cgx::tool
