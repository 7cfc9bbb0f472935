// SPDX-License-Identifier: Apache-2.0
// What people who come from docker type, and what it is here.
#pragma once

#include <span>
#include <string_view>

#include "command.h"

namespace cgx::tool {

struct DockerWord {
  std::string_view name;
  bool planned = false;   // nothing here does it yet; false: the hint's command does
  std::string_view hint;  // the next step
};
[[nodiscard]] std::span<const DockerWord> docker_words();
// Of the first word, or of the one behind `container`. nullptr: none.
[[nodiscard]] const DockerWord* find_docker_word(std::string_view name);

// `kill web` is of a group here. Where there is no group of that name, but a container, the hint names its command.
[[nodiscard]] Error hint_at_container(Error error, const Call& call);
// The same of a command line with flags that only the command of containers has: `exec -it web sh`.
[[nodiscard]] Error hint_at_container(Error error, const Command& command, std::span<const std::string_view> arguments);

}  // namespace cgx::tool
