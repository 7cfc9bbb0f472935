// SPDX-License-Identifier: Apache-2.0
// Uses memory in a group, for tests of what happens at its limit:
//   eater MODE MIB PAUSE_US FILE...
// Joins the group by writing 0 to each FILE, says "in", and then, by MODE:
//   touch    touches MIB MiB, a page at a time, PAUSE_US after each MiB; says "done" and waits for a signal
//   deaf     the same, ignoring SIGTERM
//   polite   the same; ends with status 7 on SIGTERM
//   again    touches MIB MiB, says "done", waits for SIGUSR1, and all over
//   file     writes MIB MiB to a memory file by write(2); says "wrote N" and waits for a signal
//   wait     waits for a byte on stdin first, and then as touch
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static void leave(int number) {
  (void)number;
  _exit(7);
}
static void nothing(int number) { (void)number; }

// In one piece, and before the limit is near: mmap(2) charges the group as well, and fails there instead of waiting.
static volatile char* reserve(long mib) {
  char* block = mmap(NULL, (size_t)mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED) exit(3);
  madvise(block, (size_t)mib << 20, MADV_NOHUGEPAGE);
  return block;
}

static void touch(volatile char* block, long mib, long pause_us) {
  for (long i = 0; i < mib; ++i) {
    for (size_t at = 0; at < 1 << 20; at += 4096) block[((size_t)i << 20) + at] = 1;
    if (pause_us > 0) usleep((useconds_t)pause_us);
  }
}

static void write_file(long mib) {
  const int fd = memfd_create("eater", MFD_CLOEXEC);
  static char block[65536];
  memset(block, 1, sizeof block);
  // From here on it needs memory for the file alone: a page of its own that comes back in would have it wait at the
  // limit, and what is tested is a charge that fails at once.
  char text[64], stack[65536];
  memset(stack, 1, sizeof stack);
  __asm__ volatile("" : : "r"(stack) : "memory");
  snprintf(text, sizeof text, "%lld\n", (long long)mib);
  mlockall(MCL_CURRENT);
  long long wrote = 0;
  while (wrote < (long long)mib << 20) {
    const ssize_t n = write(fd, block, sizeof block);
    if (n <= 0) break;
    wrote += n;
  }
  printf("wrote %lld\n", wrote);
}

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  const char* mode = argv[1];
  const long mib = strtol(argv[2], NULL, 10), pause_us = strtol(argv[3], NULL, 10);
  for (int i = 4; i < argc; ++i) {
    const int fd = open(argv[i], O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1) {
      printf("cannot join %s: %s\n", argv[i], strerror(errno));
      return 4;
    }
    close(fd);
  }
  if (strcmp(mode, "deaf") == 0) signal(SIGTERM, SIG_IGN);
  if (strcmp(mode, "polite") == 0) signal(SIGTERM, leave);
  if (strcmp(mode, "again") == 0) signal(SIGUSR1, nothing);
  volatile char* block = strcmp(mode, "file") == 0 ? NULL : reserve(mib);
  puts("in");
  if (strcmp(mode, "wait") == 0) {
    char byte = 0;
    if (read(0, &byte, 1) != 1) return 5;
  }
  if (strcmp(mode, "file") == 0) {
    write_file(mib);
    for (;;) pause();
  }
  for (;;) {
    touch(block, mib, pause_us);
    puts("done");
    pause();
    if (strcmp(mode, "again") != 0) break;
    block = reserve(mib);
  }
  for (;;) pause();
}
