// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "timeit.h"

struct summary {
  int runs;
  double min_ms, p10_ms, median_ms, p90_ms, mean_ms, cpu_ms;
  // `ratio` compares medians. `paired` is the median of the ratios of each round: the two runs of a round are close in
  // time, so a burst of foreign load that lasts longer than a round leaves it as it is.
  double ratio, ratio_min, paired;
};

static int compare(const void* a, const void* b) {
  double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static double quantile(const double* sorted, int n, double q) {
  if (n == 0) return 0;
  double at = q * (n - 1);
  int low = (int)at;
  double part = at - low;
  return low + 1 < n ? sorted[low] * (1 - part) + sorted[low + 1] * part : sorted[low];
}

static struct summary summarise(const struct bench_case* c, const struct bench_case* base, int rounds) {
  struct summary s = {0};
  double* wall = calloc((size_t)rounds, sizeof *wall);
  double* cpu = calloc((size_t)rounds, sizeof *cpu);
  double* paired = calloc((size_t)rounds, sizeof *paired);
  int pairs = 0;
  double sum = 0;
  for (int i = 0; i < rounds; ++i) {
    if (c->wall[i] == 0) continue;
    wall[s.runs] = (double)c->wall[i] / 1e6;
    cpu[s.runs] = (double)c->cpu[i] / 1e6;
    sum += wall[s.runs++];
    if (base->wall[i] != 0) paired[pairs++] = (double)c->wall[i] / (double)base->wall[i];
  }
  qsort(wall, (size_t)s.runs, sizeof *wall, compare);
  qsort(cpu, (size_t)s.runs, sizeof *cpu, compare);
  qsort(paired, (size_t)pairs, sizeof *paired, compare);
  if (s.runs > 0) {
    s.min_ms = wall[0];
    s.mean_ms = sum / s.runs;
  }
  s.p10_ms = quantile(wall, s.runs, 0.1);
  s.median_ms = quantile(wall, s.runs, 0.5);
  s.p90_ms = quantile(wall, s.runs, 0.9);
  s.cpu_ms = quantile(cpu, s.runs, 0.5);
  s.paired = quantile(paired, pairs, 0.5);
  free(wall);
  free(cpu);
  free(paired);
  return s;
}

static void print_json_string(const char* s) {
  putchar('"');
  for (; *s != 0; ++s) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\')
      printf("\\%c", c);
    else if (c < 0x20 || c >= 0x7f)
      printf("\\u%04x", c);
    else
      putchar(c);
  }
  putchar('"');
}

void report(const struct bench_case* cases, int n_cases, int base, int rounds, enum output_format format) {
  struct summary of_base = summarise(&cases[base], &cases[base], rounds);
  if (format == format_json) printf("[");
  if (format == format_tsv)
    printf("name\truns\tfailures\tmin_ms\tmedian_ms\tp90_ms\tmean_ms\tcpu_ms\tratio\tratio_min\tpaired\n");
  if (format == format_text)
    printf("%-28s %5s %4s %9s %9s %9s %9s %7s %7s\n",
           "",
           "runs",
           "fail",
           "min ms",
           "median",
           "p90",
           "cpu",
           "ratio",
           "paired");
  for (int i = 0; i < n_cases; ++i) {
    const struct bench_case* c = &cases[i];
    struct summary s = summarise(c, &cases[base], rounds);
    if (of_base.median_ms > 0) {
      s.ratio = s.median_ms / of_base.median_ms;
      s.ratio_min = s.min_ms / of_base.min_ms;
    }
    if (format == format_json) {
      printf("%s\n  {\"name\": ", i > 0 ? "," : "");
      print_json_string(c->name);
      printf(
          ", \"runs\": %d, \"failures\": %d, \"min_ms\": %.6f, \"p10_ms\": %.6f, \"median_ms\": %.6f, \"p90_ms\": "
          "%.6f, \"mean_ms\": "
          "%.6f,"
          " \"cpu_ms\": %.6f, \"ratio\": %.4f, \"ratio_min\": %.4f, \"paired\": %.4f, \"peak_kib\": %ld, \"error\": ",
          s.runs,
          c->failures,
          s.min_ms,
          s.p10_ms,
          s.median_ms,
          s.p90_ms,
          s.mean_ms,
          s.cpu_ms,
          s.ratio,
          s.ratio_min,
          s.paired,
          c->peak);
      print_json_string(c->first_error != NULL ? c->first_error : "");
      printf("}");
    } else if (format == format_tsv) {
      printf("%s\t%d\t%d\t%.6f\t%.6f\t%.6f\t%.6f\t%.6f\t%.4f\t%.4f\t%.4f\n",
             c->name,
             s.runs,
             c->failures,
             s.min_ms,
             s.median_ms,
             s.p90_ms,
             s.mean_ms,
             s.cpu_ms,
             s.ratio,
             s.ratio_min,
             s.paired);
    } else {
      printf("%-28s %5d %4d %9.3f %9.3f %9.3f %9.3f %7.2f %7.2f\n",
             c->name,
             s.runs,
             c->failures,
             s.min_ms,
             s.median_ms,
             s.p90_ms,
             s.cpu_ms,
             s.ratio,
             s.paired);
    }
  }
  if (format == format_json) printf("\n]\n");
}
