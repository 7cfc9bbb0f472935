// SPDX-License-Identifier: Apache-2.0
// The configuration files of libcgroup become the text of a policy file: cgconfig.conf(5), which makes groups, and
// cgrules.conf(5), which says who goes where. What a policy has no words for is never dropped in silence: it is told in
// `problems`, with its file and line, and stands in comments at the top of the text as well (the first thousand). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cgx/policy/policy.h"

namespace cgx::policy {

enum class ImportKind : std::uint8_t { cgconfig, cgrules };
// By the name of the file (cgrules in it), else by what stands in it.
[[nodiscard]] ImportKind import_kind(std::string_view text, std::string_view name);

// Each answers a policy that load_text() reads (as far as the devices and users in it are on the host), whatever `text`
// is. What cannot be read as the grammar says is a problem that is an error, with its line; what can be read and not
// carried over is a warning. `name` stands in the places. Errors: EILSEQ where the text is not UTF-8, E2BIG where it is
// larger than 1 MiB, or the policy made of it.
[[nodiscard]] Result<std::string> import_cgconfig(std::string_view text,
                                                  std::string_view name,
                                                  std::vector<Problem>& problems);
[[nodiscard]] Result<std::string> import_cgrules(std::string_view text,
                                                 std::string_view name,
                                                 std::vector<Problem>& problems);
// Either of them, by import_kind().
[[nodiscard]] Result<std::string> import_text(std::string_view text,
                                              std::string_view name,
                                              std::vector<Problem>& problems);

}  // namespace cgx::policy
