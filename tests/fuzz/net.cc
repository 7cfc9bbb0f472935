// SPDX-License-Identifier: Apache-2.0
// Network control: class numbers, IF=RATE, IF=N, records and undo lines. What is taken comes back the same from its
// own text.
#include "cgx/net/names.h"
#include "cgx/net/record.h"
#include "cgx/net/report.h"

#include "fuzz.h"

namespace net = cgx::net;

void cgx::fuzz::one(std::string_view input) {
  if (const auto id = net::parse_class(input)) FUZZ_CHECK(net::parse_class(net::format_class(*id)).value() == *id);
  if (const auto rate = net::parse_rate_flag(input)) FUZZ_CHECK(net::check_interface_name(rate->interface).has_value());
  if (const auto priority = net::parse_prio_flag(input)) FUZZ_CHECK(priority->priority <= 0xffff);
  if (const auto undo = net::parse_undo(input)) FUZZ_CHECK(net::Record::parse(undo->text()).value() == *undo);
  if (const auto record = net::Record::parse(input)) {
    FUZZ_CHECK(net::Record::parse(record->text()).value() == *record);
    net::Change change;
    change.before = *record;
    FUZZ_CHECK(net::parse_undo(net::change_json(change)).value() == *record);
  }
}
