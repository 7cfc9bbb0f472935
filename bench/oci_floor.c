// SPDX-License-Identifier: Apache-2.0
// The floor for `run` of an OCI runtime: what the kernel has to be asked for to run a program in a container as the
// configuration of `runc spec` has it, and nothing else. No JSON is read, no state is kept, little is checked.
//
//   oci-floor [-n] ROOTFS GROUP COMMAND...     -n: no cgroups
//
// GROUP is made in every hierarchy at the usual places below /sys/fs/cgroup and removed at the end.
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

enum { max_groups = 16 };

struct group {
  char mount[64], controllers[64];
  int dir, tasks;
};

static struct group groups[max_groups];
static int n_groups, v2_dir = -1, v2_root = -1;

static _Noreturn void die(const char* what) {
  fprintf(stderr, "oci-floor: %s: %s\n", what, strerror(errno));
  _exit(125);
}
static void check(long result, const char* what) {
  if (result < 0) die(what);
}

static void put(int dir, const char* file, const char* value) {
  int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, value, strlen(value)) < 0) die(file);
  close(fd);
}

// cpuset of version 1 takes no process before it has CPUs and nodes.
static void inherit(int root, int dir, const char* file) {
  char value[256];
  int fd = openat(root, file, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, value, sizeof value - 1);
  if (n <= 0) die(file);
  close(fd);
  value[n] = 0;
  put(dir, file, value);
}

static void deny_devices(int dir) {
  static const char* const allowed[] = {"c *:* m",
                                        "b *:* m",
                                        "c 1:3 rwm",
                                        "c 1:8 rwm",
                                        "c 1:7 rwm",
                                        "c 5:0 rwm",
                                        "c 1:5 rwm",
                                        "c 1:9 rwm",
                                        "c 136:* rwm",
                                        "c 5:2 rwm"};
  put(dir, "devices.deny", "a");
  for (size_t i = 0; i < sizeof allowed / sizeof *allowed; ++i) put(dir, "devices.allow", allowed[i]);
}

static void make_group(const char* mount_point, const char* controllers, bool v2, const char* name) {
  int root = open(mount_point, O_PATH | O_DIRECTORY | O_CLOEXEC);
  check(root, mount_point);
  if (mkdirat(root, name, 0755) != 0 && errno != EEXIST) die(name);
  int dir = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  check(dir, name);
  if (v2) {
    v2_dir = dir;
    v2_root = root;
    return;
  }
  if (n_groups == max_groups) die("too many hierarchies");
  struct group* g = &groups[n_groups++];
  snprintf(g->mount, sizeof g->mount, "%s", mount_point);
  snprintf(g->controllers, sizeof g->controllers, "%s", controllers);
  g->dir = root;
  if (strcmp(controllers, "cpuset") == 0) {
    inherit(root, dir, "cpuset.cpus");
    inherit(root, dir, "cpuset.mems");
  }
  if (strcmp(controllers, "devices") == 0) deny_devices(dir);
  g->tasks = openat(dir, "tasks", O_WRONLY | O_CLOEXEC);
  check(g->tasks, "tasks");
  close(dir);
}

static void make_groups(const char* name) {
  static char text[65536];
  int fd = open("/proc/self/mounts", O_RDONLY | O_CLOEXEC);
  size_t n = 0;
  for (ssize_t r = 1; r > 0 && n < sizeof text - 1; n += (size_t)(r > 0 ? r : 0))
    r = read(fd, text + n, sizeof text - 1 - n);
  close(fd);
  text[n] = 0;
  for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL && *line != 0;) {
    strsep(&line, " ");
    const char* point = strsep(&line, " ");
    const char* type = strsep(&line, " ");
    char* options = strsep(&line, " ");
    if (strncmp(point, "/sys/fs/cgroup", 14) != 0 || strncmp(type, "cgroup", 6) != 0) continue;
    const char* last = strrchr(options, ',');
    make_group(point, last != NULL ? last + 1 : "", type[6] == '2', name);
  }
}

static void remove_groups(const char* name) {
  for (int i = 0; i < n_groups; ++i) check(unlinkat(groups[i].dir, name, AT_REMOVEDIR), "rmdir");
  if (v2_root >= 0) check(unlinkat(v2_root, name, AT_REMOVEDIR), "rmdir");
}

static void mount_at(const char* type, const char* target, unsigned long flags, const char* data) {
  if (mkdir(target, 0755) != 0 && errno != EEXIST) die(target);
  check(mount(type, target, type, flags, data), target);
}

static void make_mounts(bool with_groups) {
  const unsigned long quiet = MS_NOSUID | MS_NOEXEC | MS_NODEV;
  mount_at("proc", "proc", 0, NULL);
  mount_at("tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
  mount_at("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
  mount_at("tmpfs", "dev/shm", quiet, "mode=1777,size=65536k");
  mount_at("mqueue", "dev/mqueue", quiet, NULL);
  mount_at("sysfs", "sys", quiet | MS_RDONLY, NULL);
  if (with_groups) {
    check(mount("tmpfs", "sys/fs/cgroup", "tmpfs", quiet, "mode=755"), "sys/fs/cgroup");
    for (int i = 0; i < n_groups; ++i) {
      const char* controllers = groups[i].controllers;
      char target[128], data[96];
      snprintf(target, sizeof target, "sys/fs/cgroup/%s", strrchr(groups[i].mount, '/') + 1);
      snprintf(data, sizeof data, "%s%s", strncmp(controllers, "name=", 5) == 0 ? "none," : "", controllers);
      check(mkdir(target, 0755), target);
      check(mount("cgroup", target, "cgroup", quiet | MS_RELATIME | MS_RDONLY, data), target);
    }
    check(mount("tmpfs", "sys/fs/cgroup", "tmpfs", quiet | MS_REMOUNT | MS_RDONLY, "mode=755"), "sys/fs/cgroup");
  }
  static const struct {
    const char* name;
    unsigned major, minor;
  } nodes[] = {{"dev/null", 1, 3},
               {"dev/zero", 1, 5},
               {"dev/full", 1, 7},
               {"dev/random", 1, 8},
               {"dev/urandom", 1, 9},
               {"dev/tty", 5, 0}};
  for (size_t i = 0; i < sizeof nodes / sizeof *nodes; ++i)
    check(mknod(nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)), nodes[i].name);
  static const char* const links[][2] = {{"/proc/self/fd", "dev/fd"},
                                         {"/proc/self/fd/0", "dev/stdin"},
                                         {"/proc/self/fd/1", "dev/stdout"},
                                         {"/proc/self/fd/2", "dev/stderr"},
                                         {"pts/ptmx", "dev/ptmx"}};
  for (size_t i = 0; i < sizeof links / sizeof *links; ++i) check(symlink(links[i][0], links[i][1]), links[i][1]);
}

static void hide_paths(void) {
  static const char* const read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  static const char* const masked[] = {"/proc/acpi",
                                       "/proc/asound",
                                       "/proc/kcore",
                                       "/proc/keys",
                                       "/proc/latency_stats",
                                       "/proc/timer_list",
                                       "/proc/timer_stats",
                                       "/proc/sched_debug",
                                       "/sys/firmware",
                                       "/proc/scsi"};
  for (size_t i = 0; i < sizeof read_only / sizeof *read_only; ++i) {
    if (mount(read_only[i], read_only[i], NULL, MS_BIND | MS_REC, NULL) != 0) {
      if (errno == ENOENT) continue;
      die(read_only[i]);
    }
    check(mount(NULL, read_only[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), read_only[i]);
  }
  for (size_t i = 0; i < sizeof masked / sizeof *masked; ++i) {
    if (mount("/dev/null", masked[i], NULL, MS_BIND, NULL) == 0 || errno == ENOENT) continue;
    if (errno != ENOTDIR) die(masked[i]);
    check(mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, NULL), masked[i]);
  }
}

static void drop_capabilities(void) {
  const uint64_t keep = 1ULL << CAP_AUDIT_WRITE | 1ULL << CAP_KILL | 1ULL << CAP_NET_BIND_SERVICE;
  for (unsigned long cap = 0; cap <= CAP_LAST_CAP; ++cap)
    if ((keep >> cap & 1) == 0) check(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0), "PR_CAPBSET_DROP");
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {{.effective = (uint32_t)keep, .permitted = (uint32_t)keep}};
  check(syscall(SYS_capset, &header, data), "capset");
}

static _Noreturn void child(const char* rootfs, bool with_groups, char** command) {
  if (with_groups) {
    for (int i = 0; i < n_groups; ++i) check(write(groups[i].tasks, "0", 1), "tasks");
    check(unshare(CLONE_NEWCGROUP), "unshare");
  }
  check(setsid(), "setsid");
  check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "/");
  check(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL), rootfs);
  check(chdir(rootfs), rootfs);
  umask(0);
  make_mounts(with_groups);
  check(syscall(SYS_pivot_root, ".", "."), "pivot_root");
  check(umount2(".", MNT_DETACH), "umount2");
  check(chdir("/"), "/");
  umask(022);
  hide_paths();
  check(sethostname("box", 3), "sethostname");
  struct rlimit files = {1024, 1024};
  check(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
  drop_capabilities();
  check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
  check(close_range(3, ~0U, CLOSE_RANGE_CLOEXEC), "close_range");
  execv(command[0], command);
  die(command[0]);
}

int main(int argc, char** argv) {
  bool with_groups = !(argc > 1 && strcmp(argv[1], "-n") == 0);
  if (!with_groups) ++argv, --argc;
  if (argc < 4) {
    fputs("usage: oci-floor [-n] ROOTFS GROUP COMMAND...\n", stderr);
    return 2;
  }
  if (with_groups) make_groups(argv[2]);
  struct clone_args args = {
      .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET,
      .exit_signal = SIGCHLD,
  };
  if (v2_dir >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = (unsigned)v2_dir;
  }
  long pid = syscall(SYS_clone3, &args, sizeof args);
  check(pid, "clone3");
  if (pid == 0) child(argv[1], with_groups, argv + 3);
  int status = 0;
  check(waitpid((pid_t)pid, &status, 0), "waitpid");
  if (with_groups) remove_groups(argv[2]);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
