// SPDX-License-Identifier: Apache-2.0
// Device access on cgroup v2: a DeviceList as a BPF_PROG_TYPE_CGROUP_DEVICE program on a group (kernel
// Documentation/admin-guide/cgroup-v2.rst, "Device controller"). A group has at most one program of cgx's, known by
// its name; programs of others (systemd's) stay as they are, and every program on the path to the root must allow an
// access. Each function takes a descriptor of the group's directory (O_PATH will do), which stays the caller's.
// Nothing blocks. Changes pass through sys::mutation("bpf", "load" | "attach" | "detach") first.
//
// Errors: EPERM where CAP_BPF (or CAP_SYS_ADMIN) and CAP_NET_ADMIN are missing, or a program without
// BPF_F_ALLOW_MULTI stands on the path; ENOSYS and EINVAL where the kernel has no CGROUP_BPF; EBADF where the group is
// not of cgroup v2; E2BIG where it has 64 programs. The sentence says so.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cgx/model/device_list.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/result.h"

namespace cgx {

// cgx's program on a group. The descriptor keeps it loaded, so that it can be put back after it was replaced.
struct DeviceProgram {
  sys::Fd fd;  // none: the group had no program of cgx's
  std::uint32_t id = 0;
  std::string tag{};  // the kernel's digest of the instructions, in hexadecimal
};

struct AttachedProgram {
  std::uint32_t id = 0;
  std::string name;  // of at most 15 bytes; systemd's is `sd_devices`
  std::string tag;
  bool ours = false;
};

// The device programs on the group itself, in the order of attachment; not those of its ancestors.
[[nodiscard]] Result<std::vector<AttachedProgram>> device_programs(int cgroup);

// Makes `list` the rules of the group: replaces cgx's program there in one step (BPF_F_REPLACE, kernel 5.6), or
// attaches the first. A list that allows everything needs none and detaches. Answers what was there before, for
// restore_devices(). Of calls at the same time for one group, the program of one stays.
[[nodiscard]] Result<DeviceProgram> attach_devices(int cgroup, const DeviceList& list);
// The same in two steps, for who has to know the program.
[[nodiscard]] Result<DeviceProgram> load_devices(const DeviceList& list);
[[nodiscard]] Result<DeviceProgram> attach_devices(int cgroup, const DeviceProgram& program);

// Takes cgx's program off the group, where there is one, and answers it.
[[nodiscard]] Result<DeviceProgram> detach_devices(int cgroup);

// Puts back what attach_devices() or detach_devices() answered.
[[nodiscard]] Result<> restore_devices(int cgroup, const DeviceProgram& previous);

// Whether this process can load such programs on this kernel, by loading the smallest one. For checks of the host.
[[nodiscard]] Result<> probe_device_bpf();

}  // namespace cgx
