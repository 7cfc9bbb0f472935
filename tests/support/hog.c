// SPDX-License-Identifier: Apache-2.0
// Uses resources for tests of limits: hog cpu SECONDS | mem MIB | hold MIB | fork COUNT | huge PAGES
// mem ends after touching that much; hold then waits for a signal. Each prints what it reached, as it goes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int memory(long mib, int hold) {
  for (long i = 1; i <= mib; ++i) {
    char* block = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) return 3;
    memset(block, (int)i, 1 << 20);
  }
  printf("touched %ld\n", mib);
  if (hold)
    for (;;) pause();
  return 0;
}

static int fork_until_refused(long count) {
  long made = 0;
  for (; made < count; ++made) {
    const pid_t child = fork();
    if (child < 0) break;
    if (child == 0) {
      pause();
      _exit(0);
    }
  }
  printf("forked %ld\n", made);
  pause();
  return 0;
}

static int huge(long pages) {
  const size_t size = (size_t)pages << 21;
  char* block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
  if (block == MAP_FAILED) {
    puts("refused");
    return 3;
  }
  for (size_t at = 0; at < size; at += 1 << 21) block[at] = 1;  // SIGBUS where the group may not
  printf("huge %ld\n", pages);
  return 0;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  char* end = NULL;
  const long n = strtol(argv[2], &end, 10);
  if (*end != '\0' || n < 0) return 2;
  if (strcmp(argv[1], "cpu") == 0) {
    const time_t until = time(NULL) + n;
    while (time(NULL) < until)
      for (volatile int i = 0; i < 100000; ++i) {
      }
    return 0;
  }
  if (strcmp(argv[1], "mem") == 0) return memory(n, 0);
  if (strcmp(argv[1], "hold") == 0) return memory(n, 1);
  if (strcmp(argv[1], "fork") == 0) return fork_until_refused(n);
  if (strcmp(argv[1], "huge") == 0) return huge(n);
  return 2;
}
