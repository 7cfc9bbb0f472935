// SPDX-License-Identifier: Apache-2.0
// libcgroup's files: whatever they hold, the policy made of them can be read, and what was told stands in it.
#include "cgx/policy/import.h"

#include "cgx/policy/yaml.h"

#include "fuzz.h"

using namespace cgx::policy;

void cgx::fuzz::one(std::string_view input) {
  for (const ImportKind kind : {ImportKind::cgconfig, ImportKind::cgrules}) {
    std::vector<Problem> problems;
    const auto text =
        kind == ImportKind::cgconfig ? import_cgconfig(input, "x", problems) : import_cgrules(input, "x", problems);
    if (!text) continue;
    for (const Problem& p : problems) FUZZ_CHECK(p.place.line > 0 && !p.what.empty());
    // Users and groups of users that are not on this host are the one thing that may be wrong with it.
    for (const Problem& p : load_text(*text, "y").problems) {
      const bool of_host = p.warning || p.path.ends_with(".owner") || p.path.ends_with(".user");
      if (!of_host) (void)std::fprintf(stderr, "%s\n%s\n", p.text().c_str(), text->c_str());
      FUZZ_CHECK(of_host);
    }
  }
  (void)import_kind(input, "-");
}
