// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/accounts.h"

#include <array>
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

std::optional<PasswdLine> parse_passwd_line(std::string_view line) {
  std::array<std::string_view, 6> fields{};
  for (std::string_view& field : fields) {
    const std::size_t colon = line.find(':');
    field = line.substr(0, colon);
    line.remove_prefix(colon == std::string_view::npos ? line.size() : colon + 1);
  }
  const auto uid = parse_u64(fields[2], 0, 0xfffffffe), gid = parse_u64(fields[3], 0, 0xfffffffe);
  if (fields[0].empty() || !uid || !gid) return std::nullopt;
  return PasswdLine{.name = fields[0],
                    .uid = static_cast<std::uint32_t>(*uid),
                    .gid = static_cast<std::uint32_t>(*gid),
                    .home = fields[5]};
}

}  // namespace cgx::sys
