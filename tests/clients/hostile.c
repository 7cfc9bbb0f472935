// SPDX-License-Identifier: Apache-2.0
// What a hostile program in a container tries, for tests/clients/threats.test. Each prints what came of it, in a line.
//
//   hostile exe DEVICE:INODE SECONDS  writes to the programs of others by /proc/PID/exe (a byte that is there already)
//   hostile swap A B SECONDS          exchanges two names, again and again
//   hostile tiocsti                   types into the terminal that it was given
//   hostile writable PATH...          opens them for writing, and writes nothing
//   hostile alg                       makes a socket of AF_ALG, by the system call of 64 and of 32 bit
//   hostile calls                     makes calls that need capabilities, with zeros, which do nothing where allowed
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { max_held = 200 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// Writes the first byte of the file once more. The kernel refuses with ETXTBSY while the program runs.
static bool rewrite(int path_fd) {
  char name[64], byte;
  snprintf(name, sizeof name, "/proc/self/fd/%d", path_fd);
  int fd = open(name, O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  bool written = pread(fd, &byte, 1, 0) == 1 && pwrite(fd, &byte, 1, 0) == 1;
  close(fd);
  return written;
}

static int attack_programs(const char* target, double seconds) {
  struct stat own, other;
  if (stat("/proc/self/exe", &own) != 0) return 2;
  int held[max_held], n = 0, seen = 0;
  puts("ready");
  fflush(stdout);
  for (double end = now() + seconds; now() < end;) {
    DIR* proc = opendir("/proc");
    for (struct dirent* e; proc != NULL && (e = readdir(proc)) != NULL;) {
      char name[300], id[64];
      if (e->d_name[0] < '1' || e->d_name[0] > '9') continue;
      snprintf(name, sizeof name, "/proc/%s/exe", e->d_name);
      int fd = open(name, O_PATH | O_CLOEXEC);
      if (fd < 0) continue;
      if (fstat(fd, &other) != 0 || (other.st_dev == own.st_dev && other.st_ino == own.st_ino) || n == max_held) {
        close(fd);
        continue;
      }
      snprintf(id, sizeof id, "%lu:%lu", (unsigned long)other.st_dev, (unsigned long)other.st_ino);
      ++seen;
      held[n++] = fd;
    }
    if (proc != NULL) closedir(proc);
    for (int i = 0; i < n; ++i) {
      char id[64];
      fstat(held[i], &other);
      snprintf(id, sizeof id, "%lu:%lu", (unsigned long)other.st_dev, (unsigned long)other.st_ino);
      if (strcmp(id, target) == 0 && rewrite(held[i])) {
        puts("WRITTEN");
        return 1;
      }
    }
    for (; n > max_held / 2; --n) close(held[n - 1]);
  }
  printf("not written, saw %d\n", seen);
  return 0;
}

static int swap(const char* a, const char* b, double seconds) {
  for (double end = now() + seconds; now() < end;)
    for (int i = 0; i < 1000; ++i)
      if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) != 0) return 1;
  return 0;
}

static int type_into_terminal(void) {
  int fds[] = {0, 1, 2, open("/dev/tty", O_RDWR | O_CLOEXEC)};
  if (fds[3] >= 0) puts("has a controlling terminal");
  for (int i = 0; i < 4; ++i)
    if (fds[i] >= 0 && ioctl(fds[i], TIOCSTI, "#") == 0) puts("TYPED");
  puts("tried");
  return 0;
}

// access() would do, but a shell's `test -w` answers by the mode where the user is root.
static int find_writable(char** paths) {
  for (; *paths != NULL; ++paths) {
    int fd = open(*paths, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) continue;
    printf("WRITABLE %s\n", *paths);
    close(fd);
  }
  return 0;
}

static int crypto_sockets(void) {
  int fd = socket(38, SOCK_SEQPACKET, 0);
  printf("64 bit: %s\n", fd >= 0 ? "MADE" : strerror(errno));
  fflush(stdout);
#ifdef __x86_64__
  long result = 359;  // socket, in the table of 32 bit
  __asm__ volatile("int $0x80" : "+a"(result) : "b"(38L), "c"(5L), "d"(0L) : "memory", "r8", "r9", "r10", "r11");
  printf("32 bit: %s\n", result >= 0 ? "MADE" : strerror((int)-result));
#endif
  return 0;
}

// The answer tells whether a filter refused: EPERM, or what the call says of zeros.
static int privileged_calls(void) {
  static const struct {
    const char* name;
    long number;
  } calls[] = {{"kcmp", SYS_kcmp},
               {"bpf", SYS_bpf},
               {"quotactl", SYS_quotactl},
               {"open_by_handle_at", SYS_open_by_handle_at},
               {"settimeofday", SYS_settimeofday},
               {"lookup_dcookie", SYS_lookup_dcookie},
               {"init_module", SYS_init_module},
               {"perf_event_open", SYS_perf_event_open},
               {"mount", SYS_mount},
               {"setns", SYS_setns},
#ifdef SYS_iopl
               {"iopl", SYS_iopl},
#endif
               {"process_vm_readv", SYS_process_vm_readv},
               {"userfaultfd", SYS_userfaultfd}};
  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; ++i) {
    long got = syscall(calls[i].number, 0L, 0L, 0L, 0L, 0L, 0L);
    printf("%s=%s\n", calls[i].name, got >= 0 ? "ok" : strerrorname_np(errno));
  }
  return 0;
}

int main(int argc, char** argv) {
  const char* what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "exe") == 0 && argc == 4) return attack_programs(argv[2], atof(argv[3]));
  if (strcmp(what, "swap") == 0 && argc == 5) return swap(argv[2], argv[3], atof(argv[4]));
  if (strcmp(what, "tiocsti") == 0) return type_into_terminal();
  if (strcmp(what, "writable") == 0) return find_writable(argv + 2);
  if (strcmp(what, "alg") == 0) return crypto_sockets();
  if (strcmp(what, "calls") == 0) return privileged_calls();
  fputs("usage: hostile exe|swap|tiocsti|writable|alg|calls ...\n", stderr);
  return 2;
}
