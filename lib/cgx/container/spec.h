// SPDX-License-Identifier: Apache-2.0
// A container as the OCI runtime-spec 1.3 describes it (config.json), as values. Names are the specification's. What
// the bundle leaves out is an empty optional, an empty list or the specification's default. It knows nothing of files:
// read_spec() is the parser, launch.h is what is done with it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "cgx/sys/result.h"

namespace cgx::container {

using Pairs = std::vector<std::pair<std::string, std::string>>;  // in the order of the file

struct User {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::optional<std::uint32_t> umask;
  std::vector<std::uint32_t> additional_gids;
};

// The five sets as bits of CAP_*; what a set names that this kernel does not know is in `unknown`, for a warning.
struct Capabilities {
  std::uint64_t bounding = 0, effective = 0, inheritable = 0, permitted = 0, ambient = 0;
  std::vector<std::string> unknown;
};

struct Rlimit {
  int resource = 0;  // RLIMIT_*
  std::string type;  // as written, "RLIMIT_NOFILE"
  std::uint64_t soft = 0, hard = 0;
};

struct Scheduler {
  std::uint32_t policy = 0;  // SCHED_*
  std::int32_t nice = 0, priority = 0;
  std::uint64_t flags = 0;  // SCHED_FLAG_*
  std::uint64_t runtime = 0, deadline = 0, period = 0;
};

struct IoPriority {
  int klass = 0;  // IOPRIO_CLASS_*
  int priority = 0;
};

struct CpuAffinity {
  std::string initial, final;  // CPU lists; empty: not given
};

struct Process {
  bool terminal = false;
  std::optional<std::pair<std::uint16_t, std::uint16_t>> console_size;  // rows, columns
  User user;
  std::vector<std::string> args;
  std::vector<std::string> env;  // NAME=VALUE
  std::string cwd = "/";
  std::optional<Capabilities> capabilities;  // none: no capability at all
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::string apparmor_profile, selinux_label;
  std::optional<int> oom_score_adj;
  std::optional<Scheduler> scheduler;
  std::optional<IoPriority> io_priority;
  std::optional<CpuAffinity> exec_cpu_affinity;
  // No word of the specification, for callers who build a process themselves: what a change of ids leaves stays.
  bool keeps_capabilities = false;
};

struct IdMapping {
  std::uint32_t container_id = 0, host_id = 0, size = 0;
};

struct Root {
  std::string path;  // absolute after read_spec(): relative ones are the bundle's
  bool readonly = false;
};

struct Mount {
  std::string destination;  // as written; resolved below the root, whatever it says
  std::string type;         // "bind" where an option says so
  std::string source;       // absolute for binds after read_spec()
  std::vector<std::string> options;
  std::vector<IdMapping> uid_mappings, gid_mappings;
};

struct Hook {
  std::string path;
  std::vector<std::string> args;
  std::optional<std::vector<std::string>> env;  // none: that of who runs the hook
  std::optional<unsigned> timeout;              // seconds
};

struct Hooks {
  std::vector<Hook> prestart, create_runtime, create_container, start_container, poststart, poststop;
};

enum class NamespaceType : std::uint8_t { pid, network, mount, ipc, uts, user, cgroup, time };
struct Namespace {
  NamespaceType type = NamespaceType::pid;
  std::string path;  // empty: a new one
};

struct Device {
  char type = 'c';  // c, u (as c), b, p
  std::string path;
  std::uint32_t major = 0, minor = 0;
  std::optional<std::uint32_t> mode;  // permissions only
  std::optional<std::uint32_t> uid, gid;
};

struct DeviceRule {
  bool allow = false;
  char type = 'a';
  std::optional<std::int64_t> major, minor;  // none: any
  std::string access;                        // some of rwm; empty: all
};

struct MemoryLimits {
  std::optional<std::int64_t> limit, reservation, swap, kernel, kernel_tcp;  // -1: unlimited
  std::optional<std::uint64_t> swappiness;
  std::optional<bool> disable_oom_killer, use_hierarchy, check_before_update;
};
struct CpuLimits {
  std::optional<std::uint64_t> shares, period, rt_period, burst;
  std::optional<std::int64_t> quota, rt_runtime, idle;
  std::string cpus, mems;
};
struct WeightDevice {
  std::int64_t major = 0, minor = 0;
  std::optional<std::uint16_t> weight, leaf_weight;
};
struct ThrottleDevice {
  std::int64_t major = 0, minor = 0;
  std::uint64_t rate = 0;
};
struct BlockIoLimits {
  std::optional<std::uint16_t> weight, leaf_weight;
  std::vector<WeightDevice> weight_device;
  std::vector<ThrottleDevice> read_bps, write_bps, read_iops, write_iops;
};
struct HugepageLimit {
  std::string page_size;  // "2MB"
  std::uint64_t limit = 0;
};
struct RdmaLimit {
  std::string device;
  std::optional<std::uint32_t> handles, objects;
};
struct Resources {
  std::vector<DeviceRule> devices;
  std::optional<MemoryLimits> memory;
  std::optional<CpuLimits> cpu;
  std::optional<std::int64_t> pids_limit;
  std::optional<BlockIoLimits> block_io;
  std::vector<HugepageLimit> hugepages;
  std::vector<RdmaLimit> rdma;
  std::optional<std::uint32_t> net_class_id;
  std::vector<std::pair<std::string, std::uint32_t>> net_priorities;
  Pairs unified;  // file of cgroup2, text
};

struct SeccompArg {
  std::uint32_t index = 0;
  std::uint64_t value = 0, value_two = 0;
  std::string op;  // SCMP_CMP_*
};
struct SeccompSyscall {
  std::vector<std::string> names;
  std::string action;  // SCMP_ACT_*
  std::optional<std::uint32_t> errno_ret;
  std::vector<SeccompArg> args;
};
struct Seccomp {
  std::string default_action;
  std::optional<std::uint32_t> default_errno_ret;
  std::vector<std::string> architectures, flags;
  std::string listener_path, listener_metadata;
  std::vector<SeccompSyscall> syscalls;
};

// set_mempolicy(2).
struct MemoryPolicy {
  std::string mode;         // MPOL_*
  std::uint32_t value = 0;  // its number, and those of MPOL_F_*
  std::string nodes;        // a list of nodes
};

struct Linux {
  std::vector<Namespace> namespaces;
  std::vector<IdMapping> uid_mappings, gid_mappings;
  std::vector<std::pair<std::string, std::pair<std::int64_t, std::uint32_t>>> time_offsets;  // clock, seconds, ns
  std::vector<Device> devices;
  std::string cgroups_path;
  std::optional<Resources> resources;
  std::optional<std::string> rootfs_propagation;  // shared, slave, private, unbindable; rslave and so on are these too
  std::optional<Seccomp> seccomp;
  Pairs sysctl;
  std::vector<std::string> masked_paths, readonly_paths;
  std::string mount_label;
  std::optional<std::string> personality;  // LINUX, LINUX32
  std::optional<MemoryPolicy> memory_policy;
  std::vector<std::pair<std::string, std::string>> net_devices;  // of the host, name in the container
};

struct Spec {
  std::string oci_version;
  std::optional<Process> process;
  Root root;
  std::string hostname, domainname;
  std::vector<Mount> mounts;
  Hooks hooks;
  Pairs annotations;
  Linux linux_;  // NOLINT(readability-identifier-naming): without it, it is a macro of GNU's dialects

  [[nodiscard]] const Namespace* find(NamespaceType type) const;
  [[nodiscard]] std::string_view annotation(std::string_view key) const;
  [[nodiscard]] bool switched_on(std::string_view key) const;  // an annotation that says neither "0" nor "false"
};

// A bundle's config.json: `text` is its content, `bundle` the absolute directory that relative paths are of. Errors
// name the place, "process.rlimits[2].type", the value and the reason (EINVAL; E2BIG: over 16 MiB or 10,000 elements
// in a list). Keys that the specification does not have are ignored, as it asks for. A key that stands twice in one
// object is an error. Any ociVersion 1.x is taken.
[[nodiscard]] Result<Spec> read_spec(std::string_view text, std::string_view bundle);
// The `process` object alone, of `exec --process FILE`. `of`: the container's own process, whose rights count where the
// object leaves them out: capabilities, no_new_privs, rlimits and labels.
[[nodiscard]] Result<Process> read_process(std::string_view text, const Process* of = nullptr);
// `linux.resources` alone, of `update --resources FILE`. Also what podman sends: an object with a key "resources" no.
[[nodiscard]] Result<Resources> read_resources(std::string_view text);

// What `cgx-oci spec` prints: as runc's; `rootless`: with a user namespace that maps `uid` and `gid`.
[[nodiscard]] std::string default_spec_json(bool rootless, bool cgroup_namespace, uid_t uid, gid_t gid);
// What `cgx-oci features` prints (features.md of the specification).
[[nodiscard]] std::string features_json();

// CAP_* by its name, with or without CAP_, in any case; -1 where there is none.
[[nodiscard]] int capability_number(std::string_view name);
[[nodiscard]] std::string_view capability_name(int number);
[[nodiscard]] int namespace_flag(NamespaceType type);               // CLONE_NEW*
[[nodiscard]] std::string_view namespace_file(NamespaceType type);  // in /proc/PID/ns: "net", "mnt", ...

}  // namespace cgx::container
