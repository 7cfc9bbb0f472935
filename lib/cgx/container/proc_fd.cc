// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/proc_fd.h"

#include <cerrno>

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cgx/container/mount_calls.h"

namespace cgx::container {
namespace {

constexpr ino_t root_inode = 1;  // PROC_ROOT_INO of the kernel

Result<> check_procfs(int fd, const std::string& path) {
  struct statfs fs{};
  if (fstatfs(fd, &fs) != 0) return fail_errno(errno, path);
  if (fs.f_type != PROC_SUPER_MAGIC) return fail(EXDEV, "\"" + path + "\" is not of procfs");
  return {};
}

}  // namespace

Result<sys::Fd> open_proc(ProcView view) {
  NewMount wanted{.type = "proc", .source = "proc", .data = {}, .attributes = 0};
  if (view == ProcView::processes) wanted.data = {"subset=pid"};
  auto made = make_tree(wanted);
  if (!made && made.error().code != EPERM) return made;
  if (!made) made = CGX_TRY(sys::open_path("/proc", O_PATH | O_DIRECTORY));
  CGX_CHECK(check_procfs(made->get(), "/proc"));
  struct stat st{};
  if (fstat(made->get(), &st) != 0) return fail_errno(errno, "/proc");
  if (st.st_ino != root_inode) return fail(EXDEV, "\"/proc\" is not the root of a procfs");
  return made;
}

Result<sys::Fd> open_in_proc(const sys::Fd& proc, const std::string& path, int flags) {
  if (path.find('\0') != std::string::npos) return fail(EINVAL, "path has a NUL byte");
  open_how how{};
  how.flags = static_cast<unsigned>(flags) | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  sys::Fd fd(static_cast<int>(syscall(SYS_openat2, proc.get(), path.c_str(), &how, sizeof how)));
  if (!fd.valid() && errno == ENOSYS) return fail(ENOTSUP, "openat2(2) is not supported here");
  if (!fd.valid()) return fail_errno(errno, "/proc/" + path);
  CGX_CHECK(check_procfs(fd.get(), "/proc/" + path));
  return fd;
}

}  // namespace cgx::container
