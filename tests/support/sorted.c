// SPDX-License-Identifier: Apache-2.0
// Processes for tests of rules, which know by themselves where they are. A test copies this program to a name of its
// own, so that rules can be about nothing else.
//   sorted wait                         prints its pid, ends when its stdin does
//   sorted settle GROUP SECONDS         ends with 0 when it is in GROUP in some hierarchy, with 1 if not in that time
//   sorted stay GROUP SECONDS           ends with 1 if it gets into GROUP in that time, else with 0
//   sorted then exec|uid|gid|fork [N] WORDS...
//                                       waits for a line on its stdin, then executes WORDS; or becomes user or group N,
//                                       or forks a child and ends, and goes on with WORDS, which are words of sorted
//   sorted orphan WORDS...              forks twice at once and goes on with WORDS in the last child, whose parents end
//   sorted storm COUNT ABREAST PROGRAM WORDS...   starts PROGRAM COUNT times, ABREAST at a time; prints how many failed
//   sorted forks COUNT                  forks COUNT children, which end at once; prints how many microseconds it took
// Statuses: 2 for wrong words, 3 where the system refuses.
#include <fcntl.h>
#include <grp.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char** environ;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// Whether a line of /proc/self/cgroup ends in `:/GROUP`.
static int inside(const char* group) {
  char text[8192];
  const int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0) return 0;
  text[n] = '\0';
  const size_t length = strlen(group);
  for (char* line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
    const char* path = strstr(line, ":/");
    if (path != NULL && strlen(path + 2) == length && strcmp(path + 2, group) == 0) return 1;
  }
  return 0;
}

static int watch(const char* group, double seconds, int want) {
  const double end = now() + seconds;
  while (now() < end) {
    if (inside(group)) return want ? 0 : 1;
    usleep(1000);
  }
  return want ? 1 : 0;
}

static int run(int argc, char** argv);

static int then(int argc, char** argv) {
  char byte = 0;
  printf("%d\n", (int)getpid());
  fflush(stdout);
  if (read(STDIN_FILENO, &byte, 1) != 1) return 3;
  if (strcmp(argv[0], "exec") == 0) {
    execv(argv[1], argv + 1);
    return 3;
  }
  if (strcmp(argv[0], "fork") == 0) return fork() == 0 ? run(argc - 1, argv + 1) : 0;
  if (argc < 3) return 2;
  const unsigned number = (unsigned)strtoul(argv[1], NULL, 10);
  if (strcmp(argv[0], "uid") == 0 && setuid(number) != 0) return 3;
  if (strcmp(argv[0], "gid") == 0 && setgid(number) != 0) return 3;
  return run(argc - 2, argv + 2);
}

static int orphan(int argc, char** argv) {
  for (int i = 0; i < 2; ++i) {
    const pid_t child = fork();
    if (child < 0) return 3;
    if (child > 0) _exit(0);
  }
  return run(argc, argv);
}

static int wait_one(void) {
  int status = 0;
  while (wait(&status) < 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}

static int storm(char** argv) {
  const long count = strtol(argv[0], NULL, 10);
  const long abreast = strtol(argv[1], NULL, 10);
  long failed = 0;
  long alive = 0;
  for (long i = 0; i < count; ++i) {
    if (alive == abreast) {
      failed += wait_one();
      --alive;
    }
    pid_t child = -1;
    if (posix_spawn(&child, argv[2], NULL, NULL, argv + 2, environ) != 0)
      ++failed;
    else
      ++alive;
  }
  for (; alive > 0; --alive) failed += wait_one();
  printf("%ld\n", failed);
  return failed == 0 ? 0 : 1;
}

static int forks(long count) {
  const double start = now();
  for (long i = 0; i < count; ++i) {
    const pid_t child = fork();
    if (child < 0) return 3;
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0);
  }
  printf("%.0f\n", (now() - start) * 1e6);
  return 0;
}

static int run(int argc, char** argv) {
  if (argc == 0) return 2;
  const char* verb = argv[0];
  if (strcmp(verb, "wait") == 0) {
    char byte = 0;
    printf("%d\n", (int)getpid());
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0);
    return 0;
  }
  if (strcmp(verb, "settle") == 0 && argc == 3) return watch(argv[1], strtod(argv[2], NULL), 1);
  if (strcmp(verb, "stay") == 0 && argc == 3) return watch(argv[1], strtod(argv[2], NULL), 0);
  if (strcmp(verb, "then") == 0 && argc >= 3) return then(argc - 1, argv + 1);
  if (strcmp(verb, "orphan") == 0) return orphan(argc - 1, argv + 1);
  if (strcmp(verb, "storm") == 0 && argc >= 4) return storm(argv + 1);
  if (strcmp(verb, "forks") == 0 && argc == 2) return forks(strtol(argv[1], NULL, 10));
  return 2;
}

int main(int argc, char** argv) { return run(argc - 1, argv + 1); }
