// SPDX-License-Identifier: Apache-2.0
// The two small eBPF programs of network control, put together here instruction by instruction (no compiler and no
// libbpf at run time), and the place of one on a cgroup v2 group. Needs CAP_BPF and CAP_NET_ADMIN, or root of the
// first user namespace: EPERM. Kernel: Documentation/bpf/prog_cgroup_*.rst, bpf(2).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <linux/bpf.h>

#include "cgx/net/names.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/result.h"

namespace cgx::net {

inline constexpr const char* program_name = "cgx_net";

// What the program on a group writes into skb->priority of each packet that a socket of the group or of a group
// below it sends.
struct Mark {
  struct OnInterface {
    unsigned index = 0;
    std::uint32_t priority = 0;
  };
  ClassId id;                    // on every interface that no other member speaks of; value 0: nothing
  std::vector<unsigned> shaped;  // interfaces with a class of this group: `id` wins over a priority there
  std::vector<OnInterface> priorities;
  [[nodiscard]] bool empty() const { return id.value == 0 && priorities.empty(); }
};

// The instructions for `mark`. A packet that carries a traffic class already (a group below has run its program
// first) keeps it, and a priority is given only where there is none yet: the kernel's rule for net_prio.
// Pure, for tests.
[[nodiscard]] std::vector<bpf_insn> mark_program(const Mark& mark);

// Puts the program for `mark` on the group `group_fd`, in place of an earlier one of cgx, beside all others.
[[nodiscard]] Result<> attach_mark(int group_fd, const Mark& mark);
// Takes cgx's program away; none there is no error. Answers whether there was one.
[[nodiscard]] Result<bool> detach_mark(int group_fd);

// A tc classifier that answers the net_cls.classid of the sending task, as cls_cgroup does.
[[nodiscard]] Result<sys::Fd> load_classid_program();

}  // namespace cgx::net
