// SPDX-License-Identifier: Apache-2.0
// Running one of cgx's own helper programs: heavy parts (netlink, terminals) are programs of their own, so that what
// does not need them does not load them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/sys/result.h"

namespace cgx::sys {

// The path of the helper `name`: in the directory of $CGX_LIBEXEC, in ../libexec/cgx beside the running program, or in
// the program's own directory. ENOENT: not installed.
[[nodiscard]] Result<std::string> helper_path(std::string_view name);

// Says where the running program is installed, for helper_path(): once it runs from a copy, the kernel knows no more.
void set_program_path(std::string path);

// Runs `program` with `arguments`, `input` on its stdin and descriptor `passed` (none: -1) as its descriptor 3, and
// waits. Answers its stdout. A status other than 0 is an error with the first line of its stderr after `NAME: ` (code
// EIO; status 2 is Fault::usage) and its hint line. Blocks until the program ends.
[[nodiscard]] Result<std::string> run_program(const std::string& program,
                                              std::span<const std::string> arguments,
                                              int passed,
                                              std::string_view input = {});

// Goes on as the helper `name` with `arguments`, in the place of this program. Comes back only where that fails.
[[nodiscard]] std::unexpected<Error> become_helper(std::string_view name, std::vector<std::string> arguments);

}  // namespace cgx::sys
