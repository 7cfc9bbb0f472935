// SPDX-License-Identifier: Apache-2.0
// Prints the JSON Schema of policy files. usage: gen_schema > policies/schema.json
#include <cstdio>

#include "cgx/policy/schema.h"

int main() {
  const std::string text = cgx::policy::schema();
  const bool ok = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  return ok ? 0 : 1;
}
