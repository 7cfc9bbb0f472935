// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/mount_options.h"

#include <algorithm>
#include <array>

#include <sys/mount.h>

#include "cgx/container/rootfs.h"

namespace cgx::container {
namespace {

// Clearing the field of access times without setting it is `relatime`, the kernel's default.
struct AttributeWord {
  std::string_view word;
  std::uint64_t set, clear;
};
// clang-format off
constexpr std::array attribute_words = {
    AttributeWord{"ro", MOUNT_ATTR_RDONLY, 0},               AttributeWord{"rw", 0, MOUNT_ATTR_RDONLY},
    AttributeWord{"nosuid", MOUNT_ATTR_NOSUID, 0},           AttributeWord{"suid", 0, MOUNT_ATTR_NOSUID},
    AttributeWord{"nodev", MOUNT_ATTR_NODEV, 0},             AttributeWord{"dev", 0, MOUNT_ATTR_NODEV},
    AttributeWord{"noexec", MOUNT_ATTR_NOEXEC, 0},           AttributeWord{"exec", 0, MOUNT_ATTR_NOEXEC},
    AttributeWord{"nodiratime", MOUNT_ATTR_NODIRATIME, 0},   AttributeWord{"diratime", 0, MOUNT_ATTR_NODIRATIME},
    AttributeWord{"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0}, AttributeWord{"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
    AttributeWord{"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    AttributeWord{"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    AttributeWord{"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    AttributeWord{"atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    AttributeWord{"norelatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    AttributeWord{"nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
};
struct PropagationWord {
  std::string_view word;
  unsigned long type;
};
constexpr std::array propagation_words = {
    PropagationWord{"private", MS_PRIVATE},       PropagationWord{"rprivate", MS_PRIVATE | MS_REC},
    PropagationWord{"shared", MS_SHARED},         PropagationWord{"rshared", MS_SHARED | MS_REC},
    PropagationWord{"slave", MS_SLAVE},           PropagationWord{"rslave", MS_SLAVE | MS_REC},
    PropagationWord{"unbindable", MS_UNBINDABLE}, PropagationWord{"runbindable", MS_UNBINDABLE | MS_REC},
};
struct RequestWord {
  std::string_view word;
  bool MountOptions::*member;
};
constexpr std::array request_words = {
    RequestWord{"bind", &MountOptions::bind},
    RequestWord{"remount", &MountOptions::remount},
    RequestWord{"tmpcopyup", &MountOptions::copy_up},
    RequestWord{"idmap", &MountOptions::map_ids},
    RequestWord{"src-nofollow", &MountOptions::source_nofollow},
    RequestWord{"dest-nofollow", &MountOptions::target_nofollow},
    RequestWord{"copy-symlink", &MountOptions::copy_symlink},
};
// Flags of the superblock: every file system understands them as words without a value.
constexpr std::array<std::string_view, 7> super_words = {
    "sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand"};
// Without an effect on Linux by now, or by themselves.
constexpr std::array<std::string_view, 5> idle_words = {"defaults", "iversion", "noiversion", "silent", "loud"};
// clang-format on

void change(std::uint64_t& set, std::uint64_t& clear, const AttributeWord& word) {
  set = (set & ~word.clear) | word.set;
  clear = (clear & ~word.set) | word.clear;
}

bool parse_attribute(MountOptions& options, std::string_view option) {
  for (const AttributeWord& word : attribute_words) {
    if (option == word.word)
      change(options.set, options.clear, word);
    else if (option.starts_with('r') && option.substr(1) == word.word)
      change(options.recursive_set, options.recursive_clear, word);
    else
      continue;
    return true;
  }
  return false;
}

bool parse_request(MountOptions& options, std::string_view option) {
  for (const RequestWord& word : request_words)
    if (option == word.word) {
      options.*word.member = true;
      return true;
    }
  if (option == "rbind") {
    options.bind = options.recursive = true;
  } else if (option == "ridmap") {
    options.map_ids = options.map_ids_recursive = true;
  } else if (option.starts_with("idmap=") || option.starts_with("ridmap=")) {
    options.map_ids = true;
    options.map_ids_recursive = option.starts_with('r');
    options.id_map = option.substr(option.find('=') + 1);
  } else {
    return false;
  }
  return true;
}

}  // namespace

MountOptions parse_mount_options(const std::vector<std::string>& options) {
  MountOptions found;
  for (const std::string& option : options) {
    if (option.empty() || std::ranges::find(idle_words, std::string_view(option)) != idle_words.end()) continue;
    if (parse_attribute(found, option) || parse_request(found, option)) continue;
    const auto* type = std::ranges::find(propagation_words, std::string_view(option), &PropagationWord::word);
    if (type != propagation_words.end())
      found.propagation.push_back(type->type);
    else
      found.data.push_back(option);
  }
  return found;
}

unsigned long mount_flags(std::uint64_t set) {
  constexpr std::array<std::pair<std::uint64_t, unsigned long>, 6> same = {{{MOUNT_ATTR_RDONLY, MS_RDONLY},
                                                                            {MOUNT_ATTR_NOSUID, MS_NOSUID},
                                                                            {MOUNT_ATTR_NODEV, MS_NODEV},
                                                                            {MOUNT_ATTR_NOEXEC, MS_NOEXEC},
                                                                            {MOUNT_ATTR_NODIRATIME, MS_NODIRATIME},
                                                                            {MOUNT_ATTR_NOSYMFOLLOW, MS_NOSYMFOLLOW}}};
  unsigned long flags = 0;
  for (const auto& [attribute, flag] : same)
    if ((set & attribute) != 0) flags |= flag;
  if ((set & MOUNT_ATTR__ATIME) == MOUNT_ATTR_NOATIME) flags |= MS_NOATIME;
  if ((set & MOUNT_ATTR__ATIME) == MOUNT_ATTR_STRICTATIME) flags |= MS_STRICTATIME;
  return flags;
}

std::vector<std::string> known_mount_options() {
  std::vector<std::string> words;
  for (const AttributeWord& word : attribute_words) {
    words.emplace_back(word.word);
    words.push_back("r" + std::string(word.word));
  }
  for (const PropagationWord& word : propagation_words) words.emplace_back(word.word);
  for (const RequestWord& word : request_words) words.emplace_back(word.word);
  for (const std::string_view word : super_words) words.emplace_back(word);
  for (const std::string_view word : idle_words) words.emplace_back(word);
  words.insert(words.end(), {"rbind", "ridmap"});
  std::ranges::sort(words);
  return words;
}

}  // namespace cgx::container
