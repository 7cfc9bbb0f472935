// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "tools/container/killer.h"

namespace container_killer_test {

using namespace cgx::launcher;

cgx::container::State first_process(pid_t pid, std::uint64_t start) {
  cgx::container::State state;
  state.pid = pid;
  state.pid_start = start;
  return state;
}

TEST_CASE("killer: a note is about one process, and for a minute") {
  const std::string stop = "cgx container stop after 10 s";
  const std::string note = killer_text(first_process(77, 1234), stop, 1000);
  struct Row {
    pid_t pid;
    std::uint64_t start, now;
    std::string says;
  };
  for (const Row& row : {Row{77, 1234, 1000, stop},
                         Row{77, 1234, 1060, stop},
                         Row{77, 1234, 1061, ""},  // who wrote it has never sent the signal
                         Row{77, 1234, 999, ""},   // of another boot
                         Row{78, 1234, 1000, ""},
                         Row{77, 1235, 1000, ""}}) {  // started again
    CAPTURE(row.pid);
    CAPTURE(row.start);
    CAPTURE(row.now);
    CHECK(parse_killer(note, first_process(row.pid, row.start), row.now) == row.says);
  }
}

TEST_CASE("killer: what is damaged says nothing") {
  const auto state = first_process(77, 1234);
  const std::string note = killer_text(state, "x", 1000);
  for (std::size_t n = 0; n + 2 < note.size(); ++n) CHECK(parse_killer(note.substr(0, n), state, 1000).empty());
  for (const char* text : {"", "{}", "[]", R"({"pid":"77"})", R"({"pid":77,"pidStart":1234,"noted":-1,"command":"x"})"})
    CHECK(parse_killer(text, state, 1000).empty());
}

}  // namespace container_killer_test
