// SPDX-License-Identifier: Apache-2.0
// check, plan, apply, snapshot and import: cgx-policy, the program with the YAML library in it, does them in the place
// of this one.
#include <cerrno>

#include <unistd.h>

#include "cgx/sys/program.h"

#include "command.h"

namespace cgx::tool {
namespace {

// Comes back only where it fails.
Result<int> exec_helper(const Call& call) {
  const std::string program = CGX_TRY(sys::helper_path("cgx-policy"));
  std::vector<std::string> words{program, std::string(call.command->name)};
  for (const auto& [name, text] : call.options) {
    words.push_back("--" + name);
    for (const Option& o : call.command->options)
      if (o.name == name && !o.argument.empty()) words.push_back(text);
  }
  words.emplace_back("--");
  words.insert(words.end(), call.words.begin(), call.words.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  (void)execv(program.c_str(), argv.data());
  return fail_errno(errno, program);
}

}  // namespace

Result<int> run_check(const Call& call) { return exec_helper(call); }
Result<int> run_plan(const Call& call) { return exec_helper(call); }
Result<int> run_apply(const Call& call) { return exec_helper(call); }
Result<int> run_snapshot(const Call& call) { return exec_helper(call); }
Result<int> run_import(const Call& call) { return exec_helper(call); }

}  // namespace cgx::tool
