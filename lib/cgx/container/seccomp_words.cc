// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/seccomp_words.h"

#include <array>

#include <linux/seccomp.h>
#include <seccomp.h>

namespace cgx::container {
namespace {

// Sorted by their words, as `features` lists them.
constexpr std::array<Word, 9> actions = {{{"SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW},
                                          {"SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO},
                                          {"SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD},
                                          {"SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS},
                                          {"SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD},
                                          {"SCMP_ACT_LOG", SECCOMP_RET_LOG},
                                          {"SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF},
                                          {"SCMP_ACT_TRACE", SECCOMP_RET_TRACE},
                                          {"SCMP_ACT_TRAP", SECCOMP_RET_TRAP}}};

constexpr std::array<Word, 7> operators = {{{"SCMP_CMP_EQ", SCMP_CMP_EQ},
                                            {"SCMP_CMP_GE", SCMP_CMP_GE},
                                            {"SCMP_CMP_GT", SCMP_CMP_GT},
                                            {"SCMP_CMP_LE", SCMP_CMP_LE},
                                            {"SCMP_CMP_LT", SCMP_CMP_LT},
                                            {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
                                            {"SCMP_CMP_NE", SCMP_CMP_NE}}};

constexpr std::array<Word, 19> architecture_words = {{{"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64},
                                                      {"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
                                                      {"SCMP_ARCH_MIPS", SCMP_ARCH_MIPS},
                                                      {"SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64},
                                                      {"SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32},
                                                      {"SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL},
                                                      {"SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64},
                                                      {"SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32},
                                                      {"SCMP_ARCH_PARISC", SCMP_ARCH_PARISC},
                                                      {"SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64},
                                                      {"SCMP_ARCH_PPC", SCMP_ARCH_PPC},
                                                      {"SCMP_ARCH_PPC64", SCMP_ARCH_PPC64},
                                                      {"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE},
                                                      {"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64},
                                                      {"SCMP_ARCH_S390", SCMP_ARCH_S390},
                                                      {"SCMP_ARCH_S390X", SCMP_ARCH_S390X},
                                                      {"SCMP_ARCH_X32", SCMP_ARCH_X32},
                                                      {"SCMP_ARCH_X86", SCMP_ARCH_X86},
                                                      {"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64}}};

constexpr std::array<Word, 4> flags = {{{"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
                                        {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
                                        {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
                                        {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", wait_killable_recv}}};

}  // namespace

std::span<const Word> seccomp_actions() { return actions; }
std::span<const Word> seccomp_operators() { return operators; }
std::span<const Word> seccomp_architectures() { return architecture_words; }
std::span<const Word> seccomp_flags() { return flags; }
bool takes_errno(std::string_view action) { return action == "SCMP_ACT_ERRNO" || action == "SCMP_ACT_TRACE"; }

}  // namespace cgx::container
