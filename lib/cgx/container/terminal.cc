// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/terminal.h"

#include <cerrno>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <fmt/format.h>

namespace cgx::container {

Result<Terminal> open_terminal(const Process& process) {
  Terminal terminal;
  // Whatever the image or another process of the container has put there: the directory is a devpts, and the entry is
  // its own, not one that is mounted over it.
  const sys::Fd dir(open("/dev/pts", O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct statfs fs{};
  if (!dir.valid() || fstatfs(dir.get(), &fs) != 0) return fail_errno(errno, "/dev/pts");
  if (fs.f_type != DEVPTS_SUPER_MAGIC) return fail(EINVAL, "/dev/pts is no devpts");
  auto master = sys::open_beneath(dir.get(), "ptmx", O_RDWR | O_NOCTTY);
  if (!master) return fail_errno(master.error().code, "/dev/pts/ptmx");
  terminal.master = *std::move(master);
  int locked = 0;
  unsigned number = 0;
  if (ioctl(terminal.master.get(), TIOCSPTLCK, &locked) != 0 || ioctl(terminal.master.get(), TIOCGPTN, &number) != 0)
    return fail_errno(errno, "/dev/pts/ptmx");
  terminal.name = fmt::format("/dev/pts/{}", number);
  terminal.slave.reset(ioctl(terminal.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.slave.valid()) return fail_errno(errno, terminal.name);
  if (process.console_size) {
    winsize size{};
    size.ws_row = process.console_size->first;
    size.ws_col = process.console_size->second;
    if (ioctl(terminal.master.get(), TIOCSWINSZ, &size) != 0) return fail_errno(errno, "window size");
  }
  return terminal;
}

Result<> take_terminal(const Terminal& terminal) {
  if (ioctl(terminal.slave.get(), TIOCSCTTY, 0) != 0) return fail_errno(errno, "controlling terminal");
  for (int fd = 0; fd < 3; ++fd)
    if (dup2(terminal.slave.get(), fd) < 0) return fail_errno(errno, terminal.name);
  return {};
}

}  // namespace cgx::container
