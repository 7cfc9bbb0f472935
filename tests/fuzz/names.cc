// SPDX-License-Identifier: Apache-2.0
// Names of groups and of controllers, kernel files, and JSON of any bytes.
#include <string>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/model/knob.h"
#include "cgx/sys/json.h"

#include "fuzz.h"

void cgx::fuzz::one(std::string_view input) {
  const auto name = parse_group_name(input);
  if (name) {
    FUZZ_CHECK(name->find('\n') == std::string::npos && name->find('\0') == std::string::npos);
    FUZZ_CHECK(!name->starts_with('/') && !name->ends_with('/') && name->size() <= 4095);
    const std::string framed = "/" + *name + "/";
    FUZZ_CHECK(name->empty() || (framed.find("//") == std::string::npos && framed.find("/../") == std::string::npos &&
                                 framed.find("/./") == std::string::npos));
    if (!name->empty()) FUZZ_CHECK(*parse_group_name(*name) == *name);
    FUZZ_CHECK(parent_of(*name).size() <= name->size());
  } else {
    FUZZ_CHECK(name.error().fault == Fault::usage);
  }
  if (const auto set = ControllerSet::parse(input)) FUZZ_CHECK(ControllerSet::parse(set->text(Version::v2)) == *set);
  (void)controller_of_file(input);
  if (const Knob* k = find_knob(input)) FUZZ_CHECK(find_knob(k->name) == k);

  sys::JsonWriter json;
  json.string(input);
  const std::string text = json.take();
  FUZZ_CHECK(text.size() >= 2 && text.front() == '"' && text.back() == '"');
  for (const char c : text) FUZZ_CHECK(static_cast<unsigned char>(c) >= ' ');
}
