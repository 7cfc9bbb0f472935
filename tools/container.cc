// SPDX-License-Identifier: Apache-2.0
// run, container and gc: cgx-container, the program with the launcher in it, does them in the place of this one.
#include "cgx/sys/program.h"

#include "command.h"

namespace cgx::tool {
namespace {

Result<int> become_container(const Call& call) {
  std::vector<std::string> words{std::string(call.command->name)};
  words.insert(words.end(), call.arguments.begin(), call.arguments.end());
  return sys::become_helper("cgx-container", std::move(words));
}

}  // namespace

Result<int> run_run(const Call& call) { return become_container(call); }
Result<int> run_container(const Call& call) { return become_container(call); }
Result<int> run_gc(const Call& call) { return become_container(call); }

}  // namespace cgx::tool
