// SPDX-License-Identifier: Apache-2.0
// For the libFuzzer targets: a property that does not hold stops the run and shows the input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#define FUZZ_CHECK(condition)                                                            \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      (void)std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)

namespace cgx::fuzz {

// The target's own function: called with each input, once and again.
void one(std::string_view input);

}  // namespace cgx::fuzz

// libFuzzer's entry. Each target is one source, so this is one definition.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cgx::fuzz::one({reinterpret_cast<const char*>(data), size});
  return 0;
}
