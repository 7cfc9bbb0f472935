// SPDX-License-Identifier: Apache-2.0
// What timeit measured and how it is summed up. Times are nanoseconds.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { max_cases = 24, max_steps = 32 };

// A process of a case: timed, or made before or after the timed ones.
enum step_kind { step_before, step_run, step_after };

struct step {
  enum step_kind kind;
  char** argv;
};

struct bench_case {
  const char* name;
  struct step steps[max_steps];
  int n_steps;
  // One entry a round; a round that failed has `wall` 0.
  int64_t* wall;
  int64_t* cpu;
  long peak;  // the largest resident set of a timed process or of one that it waited for, in KiB
  int failures;
  char* first_error;
};

enum output_format { format_text, format_tsv, format_json };

// Prints one line or object a case on stdout, with ratios to the case `base`.
void report(const struct bench_case* cases, int n_cases, int base, int rounds, enum output_format format);
