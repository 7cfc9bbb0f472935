// SPDX-License-Identifier: Apache-2.0
// What the parent opens before the child exists.
#include "cgx/container/rootfs.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <optional>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgx/container/devices.h"
#include "cgx/container/idmap.h"
#include "cgx/container/mount_calls.h"
#include "cgx/container/mounts.h"
#include "cgx/container/root_dir.h"

namespace cgx::container {
namespace {

bool makes(const Spec& spec, NamespaceType type) {
  const Namespace* ns = spec.find(type);
  return ns != nullptr && ns->path.empty();
}

// How copies of the host's mounts hang together with the host's: none of `rootfsPropagation: shared`, where mounts of
// the container are to reach the host; else what the host mounts arrives (slave), or nothing (private).
Result<std::vector<unsigned long>> base_propagation(const Spec& spec) {
  if (!spec.linux_.rootfs_propagation) return std::vector<unsigned long>{MS_SLAVE | MS_REC};
  switch (CGX_TRY(root_propagation(spec))) {
    case MS_SHARED:
      return std::vector<unsigned long>{};
    case MS_SLAVE:
      return std::vector<unsigned long>{MS_SLAVE | MS_REC};
    default:
      return std::vector<unsigned long>{MS_PRIVATE | MS_REC};
  }
}

Result<> prepare_root(RootfsPlan& plan, const std::vector<unsigned long>& base) {
  if (!plan.root.valid()) {
    const std::string& path = plan.spec->root.path;
    if (path.empty()) return fail(EINVAL, "root.path is not given");
    plan.root = CGX_TRY(clone_tree(AT_FDCWD, path.c_str(), Below::all));
    plan.root_from_path = true;
    CGX_CHECK(set_propagation(plan.root.get(), base));
  }
  struct stat st{};
  if (fstat(plan.root.get(), &st) != 0) return fail_errno(errno, "fstat");
  if (!S_ISDIR(st.st_mode)) return fail_errno(ENOTDIR, plan.spec->root.path);
  // pivot_root(2) refuses a shared one, and mounts in it are nobody else's.
  return set_attributes(plan.root.get(), Below::none, {.propagation = MS_PRIVATE});
}

// User namespaces of equal mappings are made once.
class MapCache {
 public:
  Result<int> find(const IdMaps& maps) {
    const auto same = [](const IdMapping& a, const IdMapping& b) {
      return a.container_id == b.container_id && a.host_id == b.host_id && a.size == b.size;
    };
    for (const auto& [known, fd] : made_)
      if (std::ranges::equal(known.uids, maps.uids, same) && std::ranges::equal(known.gids, maps.gids, same))
        return fd.get();
    made_.emplace_back(maps, CGX_TRY(mapping_namespace(maps)));
    return made_.back().second.get();
  }

 private:
  std::vector<std::pair<IdMaps, sys::Fd>> made_;
};

Result<> map_ids(const Spec& spec, const Mount& mount, const RootfsPlan::Opened& opened, MapCache& cache) {
  const MountOptions& options = opened.options;
  const IdMaps container{spec.linux_.uid_mappings, spec.linux_.gid_mappings};
  IdMaps maps{mount.uid_mappings, mount.gid_mappings};
  if (!options.map_ids && maps.uids.empty() && maps.gids.empty()) return {};
  if (!options.id_map.empty())
    maps = CGX_TRY(parse_id_map(options.id_map, container));
  else if (maps.uids.empty() && maps.gids.empty())
    maps = container;
  const int ns = CGX_TRY(cache.find(maps));
  auto mapped = set_attributes(opened.tree.get(),
                               options.map_ids_recursive ? Below::all : Below::none,
                               {.set = MOUNT_ATTR_IDMAP, .user_namespace = ns});
  if (mapped || mapped.error().code != EINVAL) return mapped;
  return fail(EINVAL, "the file system of the source cannot be idmapped, or is already");
}

Result<> prepare_bind(RootfsPlan& plan,
                      const Mount& mount,
                      RootfsPlan::Opened& opened,
                      const std::vector<unsigned long>& base,
                      MapCache& cache) {
  const MountOptions& options = opened.options;
  if (mount.source.empty()) return fail(EINVAL, "a bind needs a source");
  const bool nofollow = options.source_nofollow || options.copy_symlink;
  if (options.copy_symlink) {
    std::array<char, PATH_MAX> text{};
    const ssize_t n = readlink(mount.source.c_str(), text.data(), text.size());
    if (n >= 0) {
      opened.link.assign(text.data(), static_cast<std::size_t>(n));
      return {};
    }
    if (errno != EINVAL) return fail_errno(errno, mount.source);
  }
  auto tree = clone_tree(AT_FDCWD,
                         mount.source.c_str(),
                         options.recursive ? Below::all : Below::none,
                         nofollow ? AT_SYMLINK_NOFOLLOW : 0U);
  if (!tree) return fail_errno(tree.error().code, mount.source);
  opened.tree = *std::move(tree);
  struct stat st{};
  if (fstat(opened.tree.get(), &st) != 0) return fail_errno(errno, mount.source);
  opened.is_directory = S_ISDIR(st.st_mode);
  CGX_CHECK(set_propagation(opened.tree.get(), base));
  CGX_CHECK(set_propagation(opened.tree.get(), options.propagation));
  CGX_CHECK(map_ids(*plan.spec, mount, opened, cache));
  CGX_CHECK(
      set_attributes(opened.tree.get(), Below::all, {.set = options.recursive_set, .clear = options.recursive_clear}));
  return set_attributes(opened.tree.get(), Below::none, {.set = options.set, .clear = options.clear});
}

// The sysfs of the network that is joined, which root of the container's user namespace may not make: one calls this
// for a moment from in there. Empty where the caller may not go there either.
Result<sys::Fd> sysfs_of_network(const std::string& path, const RootfsPlan::Opened& opened) {
  const auto back = sys::open_path("/proc/self/ns/net", O_RDONLY);
  const auto network = sys::open_path(path, O_RDONLY);
  if (!back || !network || setns(network->get(), CLONE_NEWNET) != 0) return sys::Fd();
  auto tree =
      make_tree({.type = "sysfs", .source = "sysfs", .data = {}, .attributes = opened.options.set | MOUNT_ATTR_RDONLY});
  if (setns(back->get(), CLONE_NEWNET) != 0) return fail_errno(errno, "setns back to the network namespace");
  return tree ? std::move(tree) : Result<sys::Fd>(sys::Fd());
}

// A user namespace may make these only where the namespace that they show is its own.
Result<> prepare_fallback(const RootfsPlan& plan,
                          const Mount& mount,
                          RootfsPlan::Opened& opened,
                          const std::vector<unsigned long>& base) {
  struct Shown {
    std::string_view type;
    NamespaceType by;
    const char* path;
  };
  constexpr std::array<Shown, 3> all = {{{"sysfs", NamespaceType::network, "/sys"},
                                         {"proc", NamespaceType::pid, "/proc"},
                                         {"mqueue", NamespaceType::ipc, "/dev/mqueue"}}};
  const auto* shown = std::ranges::find(all, std::string_view(mount.type), &Shown::type);
  if (shown == all.end() || !plan.new_user_namespace || makes(*plan.spec, shown->by)) return {};
  const Namespace* joined = plan.spec->find(shown->by);
  if (mount.type == "sysfs" && joined != nullptr) {
    opened.fallback = CGX_TRY(sysfs_of_network(joined->path, opened));
    if (opened.fallback.valid()) return set_propagation(opened.fallback.get(), {MS_PRIVATE});
  }
  auto tree = clone_tree(AT_FDCWD, shown->path, Below::all);
  if (!tree) return {};  // then the error of the new mount is what counts
  opened.fallback = *std::move(tree);
  CGX_CHECK(set_propagation(opened.fallback.get(), base));
  const std::uint64_t kept = mount.type == "sysfs" ? MOUNT_ATTR_RDONLY : 0;
  return set_attributes(
      opened.fallback.get(), Below::all, {.set = opened.options.set | kept, .clear = opened.options.clear});
}

Result<> prepare_mount(RootfsPlan& plan, const Mount& mount, const std::vector<unsigned long>& base, MapCache& cache) {
  RootfsPlan::Opened& opened = plan.opened.emplace_back();
  opened.options = parse_mount_options(mount.options);
  if (mount.destination.empty()) return fail(EINVAL, "a mount needs a destination");
  if (mount.type == "bind" && !opened.options.bind) opened.options.bind = opened.options.recursive = true;
  if (opened.options.remount) return {};
  if (opened.options.bind) {
    if (clean_path(mount.destination) == "/dev") plan.make_dev = false;  // the host's, with what is in it
    return prepare_bind(plan, mount, opened, base, cache);
  }
  if (opened.options.map_ids || !mount.uid_mappings.empty() || !mount.gid_mappings.empty())
    return fail(ENOTSUP, "mappings of ids are not supported but for binds");
  if (mount.type.empty()) return fail(EINVAL, "a mount needs a type");
  return prepare_fallback(plan, mount, opened, base);
}

// Where there is a cgroup namespace, a new mount shows the container's group as its root.
Result<> prepare_cgroups(RootfsPlan& plan) {
  for (CgroupMount& cgroup : plan.cgroups) {
    if (!cgroup.group.valid() || (plan.new_cgroup_namespace && !plan.new_user_namespace)) continue;
    // Only what was opened in the mount namespace that one is in can be cloned.
    if (plan.prepared_in_child) cgroup.group = CGX_TRY(sys::open_path(cgroup.path, O_PATH | O_DIRECTORY));
    cgroup.tree = CGX_TRY(clone_tree(cgroup.group.get(), "", Below::none));
    CGX_CHECK(set_attributes(cgroup.tree.get(), Below::none, {.propagation = MS_PRIVATE}));
  }
  return {};
}

}  // namespace

Result<unsigned long> root_propagation(const Spec& spec) {
  if (!spec.linux_.rootfs_propagation || spec.linux_.rootfs_propagation->empty()) return MS_SLAVE;
  const MountOptions options = parse_mount_options({*spec.linux_.rootfs_propagation});
  if (options.propagation.size() != 1)
    return located(Result<unsigned long>(bad_value(*spec.linux_.rootfs_propagation, "is no type of propagation")),
                   "",
                   "linux.rootfsPropagation");
  return options.propagation[0] & ~static_cast<unsigned long>(MS_REC);
}

Error of_mount(const Mount& mount, Error error) {
  std::string what = "mount \"" + mount.destination + "\"";
  if (!mount.source.empty()) what += " of \"" + mount.source + "\"";
  error.what = what + ": " + error.text();
  error.group.clear();
  error.knob.clear();
  error.value.clear();
  return error;
}

bool may_clone_mounts() {
  // The kernel asks for the right before it looks at the path, and there is none that is empty.
  const sys::Fd none(open_tree(AT_FDCWD, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  return errno != EPERM;
}

Result<> prepare_rootfs(RootfsPlan& plan) {
  if (plan.spec == nullptr) return fail(EINVAL, "no specification is given");
  const std::vector<unsigned long> base = CGX_TRY(base_propagation(*plan.spec));
  CGX_CHECK(located(prepare_root(plan, base), "", "root", plan.spec->root.path));
  MapCache cache;
  plan.opened.clear();
  for (const Mount& mount : plan.spec->mounts)
    if (auto done = prepare_mount(plan, mount, base, cache); !done)
      return std::unexpected(of_mount(mount, std::move(done).error()));
  if (std::ranges::any_of(plan.spec->mounts, [](const Mount& m) { return m.type == "cgroup" || m.type == "cgroup2"; }))
    CGX_CHECK(prepare_cgroups(plan));
  CGX_CHECK(prepare_devices(plan));
  if (plan.console.valid()) {
    plan.console_tree = CGX_TRY(clone_tree(plan.console.get(), "", Below::none));
    CGX_CHECK(set_attributes(plan.console_tree.get(), Below::none, {.propagation = MS_PRIVATE}));
  }
  if (!plan.spec->linux_.masked_paths.empty()) plan.null_tree = CGX_TRY(clone_null());
  return {};
}

}  // namespace cgx::container
