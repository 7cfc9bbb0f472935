// SPDX-License-Identifier: Apache-2.0
// Device rules: whatever is taken has one canonical text that means the same, and no list of rules breaks the state.
#include "cgx/model/device_rules.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cgx/model/device_list.h"
#include "cgx/sys/text.h"

namespace {

void must(bool holds) {
  if (!holds) std::abort();
}

cgx::Result<cgx::NodeType> any_node(const std::string& path) {
  if (path.size() > 20) return cgx::bad_value(path, "names no device node");
  return cgx::NodeType{
      .type = path.size() % 2 == 0 ? 'b' : 'c', .major = static_cast<unsigned>(path.size()), .minor = 3};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  cgx::DeviceList list;
  for (const std::string_view line : cgx::sys::lines(text)) {
    const auto rule = cgx::parse_device_rule(line, any_node);
    if (!rule) {
      must(rule.error().fault == cgx::Fault::usage && rule.error().value == line);
      continue;
    }
    const auto again = cgx::parse_device_rule(rule->text(), any_node);
    must(again && *again == *rule);
    const bool effective = !list.in_the_way_of(*rule);
    list.apply(*rule);
    if (rule->type != 'a' && effective)
      must(list.permits(rule->type, rule->major.value_or(7), rule->minor.value_or(9), rule->access) == rule->allow);
  }
  const auto again = cgx::DeviceList::parse(list.text());
  must(again && *again == list);
  if (const auto shown = cgx::DeviceList::parse_kernel(text)) {
    cgx::DeviceList now = *shown;
    for (const cgx::DeviceWrite& write : cgx::device_writes(*shown, list)) now.apply(write.rule);
    must(now == list);
  }
  (void)cgx::current_devices(text, text);
  return 0;
}
