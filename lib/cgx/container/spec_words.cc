// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include <linux/mempolicy.h>
#include <sched.h>

#include "cgx/container/namespaces.h"
#include "cgx/container/spec_fill.h"

namespace cgx::container {
namespace {

// By number: include/uapi/linux/capability.h.
constexpr std::array<std::string_view, 41> capabilities = {"CAP_CHOWN",
                                                           "CAP_DAC_OVERRIDE",
                                                           "CAP_DAC_READ_SEARCH",
                                                           "CAP_FOWNER",
                                                           "CAP_FSETID",
                                                           "CAP_KILL",
                                                           "CAP_SETGID",
                                                           "CAP_SETUID",
                                                           "CAP_SETPCAP",
                                                           "CAP_LINUX_IMMUTABLE",
                                                           "CAP_NET_BIND_SERVICE",
                                                           "CAP_NET_BROADCAST",
                                                           "CAP_NET_ADMIN",
                                                           "CAP_NET_RAW",
                                                           "CAP_IPC_LOCK",
                                                           "CAP_IPC_OWNER",
                                                           "CAP_SYS_MODULE",
                                                           "CAP_SYS_RAWIO",
                                                           "CAP_SYS_CHROOT",
                                                           "CAP_SYS_PTRACE",
                                                           "CAP_SYS_PACCT",
                                                           "CAP_SYS_ADMIN",
                                                           "CAP_SYS_BOOT",
                                                           "CAP_SYS_NICE",
                                                           "CAP_SYS_RESOURCE",
                                                           "CAP_SYS_TIME",
                                                           "CAP_SYS_TTY_CONFIG",
                                                           "CAP_MKNOD",
                                                           "CAP_LEASE",
                                                           "CAP_AUDIT_WRITE",
                                                           "CAP_AUDIT_CONTROL",
                                                           "CAP_SETFCAP",
                                                           "CAP_MAC_OVERRIDE",
                                                           "CAP_MAC_ADMIN",
                                                           "CAP_SYSLOG",
                                                           "CAP_WAKE_ALARM",
                                                           "CAP_BLOCK_SUSPEND",
                                                           "CAP_AUDIT_READ",
                                                           "CAP_PERFMON",
                                                           "CAP_BPF",
                                                           "CAP_CHECKPOINT_RESTORE"};

struct NamespaceRow {
  int flag;
  std::string_view file;  // in /proc/PID/ns
};
constexpr std::array<std::string_view, 8> namespace_names = {
    "pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"};
constexpr std::array<NamespaceRow, 8> namespaces = {{{CLONE_NEWPID, "pid"},
                                                     {CLONE_NEWNET, "net"},
                                                     {CLONE_NEWNS, "mnt"},
                                                     {CLONE_NEWIPC, "ipc"},
                                                     {CLONE_NEWUTS, "uts"},
                                                     {CLONE_NEWUSER, "user"},
                                                     {CLONE_NEWCGROUP, "cgroup"},
                                                     {CLONE_NEWTIME, "time"}}};

constexpr std::array<Word, 7> memory_modes = {{{"MPOL_DEFAULT", MPOL_DEFAULT},
                                               {"MPOL_PREFERRED", MPOL_PREFERRED},
                                               {"MPOL_BIND", MPOL_BIND},
                                               {"MPOL_INTERLEAVE", MPOL_INTERLEAVE},
                                               {"MPOL_LOCAL", MPOL_LOCAL},
                                               {"MPOL_PREFERRED_MANY", MPOL_PREFERRED_MANY},
                                               {"MPOL_WEIGHTED_INTERLEAVE", 6}}};  // since 6.9
constexpr std::array<Word, 3> memory_flags = {{{"MPOL_F_STATIC_NODES", MPOL_F_STATIC_NODES},
                                               {"MPOL_F_RELATIVE_NODES", MPOL_F_RELATIVE_NODES},
                                               {"MPOL_F_NUMA_BALANCING", MPOL_F_NUMA_BALANCING}}};

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return upper(x) == y; });
}

}  // namespace

std::span<const std::string_view> namespace_words() { return namespace_names; }
std::span<const std::string_view> capability_words() { return capabilities; }
std::span<const Word> memory_policy_modes() { return memory_modes; }
std::span<const Word> memory_policy_flags() { return memory_flags; }

int capability_number(std::string_view name) {
  constexpr std::size_t prefix = 4;  // "CAP_"
  for (std::size_t i = 0; i < capabilities.size(); ++i)
    if (same_word(name, capabilities[i]) || same_word(name, capabilities[i].substr(prefix))) return static_cast<int>(i);
  return -1;
}

std::string_view capability_name(int number) {
  if (number < 0 || static_cast<std::size_t>(number) >= capabilities.size()) return {};
  return capabilities[static_cast<std::size_t>(number)];
}

int namespace_flag(NamespaceType type) { return namespaces[static_cast<std::size_t>(type)].flag; }
std::string_view namespace_file(NamespaceType type) { return namespaces[static_cast<std::size_t>(type)].file; }

const Word* find_word(std::span<const Word> words, std::string_view word) {
  const auto found = std::ranges::find(words, word, &Word::word);
  return found == words.end() ? nullptr : &*found;
}

Result<std::uint32_t> word_value(std::span<const Word> words, const json::Value& from) {
  const std::string_view word = CGX_TRY(from.text());
  if (const Word* found = find_word(words, word)) return found->value;
  return from.wrong("is not known");
}

Result<> fill_path(std::string& to, const json::Value& from) {
  if (!from.there()) return {};
  to = CGX_TRY(from.text());
  if (!to.starts_with('/')) return from.wrong("is not absolute");
  return {};
}

}  // namespace cgx::container
