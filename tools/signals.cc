// SPDX-License-Identifier: Apache-2.0
#include "signals.h"

#include <signal.h>
#include <string.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx::tool {

std::vector<std::string_view> signal_names() {
  std::vector<std::string_view> names;
  for (int n = 1; n < 32; ++n)
    if (const char* name = sigabbrev_np(n)) names.emplace_back(name);
  return names;
}

std::string signal_name(int signal) {
  if (const char* name = sigabbrev_np(signal)) return name;
  return signal == SIGRTMIN ? "RTMIN" : fmt::format("RTMIN+{}", signal - SIGRTMIN);
}

Result<int> parse_signal(std::string_view text) {
  std::string name;
  for (const char c : text) name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  if (name.starts_with("SIG")) name.erase(0, 3);
  for (int n = 1; n < 32; ++n)
    if (const char* known = sigabbrev_np(n); known != nullptr && name == known) return n;
  if (const auto n = sys::parse_u64(text, 1, 64)) {
    // 32 and 33 are the C library's own.
    if (*n < 32 || static_cast<int>(*n) >= SIGRTMIN) return static_cast<int>(*n);
  } else if (name == "RTMIN" || name == "RTMAX") {
    return name == "RTMIN" ? SIGRTMIN : SIGRTMAX;
  } else if (name.starts_with("RTMIN+") || name.starts_with("RTMAX-")) {
    const auto offset = sys::parse_u64(std::string_view(name).substr(6), 0, static_cast<unsigned>(SIGRTMAX - SIGRTMIN));
    if (offset) return name[3] == 'I' ? SIGRTMIN + static_cast<int>(*offset) : SIGRTMAX - static_cast<int>(*offset);
  }
  auto error = bad_value(text, "is not a signal");
  const std::string_view close = sys::nearest(name, signal_names());
  error.error().hint =
      close.empty() ? "a name as TERM, or a number from 1 to 64" : fmt::format("did you mean {}?", close);
  return error;
}

}  // namespace cgx::tool
