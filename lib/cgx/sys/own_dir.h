// SPDX-License-Identifier: Apache-2.0
// Directories whose contents are believed: records, locks, layers. In a place where others can write, such as /tmp,
// anybody may have made a directory of that name before. And how a file in them is replaced.
#pragma once

#include <string>
#include <string_view>

#include "cgx/sys/fd.h"

namespace cgx::sys {

// Opens `path`, one part after the other, and makes what is missing with `mode`. EPERM, with the reason, unless the
// directory belongs to the caller, and nobody else can write to it or exchange it: what is above it belongs to root or
// to the caller, and others, a group too, can write there only where it is sticky; links on the way belong to root or
// to the caller. In a user namespace, ids that are not mapped count as root's, which may be one of them.
[[nodiscard]] Result<Fd> open_own_dir(const std::string& path, unsigned mode = 0700);
// The same without making anything: ENOENT.
[[nodiscard]] Result<Fd> find_own_dir(const std::string& path);
// For who only reads: it may be root's.
[[nodiscard]] Result<Fd> find_trusted_dir(const std::string& path);
// Opens a regular file or a directory to read it, as find_trusted_dir() does; besides, a group that is root's, or the
// caller's alone, may write to it, unless there is an access control list, which may let others write too.
[[nodiscard]] Result<Fd> open_trusted(const std::string& path);

// Replaces the file `name` of `dir`: who reads it sees the old text or the new one. It is written under another name
// and renamed: `aside`, for who alone writes it and leaves no more than that one behind where it is killed, else a name
// that is new each time. Errors: the errno of the system call, and the name.
struct Replaced {
  unsigned mode = 0600;
  std::string_view aside = {};
  bool synced = false;  // on a disk a rename may reach it before what was written: a power cut would leave no text
};
[[nodiscard]] Result<> replace_file(int dir, const std::string& name, std::string_view text, Replaced how = {});

}  // namespace cgx::sys
