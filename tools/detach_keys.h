// SPDX-License-Identifier: Apache-2.0
// The keys that leave a program running, in what is typed at a terminal.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace cgx::tool {

class DetachKeys {
 public:
  // The bytes of the keys; empty: there are none.
  explicit DetachKeys(std::string_view keys) : keys_(keys) {}

  // Whether the keys are complete with `text`. What is not theirs is left in it; what may be the first of them waits
  // for what comes next.
  bool typed(std::string& text) {
    if (keys_.empty()) return false;
    std::string out;
    for (const char c : text) {
      held_ += c;
      if (held_ == keys_) return true;
      // Held bytes that cannot begin the keys are passed on; an end that may begin them is kept back.
      while (!std::string_view(keys_).starts_with(held_)) {
        out += held_.front();
        held_.erase(0, 1);
      }
    }
    text = std::move(out);
    return false;
  }

 private:
  std::string keys_, held_;
};

}  // namespace cgx::tool
