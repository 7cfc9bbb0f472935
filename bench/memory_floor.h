// SPDX-License-Identifier: Apache-2.0
// The floor of reacting to a group at its limit: wait for the eventfd, write the larger limit. Nothing that a program
// may leave out; it looks at nothing, decides nothing and tells nobody.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

int64_t now_ns(void);

// What a process that uses memory and the one that watches it know of one another.
enum { most_stalls = 4096 };
struct stalls {
  volatile int n;
  volatile int stop;
  volatile int done;  // all bytes were touched
  struct {
    int64_t before, after;  // a touch of a page that took longer than 50 us
  } at[most_stalls];
};
// Touches pages until told to stop, one after the other, and notes what took long. In the group already.
void touch_pages(struct stalls* shared, int64_t bytes);

// Raises the limit by `step` each time that the eventfd fires, `times` times; notes when it woke.
void floor_react(int event, int limit_file, int64_t limit, int64_t step, int times, int64_t* woke);

#ifdef __cplusplus
}
#endif
