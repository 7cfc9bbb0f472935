// SPDX-License-Identifier: Apache-2.0
// The JSON Schema (2020-12) of policy files, made from the tables of keys. Editors complete and check by it; what only
// the reader can know (devices, users, keys that stand twice) it lets pass. Pure.
#pragma once

#include <string>

namespace cgx::policy {

// The text of policies/schema.json.
[[nodiscard]] std::string schema();

}  // namespace cgx::policy
