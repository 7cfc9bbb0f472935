// SPDX-License-Identifier: Apache-2.0
#include "pipes.h"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace cgx::launcher {
namespace {

Result<> make_pipe(sys::Fd& read_end, sys::Fd& write_end) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  read_end = sys::Fd(ends[0]);
  write_end = sys::Fd(ends[1]);
  return {};
}

}  // namespace

Result<Pipes> make_pipes(bool interactive, uid_t uid, gid_t gid) {
  Pipes pipes;
  if (interactive)
    CGX_CHECK(make_pipe(pipes.theirs[0], pipes.in));
  else
    pipes.theirs[0] = sys::Fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  CGX_CHECK(make_pipe(pipes.out, pipes.theirs[1]));
  CGX_CHECK(make_pipe(pipes.err, pipes.theirs[2]));
  // A program that opens /dev/stdout anew needs the right to it.
  for (std::size_t fd = 0; fd < 3; ++fd)
    if (fd > 0 || interactive) (void)fchown(pipes.theirs[fd].get(), uid, gid);
  return pipes;
}

}  // namespace cgx::launcher
