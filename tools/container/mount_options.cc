// SPDX-License-Identifier: Apache-2.0
#include "mount_options.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace cgx::launcher {
namespace {

// Words with one subject exclude each other.
struct Word {
  std::string_view option, subject;
};
constexpr std::array words{Word{"ro", "access"},
                           Word{"rro", "access"},
                           Word{"rw", "access"},
                           Word{"private", "propagation"},
                           Word{"rprivate", "propagation"},
                           Word{"shared", "propagation"},
                           Word{"rshared", "propagation"},
                           Word{"slave", "propagation"},
                           Word{"rslave", "propagation"},
                           Word{"z", "label"},
                           Word{"Z", "label"},
                           Word{"cached", "consistency"},
                           Word{"consistent", "consistency"},
                           Word{"delegated", "consistency"},
                           Word{"exec", "exec"},
                           Word{"noexec", "exec"},
                           Word{"suid", "suid"},
                           Word{"nosuid", "suid"},
                           Word{"dev", "dev"},
                           Word{"nodev", "dev"},
                           Word{"sync", "sync"},
                           Word{"async", "sync"},
                           Word{"atime", "atime"},
                           Word{"noatime", "atime"},
                           Word{"relatime", "atime"},
                           Word{"strictatime", "atime"},
                           Word{"diratime", "diratime"},
                           Word{"nodiratime", "diratime"},
                           Word{"inode32", "inode"},
                           Word{"inode64", "inode"}};

// Of KEY=VALUE the key.
std::string_view subject_of(std::string_view option) {
  const auto row = std::ranges::find(words, option, &Word::option);
  return row != words.end() ? row->subject : option.substr(0, option.find('='));
}

}  // namespace

std::optional<std::string> contradiction(std::span<const std::string_view> options, Twice twice) {
  for (std::size_t i = 0; i < options.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) {
      if (options[i].empty() || subject_of(options[i]) != subject_of(options[j])) continue;
      if (options[i] != options[j])
        return fmt::format("has the options \"{}\" and \"{}\", which contradict each other", options[j], options[i]);
      if (twice == Twice::refused) return fmt::format("has the option \"{}\" twice", options[i]);
    }
  return std::nullopt;
}

}  // namespace cgx::launcher
