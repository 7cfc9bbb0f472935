// SPDX-License-Identifier: Apache-2.0
#include "memory_floor.h"

#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void touch_pages(struct stalls* shared, int64_t bytes) {
  char* block = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (block == MAP_FAILED) return;
  madvise(block, (size_t)bytes, MADV_NOHUGEPAGE);
  for (int64_t i = 0; i < bytes && !shared->stop; i += 4096) {
    const int64_t before = now_ns();
    *(volatile char*)(block + i) = 1;
    const int64_t after = now_ns();
    if (after - before < 50000 || shared->n == most_stalls) continue;
    shared->at[shared->n].before = before;
    shared->at[shared->n].after = after;
    __sync_synchronize();
    ++shared->n;
  }
  shared->done = 1;
}

void floor_react(int event, int limit_file, int64_t limit, int64_t step, int times, int64_t* woke) {
  for (int i = 0; i < times; ++i) {
    uint64_t count = 0;
    char text[32];
    if (read(event, &count, sizeof count) != sizeof count) return;
    woke[i] = now_ns();
    limit += step;
    const int n = snprintf(text, sizeof text, "%lld", (long long)limit);
    if (pwrite(limit_file, text, (size_t)n, 0) != n) return;
  }
}
