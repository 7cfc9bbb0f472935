// SPDX-License-Identifier: Apache-2.0
#include "exec_rules.h"

#include <cerrno>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/sys/program.h"

namespace cgx::tool {

Result<std::optional<std::string>> group_by_rules(const Call& call) {
  for (const bool there : {!call.words.empty(), !call.limits.empty(), call.on("rm"), call.on("controllers")})
    if (there)
      return std::unexpected(Error{.code = EINVAL,
                                   .what = "takes no NAME, no limits, no --rm and no --controllers",
                                   .knob = "--by-rules",
                                   .hint = "the group comes from the rules, and its limits from the policies",
                                   .fault = Fault::usage});
  std::vector<std::string> words{"place"};
  for (const std::string_view path : call.all("policy")) words.insert(words.end(), {"--policy", std::string(path)});
  words.insert(words.end(), {"--", call.program[0]});
  const std::string answer = CGX_TRY(sys::run_program(CGX_TRY(sys::helper_path("cgx-policy")), words, -1));
  if (answer.empty()) return std::optional<std::string>();
  return CGX_TRY(parse_group_name(answer.substr(0, answer.find('\n'))));
}

}  // namespace cgx::tool
