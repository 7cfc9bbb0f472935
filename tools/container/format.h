// SPDX-License-Identifier: Apache-2.0
// --format of commands that print a row for each container: TEMPLATE, `table TEMPLATE` or `json`, as docker has them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "template.h"

namespace cgx::launcher {

struct Field {
  std::string_view name, heading;
  Member::How how = Member::How::plain;
};

class Format {
 public:
  // `fields`: those that each row has. Fault::usage: what is no template, or names another field.
  [[nodiscard]] static Result<Format> parse(std::string_view text, std::span<const Field> fields);
  // A line a row; of a table with the headings above.
  [[nodiscard]] Result<std::string> text(const std::vector<Value>& rows) const;
  [[nodiscard]] bool table() const { return table_; }

 private:
  explicit Format(Template made) : template_(std::move(made)) {}
  Template template_;
  Value headings_;
  bool table_ = false;
};

}  // namespace cgx::launcher
