// SPDX-License-Identifier: Apache-2.0
// How a test case says that it cannot run here: a reason, printed and counted, never silence. Works in every
// test program that is linked with tests/support/main.cc.
#pragma once

#include <string>

namespace cgx::test {

// Notes that the running test case, or the running subcase, cannot go on because of `why`. A failed check of the
// same test case still makes it a failure.
void skip(std::string why);

}  // namespace cgx::test

// Ends the test case (or the void function it stands in) as skipped. `why` names what is missing, as in
// CGX_SKIP("needs a v1 memory hierarchy").
#define CGX_SKIP(why)       \
  do {                      \
    ::cgx::test::skip(why); \
    return;                 \
  } while (false)
