// SPDX-License-Identifier: Apache-2.0
#include "cgx/change/capture.h"

#include <algorithm>
#include <cerrno>

#include <sys/stat.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/presence.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

// What a row means by not standing in its file.
std::uint64_t nothing(Format format) {
  return format == Format::if_count || format == Format::if_rate || format == Format::io_latency ? 0 : sys::unlimited;
}

// Without rows and fields that limit nothing, sorted.
Table essence(Format format, Table table) {
  for (TableRow& r : table) {
    std::erase_if(r.fields, [&](const auto& field) {
      return field.second == nothing(format) || (format == Format::if_rate && field.second == sys::unlimited);
    });
    std::ranges::sort(r.fields);
  }
  std::erase_if(table, [](const TableRow& r) { return r.fields.empty(); });
  std::ranges::sort(table, {}, &TableRow::key);
  return table;
}

Table normal(Format format, Table table) {
  if (format != Format::io_weight) return essence(format, std::move(table));
  std::ranges::sort(table, {}, &TableRow::key);
  return table;
}

// Whether the number of `knob` is the one that was given for what its file holds now.
Result<bool> note_holds(const Cgroup& group, const Knob& knob, const Hierarchy& h, std::string_view file) {
  const auto note = group.read(h, fmt::format("@note.{}", knob.name));
  const auto now = group.read(h, file);
  for (const auto* read : {&note, &now})
    if (!*read && says_no_value(read->error())) return false;
  const auto parts = sys::words(CGX_TRY(note));
  return parts.size() == 2 && parts[1] == sys::trim(CGX_TRY(now));
}

// A missing file has no value to keep. A file that could not be read may have one, so that is an error.
Result<std::optional<Value>> value_in(const Cgroup& group, const Knob& knob, const Backing& backing) {
  auto value = backing.decode(knob, backing, GroupView(group));
  return value || !says_no_value(value.error()) ? value : std::optional<Value>();
}

Result<std::optional<Owner>> owner_of(const Cgroup& group) {
  struct stat st{};
  for (const Hierarchy* h : group.present())
    if (fstat(CGX_TRY(group.dir(*h)), &st) == 0 && (st.st_uid != 0 || st.st_gid != 0))
      return std::optional(Owner{st.st_uid, st.st_gid});
  return std::optional<Owner>{};
}

}  // namespace

Result<std::optional<Value>> initial_value_in(const Cgroup& group, const Knob& knob) {
  const auto home = home_of(group.hierarchies(), knob);
  if (!home) return std::optional<Value>();
  if (home->backing->initial != parents) return initial_value(knob, *home->backing);
  if (home->backing->decode == nullptr) return std::optional<Value>();
  return value_in(Cgroup(group.hierarchies(), std::string(parent_of(group.name()))), knob, *home->backing);
}

bool same_setting(const Knob& knob, const Value& a, const Value& b) {
  const auto* left = std::get_if<Table>(&a);
  const auto* right = std::get_if<Table>(&b);
  if (left == nullptr || right == nullptr) return a == b;
  return normal(knob.format, *left) == normal(knob.format, *right);
}

Value going_back(const Knob& knob, const Value& now, const Value& before) {
  const auto* rows = std::get_if<Table>(&now);
  const auto* old = std::get_if<Table>(&before);
  if (rows == nullptr || old == nullptr || knob.format == Format::io_weight) return before;
  Table back = *old;
  for (const TableRow& r : *rows) {
    const auto at = std::ranges::find(back, r.key, &TableRow::key);
    TableRow& row = at != back.end() ? *at : back.emplace_back(TableRow{r.key, {}});
    for (const auto& [name, n] : r.fields) {
      const auto same = [&](const auto& field) { return field.first == name; };
      if (std::ranges::none_of(row.fields, same))
        row.fields.emplace_back(name, knob.format == Format::if_rate ? sys::unlimited : nothing(knob.format));
    }
  }
  return back;
}

Capture::Capture(const Hierarchies& hierarchies) : hierarchies_(&hierarchies) {
  std::vector<Row> shared;
  for_each_knob([&](const Knob& k) {
    const auto home = home_of(hierarchies, k);
    if (!home || !configures(k, *home->backing)) return;
    const std::string_view file = home->backing->files[0];
    if (file.starts_with('@') || k.format == Format::hugetlb || knob_of_file(file, home->hierarchy->version()) == &k)
      rows_.push_back({&k, *home, nullptr});
    else if (k.kind == Kind::weight)
      shared.push_back({&k, *home, nullptr});
  });
  for (Row& r : rows_)
    for (const Row& s : shared)
      if (s.home.backing->files[0] == r.home.backing->files[0]) r.converted = s.knob;
}

Result<Desired> Capture::of(const Cgroup& group) const {
  CGX_CHECK(group.require());
  Desired found{.group = group.name(), .existing = Existing::allow};
  const std::vector<const Hierarchy*>& present = group.present();
  if (present.size() != hierarchies_->all().size()) {
    found.only.emplace();
    for (const ControllerRow& c : controllers())
      if (std::ranges::find(present, hierarchies_->of(c.id)) != present.end()) found.only->add(c.id);
  }
  const Cgroup parent(*hierarchies_, std::string(parent_of(group.name())));
  bool idle = false;
  for (const Row& r : rows_) {
    if (std::ranges::find(present, r.home.hierarchy) == present.end()) continue;
    const Knob* knob = r.knob;
    Home home = r.home;
    if (r.converted != nullptr && CGX_TRY(note_holds(group, *r.converted, *home.hierarchy, home.backing->files[0]))) {
      knob = r.converted;
      home.backing = &backing(*knob, home.hierarchy->version());
    }
    std::optional<Value> now = CGX_TRY(value_in(group, *knob, *home.backing));
    if (!now) continue;
    const std::optional<Value> initial = home.backing->initial == parents
                                             ? CGX_TRY(value_in(parent, *knob, *home.backing))
                                             : initial_value(*knob, *home.backing);
    if (initial && same_setting(*knob, *now, *initial)) continue;
    if (auto* table = std::get_if<Table>(&*now)) {
      *table = normal(knob->format, *table);
      if (knob->format == Format::io_weight)
        std::erase_if(*table, [](const TableRow& row) { return row.key == "default" && row.fields[0].second == 100; });
    }
    idle = idle || knob->name == "cpu.idle";
    std::string given = exact(*knob, *now);
    found.limits.push_back({knob, *std::move(now), std::move(given), {}});
  }
  // A group that runs only when nothing else does has no weight, and the kernel takes none.
  if (idle)
    std::erase_if(found.limits,
                  [](const Limit& l) { return l.knob->name == "cpu.shares" || l.knob->name == "cpu.weight"; });
  found.owner = CGX_TRY(owner_of(group));
  return found;
}

}  // namespace cgx
