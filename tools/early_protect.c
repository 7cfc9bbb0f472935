// SPDX-License-Identifier: Apache-2.0
// container::protect_program() executes the program a second time. Half of what that costs is the C library's start,
// which then happens twice for nothing: this does the first half before it. The kernel starts programs that are linked
// with it at cgx_entry; whatever is unusual here goes on to main(), where protect_program() decides what is right.
//
// Nothing of the C library works yet, not even its strlen(), which is chosen for the processor at its start.
#include <linux/fcntl.h>
#include <linux/mount.h>

#include <asm/statfs.h>
#include <asm/unistd.h>

#if !defined(__x86_64__)
#error "only for x86-64: meson.build links it there alone"
#endif

// Without room on the stack for more, main() does it.
enum { max_environment = 250, max_path = 500, read_only = 1 /* ST_RDONLY */ };

static long call(long number, long a, long b, long c, long d, long e) {
  long result = 0;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
  return result;
}
static int starts_with(const char* text, const char* start) {
  while (*start != 0 && *text == *start) {
    ++text;
    ++start;
  }
  return *start == 0;
}
static int is(const char* text, const char* word) {
  while (*word != 0 && *text == *word) {
    ++text;
    ++word;
  }
  return *text == *word;
}

// The commands that start programs of containers, of cgx-oci and of cgx-container. Where a container is named as one of
// them, it is done for nothing.
static int wanted(char** argv) {
  for (char** word = argv; *word != 0; ++word)
    if (is(*word, "run") || is(*word, "create") || is(*word, "exec") || is(*word, "container exec")) return 1;
  return 0;
}

// Called with what the kernel has put on the stack: the number of arguments, they, and the environment.
__attribute__((used)) void cgx_protect_early(long* stack) {
  char** argv = (char**)(stack + 1);
  char** environment = argv + stack[0] + 1;
  if (stack[0] < 1 || !wanted(argv)) return;

  const char* const own_file = "/proc/self/exe";
  struct statfs fs;
  if (call(__NR_statfs, (long)own_file, (long)&fs, 0, 0, 0) != 0 || (fs.f_flags & read_only) != 0) return;

  static const char name[] = "CGX_PROGRAM=";
  char program[sizeof name + max_path];
  char* with_program[max_environment + 2];
  int n = 0;
  for (; environment[n] != 0; ++n) {
    if (n == max_environment || starts_with(environment[n], name)) return;  // done, or somebody plays with us
    with_program[n] = environment[n];
  }
  with_program[n] = program;
  with_program[n + 1] = 0;

  for (unsigned i = 0; i < sizeof name - 1; ++i) {
    program[i] = name[i];
    __asm__ volatile("" ::: "memory");  // or the compiler makes a call of memcpy() of it
  }
  const long length = call(__NR_readlink, (long)own_file, (long)(program + sizeof name - 1), max_path, 0, 0);
  if (length <= 1 || length >= max_path) return;
  program[(long)sizeof name - 1 + length] = 0;

  const long tree = call(__NR_open_tree, AT_FDCWD, (long)own_file, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC, 0, 0);
  if (tree < 0) return;
  const struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV};
  if (call(__NR_mount_setattr, tree, (long)"", AT_EMPTY_PATH, (long)&attr, sizeof attr) == 0)
    (void)call(__NR_execveat, tree, (long)"", (long)argv, (long)with_program, AT_EMPTY_PATH);
  (void)call(__NR_close, tree, 0, 0, 0, 0);
}

// %rdx is what a program that the kernel starts itself finds there: no function to call at its end.
__asm__(
    ".pushsection .text\n"
    ".globl cgx_entry\n"
    ".type cgx_entry, @function\n"
    "cgx_entry:\n"
    "  mov %rsp, %rdi\n"
    "  mov %rsp, %rbx\n"
    "  and $-16, %rsp\n"
    "  call cgx_protect_early\n"
    "  mov %rbx, %rsp\n"
    "  xor %ebx, %ebx\n"
    "  xor %edx, %edx\n"
    "  jmp _start\n"
    ".size cgx_entry, . - cgx_entry\n"
    ".popsection\n");
