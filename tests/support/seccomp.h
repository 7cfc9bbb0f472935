// SPDX-License-Identifier: Apache-2.0
// Makes this kernel look like one that lacks a system call, for the fallbacks.
#pragma once

#include <functional>

namespace cgx::test {

// Runs `body` in a thread in which system call `number` fails with ENOSYS, and waits for it; other threads are not
// concerned. Answers false, without having run it, where seccomp filters are not allowed.
[[nodiscard]] bool without_syscall(long number, const std::function<void()>& body);

}  // namespace cgx::test
