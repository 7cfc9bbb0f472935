// SPDX-License-Identifier: Apache-2.0
// Inside cgx-bus: a command, or a container, in a scope of systemd.
#pragma once

#include <span>
#include <string_view>

namespace cgx::tool {

// `scope GROUP SLICE text|json COUNT [KEY VALUE]... CMD [ARG...]`: COUNT limits of the scope, then the command, which
// becomes this process once systemd has put it into a new scope in SLICE (a unit's name). GROUP is for messages. Comes
// back only where it fails, with the exit status.
int run_scope(std::span<char* const> words);
// `start-scope UNIT SLICE PID [KEY VALUE]...`: a new scope of that name in SLICE, with the process PID in it and these
// limits (`=NAME` of a row, or a file). Prints the name of its group.
int run_start_scope(std::span<char* const> words);
// `set-scope UNIT [KEY VALUE]...`: changes these limits of it, until the next boot.
int run_set_scope(std::span<char* const> words);
// `stop-scope UNIT`: and waits until systemd has let go of it. None of that name is no error.
int run_stop_scope(std::span<char* const> words);

}  // namespace cgx::tool
