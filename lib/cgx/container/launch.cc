// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/launch.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/place.h"
#include "cgx/container/birth.h"
#include "cgx/container/child.h"
#include "cgx/container/limits.h"
#include "cgx/container/namespaces.h"
#include "cgx/container/state.h"
#include "cgx/container/supervise.h"
#include "cgx/container/user_namespace.h"

namespace cgx::container {
namespace {

Result<> check(const Spec& spec, const NamespacePlan& namespaces) {
  if (!spec.process) return fail(EINVAL, "process: is needed to start a container");
  if (spec.process->args.empty()) return fail(EINVAL, "process.args: is empty");
  // Root of another user namespace may not go back to the mount namespace that the root is built for.
  if (!namespaces.has(CLONE_NEWNS) && namespaces.has(CLONE_NEWUSER))
    return fail(ENOTSUP, "linux.namespaces: a user namespace without a mount namespace is not supported");
  if ((!spec.hostname.empty() || !spec.domainname.empty()) && !namespaces.has(CLONE_NEWUTS))
    return fail(EINVAL, "unable to set hostname without a private UTS namespace");
  if (!spec.linux_.time_offsets.empty() && !namespaces.makes(CLONE_NEWTIME))
    return fail(EINVAL, "linux.timeOffsets: need a new time namespace");
  return check_labels(*spec.process);
}

Result<CgroupMount> cgroup_mount(const Hierarchy& h, const Cgroup& group) {
  CgroupMount mount;
  mount.unified = h.version() == Version::v2;
  if (!mount.unified) mount.options = h.label();
  // As the host has it below /sys/fs/cgroup; what is mounted elsewhere has the usual name.
  constexpr std::string_view usual = "/sys/fs/cgroup/";
  const std::string& dir = h.mount_point();
  const bool named = mount.options.starts_with("name=");
  mount.name = mount.unified ? "unified" : mount.options.substr(named ? 5 : 0);
  if (dir.starts_with(usual) && dir.find('/', usual.size()) == std::string::npos) mount.name = dir.substr(usual.size());
  mount.path = h.path(group.name());
  mount.group.reset(fcntl(CGX_TRY(group.dir(h)), F_DUPFD_CLOEXEC, 3));
  return mount;
}

// What a mount of type cgroup shows, where the caller has not said it.
Result<> fill_cgroups(RootfsPlan& plan, const Cgroup* group) {
  const auto shows = [](const Mount& m) { return m.type == "cgroup" || m.type == "cgroup2"; };
  if (!plan.cgroups.empty() || std::ranges::none_of(plan.spec->mounts, shows)) return {};
  // A container without a group of its own is in its maker's.
  std::optional<Hierarchies> found;
  std::optional<Cgroup> makers;
  if (group == nullptr) {
    found = CGX_TRY(Hierarchies::discover());
    found = found->nested(CGX_TRY(bases_of(*found, 0)));
    makers.emplace(*found, "");
  }
  const Cgroup& seen = group != nullptr ? *group : *makers;
  for (const auto& list : {seen.hierarchies().all(), seen.hierarchies().named()})
    for (const Hierarchy& h : list) {
      auto mount = cgroup_mount(h, seen);
      if (!mount && mount.error().code == ENOENT) continue;
      if (!mount) return std::unexpected(std::move(mount.error()));
      mount->makers = group == nullptr;
      plan.cgroups.push_back(*std::move(mount));
    }
  const Hierarchies& all = seen.hierarchies();
  if (all.all().size() + all.named().size() == 1 && plan.cgroups.size() == 1 && plan.cgroups[0].unified)
    plan.cgroups[0].name.clear();
  return {};
}

Result<> prepare(LaunchRequest& request, const NamespacePlan& namespaces, int proc) {
  RootfsPlan& plan = request.rootfs;
  plan.spec = request.spec;
  plan.new_user_namespace = namespaces.has(CLONE_NEWUSER);
  plan.new_cgroup_namespace = namespaces.makes(CLONE_NEWCGROUP);
  plan.shares_mounts = !namespaces.has(CLONE_NEWNS);
  CGX_CHECK(fill_cgroups(plan, request.group));
  if (!plan.new_user_namespace) {
    plan.callers_mounts.reset(openat(proc, "self/ns/mnt", O_RDONLY | O_CLOEXEC));
    if (!plan.callers_mounts.valid()) return fail_errno(errno, "/proc/self/ns/mnt");
  }
  if (may_clone_mounts()) return prepare_rootfs(plan);
  if (!plan.new_user_namespace)
    return fail_errno(EPERM, "linux.namespaces: without a user namespace the container's mounts cannot be made");
  plan.prepared_in_child = true;
  return {};
}

class Launch {
 public:
  explicit Launch(LaunchRequest& request) : request_(request), spec_(*request.spec) {}

  Result<Launched> run() {
    // By what it is found again later: without that it could be started, and not be ended.
    if (request_.record) (void)CGX_TRY(open_process(getpid(), CGX_TRY(start_time_of(getpid()))));
    passed_ = CGX_TRY(passed_descriptors(request_.preserve_fds));
    proc_ = CGX_TRY(host_proc());
    namespaces_ = CGX_TRY(plan_namespaces(spec_.linux_));
    CGX_CHECK(check(spec_, namespaces_));
    hook_streams_ = CGX_TRY(open_hook_streams(spec_));
    console_ = CGX_TRY(console_for(*spec_.process, request_.console_socket, request_.foreground_terminal));
    if (!request_.pidfd_socket.empty()) pidfd_socket_ = CGX_TRY(connect_unix(request_.pidfd_socket));
    CGX_CHECK(prepare(request_, namespaces_, proc_.get()));
    plan_.groups = CGX_TRY(membership_of(request_.group));
    fill_birth();
    fill_child();
    fill_supervision();
    Birth birth(plan_);
    plan_.main = [&] {
      child_.channel = &birth.childs();
      child_.progress = birth.progress();
      run_first_process(child_);
    };
    return supervise(birth, supervision_);
  }

 private:
  [[nodiscard]] bool new_user() const { return namespaces_.makes(CLONE_NEWUSER); }
  [[nodiscard]] bool other_user() const { return namespaces_.has(CLONE_NEWUSER); }

  void fill_birth() {
    const Linux& config = spec_.linux_;
    // Of the cgroup namespace the child makes its own when it is in all groups; clone has no bit for the time
    // namespace.
    plan_.flags = namespaces_.create & ~static_cast<unsigned>(CLONE_NEWCGROUP | CLONE_NEWTIME);
    // Where the root is built, also for a program that shares the caller's: it leaves this one before it is executed.
    if (request_.rootfs.shares_mounts) plan_.flags |= CLONE_NEWNS;
    plan_.intermediate = namespaces_.needs_intermediate();
    // In a pid namespace that others are in too, the process is closed to them from its first instruction on: it
    // inherits this flag.
    const bool with_others = namespaces_.joins(CLONE_NEWPID);
    plan_.enter = [this, with_others]() -> Result<> {
      if (with_others && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno(errno, "PR_SET_DUMPABLE");
      return join_namespaces(namespaces_);
    };
    const auto pid = std::ranges::find(namespaces_.joined, CLONE_NEWPID, &JoinedNamespace::flag);
    const bool joins_pid = !plan_.intermediate && pid != namespaces_.joined.end();
    const bool makes_time = !plan_.intermediate && !new_user() && namespaces_.makes(CLONE_NEWTIME);
    if (joins_pid || makes_time) {
      plan_.before = [this, &config, joins_pid, makes_time, pid]() -> Result<> {
        if (joins_pid) CGX_CHECK(for_children_.close_to_others());
        if (joins_pid) CGX_CHECK(for_children_.join_pid(proc_.get(), pid->fd.get()));
        if (makes_time) CGX_CHECK(for_children_.make_time(proc_.get(), config));
        return {};
      };
      plan_.after = [this] { return for_children_.restore(); };
    }
    // Lowering it takes a right in the first user namespace, which the process is in only before it is in another one.
    if (spec_.process->oom_score_adj && (!new_user() || plan_.intermediate))
      plan_.placed = [this]() -> Result<> {
        return set_oom_score_adj(proc_.get(), CGX_TRY(pid_in(proc_.get())), *spec_.process->oom_score_adj);
      };
  }

  void fill_child() {
    child_.process = &*spec_.process;
    child_.seccomp = request_.seccomp ? &*request_.seccomp : nullptr;
    child_.proc = proc_.get();
    child_.passed = passed_;
    child_.user_namespace = other_user();
    child_.wait_for_maps = new_user();
    child_.become_root = other_user();
    child_.limits_by_parent = other_user() && geteuid() == 0;
    child_.console_socket = console_.get();
    if (!request_.no_new_keyring) child_.keyring = "_ses." + request_.id;
    child_.limits_before = request_.limits_before;
    child_.confirm = request_.record || pidfd_socket_.valid();
    child_.start_fifo = request_.start_fifo;
    child_.state_json = request_.state_json;
    child_.bundle = request_.bundle;
    child_.hook_out = hook_streams_.out.get();
    child_.hook_err = hook_streams_.err.get();
    child_.trace = request_.trace != nullptr;
    child_.spec = &spec_;
    child_.rootfs = &request_.rootfs;
    child_.namespaces = &namespaces_;
    child_.join_here = !plan_.intermediate && !namespaces_.joined.empty();
    child_.time_here = namespaces_.makes(CLONE_NEWTIME) && !plan_.before;
  }

  void fill_supervision() {
    supervision_.proc = proc_.get();
    supervision_.process = &*spec_.process;
    supervision_.seccomp = request_.seccomp ? &*request_.seccomp : nullptr;
    supervision_.spec = &spec_;
    supervision_.state_json = request_.state_json;
    supervision_.record = request_.record;
    supervision_.group = request_.group;
    supervision_.new_group = request_.new_group;
    supervision_.trace = request_.trace;
    supervision_.pidfd_socket = pidfd_socket_.get();
    supervision_.pidfd_word = "standard";
    supervision_.says_go_first = new_user();
    if (new_user())
      supervision_.made = [this](pid_t pid) -> Result<> {
        auto mapped = write_idmaps(proc_.get(), pid, spec_.linux_.uid_mappings, spec_.linux_.gid_mappings);
        if (!mapped) return fail(mapped.error().code, "stage identity: " + mapped.error().what);
        if (spec_.process->oom_score_adj && !plan_.intermediate)
          return set_oom_score_adj(proc_.get(), pid, *spec_.process->oom_score_adj);
        return {};
      };
    supervision_.hooks = [this](pid_t pid) -> Result<> {
      if (!request_.state_json) return fail(EINVAL, "hooks need the state of the container");
      // The second step of the specification's lifecycle, "creating", ends before them.
      const HookInput input{.state = request_.state_json("created", pid),
                            .directory = request_.bundle,
                            .out = hook_streams_.out.get(),
                            .err = hook_streams_.err.get(),
                            .confine = [this] { return set_rlimits(0, request_.limits_before); }};
      CGX_CHECK(run_hooks(spec_.hooks.prestart, "prestart", input));
      return run_hooks(spec_.hooks.create_runtime, "createRuntime", input);
    };
  }

  LaunchRequest& request_;
  const Spec& spec_;
  Passed passed_;
  sys::Fd proc_, console_, pidfd_socket_;
  HookStreams hook_streams_;
  NamespacePlan namespaces_;
  ForChildren for_children_;
  BirthPlan plan_;
  ChildPlan child_;
  Supervision supervision_;
};

}  // namespace

Result<Launched> launch(LaunchRequest& request) { return Launch(request).run(); }

}  // namespace cgx::container
