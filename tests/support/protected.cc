// SPDX-License-Identifier: Apache-2.0
// Protects itself as the launcher does, and says how: "mount" (read-only), "sealed" (a copy) or "no".
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cgx/container/launch.h"

int main(int argc, char** argv) {
  if (const auto done = cgx::container::protect_program(argv); !done) {
    (void)fprintf(stderr, "%s\n", done.error().text().c_str());
    return 1;
  }
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  struct statfs fs{};
  if (file < 0 || fstatfs(file, &fs) != 0) return 1;
  const char* how = "no";
  if (fcntl(file, F_GET_SEALS) >= 0 && (fcntl(file, F_GET_SEALS) & F_SEAL_WRITE) != 0)
    how = "sealed";
  else if ((static_cast<unsigned long>(fs.f_flags) & ST_RDONLY) != 0)
    how = "mount";
  char name[16] = {};
  (void)prctl(PR_GET_NAME, &name[0]);
  (void)printf("%s %s %d %s\n", how, &name[0], argc, argc > 1 ? argv[1] : "");
  return 0;
}
