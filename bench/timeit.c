// SPDX-License-Identifier: Apache-2.0
// Times several commands against each other. In each round every case runs once, in a new random order, so that noise
// from other work on the machine falls on all of them alike. A case may be several processes, which are timed as one.
//
//   timeit [OPTIONS] --case NAME [--before ARGV...] --run ARGV... [--run ARGV...] [--after ARGV...] [--case ...]
//     -n ROUNDS   rounds that are measured (100)      -w ROUNDS   rounds before them that are not (2)
//     -p SECONDS  pause before each run (0)           -t SECONDS  stop measuring after that long (no limit)
//     -c CPU      pin everything to this CPU          -N NICE     priority
//     -s SEED     seed of the order (1)               -b NAME     the case that ratios are relative to (the first)
//     -f text|tsv|json
//
// Exits 0, 1 if a run of any case failed, 2 for a wrong command line.
#include "timeit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char** environ;

static struct bench_case cases[max_cases];
static int n_cases;
static posix_spawn_file_actions_t redirections;
static int error_fd;

static _Noreturn void fail(const char* what, const char* name) {
  fprintf(stderr, "timeit: %s %s\n", what, name);
  exit(2);
}

static double number(const char* text) {
  char* end;
  errno = 0;
  double d = strtod(text, &end);
  if (end == text || *end != 0 || errno != 0 || d < -20 || d > 1e9) fail("not a number:", text);
  return d;
}

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void pause_for(double seconds) {
  struct timespec t = {.tv_sec = (time_t)seconds};
  t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
  while (nanosleep(&t, &t) != 0 && errno == EINTR) {
  }
}

static int64_t nanoseconds(struct timeval t) { return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_usec * 1000; }

// The children share one memory file as stderr; it is emptied before each case and read only when one of them failed.
static void prepare_redirections(void) {
  int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  error_fd = memfd_create("stderr", MFD_CLOEXEC);
  if (null_fd < 0 || error_fd < 0 || posix_spawn_file_actions_init(&redirections) != 0 ||
      posix_spawn_file_actions_adddup2(&redirections, null_fd, 0) != 0 ||
      posix_spawn_file_actions_adddup2(&redirections, null_fd, 1) != 0 ||
      posix_spawn_file_actions_adddup2(&redirections, error_fd, 2) != 0)
    fail("cannot prepare", "/dev/null");
}

static void note_failure(struct bench_case* c, char** argv, int spawn_error, int status) {
  ++c->failures;
  if (c->first_error != NULL) return;
  char text[600];
  int n = spawn_error != 0 ? snprintf(text, sizeof text, "%s: %s", argv[0], strerror(spawn_error))
                           : snprintf(text,
                                      sizeof text,
                                      "%s: %s %d: ",
                                      argv[0],
                                      WIFEXITED(status) ? "exit status" : "signal",
                                      WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
  if (n < 0 || n > 300) n = 0;
  ssize_t got = pread(error_fd, text + n, sizeof text - 1 - (size_t)n, 0);
  text[n + (got > 0 ? (int)got : 0)] = 0;
  c->first_error = strdup(text);
}

// Runs one process to its end. Returns whether it succeeded, and adds its CPU time to `cpu`.
static bool run_step(struct bench_case* c, char** argv, int64_t* cpu, long* peak) {
  pid_t pid;
  int error = posix_spawn(&pid, argv[0], &redirections, NULL, argv, environ);
  int status = 0;
  struct rusage usage;
  if (error == 0) {
    while (wait4(pid, &status, 0, &usage) < 0)
      if (errno != EINTR) fail("cannot wait for", argv[0]);
    *cpu += nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime);
    if (usage.ru_maxrss > *peak) *peak = usage.ru_maxrss;
  }
  if (error == 0 && status == 0) return true;
  note_failure(c, argv, error, status);
  return false;
}

// A failed step ends the round of its case, but what comes after the timed steps runs always: it cleans up.
static void run_case(struct bench_case* c, int round, double pause) {
  if (ftruncate(error_fd, 0) != 0 || lseek(error_fd, 0, SEEK_SET) != 0) fail("cannot empty", "stderr");
  bool good = true;
  int64_t ignored = 0, cpu = 0, wall = 0;
  long ignored_peak = 0;
  for (int i = 0; i < c->n_steps && good; ++i)
    if (c->steps[i].kind == step_before) good = run_step(c, c->steps[i].argv, &ignored, &ignored_peak);
  if (pause > 0) pause_for(pause);
  int64_t start = now();
  for (int i = 0; i < c->n_steps && good; ++i)
    if (c->steps[i].kind == step_run) good = run_step(c, c->steps[i].argv, &cpu, &c->peak);
  wall = now() - start;
  bool measured = good;
  for (int i = 0; i < c->n_steps; ++i)
    if (c->steps[i].kind == step_after) good = run_step(c, c->steps[i].argv, &ignored, &ignored_peak) && good;
  if (round < 0) return;
  c->wall[round] = measured ? wall : 0;
  c->cpu[round] = cpu;
}

static void add_step(struct bench_case* c, enum step_kind kind, char** argv) {
  if (c == NULL) fail("a step before any", "--case");
  if (c->n_steps == max_steps) fail("too many steps in", c->name);
  if (argv[0] == NULL) fail("a step without a command in", c->name);
  c->steps[c->n_steps++] = (struct step){kind, argv};
}

// Cuts the command line into cases and steps in place: each flag word becomes the NULL that ends the step before it.
static void parse_cases(char** args) {
  struct bench_case* c = NULL;
  for (char** a = args; *a != NULL; ++a) {
    bool is_case = strcmp(*a, "--case") == 0;
    int kind = strcmp(*a, "--before") == 0  ? step_before
               : strcmp(*a, "--run") == 0   ? step_run
               : strcmp(*a, "--after") == 0 ? step_after
                                            : -1;
    if (is_case) {
      *a = NULL;
      if (a[1] == NULL) fail("no name after", "--case");
      if (n_cases == max_cases) fail("too many cases at", a[1]);
      c = &cases[n_cases++];
      c->name = *++a;
    } else if (kind >= 0) {
      *a = NULL;
      add_step(c, (enum step_kind)kind, a + 1);
    }
  }
  for (int i = 0; i < n_cases; ++i) {
    bool timed = false;
    for (int s = 0; s < cases[i].n_steps; ++s) {
      if (cases[i].steps[s].argv[0] == NULL) fail("an empty step in", cases[i].name);
      timed = timed || cases[i].steps[s].kind == step_run;
    }
    if (!timed) fail("nothing to time in", cases[i].name);
  }
  if (n_cases == 0) fail("no", "--case");
}

static void shuffle(int* order, uint64_t* state) {
  for (int i = n_cases - 1; i > 0; --i) {
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    int j = (int)((*state >> 33) % (uint64_t)(i + 1));
    int swap = order[i];
    order[i] = order[j];
    order[j] = swap;
  }
}

int main(int argc, char** argv) {
  int rounds = 100, warmup = 2, cpu = -1, priority = 0, base = 0;
  double pause = 0, limit = 0;
  uint64_t seed = 1;
  const char* base_name = NULL;
  enum output_format format = format_text;
  int first = 1;
  for (; first + 1 < argc && strcmp(argv[first], "--case") != 0; first += 2) {
    const char* value = argv[first + 1];
    if (strcmp(argv[first], "-n") == 0)
      rounds = (int)number(value);
    else if (strcmp(argv[first], "-w") == 0)
      warmup = (int)number(value);
    else if (strcmp(argv[first], "-p") == 0)
      pause = number(value);
    else if (strcmp(argv[first], "-t") == 0)
      limit = number(value);
    else if (strcmp(argv[first], "-c") == 0)
      cpu = (int)number(value);
    else if (strcmp(argv[first], "-N") == 0)
      priority = (int)number(value);
    else if (strcmp(argv[first], "-s") == 0)
      seed = (uint64_t)number(value);
    else if (strcmp(argv[first], "-b") == 0)
      base_name = value;
    else if (strcmp(argv[first], "-f") == 0)
      format = strcmp(value, "tsv") == 0 ? format_tsv : strcmp(value, "json") == 0 ? format_json : format_text;
    else
      fail("unknown option", argv[first]);
  }
  parse_cases(argv + first);
  while (base_name != NULL && strcmp(cases[base].name, base_name) != 0)
    if (++base == n_cases) fail("no case is named", base_name);
  if (rounds < 1) fail("too few rounds:", "-n");
  if (cpu >= 0) {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET((size_t)cpu, &mask);
    if (sched_setaffinity(0, sizeof mask, &mask) != 0) fail("cannot pin to the CPU of", "-c");
  }
  if (priority != 0 && setpriority(PRIO_PROCESS, 0, priority) != 0) fail("cannot set the priority of", "-N");
  prepare_redirections();
  int order[max_cases] = {0};
  for (int i = 0; i < n_cases; ++i) {
    order[i] = i;
    cases[i].wall = calloc((size_t)rounds, sizeof *cases[i].wall);
    cases[i].cpu = calloc((size_t)rounds, sizeof *cases[i].cpu);
  }
  int64_t start = now();
  for (int round = -warmup; round < rounds; ++round) {
    if (round == 0) start = now();
    if (round > 0 && limit > 0 && (double)(now() - start) / 1e9 > limit) break;
    shuffle(order, &seed);
    for (int i = 0; i < n_cases; ++i) run_case(&cases[order[i]], round, pause);
  }
  report(cases, n_cases, base, rounds, format);
  int status = 0;
  for (int i = 0; i < n_cases; ++i) {
    if (cases[i].failures == 0) continue;
    if (format != format_json)
      fprintf(stderr, "timeit: %s: %d runs failed: %s\n", cases[i].name, cases[i].failures, cases[i].first_error);
    status = 1;
  }
  return status;
}
