// SPDX-License-Identifier: Apache-2.0
// The floors: for each command of cgx that is timed, the system calls that any correct program must make, and nothing
// else. It parses no options and checks as little as it can, so that its time is what the kernel alone costs. It is
// linked twice, statically and dynamically, because start-up is the larger part of these times.
//
//   floor version
//   floor create CONTROLLERS NAME            one mkdir in each hierarchy
//   floor set [-r] NAME FILE=VALUE...        one write a file; with -r the old and the new value are read too
//   floor delete CONTROLLERS NAME            one rmdir in each hierarchy
//   floor make CONTROLLERS NAME COUNT FILE=VALUE...   NAME with COUNT groups below it, in each of which FILE is written
//   floor unmake CONTROLLERS NAME COUNT      their removal
//   floor exec-ready CONTROLLERS NAME -- COMMAND...
//   floor exec-fresh CONTROLLERS NAME -- COMMAND...
//   floor ls CONTROLLER NAME                 a walk that opens no group without children
//   floor stat NAME FILE...                  the same walk, and every FILE of every group read once
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { max_hierarchies = 16, max_files = 64 };

struct hierarchy {
  int fd;
  bool v2;
};

static struct hierarchy hierarchies[max_hierarchies];
static int n_hierarchies;
static char mountinfo[65536];

static void die(const char* what, const char* name) {
  fprintf(stderr, "floor: %s %s: %s\n", what, name, strerror(errno));
  _exit(125);
}

static void load_mountinfo(void) {
  int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
  size_t n = 0;
  for (ssize_t r = 1; fd >= 0 && n < sizeof mountinfo - 1 && r > 0; n += (size_t)r) {
    r = read(fd, mountinfo + n, sizeof mountinfo - 1 - n);
    if (r < 0) die("read", "/proc/self/mountinfo");
  }
  if (fd < 0 || close(fd) != 0) die("open", "/proc/self/mountinfo");
  mountinfo[n] = 0;
}

static bool has_option(const char* options, const char* end, const char* name, size_t len) {
  for (const char* p = options; p < end; ++p) {
    size_t n = strcspn(p, ",\n");
    if (n == len && memcmp(p, name, len) == 0) return true;
    p += n;
  }
  return false;
}

// The mount point of a controller: the version 1 hierarchy that carries it, else the unified one.
static bool find_mount(const char* controller, size_t len, char out[PATH_MAX], bool* v2) {
  bool found = false;
  for (const char* line = mountinfo; *line != 0;) {
    const char* end = strchrnul(line, '\n');
    const char* dash = strstr(line, " - cgroup");
    if (dash != NULL && dash < end) {
      const char* type = dash + 3;
      bool two = strncmp(type, "cgroup2 ", 8) == 0;
      const char* options = end;
      while (options > type && options[-1] != ' ') --options;
      if ((two && !found) || (!two && has_option(options, end, controller, len))) {
        const char* point = line;
        for (int i = 0; i < 4; ++i) point = strchr(point, ' ') + 1;
        size_t n = strcspn(point, " ");
        memcpy(out, point, n);
        out[n] = 0;
        *v2 = two;
        found = true;
        if (!two) return true;
      }
    }
    line = *end == 0 ? end : end + 1;
  }
  return found;
}

static struct hierarchy open_hierarchy(const char* controller, size_t len) {
  char path[PATH_MAX];
  struct hierarchy h = {.fd = -1, .v2 = false};
  errno = ENOENT;
  if (!find_mount(controller, len, path, &h.v2)) die("no hierarchy has", controller);
  h.fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (h.fd < 0) die("open", path);
  return h;
}

static char enable[256];
static size_t enable_len;

// Opens the hierarchies of a list such as "cpu,memory,pids"; the unified one is opened once however often it is named.
// What must be enabled in it is gathered in `enable`. The word "unified" stands for that hierarchy without a
// controller.
static void open_all(const char* list) {
  load_mountinfo();
  bool unified = false;
  for (const char* p = list; *p != 0;) {
    size_t n = strcspn(p, ",");
    struct hierarchy h = open_hierarchy(p, n);
    bool named = n == 7 && memcmp(p, "unified", n) == 0;
    if (h.v2 && !named && enable_len + n + 2 < sizeof enable)
      enable_len += (size_t)snprintf(enable + enable_len, sizeof enable - enable_len, "+%.*s ", (int)n, p);
    if (h.v2 && unified) {
      close(h.fd);
    } else {
      if (n_hierarchies == max_hierarchies) exit(2);
      hierarchies[n_hierarchies++] = h;
    }
    unified = unified || h.v2;
    p += n + (p[n] == ',');
  }
}

static void write_at(int dir, const char* path, const char* value, size_t len) {
  int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) die("open", path);
  if (write(fd, value, len) != (ssize_t)len) die("write", path);
  close(fd);
}

static void create(const char* name) {
  for (int i = 0; i < n_hierarchies; ++i) {
    if (hierarchies[i].v2 && enable_len > 0) write_at(hierarchies[i].fd, "cgroup.subtree_control", enable, enable_len);
    if (mkdirat(hierarchies[i].fd, name, 0755) != 0) die("mkdir", name);
  }
}

static void delete(const char* name) {
  for (int i = 0; i < n_hierarchies; ++i)
    if (unlinkat(hierarchies[i].fd, name, AT_REMOVEDIR) != 0) die("rmdir", name);
}

// Joins by `tasks`, not `cgroup.procs`: a thread that moves only itself takes no global lock, so no grace period.
static void join_v1(const char* name) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/tasks", name);
  for (int i = 0; i < n_hierarchies; ++i)
    if (!hierarchies[i].v2) write_at(hierarchies[i].fd, path, "0", 1);
}

#ifdef __x86_64__
static const __u64 spawn_flags = CLONE_VM | CLONE_VFORK;

// The child borrows the stack of the parent, as after vfork, so the call must not have a frame of its own.
static inline __attribute__((always_inline)) long clone3(struct clone_args* args) {
  long r;
  __asm__ volatile("syscall" : "=a"(r) : "a"(SYS_clone3), "D"(args), "S"(sizeof *args) : "rcx", "r11", "memory");
  return r;
}
#else
static const __u64 spawn_flags = 0;
static long clone3(struct clone_args* args) {
  long r = syscall(SYS_clone3, args, sizeof *args);
  return r < 0 ? -errno : r;
}
#endif

// Starts the command as a child that the kernel puts into the unified group, if there is one, and waits for its status.
static __attribute__((noinline)) int spawn(const char* name, char** command) {
  struct clone_args args = {.flags = spawn_flags, .exit_signal = SIGCHLD};
  for (int i = 0; i < n_hierarchies; ++i) {
    if (!hierarchies[i].v2) continue;
    int fd = openat(hierarchies[i].fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) die("open", name);
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = (__u64)fd;
  }
  long pid = clone3(&args);
  if (pid == 0) {
    join_v1(name);
    execv(command[0], command);
    die("exec", command[0]);
  }
  if (pid < 0) {
    errno = (int)-pid;
    die("clone3", name);
  }
  int status;
  while (waitpid((pid_t)pid, &status, 0) < 0)
    if (errno != EINTR) die("wait", command[0]);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int exec_ready(const char* name, char** command) {
  for (int i = 0; i < n_hierarchies; ++i)
    if (hierarchies[i].v2) return spawn(name, command);
  join_v1(name);
  execv(command[0], command);
  die("exec", command[0]);
  return 125;
}

// The hierarchy of a file is that of the controller before its first dot, or the one named before a slash.
static struct hierarchy hierarchy_of_file(const char* file) { return open_hierarchy(file, strcspn(file, "/.")); }

static void set(bool read_too, const char* name, char** assignments) {
  load_mountinfo();
  for (char** a = assignments; *a != NULL; ++a) {
    size_t n = strcspn(*a, "=");
    if ((*a)[n] == 0) exit(2);
    const char* value = *a + n + 1;
    char path[PATH_MAX], old[256];
    snprintf(path, sizeof path, "%s/%.*s", name, (int)n, *a);
    struct hierarchy h = hierarchy_of_file(*a);
    int fd = openat(h.fd, path, (read_too ? O_RDWR : O_WRONLY) | O_CLOEXEC);
    if (fd < 0) die("open", path);
    if (read_too && pread(fd, old, sizeof old, 0) < 0) die("read", path);
    if (write(fd, value, strlen(value)) < 0) die("write", path);
    if (read_too && pread(fd, old, sizeof old, 0) < 0) die("read", path);
    close(fd);
    close(h.fd);
  }
}

static char out[65536];
static size_t out_len;

static void flush_out(void) {
  if (write(STDOUT_FILENO, out, out_len) < 0) die("write", "stdout");
  out_len = 0;
}

static void print_group(const char* path, size_t len) {
  if (out_len + len + 1 > sizeof out) flush_out();
  memcpy(out + out_len, path, len);
  out[out_len + len] = '\n';
  out_len += len + 1;
}

static const char* files[max_files];
static int file_dirs[max_files];
static int n_files;

static void read_group(const char* path, size_t len) {
  char full[PATH_MAX];
  static char text[65536];
  memcpy(full, path, len);
  full[len] = '/';
  for (int i = 0; i < n_files; ++i) {
    strcpy(full + len + 1, files[i]);
    int fd = openat(file_dirs[i], full, O_RDONLY | O_CLOEXEC);
    if (fd < 0) die("open", full);
    if (read(fd, text, sizeof text) < 0) die("read", full);
    close(fd);
  }
  print_group(path, len);
}

// A directory of cgroupfs has two links more than it has children, so a group with two links needs no readdir.
static void walk(
    int parent, const char* base, char* path, size_t len, nlink_t links, void (*visit)(const char*, size_t)) {
  visit(path, len);
  if (links == 2) return;
  int fd = openat(parent, base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) die("open", path);
  char* buffer = malloc(32768);
  ssize_t got;
  while ((got = getdents64(fd, buffer, 32768)) > 0) {
    for (char* p = buffer; p < buffer + got;) {
      struct dirent64* entry = (struct dirent64*)p;
      p += entry->d_reclen;
      if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
      struct stat st;
      if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) die("stat", entry->d_name);
      size_t n = strlen(entry->d_name);
      path[len] = '/';
      memcpy(path + len + 1, entry->d_name, n + 1);
      walk(fd, entry->d_name, path, len + 1 + n, st.st_nlink, visit);
    }
  }
  if (got < 0) die("readdir", path);
  free(buffer);
  close(fd);
}

static void walk_from(int root, const char* name, void (*visit)(const char*, size_t)) {
  char path[PATH_MAX];
  struct stat st;
  if (fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW) != 0) die("stat", name);
  strcpy(path, name);
  walk(root, name, path, strlen(name), st.st_nlink, visit);
  flush_out();
}

// One directory descriptor serves all the files of a controller: the caller keeps them together.
static void stat_groups(const char* name, char** list) {
  load_mountinfo();
  for (; list[n_files] != NULL; ++n_files) {
    if (n_files == max_files) exit(2);
    const char* file = list[n_files];
    const char* before = n_files > 0 ? list[n_files - 1] : NULL;
    size_t n = strcspn(file, "/.");
    bool same = before != NULL && strncmp(file, before, n + 1) == 0;
    file_dirs[n_files] = same ? file_dirs[n_files - 1] : hierarchy_of_file(file).fd;
    files[n_files] = file[n] == '/' ? file + n + 1 : file;
  }
  walk_from(file_dirs[0], name, read_group);
}

static void nth(char path[PATH_MAX], const char* name, int n, const char* file, int len) {
  snprintf(path, PATH_MAX, "%s/n%05d%s%.*s", name, n, len > 0 ? "/" : "", len, file);
}

// Hierarchies are open; a v1 cpuset gets what its parent has, without which no process could join it.
static void make(const char* list, const char* name, int count, char** assignments) {
  char path[PATH_MAX];
  int dirs[max_files];
  int n = 0;
  create(name);
  for (int i = 0; i < n_hierarchies && enable_len > 0; ++i) {
    snprintf(path, sizeof path, "%s/cgroup.subtree_control", name);
    if (hierarchies[i].v2) write_at(hierarchies[i].fd, path, enable, enable_len);
  }
  for (; assignments[n] != NULL && n < max_files; ++n) dirs[n] = hierarchy_of_file(assignments[n]).fd;
  struct {
    const char* file;
    char text[1024];
    ssize_t len;
  } sets[2] = {{.file = "cpuset.cpus"}, {.file = "cpuset.mems"}};
  struct hierarchy cpuset = {.fd = -1};
  if (strstr(list, "cpuset") != NULL) cpuset = open_hierarchy("cpuset", 6);
  bool fill = cpuset.fd >= 0 && !cpuset.v2;
  for (int i = 0; fill && i < 2; ++i) {
    int fd = openat(cpuset.fd, sets[i].file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (sets[i].len = read(fd, sets[i].text, sizeof sets[i].text)) < 0) die("read", sets[i].file);
    close(fd);
    snprintf(path, sizeof path, "%s/%s", name, sets[i].file);
    write_at(cpuset.fd, path, sets[i].text, (size_t)sets[i].len);
  }
  for (int g = 0; g < count; ++g) {
    nth(path, name, g, "", 0);
    for (int i = 0; i < n_hierarchies; ++i)
      if (mkdirat(hierarchies[i].fd, path, 0755) != 0) die("mkdir", path);
    for (int i = 0; fill && i < 2; ++i) {
      nth(path, name, g, sets[i].file, (int)strlen(sets[i].file));
      write_at(cpuset.fd, path, sets[i].text, (size_t)sets[i].len);
    }
    for (int a = 0; a < n; ++a) {
      int len = (int)strcspn(assignments[a], "=");
      nth(path, name, g, assignments[a], len);
      write_at(dirs[a], path, assignments[a] + len + 1, strlen(assignments[a] + len + 1));
    }
  }
}

static void unmake(const char* name, int count) {
  char path[PATH_MAX];
  for (int g = 0; g < count; ++g) {
    nth(path, name, g, "", 0);
    delete (path);
  }
  delete (name);
}

int main(int argc, char** argv) {
  const char* verb = argc > 1 ? argv[1] : "";
  if (strcmp(verb, "version") == 0) return write(STDOUT_FILENO, "floor 1\n", 8) == 8 ? 0 : 1;
  if (argc > 3 && strcmp(verb, "set") == 0) {
    bool read_too = strcmp(argv[2], "-r") == 0;
    set(read_too, argv[2 + read_too], argv + 3 + read_too);
    return 0;
  }
  if (argc > 3 && strcmp(verb, "stat") == 0) {
    stat_groups(argv[2], argv + 3);
    return 0;
  }
  if (argc > 4 && (strcmp(verb, "make") == 0 || strcmp(verb, "unmake") == 0)) {
    open_all(argv[2]);
    if (verb[0] == 'm')
      make(argv[2], argv[3], atoi(argv[4]), argv + 5);
    else
      unmake(argv[3], atoi(argv[4]));
    return 0;
  }
  bool with_command = argc > 5 && strcmp(argv[4], "--") == 0;
  if (argc < 4 || (!with_command && argc > 4)) {
    fprintf(stderr,
            "usage: floor version|create|set|delete|make|unmake|exec-ready|exec-fresh|ls|stat ARGS, see floor.c\n");
    return 2;
  }
  open_all(argv[2]);
  const char* name = argv[3];
  if (strcmp(verb, "create") == 0)
    create(name);
  else if (strcmp(verb, "delete") == 0)
    delete (name);
  else if (strcmp(verb, "ls") == 0)
    walk_from(hierarchies[0].fd, name, print_group);
  else if (with_command && strcmp(verb, "exec-ready") == 0)
    return exec_ready(name, argv + 5);
  else if (with_command && strcmp(verb, "exec-fresh") == 0) {
    create(name);
    int status = spawn(name, argv + 5);
    delete (name);
    return status;
  } else
    return 2;
  return 0;
}
