// SPDX-License-Identifier: Apache-2.0
// Seccomp: the specification's rules become a program of the kernel (seccomp(2)) by libseccomp, before the clone, so
// that the child only loads it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cgx/container/spec.h"
#include "cgx/sys/fd.h"

namespace cgx::container {

struct SeccompProgram {
  std::vector<std::uint64_t> instructions;  // struct sock_filter
  unsigned flags = 0;                       // SECCOMP_FILTER_FLAG_*
  bool notifies = false;                    // SCMP_ACT_NOTIFY is used: loading answers a listener
  std::vector<std::string> notes;           // names of system calls that libseccomp does not know, left out
};

// The rules of a file that container engines have for it: what the specification has in linux.seccomp, and conditions
// (archMap; includes and excludes of a rule: arches, caps, minKernel), by this machine and the bounding set of the
// container. EINVAL names the place and what is wrong, an unknown key too.
[[nodiscard]] Result<Seccomp> read_seccomp(std::string_view text, std::uint64_t bounding_capabilities);

// EINVAL names the rule and what is wrong with it. `cache`: a directory where programs are kept by a digest of the
// rules (files are written whole and renamed; a wrong or foreign file is not used); empty: none.
[[nodiscard]] Result<SeccompProgram> compile_seccomp(const Seccomp& rules, const std::string& cache = {});

// In the child: needs no_new_privs or CAP_SYS_ADMIN. Answers the listener where the program notifies, else no
// descriptor.
[[nodiscard]] Result<sys::Fd> load_seccomp(const SeccompProgram& program);

// The profile of `cgx run` and `cgx exec --seccomp default`: what the field's engines allow, unknown calls answered by
// ENOSYS, AF_ALG and AF_VSOCK sockets refused (EAFNOSUPPORT), calls that a kept capability stands for allowed.
[[nodiscard]] Seccomp default_seccomp(std::uint64_t bounding_capabilities);

}  // namespace cgx::container
