// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/boot.h"

#include <cerrno>

#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

namespace cgx::sys {

Result<std::string> boot_id() {
  constexpr const char* path = "/proc/sys/kernel/random/boot_id";
  const auto text = read_path(path);
  if (!text) return fail_errno(text.error().code, path);
  const std::string_view id = trim(*text);
  if (id.empty()) return fail(EPROTO, std::string(path) + " is empty");
  return std::string(id);
}

}  // namespace cgx::sys
