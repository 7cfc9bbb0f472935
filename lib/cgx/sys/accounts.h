// SPDX-License-Identifier: Apache-2.0
// Users and groups of this host by name, as its own files have them: passwd(5), group(5). A static program must not
// load the modules of the name service, so whoever needs other sources (LDAP, systemd) asks getent(1) for what is
// missing here.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "cgx/sys/result.h"

namespace cgx::sys {

enum class Account : std::uint8_t { user, group };

// The number of `name` in /etc/passwd or /etc/group; none: the file does not have the name, or does not exist.
// Error: the file cannot be read.
[[nodiscard]] Result<std::optional<std::uint32_t>> account_id(Account account, std::string_view name);

// The same in the text of such a file, or in a line that getent printed. The first line of that name counts, as it does
// for the C library; a line without a valid number is none.
[[nodiscard]] std::optional<std::uint32_t> account_id_in(std::string_view text, std::string_view name);

// A line of passwd, of this host or of a container.
struct PasswdLine {
  std::string_view name;  // of the line
  std::uint32_t uid = 0, gid = 0;
  std::string_view home;  // empty: it says none
};
// Nothing: it has no name, or no valid numbers.
[[nodiscard]] std::optional<PasswdLine> parse_passwd_line(std::string_view line);

}  // namespace cgx::sys
