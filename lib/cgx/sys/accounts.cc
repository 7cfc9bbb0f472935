// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/accounts.h"

#include <cerrno>
#include <string>

#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

namespace cgx::sys {

Result<std::optional<std::uint32_t>> account_id(Account account, std::string_view name) {
  const std::string file = account == Account::user ? "/etc/passwd" : "/etc/group";
  const auto text = read_path(file);
  if (!text && text.error().code == ENOENT) return std::optional<std::uint32_t>{};
  if (!text) return fail_errno(text.error().code, file);
  return account_id_in(*text, name);
}

std::optional<std::uint32_t> account_id_in(std::string_view text, std::string_view name) {
  for (const std::string_view line : lines(text)) {
    // NAME:PASSWORD:NUMBER:... in both files.
    const auto fields = split(line, ':');
    if (fields.size() < 3 || fields[0] != name) continue;
    if (const auto id = parse_u64(fields[2], 0, 0xfffffffe)) return static_cast<std::uint32_t>(*id);
  }
  return std::nullopt;
}

}  // namespace cgx::sys
