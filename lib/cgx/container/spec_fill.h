// SPDX-License-Identifier: Apache-2.0
// Inside container/: the readers of the parts of a specification, each in the file of its topic, and what they share.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "cgx/container/json_tree.h"
#include "cgx/container/spec.h"

namespace cgx::container {

// spec_process.cc
[[nodiscard]] Result<> fill(Process& to, const json::Value& from);
[[nodiscard]] Result<> fill(CpuAffinity& to, const json::Value& from);
// spec_mounts.cc
[[nodiscard]] Result<> fill(Mount& to, const json::Value& from);
[[nodiscard]] Result<> fill(Hook& to, const json::Value& from);
[[nodiscard]] Result<> fill(Hooks& to, const json::Value& from);
[[nodiscard]] Result<> fill(IdMapping& to, const json::Value& from);
// spec_linux.cc
[[nodiscard]] Result<> fill(Linux& to, const json::Value& from);
// spec_resources.cc, spec_block_io.cc
[[nodiscard]] Result<> fill(Resources& to, const json::Value& from);
[[nodiscard]] Result<> fill(BlockIoLimits& to, const json::Value& from);
// spec_seccomp.cc. `capabilities`: the bounding set that conditions of rules are about. A key that is not known is an
// error in a profile alone: the specification wants it to be ignored.
enum class FromProfile : std::uint8_t { no, yes };
[[nodiscard]] Result<> fill(Seccomp& to, const json::Value& from, std::uint64_t capabilities, FromProfile profile);

// spec_check.cc: what one part of a specification demands of another.
[[nodiscard]] Result<> check(const Spec& spec);
// Mappings of ids that the kernel takes: none empty or over 2^32, none of another's ids, at most 340.
[[nodiscard]] Result<> check_mappings(const std::vector<IdMapping>& mappings, std::string_view place);

// A word of the specification, and what it is for the kernel.
struct Word {
  std::string_view word;
  std::uint32_t value = 0;
};
[[nodiscard]] const Word* find_word(std::span<const Word> words, std::string_view word);
// The value of a text that must be one of `words`.
[[nodiscard]] Result<std::uint32_t> word_value(std::span<const Word> words, const json::Value& from);

// `to` is an absolute path without NUL.
[[nodiscard]] Result<> fill_path(std::string& to, const json::Value& from);

// spec_words.cc. In the order of NamespaceType, and of CAP_*.
[[nodiscard]] std::span<const std::string_view> namespace_words();
[[nodiscard]] std::span<const std::string_view> capability_words();
// MPOL_* and MPOL_F_* (include/uapi/linux/mempolicy.h).
[[nodiscard]] std::span<const Word> memory_policy_modes();
[[nodiscard]] std::span<const Word> memory_policy_flags();

}  // namespace cgx::container
