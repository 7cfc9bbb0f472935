// SPDX-License-Identifier: Apache-2.0
// From a bundle to a container, for create and run.
#pragma once

#include "container.h"

namespace cgx::oci {

enum class Start : std::uint8_t { wait, now };  // for `start`, or at once

struct Made {
  Container container;
  std::unique_ptr<Spec> spec;
  container::Launched launched;
  sys::Fd ready;  // the socket where it says that it is ready, where somebody wants to know
};

// On an error nothing is left of it.
[[nodiscard]] Result<Made> make_container(const Invocation& call, Start start, bool detach);

}  // namespace cgx::oci
