// SPDX-License-Identifier: Apache-2.0
// Inside container/: the steps that compile_seccomp() is made of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgx/container/seccomp.h"

namespace cgx::container {

// A number of a system call on one architecture, -1 where there is none.
struct SyscallNumber {
  std::uint32_t architecture = 0;  // AUDIT_ARCH_*
  bool x32 = false;                // shares its number of an architecture with x86-64, and has a bit in the call's
  int number = -1;
};

// What runs before the filter of libseccomp. Two things that the rules alone cannot say: system calls that are newer
// than libseccomp, and those newer than the rules. An engine's list of allowed calls ends with the calls that its
// author knew; what is above them is answered by ENOSYS, not by the default action, so that a newer C library falls
// back to an older call instead of failing.
struct Prologue {
  struct Section {
    std::uint32_t architecture = 0;
    bool x32 = false;
    int last = -1;                                               // above it: ENOSYS; -1: all go on
    std::vector<std::pair<std::uint32_t, std::uint32_t>> calls;  // number, SECCOMP_RET_* with its data
  };
  std::vector<Section> sections;
};
// The program of `prologue`, whose end is where what is appended begins.
[[nodiscard]] std::vector<std::uint64_t> assemble(const Prologue& prologue);

// The number of a system call that has been added since libseccomp 2.5, which is the same on all architectures whose
// calls are numbered like the generic ones; -1: not known.
[[nodiscard]] int new_syscall(std::string_view name);

// What the program is made of, and by what: the same text, the same program.
[[nodiscard]] std::string canonical(const Seccomp& rules);

// Programs in a directory of the caller's own (mode 0700), each with the text that it was made of, which is compared
// byte by byte. What is wrong, too large or not the caller's is not used. Storing may fail: then there is no file.
[[nodiscard]] std::optional<SeccompProgram> find_program(const std::string& directory, const std::string& text);
void store_program(const std::string& directory, const std::string& text, const SeccompProgram& program);

}  // namespace cgx::container
