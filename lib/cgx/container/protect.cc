// SPDX-License-Identifier: Apache-2.0
// A process of a container can reach this program's file through /proc/PID/exe while the program enters the container
// (CVE-2019-5736), and write to it, unless the file is on a mount that is read-only, or sealed.
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cgx/container/launch.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/program.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

namespace cgx::container {
namespace {

constexpr const char* own_file = "/proc/self/exe";
constexpr const char* program_variable = "CGX_PROGRAM";  // of early_protect.c too
constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

// By what the kernel says of the file that is running; nothing that the environment could claim.
Result<bool> is_protected() {
  const sys::Fd file(open(own_file, O_RDONLY | O_CLOEXEC));
  struct statfs fs{};
  // A second copy of a copy would not find its helper programs: it is named after the first one.
  if (!file.valid() || fstatfs(file.get(), &fs) != 0) return fail_errno(errno, own_file);
  if ((static_cast<unsigned long>(fs.f_flags) & ST_RDONLY) != 0) return true;
  const int has = fcntl(file.get(), F_GET_SEALS);
  return has >= 0 && (has & seals) == seals;
}

// A copy of the mount that the file is on, with the file as its root. It is in no mount namespace: nobody can find it
// and make it writable.
sys::Fd read_only_clone() {
  sys::Fd tree(open_tree(AT_FDCWD, own_file, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree.valid()) return tree;
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV;
  if (mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attr, sizeof attr) != 0) tree.reset(-1);
  return tree;
}

Result<sys::Fd> sealed_copy() {
  const sys::Fd file = CGX_TRY(sys::open_path(own_file, O_RDONLY));
  struct stat st{};
  if (fstat(file.get(), &st) != 0) return fail_errno(errno, own_file);
  sys::Fd copy(memfd_create("cgx", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC));
  if (!copy.valid()) copy.reset(memfd_create("cgx", MFD_CLOEXEC | MFD_ALLOW_SEALING));  // before Linux 6.3
  if (!copy.valid()) return fail_errno(errno, "memfd_create");
  for (off_t done = 0; done < st.st_size;) {
    const ssize_t n = sendfile(copy.get(), file.get(), nullptr, static_cast<std::size_t>(st.st_size - done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail_errno(n < 0 ? errno : EIO, "copy of this program");
    done += n;
  }
  (void)fchmod(copy.get(), 0555);
  if (fcntl(copy.get(), F_ADD_SEALS, seals) != 0) return fail_errno(errno, "seals");
  return copy;
}

// Descriptors 0 to 2 that are closed would be given to the first files that are opened, and to the container.
Result<> fill_standard_streams() {
  for (int fd = 0; fd < 3; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    // NOLINTNEXTLINE(android-cloexec-open): the program that is started gets it.
    if (open("/dev/null", O_RDWR) != fd) return fail_errno(errno != 0 ? errno : EBADF, "/dev/null");
  }
  return {};
}

}  // namespace

void recall_program(char** argv) {
  const char* path = std::getenv(program_variable);
  if (path == nullptr) return;
  sys::set_program_path(path);
  (void)unsetenv(program_variable);  // nothing that what we start should see
  // The kernel names a process that was executed by a descriptor after its number.
  const char* slash = std::strrchr(argv[0], '/');
  (void)prctl(PR_SET_NAME, slash != nullptr ? slash + 1 : argv[0]);
}

Result<> protect_program(char** argv) {
  CGX_CHECK(fill_standard_streams());
  recall_program(argv);
  if (CGX_TRY(is_protected())) return {};
  std::array<char, PATH_MAX> path{};
  if (readlink(own_file, path.data(), path.size() - 1) > 0) (void)setenv(program_variable, path.data(), 1);
  if (const sys::Fd tree = read_only_clone(); tree.valid())
    (void)execveat(tree.get(), "", argv, environ, AT_EMPTY_PATH);
  const sys::Fd copy = CGX_TRY(sealed_copy());
  (void)execveat(copy.get(), "", argv, environ, AT_EMPTY_PATH);
  return fail_errno(errno, "executing this program from a copy of it");
}

}  // namespace cgx::container
