// SPDX-License-Identifier: Apache-2.0
// Policy files: whatever they are, each problem has a place and a sentence; what is taken is written as a file that
// means the same.
#include <algorithm>
#include <string>

#include "cgx/policy/document.h"
#include "cgx/policy/emit.h"
#include "cgx/policy/yaml.h"

#include "fuzz.h"

void cgx::fuzz::one(std::string_view input) {
  using namespace cgx::policy;
  const Loaded loaded = load_text(input, "f.yaml");
  for (const Problem& p : loaded.problems) {
    FUZZ_CHECK(p.place.file == "f.yaml");
    FUZZ_CHECK((p.place.line == 0) == (p.place.column == 0));
    FUZZ_CHECK(!p.what.empty());
    const std::string text = p.text() + p.hint;
    // One line that no terminal takes for commands, and not the whole file once more.
    FUZZ_CHECK(std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }));
    FUZZ_CHECK(text.size() < 10'000);
  }
  for (const GroupPolicy& g : loaded.policies.groups) {
    FUZZ_CHECK(parse_group_name(g.name).value_or("") == g.name);
    FUZZ_CHECK(g.place.line != 0);
    for (const PolicyLimit& l : g.limits) FUZZ_CHECK(l.place.line != 0 && !l.key.empty());
  }
  if (!loaded.ok()) return;
  const auto text = emit(loaded.policies);
  FUZZ_CHECK(text.has_value());
  if (text->size() > most_document_bytes) return;  // aliases may have made it grow
  const Loaded again = load_text(*text, "f.yaml");
  FUZZ_CHECK(again.ok());
  FUZZ_CHECK(again.policies.groups.size() == loaded.policies.groups.size());
  FUZZ_CHECK(again.policies.rules.size() == loaded.policies.rules.size());
  FUZZ_CHECK(emit(again.policies).value_or("") == *text);
}
