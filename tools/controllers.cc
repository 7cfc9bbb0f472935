// SPDX-License-Identifier: Apache-2.0
// cgx controllers.
//
// --json: [{"name": "io", "kernel_name": "blkio", "version": "v1"|"v2"|null, "mount": string|null, "enabled": true,
//           "groups": 7, "doc": string, "knobs": [{"file": "blkio.throttle.read_bps_device", "flag": "io-max"|null}]},
//           ...]
// "version" and "mount" are null where the controller is mounted nowhere; "groups" is the kernel's count, with the
// root.
//
// The knobs are the files that are there: in the root, and in the groups right below it, since the root lacks some.
// Where a hierarchy has no group yet, only the root's are known; no group is made to find out.
#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include <fmt/format.h>

#include "cgx/cgroupfs/presence.h"
#include "cgx/cgroupfs/walk.h"
#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

#include "command.h"
#include "completion.h"

namespace cgx::tool {
namespace {

struct KernelRow {
  bool enabled = true;
  std::uint64_t groups = 0;
};

// `memory 4 1021 1` lines of /proc/cgroups: name, hierarchy, groups, enabled. Newer kernels leave out what v1 lacks.
Result<std::map<std::string, KernelRow>> kernel_controllers() {
  std::map<std::string, KernelRow> rows;
  const auto read = sys::read_path("/proc/cgroups");
  if (!read && read.error().code != ENOENT) return std::unexpected(read.error());  // a kernel without v1 has none
  const std::string text = read.value_or("");
  for (const std::string_view line : sys::lines(text)) {
    const auto fields = sys::words(line);
    if (fields.size() != 4 || line.starts_with('#')) continue;
    rows[std::string(fields[0])] = {fields[3] == "1", sys::parse_u64(fields[2]).value_or(0)};
  }
  return rows;
}

// The files of one hierarchy's root and of the groups right below it. A group there that only its owner can look into
// shows what others show.
Result<std::set<std::string>> files_of(const Hierarchies& hierarchies, const Hierarchy& h) {
  std::set<std::string> files;
  const auto add = [&](const Cgroup& group) -> Result<> {
    for (std::string& name : CGX_TRY(sys::list_dir(CGX_TRY(group.dir(h)), "", sys::Entries::files)))
      files.insert(std::move(name));
    return {};
  };
  const Cgroup root(hierarchies, "");
  CGX_CHECK(add(root));
  int looks = 64;  // children may have other controllers each (v2); most show the same
  for (const Listed& child : CGX_TRY(walk(root, Depth::children))) {
    if (!child.in(h) || looks-- <= 0) continue;
    const auto added = add(Cgroup(hierarchies, child.name));
    if (!added && !says_absent(added.error()) && added.error().code != EACCES && added.error().code != EXDEV)
      return std::unexpected(added.error());
  }
  return files;
}

struct Row {
  std::string name;
  std::string kernel_name;
  const Hierarchy* hierarchy = nullptr;
  KernelRow kernel;
  std::string doc;
  std::vector<std::string> files;
};

std::string_view flag_of(const Row& row, std::string_view file) {
  const Knob* knob = row.hierarchy == nullptr ? nullptr : knob_of_file(file, row.hierarchy->version());
  return knob == nullptr ? std::string_view() : knob->flag;
}

// A file belongs to the controller of its prefix; the pressure files of v2 to the core.
bool belongs(const Row& row, std::string_view file) {
  if (row.hierarchy != nullptr)
    if (const Knob* knob = knob_of_file(file, row.hierarchy->version()))
      return cgx::row(backing(*knob, row.hierarchy->version()).controller).name == row.name;
  const auto c = controller_of_file(file);
  return c && cgx::row(*c).name == row.name;
}

Result<std::vector<Row>> rows_of(const Hierarchies& hierarchies) {
  std::map<std::string, KernelRow> kernel = CGX_TRY(kernel_controllers());
  std::map<const Hierarchy*, std::set<std::string>> files;
  for (const Hierarchy& h : hierarchies.all()) files.emplace(&h, CGX_TRY(files_of(hierarchies, h)));
  std::vector<Row> rows;
  for (const ControllerRow& c : controllers()) {
    Row row{.name = std::string(c.name), .kernel_name = std::string(c.name), .doc = std::string(c.doc)};
    row.hierarchy = hierarchies.of(c.id);
    if (!c.v1_name.empty() && (row.hierarchy == nullptr || row.hierarchy->version() == Version::v1))
      row.kernel_name = c.v1_name;
    const auto known = kernel.find(std::string(c.v1_name));
    if (row.hierarchy == nullptr && known == kernel.end()) continue;  // not in this kernel
    if (known != kernel.end()) row.kernel = known->second;
    kernel.erase(std::string(c.v1_name));
    if (row.hierarchy != nullptr)
      for (const std::string& file : files[row.hierarchy])
        if (belongs(row, file)) row.files.push_back(file);
    rows.push_back(std::move(row));
  }
  // What this kernel has and cgx does not know (`debug`).
  for (const auto& [name, known] : kernel) rows.push_back({.name = name, .kernel_name = name, .kernel = known});
  return rows;
}

}  // namespace

Result<int> run_controllers(const Call& call) {
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const std::vector<Row> rows = CGX_TRY(rows_of(hierarchies));
  if (!call.json) {
    std::size_t name_width = 10;
    std::size_t mount_width = 5;
    for (const Row& r : rows) {
      name_width = std::max(name_width, r.name.size());
      if (r.hierarchy != nullptr) mount_width = std::max(mount_width, r.hierarchy->dir().size());
    }
    std::string out = fmt::format("{:<{}}  VERSION  {:<{}}  KNOBS\n", "CONTROLLER", name_width, "MOUNT", mount_width);
    for (const Row& r : rows)
      out += fmt::format("{:<{}}  {:<7}  {:<{}}  {}\n",
                         r.name,
                         name_width,
                         r.hierarchy == nullptr                  ? (r.kernel.enabled ? "-" : "off")
                         : r.hierarchy->version() == Version::v1 ? "v1"
                                                                 : "v2",
                         r.hierarchy == nullptr ? "-" : r.hierarchy->dir(),
                         mount_width,
                         r.files.empty() ? "-" : joined(r.files, ","));
    print(out);
    return 0;
  }
  sys::JsonWriter json;
  json.open_array();
  for (const Row& r : rows) {
    json.open_object().key("name").string(r.name).key("kernel_name").string(r.kernel_name).key("version");
    if (r.hierarchy == nullptr)
      json.null().key("mount").null();
    else
      json.string(r.hierarchy->version() == Version::v1 ? "v1" : "v2").key("mount").string(r.hierarchy->dir());
    json.key("enabled").boolean(r.kernel.enabled).key("groups").number(r.kernel.groups).key("doc").string(r.doc);
    json.key("knobs").open_array();
    for (const std::string& file : r.files) {
      json.open_object().key("file").string(file).key("flag");
      const std::string_view flag = flag_of(r, file);
      flag.empty() ? json.null() : json.string(flag);
      json.close_object();
    }
    json.close_array().close_object();
  }
  json.close_array();
  print(json.take() + "\n");
  return 0;
}

}  // namespace cgx::tool
