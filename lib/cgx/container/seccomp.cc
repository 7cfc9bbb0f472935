// SPDX-License-Identifier: Apache-2.0
// seccomp(2), by its number: libseccomp would make the program once more, and libc has no function for it.
#include "cgx/container/seccomp.h"

#include <cerrno>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cgx/container/seccomp_words.h"

namespace cgx::container {

bool kernel_knows_seccomp_flag(std::uint32_t flag) {
  // With no program: EFAULT where the flags are known. This one is refused unless there is a listener, too.
  const unsigned flags = flag == wait_killable_recv ? flag | SECCOMP_FILTER_FLAG_NEW_LISTENER : flag;
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, nullptr) == -1 && errno == EFAULT;
}

Result<sys::Fd> load_seccomp(const SeccompProgram& program) {
  if (program.instructions.empty() || program.instructions.size() > BPF_MAXINSNS)
    return fail(EINVAL, "a seccomp program of this size cannot be loaded");
  static_assert(sizeof(sock_filter) == sizeof(std::uint64_t));
  // The kernel only reads them.
  sock_fprog filter{.len = static_cast<unsigned short>(program.instructions.size()),
                    .filter = reinterpret_cast<sock_filter*>(const_cast<std::uint64_t*>(program.instructions.data()))};
  const unsigned flags = program.flags | (program.notifies ? unsigned{SECCOMP_FILTER_FLAG_NEW_LISTENER} : 0U);
  const long answer = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
  if (answer < 0) return fail_errno(errno, "seccomp");
  // A thread that could not be synchronised is told of by its number, where there is no listener.
  if (!program.notifies)
    return answer == 0 ? Result<sys::Fd>(sys::Fd()) : fail(ESRCH, "seccomp: another thread has a program of its own");
  return sys::Fd(static_cast<int>(answer));
}

}  // namespace cgx::container
