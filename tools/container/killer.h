// SPDX-License-Identifier: Apache-2.0
// Which command of cgx has killed a container. It says so in the record (killer.json) before it sends the signal: the
// monitor sees a SIGKILL and not its sender, and the command may be killed itself before it can tell. A note is about
// the process that was the container's first one then. It is believed for a minute: who wrote it may have ended before
// the signal was sent.
#pragma once

#include <string>
#include <string_view>

#include "cgx/container/state.h"

namespace cgx::launcher {

// Without room for a note there is none.
void note_killer(const container::Store::Entry& entry, const container::State& state, std::string_view command);
// The signal was not sent.
void forget_killer(const container::Store::Entry& entry);
// "cgx container stop after 10 s", by the note about the first process of `state`; empty: nobody has left one.
[[nodiscard]] std::string noted_killer(const container::Store::Entry& entry, const container::State& state);

// The note, and what it says at a later time; `now` in seconds since the boot.
[[nodiscard]] std::string killer_text(const container::State& state, std::string_view command, std::uint64_t now);
[[nodiscard]] std::string parse_killer(std::string_view text, const container::State& state, std::uint64_t now);

}  // namespace cgx::launcher
