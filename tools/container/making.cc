// SPDX-License-Identifier: Apache-2.0
#include "making.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/change/slice.h"
#include "cgx/container/resources.h"
#include "cgx/container/root_dir.h"
#include "cgx/sys/program.h"
#include "cgx/sys/text.h"

#include "check.h"
#include "ended.h"
#include "host_files.h"
#include "id_ranges.h"
#include "killer.h"
#include "remove.h"
#include "rootless.h"
#include "tools/own_limits.h"
#include "tools/signals.h"
#include "view.h"

namespace cgx::launcher {
namespace {

Result<> write_new(const std::string& path, std::string_view text, uid_t uid, gid_t gid) {
  const sys::Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file.valid()) return fail_errno(errno, path);
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) return fail_errno(errno, path);
  if ((uid != geteuid() || gid != getegid()) && fchown(file.get(), uid, gid) != 0) return fail_errno(errno, path);
  if (fchmod(file.get(), 0644) != 0) return fail_errno(errno, path);
  return {};
}

Error staged(std::string_view stage, Error error) {
  // What names a limit and its value says enough.
  if (error.fault != Fault::usage && error.knob.empty() && error.value.empty())
    error.what = fmt::format("{}: {}", stage, error.what);
  return error;
}

template <class T>
Result<T> in_stage(std::string_view stage, Result<T> done) {
  if (!done) return std::unexpected(staged(stage, std::move(done).error()));
  return done;
}

}  // namespace

Result<std::string> group_path(const RunOptions& options, const std::string& id) {
  const std::string& parent = options.cgroup_parent;
  if (!in_user_namespace() && systemd_is_manager()) {
    if (!parent.empty() && !parent.ends_with(".slice")) {
      Error e{.code = EINVAL,
              .what = "is no slice: systemd makes the groups here",
              .knob = "--cgroup-parent",
              .value = parent};
      e.fault = Fault::usage;
      return std::unexpected(std::move(e));
    }
    return fmt::format("{}:cgx:{}", parent.empty() ? "machine.slice" : parent.substr(parent.rfind('/') + 1), id);
  }
  if (!parent.empty()) return fmt::format("/{}/{}", parent, id);
  if (in_user_namespace()) return std::string();
  // Who is in a group with limits does not get rid of them by a container.
  const bool limited = CGX_TRY(container::caller_is_limited(CGX_TRY(Hierarchies::discover())));
  return fmt::format("{}{}/{}", limited ? "" : "/", group_top, id);
}

RuntimeCall::RuntimeCall(const std::string& run_root, std::string_view command) {
  log_.redirect([command](std::string_view message) {
    const std::string line = fmt::format("cgx: {}: warning: {}\n", command, message);
    (void)!write(STDERR_FILENO, line.data(), line.size());
  });
  call_.program = "cgx-oci";
  call_.log = &log_;
  call_.limits_before = tool::limits_before();
  call_.globals.emplace_back("root", run_root);
  call_.globals.emplace_back("rootless", in_user_namespace() ? "true" : "false");
  if (!in_user_namespace() && systemd_is_manager()) call_.globals.emplace_back("systemd-cgroup", "true");
}

Making::Making(const MonitorPlan& plan) : plan_(plan), runtime_(plan.run_root, "run") {
  parts_.options = &plan.options;
  parts_.image = &plan.image;
  parts_.id = plan.id;
  parts_.root = fmt::format("{}/{}/rootfs", plan.run_root, plan.id);
  parts_.data = fmt::format("{}/containers/{}", plan.data_root, plan.id);
  parts_.nested = in_user_namespace();
}

std::uint32_t Making::host_id(std::uint32_t id, const std::vector<container::IdMapping>& maps) {
  for (const container::IdMapping& m : maps)
    if (id >= m.container_id && id - m.container_id < m.size) return m.host_id + (id - m.container_id);
  return id;
}

Result<> Making::prepare() {
  Store store = CGX_TRY(Store::open(plan_.run_root));
  auto entry = store.create(plan_.id);
  if (!entry && entry.error().code == EEXIST) return std::unexpected(name_is_taken(plan_.id));
  entry_ = CGX_TRY(std::move(entry));
  CGX_CHECK(in_stage("record", make_record()));
  CGX_CHECK(in_stage("data", make_data()));
  CGX_CHECK(in_stage("ids", choose_maps()));
  parts_.shared = CGX_TRY(choose_shared(plan_.options, plan_.run_root, record_));
  CGX_CHECK(in_stage("record", write_record(*entry_, record_)));
  parts_.host = CGX_TRY(host_name_of(plan_.options, plan_.id, parts_.shared));
  first_root_ = CGX_TRY(in_stage("layers", mount_root()));
  CGX_CHECK(in_stage("volumes", make_sources()));
  CGX_CHECK(in_stage("config", make_config()));
  return in_stage("cgroup", make_group());
}

Result<> Making::make_record() {
  forget_ending(plan_.run_root, plan_.id);
  const RunOptions& o = plan_.options;
  record_.id = plan_.id;
  record_.image = o.image;
  record_.layers = plan_.image.layers;
  record_.command = CGX_TRY(command_of(o, plan_.image));
  record_.created = time_now();
  record_.data = parts_.data;
  record_.hex_id = plan_.hex_id;
  record_.network = o.network;
  record_.ipc = o.ipc;
  record_.user = o.user.empty() ? plan_.image.user : o.user;
  record_.remove = o.remove;
  record_.terminal = o.terminal;
  record_.interactive = o.interactive;
  record_.restart = o.restart;
  record_.restart_most = o.restart_most;
  record_.log_size = o.log_size;
  record_.stop_signal = SIGTERM;
  if (!plan_.image.stop_signal.empty())
    if (const auto signal = tool::parse_signal(plan_.image.stop_signal)) record_.stop_signal = *signal;
  if (o.stop_signal) record_.stop_signal = *o.stop_signal;
  record_.stop_timeout = o.stop_timeout;
  record_.labels = o.labels;
  record_.limits = o.limit_texts;
  record_.monitor = getpid();
  record_.monitor_start = CGX_TRY(container::start_time_of(getpid()));
  return write_record(*entry_, record_);
}

Layer Making::layer() const { return {.run_root = plan_.run_root, .data_root = plan_.data_root, .name = plan_.id}; }

Result<> Making::make_data() {
  layer_lock_ = CGX_TRY(claim_layer(layer()));
  return {};
}

Result<> Making::choose_maps() {
  if (plan_.options.userns != "auto") return {};
  if (in_user_namespace())
    return fail(EPERM, "--userns auto is for root: without it a container is in a user namespace anyway");
  auto ids = CGX_TRY(claim_ids(fmt::format("{}/{}", plan_.run_root, plan_.id), plan_.id));
  parts_.maps.uids = parts_.maps.gids = {{.container_id = 0, .host_id = ids.base, .size = ids.size}};
  ids_ = std::move(ids.lock);
  return {};
}

Result<sys::Fd> Making::mount_root() const {
  LayerPlan layers{
      .lower = plan_.image.layers, .data = parts_.data, .throw_away = plan_.options.remove, .maps = parts_.maps};
  return mount_layers(layers);
}

// -v makes what is missing on the host, as users of the field expect.
Result<> Making::make_sources() const {
  for (const Bind& bind : plan_.options.binds) {
    struct stat st{};
    if (!bind.make_source || stat(bind.source.c_str(), &st) == 0) continue;
    CGX_CHECK(make_directories(bind.source, 0755));
  }
  return {};
}

Result<> Making::make_config() {
  const RunOptions& o = plan_.options;
  const int root = first_root_.get();
  parts_.user = CGX_TRY(find_user(root, o.user.empty() ? plan_.image.user : o.user));
  for (const std::uint32_t gid : CGX_TRY(located(find_groups(root, o.group_add), "", "--group-add")))
    if (std::ranges::find(parts_.user.groups, gid) == parts_.user.groups.end()) parts_.user.groups.push_back(gid);
  const std::string workdir = workdir_of(o, plan_.image);
  const mode_t mask = umask(022);
  const auto made = container::make_in_root(root, workdir, container::NewKind::directory);
  (void)umask(mask);
  if (!made) {
    Error e{.code = made.error().code, .what = made.error().text(), .knob = "--workdir", .value = workdir};
    return std::unexpected(std::move(e));
  }
  if (made->made && (host_uid() != 0 || host_gid() != 0))
    (void)fchownat(made->fd.get(), "", host_uid(), host_gid(), AT_EMPTY_PATH);
  CGX_CHECK(make_host_files(root));
  if (o.init) parts_.init = CGX_TRY(sys::helper_path("cgx-init"));
  parts_.group = CGX_TRY(group_path(o, plan_.id));
  state_.id = plan_.id;
  state_.bundle = parts_.data;
  state_.rootfs = parts_.root;
  state_.oci_version = "1.3.0";
  state_.created = record_.created;
  state_.owner = fmt::format("#{}", geteuid());
  state_.config = CGX_TRY(config_text(parts_));
  spec_ = std::make_unique<container::Spec>(CGX_TRY(container::read_spec(state_.config, parts_.data)));
  if (spec_->linux_.seccomp)
    seccomp_ = CGX_TRY(container::compile_seccomp(*spec_->linux_.seccomp, plan_.run_root + "/@seccomp"));
  return {};
}

// What a host tells its programs of itself, in /etc of the container.
Result<> Making::make_host_files(int root) {
  const RunOptions& o = plan_.options;
  const uid_t owner = parts_.maps.uids.empty() ? geteuid() : parts_.maps.uids[0].host_id;
  const gid_t group = parts_.maps.gids.empty() ? getegid() : parts_.maps.gids[0].host_id;
  CGX_CHECK(write_new(parts_.data + "/hostname", parts_.host + "\n", owner, group));
  const auto of_host = [&](const char* path) {
    auto text = o.network == "host" ? sys::read_path(path) : Result<std::string>(std::string());
    return text ? std::move(*text) : std::string();
  };
  CGX_CHECK(write_new(parts_.data + "/hosts", hosts_text(o, parts_.host, of_host("/etc/hosts")), owner, group));
  CGX_CHECK(write_new(parts_.data + "/resolv.conf", resolv_text(o, of_host("/etc/resolv.conf")), owner, group));
  for (const char* name : {"hosts", "hostname", "resolv.conf"}) {
    const mode_t mask = umask(022);
    const auto there = container::make_in_root(root, fmt::format("/etc/{}", name), container::NewKind::file);
    (void)umask(mask);
    if (there)
      parts_.host_files.emplace_back(name);
    else if (there.error().code != EACCES && there.error().code != EPERM && there.error().code != EOVERFLOW)
      return fail(there.error().code, fmt::format("/etc/{}: {}", name, there.error().text()));
    else  // without root, /etc of an image that belongs to others
      runtime_.call().log->warning(
          fmt::format("the container has no /etc/{} of its own: {}", name, there.error().text()));
  }
  return {};
}

Result<> Making::make_group() {
  groups_ = std::make_unique<oci::GroupMaker>(runtime_.call(), *spec_);
  groups_->add(plan_.options.limits, plan_.options.force);
  return groups_->make(state_, [&] { return entry_->write(state_); });
}

Result<container::Launched> Making::launch(const std::function<void()>& streams) {
  container::LaunchRequest request;
  const auto shared = CGX_TRY(in_stage("namespaces", open_shared(record_, *spec_)));
  request.spec = spec_.get();
  request.id = plan_.id;
  request.bundle = state_.bundle;
  request.group = groups_->group();
  request.new_group = state_.group_made && state_.systemd_scope.empty() && record_.restarts == 0;
  request.rootfs.spec = spec_.get();
  request.rootfs.root = first_root_.valid() ? std::move(first_root_) : CGX_TRY(in_stage("layers", mount_root()));
  request.seccomp = seccomp_;
  request.foreground_terminal = plan_.options.terminal;
  request.limits_before = tool::limits_before();
  request.state_json = [&](std::string_view status, pid_t pid) { return container::state_json(state_, status, pid); };
  request.record = [&](pid_t pid) -> Result<> {
    state_.pid = pid;
    state_.pid_start = CGX_TRY(container::start_time_of(pid));
    state_.ready = true;
    record_.started = time_now();
    // The first time this process has the lock itself, and would lose it by another one's end.
    const auto lock =
        record_.restarts > 0 ? find_exactly(plan_.id, Store::How::change) : Result<Known>(fail(ENOENT, ""));
    keep_updates();
    CGX_CHECK(write_record(*entry_, record_));
    return entry_->write(state_);
  };
  if (groups_->group() != nullptr) counters_ = count_now(*groups_->group());
  streams();
  auto launched = CGX_TRY(container::launch(request));
  for (const std::string& warning : launched.warnings) runtime_.call().log->warning(warning);
  entry_->unlock();
  return launched;
}

void Making::explain(Ending& ending) const {
  if (groups_->group() != nullptr) explain_death(*groups_->group(), counters_, ending);
  if (ending.signal == SIGKILL) ending.killer = noted_killer(*entry_, state_);
  ending.why = plain_reason(ending);
}

bool Making::ask_policy(Ending& ending) const {
  if (groups_->group() == nullptr) return false;
  ending.policy = policy_of_death(*groups_->group(), record_.started, state_.pid, ending.oom_kills == 0);
  ending.why = plain_reason(ending);
  return !ending.policy.empty();
}

Result<> Making::write_ending(const Ending& ending) { return launcher::write_ending(*entry_, ending); }

void Making::count_restart() {
  // With the lock of who changes it, so that no `update` comes in between and is lost.
  const auto lock = find_exactly(plan_.id, Store::How::change);
  ++record_.restarts;
  keep_updates();
  (void)write_record(*entry_, record_);
}

void Making::keep_updates() {
  auto now = read_record(*entry_);
  if (!now) return;
  record_.limits = std::move(now->limits);
  record_.restart = now->restart;
  record_.restart_most = now->restart_most;
}

void Making::kill_all() const { (void)oci::end_processes(state_); }

void Making::kill_for_end() const {
  note_killer(*entry_, state_, fmt::format("its monitor, which was told to end, after {} s", record_.stop_timeout));
  kill_all();
}

void Making::give_up(const Error& why) {
  if (!entry_) return;
  first_root_ = sys::Fd();
  auto undone = oci::end_processes(state_);
  if (groups_)
    if (auto gone = groups_->undo(state_); undone) undone = std::move(gone);
  (void)remove_left_group(state_);
  if (layer_lock_.valid())
    if (auto gone = remove_layer(layer(), true); undone) undone = std::move(gone);
  // The record goes last, and stays for `gc` and `rm` where something is left.
  if (undone) undone = entry_->remove();
  if (undone && std::exchange(ids_, sys::Fd()).valid()) release_ids();
  if (!undone) {
    // Where descriptors are what there was too little of, this makes room for one.
    layer_lock_ = sys::Fd();
    groups_.reset();
    const Ending ending{.status = 125, .ended = time_now(), .error = why.text(), .why = "could not be started"};
    (void)write_ending(ending);
    undone.error().hint = "cgx gc removes what is left";
    runtime_.call().log->warning(undone.error().text());
  }
}

// Somebody may be removing it at this moment: who has the lock does it.
Result<> Making::finish() {
  auto known = find(plan_.id, Store::How::change);
  if (!known || known->record.monitor != getpid()) return {};
  (void)oci::end_processes(known->state);
  (void)oci::remove_groups(known->state);
  (void)remove_left_group(known->state);
  if (!record_.remove) return {};
  // Who has started it in the background may ask for its status behind this.
  if (const auto ending = read_ending(known->entry); ending && plan_.options.detach)
    (void)keep_ending(plan_.run_root, plan_.id, *ending);
  ids_ = sys::Fd();
  auto removed = remove_container(std::move(*known), true);
  if (removed) return {};
  return fail(
      removed.error().code,
      fmt::format("container {0} stays, it could not be removed: {1}; cgx container rm {0} removes it afterwards",
                  plan_.id,
                  removed.error().text()));
}

}  // namespace cgx::launcher
