// SPDX-License-Identifier: Apache-2.0
// What costs is to ask each group of each hierarchy whether it has groups below (fstatat: a directory of kernfs has two
// links and one more a subdirectory). Hierarchies mostly hold the same groups, so the kernel's own count is asked
// first: when as many groups were seen as it has, no more are there and nothing else is asked of that hierarchy.
#include "cgx/cgroupfs/walk.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <limits>
#include <optional>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "cgx/cgroupfs/place.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

constexpr std::uint64_t unknown = std::numeric_limits<std::uint64_t>::max();

// Subdirectories of a directory, counted by its links.
std::uint64_t subdirectories(int dir, const char* name) {
  struct stat st{};
  const int rc = *name == '\0' ? fstat(dir, &st) : fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW);
  return rc == 0 && st.st_nlink > 2 ? st.st_nlink - 2 : 0;
}

// Groups that surely are in `h` but not below `name`: `name`, those above it, and those beside these with their
// children.
std::uint64_t outside(const Hierarchy& h, std::string_view name) {
  std::uint64_t count = 1;  // the group itself
  std::size_t looks = 64;   // a bound on the work; too low a count only means more asking later
  while (!name.empty()) {
    const std::string_view parent = parent_of(name);
    const std::string_view self = parent.empty() ? name : name.substr(parent.size() + 1);
    const auto root = h.root();
    if (!root) return count;
    const auto dir = sys::open_beneath(*root, parent, O_RDONLY | O_DIRECTORY);
    const auto names =
        dir ? sys::list_dir(dir->get(), "", sys::Entries::directories) : Result<std::vector<std::string>>{};
    if (!dir || !names) return count;
    count += names->size();  // the siblings, with the parent in the place of `name`, which is counted
    for (const std::string& sibling : *names) {
      if (sibling == self) continue;
      if (looks == 0) break;
      --looks;
      count += subdirectories(dir->get(), sibling.c_str());
    }
    name = parent;
  }
  return count;
}

// How many groups are below `group` in `h` at most; `unknown` where the kernel does not say.
std::uint64_t most_below(const Cgroup& group, const Hierarchy& h, std::string_view proc_cgroups) {
  if (h.version() == Version::v2) {
    const auto text = group.read(h, "cgroup.stat");
    return text ? sys::keyed_u64(*text, "nr_descendants").value_or(unknown) : unknown;
  }
  if (h.mount().root != "/") return unknown;
  // /proc/cgroups speaks of the kernel's hierarchies, not of a directory that stands in for one.
  struct statfs fs{};
  const auto root = h.root();
  if (!root || fstatfs(*root, &fs) != 0 || fs.f_type != CGROUP_SUPER_MAGIC) return unknown;
  // `memory 4 1021 1`: name, hierarchy, groups (with the root and those that are being freed), enabled.
  for (const std::string_view line : sys::lines(proc_cgroups)) {
    const auto fields = sys::words(line);
    const auto c = fields.size() == 4 ? find_controller(fields[0]) : std::nullopt;
    if (!c || row(*c).v1_name != fields[0] || !h.controllers().has(*c)) continue;
    const auto all = sys::parse_u64(fields[2]);
    const std::uint64_t others = outside(h, group.name());
    return all && *all >= others ? *all - others : unknown;
  }
  return unknown;
}

// Groups of `h` that cannot be used since another file system is mounted over them (a VPN client mounts net_cls below
// the v2 tree): nothing of this hierarchy is to be seen there.
std::vector<std::string> mounted_over(const Hierarchy& h, std::string_view mountinfo) {
  std::vector<std::string> names;
  const std::string top = h.mount().dir + "/";
  for (const std::string_view line : sys::lines(mountinfo)) {
    const auto fields = sys::words(line);
    if (fields.size() < 5) continue;
    std::string dir = sys::unescape_octal(fields[4]);
    if (dir.starts_with(top)) names.push_back(dir.substr(top.size()));
  }
  return names;
}

class Walk {
 public:
  Walk(const Hierarchies& hierarchies, Depth depth)
      : hierarchies_(&hierarchies), depth_(depth), left_(hierarchies.all().size(), unknown) {}

  Result<std::vector<Listed>> run(const Cgroup& group) {
    CGX_CHECK(group.require());
    std::optional<std::string> counts;
    std::uint32_t mask = 0;
    for (const Hierarchy* h : group.present()) {
      const int dir = CGX_TRY(group.dir(*h));
      if (subdirectories(dir, "") == 0) continue;
      mask |= 1U << h->index();
      if (depth_ != Depth::all) continue;
      if (!counts) counts = sys::read_path("/proc/cgroups").value_or("");
      left_[h->index()] = most_below(group, *h, *counts);
    }
    if (mask == 0) return std::move(found_);
    const std::string mountinfo = CGX_TRY(sys::read_path("/proc/self/mountinfo"));
    for (const Hierarchy& h : hierarchies_->all()) mounted_.push_back(mounted_over(h, mountinfo));
    // Not by recursion: others say how deep it goes.
    std::vector<Child> todo;
    CGX_CHECK(visit(group.name(), mask, todo));
    while (!todo.empty()) {
      Child next = std::move(todo.back());
      todo.pop_back();
      found_.push_back({next.name, next.in});
      if (next.deeper != 0) CGX_CHECK(visit(next.name, next.deeper, todo));
    }
    return std::move(found_);
  }

 private:
  struct Child {
    std::string name;
    std::uint32_t in = 0;
    std::uint32_t deeper = 0;  // where it has groups below
  };
  // One list of names that some hierarchies share. Directories of kernfs are in the order of the names' hashes, so
  // equal sets come as equal lists, and nothing has to be sorted to see it.
  struct Batch {
    std::vector<std::string> names;
    std::uint32_t in = 0;
    std::vector<std::uint32_t> deeper;
  };

  // Adds what is below `name` in the hierarchies of `mask` to `todo`, the first of them last.
  Result<> visit(const std::string& name, std::uint32_t mask, std::vector<Child>& todo) {
    std::vector<Batch> batches;
    for (const Hierarchy& h : hierarchies_->all())
      if ((mask >> h.index() & 1U) != 0) CGX_CHECK(read_names(h, name, batches));
    std::vector<Child> children = children_of(std::move(batches));
    for (Child& child : children) child.name = child_of(name, child.name);
    leave_out_mounted(children);
    std::ranges::move(children.rbegin(), children.rend(), std::back_inserter(todo));
    return {};
  }

  void leave_out_mounted(std::vector<Child>& children) const {
    for (const Hierarchy& h : hierarchies_->all())
      for (const std::string& name : mounted_[h.index()])
        for (Child& child : children)
          if (child.name == name) {
            child.in &= ~(1U << h.index());
            child.deeper &= ~(1U << h.index());
          }
    std::erase_if(children, [](const Child& child) { return child.in == 0; });
  }

  Result<> read_names(const Hierarchy& h, const std::string& name, std::vector<Batch>& batches) {
    const auto dir = sys::open_beneath(CGX_TRY(h.root()), name, O_RDONLY | O_DIRECTORY);
    if (!dir) return gone_or(dir.error(), name);
    auto names = sys::list_dir(dir->get(), "", sys::Entries::directories);
    if (!names) return gone_or(names.error(), name);
    auto batch = std::ranges::find(batches, *names, &Batch::names);
    if (batch == batches.end()) {
      const std::size_t count = names->size();
      batches.push_back({std::move(*names), 0, std::vector<std::uint32_t>(count)});
      batch = batches.end() - 1;
    }
    const std::uint32_t bit = 1U << h.index();
    batch->in |= bit;
    std::uint64_t& left = left_[h.index()];
    if (left != unknown) left -= std::min<std::uint64_t>(left, batch->names.size());
    if (depth_ == Depth::children || left == 0) return {};
    for (std::size_t i = 0; i < batch->names.size(); ++i)
      if (subdirectories(dir->get(), batch->names[i].c_str()) != 0) batch->deeper[i] |= bit;
    return {};
  }

  // Sorted by name, each once.
  static std::vector<Child> children_of(std::vector<Batch> batches) {
    std::vector<Child> children;
    for (Batch& batch : batches)
      for (std::size_t i = 0; i < batch.names.size(); ++i)
        children.push_back({std::move(batch.names[i]), batch.in, batch.deeper[i]});
    std::ranges::sort(children, {}, &Child::name);
    std::size_t last = 0;
    for (std::size_t i = 1; i < children.size(); ++i) {
      if (children[i].name == children[last].name) {
        children[last].in |= children[i].in;
        children[last].deeper |= children[i].deeper;
      } else if (++last != i) {
        children[last] = std::move(children[i]);
      }
    }
    if (!children.empty()) children.resize(last + 1);
    return children;
  }

  static Result<> gone_or(Error error, std::string_view name) {
    if (error.code == ENOENT || error.code == ENODEV || error.code == EXDEV) return {};
    error.group = shown(name);
    return std::unexpected(std::move(error));
  }

  const Hierarchies* hierarchies_;
  Depth depth_;
  std::vector<std::uint64_t> left_;                // groups of each hierarchy that may still be found
  std::vector<std::vector<std::string>> mounted_;  // of each hierarchy
  std::vector<Listed> found_;
};

}  // namespace

Result<std::vector<Covered>> covered_in(const Cgroup& group) {
  const std::string mountinfo = CGX_TRY(sys::read_path("/proc/self/mountinfo"));
  std::vector<Covered> found;
  for (const Hierarchy& h : group.hierarchies().all())
    for (std::string& name : mounted_over(h, mountinfo))
      if (lies_in(name, group.name())) found.push_back({&h, std::move(name)});
  return found;
}

Result<std::vector<std::string>> mounts_in(const Cgroup& group) {
  std::vector<std::string> paths;
  for (const Covered& one : CGX_TRY(covered_in(group))) paths.push_back(one.hierarchy->path(one.name));
  return paths;
}

Result<std::vector<Listed>> walk(const Cgroup& group, Depth depth) {
  return Walk(group.hierarchies(), depth).run(group);
}

Result<std::vector<std::string>> walk_below(const Hierarchies& hierarchies, std::string_view group, unsigned depth) {
  const Cgroup top(hierarchies, std::string(group));
  CGX_CHECK(top.require());
  std::vector<std::string> names;
  if (depth == 0) return names;
  const std::size_t own = group.empty() ? 0 : group.size() + 1;
  for (Listed& found : CGX_TRY(walk(top, depth == 1 ? Depth::children : Depth::all))) {
    const std::string_view rest = std::string_view(found.name).substr(own);
    if (static_cast<std::size_t>(std::ranges::count(rest, '/')) < depth) names.push_back(std::move(found.name));
  }
  return names;
}

}  // namespace cgx
