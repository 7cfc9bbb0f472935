// SPDX-License-Identifier: Apache-2.0
// Inside container/: the words of `linux.seccomp` and what they are for libseccomp and the kernel.
#pragma once

#include <span>

#include "cgx/container/spec_fill.h"

namespace cgx::container {

// SCMP_ACT_*: SECCOMP_RET_*, with no data.
[[nodiscard]] std::span<const Word> seccomp_actions();
// SCMP_CMP_*: enum scmp_compare.
[[nodiscard]] std::span<const Word> seccomp_operators();
// SCMP_ARCH_*: AUDIT_ARCH_* (of x32, libseccomp's own number).
[[nodiscard]] std::span<const Word> seccomp_architectures();
// SECCOMP_FILTER_FLAG_*.
[[nodiscard]] std::span<const Word> seccomp_flags();

inline constexpr std::uint32_t wait_killable_recv = 1U << 5U;  // SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, since 5.19
// Whether this kernel takes a flag of the list. seccomp.cc
[[nodiscard]] bool kernel_knows_seccomp_flag(std::uint32_t flag);

// Whether a number can stand beside the action: an errno, or what a tracer is told.
[[nodiscard]] bool takes_errno(std::string_view action);

}  // namespace cgx::container
