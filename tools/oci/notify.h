// SPDX-License-Identifier: Apache-2.0
// sd_notify(3) of a container: where this command has a NOTIFY_SOCKET, the program gets one of its own, and once it
// says READY=1 there, the caller of this command is told, with the program's pid. As runc does: until the program is
// ready, `start` and `run --detach` do not return. The program cannot say anything else to the host's service manager.
#pragma once

#include "container.h"

namespace cgx::oci {

// Whether there is anybody to be told.
[[nodiscard]] bool has_notify_socket();
// The mount and the variable, before the container is made; the directory is the container's.
[[nodiscard]] Result<> add_notify(Spec& spec, const Store::Entry& entry, const std::string& root);
// ENOENT: the container was made without one.
[[nodiscard]] Result<sys::Fd> listen_for_ready(const Store::Entry& entry);
// Waits for READY=1, or the end of the container, and hands it on.
[[nodiscard]] Result<> hand_on_ready(const sys::Fd& socket, const sys::Fd& init, pid_t pid);

}  // namespace cgx::oci
