// SPDX-License-Identifier: Apache-2.0
// For bench/rules: processes that measure how long they are in the wrong group, and the least that any program can do
// which moves them.
//   rules-probe storm COUNT ABREAST PAUSE_US PROGRAM LINES GROUP
//       starts COUNT processes of PROGRAM, a copy of this file, ABREAST at a time with a pause after each
//   PROGRAM probe LINES GROUP
//       prints the nanoseconds from main() until LINES lines of /proc/self/cgroup end in :/GROUP; "miss" after 10 s
//   rules-probe floor COMM FILE...
//       a listener: writes the pid of each process that executes under the name COMM to each FILE. Prints "ready";
//       ends with its stdin
#include <errno.h>
#include <fcntl.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char** environ;

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int lines_of(const char* group, size_t length) {
  char text[8192];
  const int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
  const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0) return 0;
  text[n] = '\0';
  int count = 0;
  for (const char* at = text; (at = strstr(at, ":/")) != NULL;) {
    at += 2;
    count += strncmp(at, group, length) == 0 && at[length] == '\n';
  }
  return count;
}

static int probe(int lines, const char* group) {
  const long long start = now();
  const size_t length = strlen(group);
  while (lines_of(group, length) < lines) {
    if (now() - start > 10000000000LL) {
      (void)!write(STDOUT_FILENO, "miss\n", 5);
      return 1;
    }
    sched_yield();
  }
  char text[32];
  const int n = snprintf(text, sizeof text, "%lld\n", now() - start);
  (void)!write(STDOUT_FILENO, text, (size_t)n);
  return 0;
}

static int storm(char** argv) {
  const long count = strtol(argv[0], NULL, 10);
  const long abreast = strtol(argv[1], NULL, 10);
  const long pause_us = strtol(argv[2], NULL, 10);
  char* words[] = {argv[3], "probe", argv[4], argv[5], NULL};
  long alive = 0;
  for (long i = 0; i < count; ++i) {
    for (; alive >= abreast; --alive)
      if (wait(NULL) < 0) return 3;
    pid_t child = -1;
    if (posix_spawn(&child, argv[3], NULL, NULL, words, environ) != 0) return 3;
    ++alive;
    if (pause_us > 0) {
      for (; alive > 0; --alive) (void)wait(NULL);
      usleep((useconds_t)pause_us);
    }
  }
  for (; alive > 0; --alive) (void)wait(NULL);
  return 0;
}

// With the kernel's own selection of events (since 6.6), else with all of them.
static int listen_to(int sock, int masked) {
  char bytes[NLMSG_SPACE(sizeof(struct cn_msg) + 8)] = {0};
  const unsigned length = masked ? 8 : 4;
  const struct nlmsghdr header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct cn_msg) + length), .nlmsg_type = NLMSG_DONE};
  const struct cn_msg message = {.id = {.idx = CN_IDX_PROC, .val = CN_VAL_PROC}, .len = (unsigned short)length};
  const unsigned words[2] = {PROC_CN_MCAST_LISTEN, PROC_EVENT_EXEC};
  memcpy(bytes, &header, sizeof header);
  memcpy(bytes + NLMSG_HDRLEN, &message, sizeof message);
  memcpy(bytes + NLMSG_HDRLEN + sizeof message, words, length);
  return send(sock, bytes, header.nlmsg_len, 0) < 0 ? -1 : 0;
}

static int floor_of(const char* comm, char** files) {
  int fds[16];
  int count = 0;
  for (; files[count] != NULL && count < 16; ++count)
    if ((fds[count] = open(files[count], O_WRONLY | O_CLOEXEC)) < 0) return 3;
  const int sock = socket(PF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);
  const int size = 8 << 20;
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC};
  if (sock < 0 || bind(sock, (struct sockaddr*)&address, sizeof address) != 0) return 3;
  (void)setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  struct utsname kernel;
  int major = 0;
  int minor = 0;
  if (uname(&kernel) != 0 || sscanf(kernel.release, "%d.%d", &major, &minor) != 2) return 3;
  if (listen_to(sock, major > 6 || (major == 6 && minor >= 6)) != 0) return 3;
  struct pollfd waiting[2] = {{.fd = sock, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
  printf("ready\n");
  fflush(stdout);
  const size_t length = strlen(comm);
  while (poll(waiting, 2, -1) > 0 && (waiting[1].revents & (POLLIN | POLLHUP)) == 0) {
    char bytes[256];
    const ssize_t n = recv(sock, bytes, sizeof bytes, 0);
    if (n < (ssize_t)(NLMSG_HDRLEN + sizeof(struct cn_msg) + offsetof(struct proc_event, event_data))) continue;
    struct proc_event event;
    memcpy(&event, bytes + NLMSG_HDRLEN + sizeof(struct cn_msg), sizeof event);
    if (event.what != PROC_EVENT_EXEC) continue;
    char path[32];
    char name[32];
    snprintf(path, sizeof path, "/proc/%d/comm", event.event_data.exec.process_tgid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    const ssize_t got = read(fd, name, sizeof name);
    close(fd);
    if (got != (ssize_t)length + 1 || memcmp(name, comm, length) != 0) continue;
    const int digits = snprintf(path, sizeof path, "%d", event.event_data.exec.process_tgid);
    for (int i = 0; i < count; ++i) (void)!write(fds[i], path, (size_t)digits);
  }
  return 0;
}

int main(int argc, char** argv) {
  if (argc == 4 && strcmp(argv[1], "probe") == 0) return probe(atoi(argv[2]), argv[3]);
  if (argc == 8 && strcmp(argv[1], "storm") == 0) return storm(argv + 2);
  if (argc >= 4 && strcmp(argv[1], "floor") == 0) return floor_of(argv[2], argv + 3);
  return 2;
}
