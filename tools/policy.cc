// SPDX-License-Identifier: Apache-2.0
// check, plan, apply, snapshot and import: cgx-policy, the program with the YAML library in it, does them in the place
// of this one.
#include "cgx/sys/program.h"

#include "command.h"

namespace cgx::tool {
namespace {

Result<int> become_policy(const Call& call) {
  std::vector<std::string> words{std::string(call.command->name)};
  for (const auto& [name, text] : call.options) {
    words.push_back("--" + name);
    for (const Option& o : call.command->options)
      if (o.name == name && !o.argument.empty()) words.push_back(text);
  }
  words.emplace_back("--");
  words.insert(words.end(), call.words.begin(), call.words.end());
  return sys::become_helper("cgx-policy", std::move(words));
}

}  // namespace

Result<int> run_check(const Call& call) { return become_policy(call); }
Result<int> run_plan(const Call& call) { return become_policy(call); }
Result<int> run_apply(const Call& call) { return become_policy(call); }
Result<int> run_snapshot(const Call& call) { return become_policy(call); }
Result<int> run_import(const Call& call) { return become_policy(call); }

}  // namespace cgx::tool
