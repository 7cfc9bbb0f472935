// SPDX-License-Identifier: Apache-2.0
// The floor of a scrape: reads the files of groups again and again, and does nothing with what it read.
//
//   floor-scrape ROUNDS GROUPS [+]DIR:FILE...
//
// GROUPS is a file with the name of a group a line. FILE is read in each of them, below the hierarchy that is mounted
// on DIR; with `+` its descriptor is kept from one round to the next, else it is opened and closed each time. A file
// that is not there is passed over.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { max_files = 64 };

struct file {
  int root;
  const char* name;
  bool keep;
};

static void die(const char* what, const char* name) {
  fprintf(stderr, "floor-scrape: %s %s: %s\n", what, name, strerror(errno));
  exit(1);
}

static struct file files[max_files];
static int n_files;
static char** groups;
static size_t n_groups;
static int* kept;
static char text[65536];
static size_t bytes;

static void add_file(char* argument) {
  if (n_files == max_files) exit(2);
  struct file* f = &files[n_files++];
  f->keep = argument[0] == '+';
  char* dir = argument + f->keep;
  char* colon = strrchr(dir, ':');
  if (colon == NULL) exit(2);
  *colon = 0;
  f->name = colon + 1;
  f->root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (f->root < 0) die("open", dir);
}

static void read_groups(const char* path) {
  FILE* in = fopen(path, "re");
  if (in == NULL) die("open", path);
  char* line = NULL;
  size_t room = 0;
  for (ssize_t n; (n = getline(&line, &room, in)) > 0; ++n_groups) {
    if (line[n - 1] == '\n') line[n - 1] = 0;
    groups = realloc(groups, (n_groups + 1) * sizeof *groups);
    if (groups == NULL || (groups[n_groups] = strdup(line)) == NULL) die("memory for", line);
  }
  free(line);
  fclose(in);
}

static void read_one(size_t group, int file) {
  int* slot = &kept[group * (size_t)n_files + (size_t)file];
  int fd = *slot;
  if (fd < 0) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", groups[group], files[file].name);
    fd = openat(files[file].root, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return;
    if (fd < 0) die("open", path);
  }
  ssize_t n = pread(fd, text, sizeof text, 0);
  if (n < 0) die("read", files[file].name);
  bytes += (size_t)n;
  if (files[file].keep)
    *slot = fd;
  else
    close(fd);
}

int main(int argc, char** argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: floor-scrape ROUNDS GROUPS [+]DIR:FILE...\n");
    return 2;
  }
  read_groups(argv[2]);
  for (int i = 3; i < argc; ++i) add_file(argv[i]);
  kept = malloc(n_groups * (size_t)n_files * sizeof *kept);
  if (kept == NULL) die("memory for", "descriptors");
  memset(kept, 0xff, n_groups * (size_t)n_files * sizeof *kept);
  for (int round = atoi(argv[1]); round > 0; --round)
    for (size_t g = 0; g < n_groups; ++g)
      for (int f = 0; f < n_files; ++f) read_one(g, f);
  printf("%zu groups, %zu bytes\n", n_groups, bytes);
  return 0;
}
