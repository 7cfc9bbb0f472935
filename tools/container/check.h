// SPDX-License-Identifier: Apache-2.0
// What can be said against a container before anything of it is made, without any rights: `run` and its dry run ask the
// same.
#pragma once

#include "config.h"
#include "image.h"
#include "options.h"

namespace cgx::launcher {

// The container whose network is to be joined, sources of mounts, options of tmpfs, rlimits, profiles, devices; of an
// image that is a directory the user and the working directory too. Errors name the flag and the value. Answers the
// user, as far as the image can be asked.
[[nodiscard]] Result<ImageUser> check_request(const RunOptions& options, const Image& image);

// What the image asks for and a container has not got, a sentence each.
[[nodiscard]] std::vector<std::string> left_out(const RunOptions& options, const Image& image);

// Another container has it: what to do depends on whether that one runs.
[[nodiscard]] Error name_is_taken(const std::string& name);

}  // namespace cgx::launcher
