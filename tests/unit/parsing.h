// SPDX-License-Identifier: Apache-2.0
// What the tests of the parsers share.
#pragma once

#include <cerrno>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "cgx/sys/result.h"

namespace cgx::test {

// What every parser has to refuse, whatever it is that it parses.
inline const std::vector<std::string> never = {
    " ",    "-",    "+1",  "--1",  "1 ",     " 1",     "1\n",  std::string("1\0", 2),
    "\xff", "0x",   "1e3", ".",    "..",     "1..",    "1.1.", "nan",
    "inf",  "१",    "1,",  ",1",   "1;2",    "1_0",    "1'",   "%",
    "/",    "1/",   "/1",  "-0x1", "$1",     "１",     "Max",  "MAX",
    "-2",   "max ", "K",   "s",    "1.5.5M", "\x1b[1m"};

// The error names the value and is the user's fault.
template <class T>
void check_refused(const Result<T>& result, std::string_view value) {
  INFO("value \"", std::string(value), "\"");
  CHECK_FALSE(result.has_value());
  if (result) return;
  CHECK(result.error().value == value);
  CHECK(result.error().code == EINVAL);
  CHECK(result.error().fault == cgx::Fault::usage);
  CHECK_FALSE(result.error().what.empty());
}

// Numbers of all sizes: uniform ones would nearly all have 19 digits.
class Numbers {
 public:
  std::uint64_t next() { return random_() >> (random_() % 64U); }
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

 private:
  std::mt19937_64 random_{20240501};  // fixed, so that a failure comes again
};

}  // namespace cgx::test
