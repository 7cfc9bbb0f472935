// SPDX-License-Identifier: Apache-2.0
// From limits to ordered writes.
#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/change/explain.h"
#include "cgx/change/plan.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

// What the kernel puts into the files of a new group, for plans of groups that are not there yet (--dry-run).
constexpr std::pair<std::string_view, std::string_view> initial_texts[]{{"cpu.cfs_period_us", "100000"},
                                                                        {"cpu.cfs_quota_us", "-1"},
                                                                        {"cpu.cfs_burst_us", "0"},
                                                                        {"cpu.rt_period_us", "1000000"},
                                                                        {"cpu.rt_runtime_us", "0"},
                                                                        {"cpu.max", "max 100000"},
                                                                        {"cpu.max.burst", "0"},
                                                                        {"memory.max", "max"},
                                                                        {"memory.swap.max", "max"},
                                                                        {"memory.limit_in_bytes", "-1"},
                                                                        {"memory.memsw.limit_in_bytes", "-1"}};

std::optional<std::string_view> initial_text(std::string_view file) {
  const auto* at = std::ranges::find(initial_texts, file, [](const auto& row) { return row.first; });
  if (at == std::end(initial_texts)) return {};
  return at->second;
}

class NewGroupView final : public View {
 public:
  NewGroupView(const Cgroup& parent, std::vector<GroupView::Wanted> wanted) : parent_(parent, std::move(wanted)) {}
  [[nodiscard]] Result<std::string> read(Controller controller, std::string_view file) const override {
    if (const auto text = initial_text(file)) return std::string(*text);
    // A sibling-to-be: where the parent has the file, so will the group. The root of v2 lacks most files.
    auto text = parent_.read(controller, file);
    if (text || file.starts_with('@')) return text;
    if (file.find(".bfq.") != std::string_view::npos) return text;
    // A list that could not be read is not an empty one.
    if (text.error().code != ENOENT) return text;
    return std::string();
  }
  [[nodiscard]] std::vector<std::string> files(Controller controller) const override {
    return parent_.files(controller);
  }
  [[nodiscard]] const Value* wanted(std::string_view knob) const override { return parent_.wanted(knob); }

 private:
  GroupView parent_;
};

std::uint64_t first_number(std::string_view text) {
  const auto parts = sys::words(text);
  if (parts.empty() || parts[0] == "max" || parts[0] == "-1") return sys::unlimited;
  return sys::parse_u64(parts[0]).value_or(sys::unlimited);
}

// What a keyed file means by not listing a row.
std::uint64_t unlisted(Format format) {
  return format == Format::if_count || format == Format::if_rate || format == Format::io_latency ? 0 : sys::unlimited;
}

bool in_force(Format format, const Value& wanted, const Value& now) {
  if (const auto* w = std::get_if<sys::Quota>(&wanted)) {
    const auto* n = std::get_if<sys::Quota>(&now);
    if (n == nullptr) return false;
    if (w->period != 0) return *w == *n;
    if (w->quota == sys::unlimited) return n->quota == sys::unlimited;
    return w->quota * n->period / 100'000 == n->quota && w->quota < (1ULL << 40U);
  }
  if (const auto* w = std::get_if<Table>(&wanted)) {
    const auto* n = std::get_if<Table>(&now);
    if (n == nullptr) return false;
    return std::ranges::all_of(*w, [&](const TableRow& r) {
      const auto at = std::ranges::find(*n, r.key, &TableRow::key);
      const auto has = [&](const auto& field) {
        if (at == n->end()) return field.second == unlisted(format);
        const auto f = std::ranges::find(at->fields, field.first, [](const auto& x) { return x.first; });
        return f == at->fields.end() ? field.second == sys::unlimited : f->second == field.second;
      };
      return std::ranges::all_of(r.fields, has);
    });
  }
  return wanted == now;
}

struct Write {
  Step step;
  std::string_view within;  // the file that bounds it
};

class ValuePlanner {
 public:
  ValuePlanner(const Cgroup& group, const Desired& desired, const std::vector<const Hierarchy*>& fresh)
      : group_(group), desired_(desired), fresh_(fresh) {}

  Result<std::vector<Step>> run() {
    std::vector<GroupView::Wanted> wanted;
    for (const Limit& l : desired_.limits)
      if (l.knob != nullptr) wanted.push_back({l.knob, &l.value});
    for (const Limit& l : desired_.limits) CGX_CHECK(located_limit(l, wanted));
    CGX_CHECK(fill_nodes());
    order();
    std::vector<Step> steps;
    // What cannot be undone goes last.
    for (bool last : {false, true})
      for (Write& w : writes_)
        if (last == (w.step.file == "cgroup.type" || w.step.file == "cgroup.kill")) steps.push_back(std::move(w.step));
    return steps;
  }

 private:
  Result<> located_limit(const Limit& l, const std::vector<GroupView::Wanted>& wanted) {
    auto done = l.knob == nullptr ? raw(l) : encoded(l, wanted);
    if (!done) {
      Error& e = done.error();
      e.group = shown(group_.name());
      if (e.knob.empty()) e.knob = l.knob != nullptr ? kernel_name(*l.knob) : std::string_view(l.file);
      if (e.value.empty()) e.value = l.given;
    }
    return done;
  }

  // The file of the version that this host has it on.
  [[nodiscard]] std::string_view kernel_name(const Knob& knob) const {
    const auto home = home_of(group_.hierarchies(), knob);
    const std::string_view file = home ? home->backing->files[0] : std::string_view();
    return file.empty() || file.starts_with('@') ? knob.name : file;
  }

  Result<> encoded(const Limit& l, const std::vector<GroupView::Wanted>& wanted) {
    const Home home = CGX_TRY(home_of(group_.hierarchies(), *l.knob));
    const Backing& b = *home.backing;
    if (b.encode == nullptr) return fail(EACCES, "is read only");
    const bool there = group_.dir(*home.hierarchy).has_value();
    std::vector<FileWrite> files;
    if (there) {
      const GroupView view(group_, wanted);
      // What is in force already needs no write, unless another flag wants it to be something else.
      const bool alone = std::ranges::none_of(desired_.limits, [&](const Limit& o) {
        return o.knob != nullptr && o.knob != l.knob &&
               backing(*o.knob, home.hierarchy->version()).files[0] == b.files[0];
      });
      if (alone && !depends(l, b) && b.decode != nullptr && l.knob->format != Format::device_rules &&
          !is_fresh(*home.hierarchy)) {
        const auto now = b.decode(*l.knob, b, view);
        if (now && *now && in_force(l.knob->format, l.value, **now) && reserves(l)) return {};
      }
      files = CGX_TRY(b.encode(*l.knob, b, l.value, view));
      if (depends(l, b) && !is_fresh(*home.hierarchy) && holds(*home.hierarchy, files)) return {};
    } else {
      // Parents that are made too are copies of theirs.
      std::string above(parent_of(group_.name()));
      while (!above.empty() && !Cgroup(group_.hierarchies(), above).dir(*home.hierarchy))
        above.resize(parent_of(above).size());
      const Cgroup parent(group_.hierarchies(), above);
      files = CGX_TRY(b.encode(*l.knob, b, l.value, NewGroupView(parent, wanted)));
    }
    for (std::size_t i = 0; i < files.size(); ++i) {
      CGX_CHECK(no_conflict(l, files[i]));
      const bool pair = (l.knob->format == Format::quota || l.knob->format == Format::rt) && i + 1 < files.size();
      writes_.push_back({{.verb = Verb::write,
                          .hierarchy = home.hierarchy,
                          .group = group_.name(),
                          .file = files[i].file,
                          .text = files[i].text,
                          .knob = l.knob,
                          .given = l.given,
                          .undo = files[i].undo,
                          .swappable = pair},
                         i == 0 || files[i].file == b.files[0] ? b.within : std::string_view()});
    }
    return {};
  }

  // memsw on v2 and swap on v1 are stored as a sum or a difference with the memory limit: the same value is another
  // text where that limit changes too.
  static bool depends(const Limit& l, const Backing& b) {
    return b.fidelity == Fidelity::lossy && l.knob->kind == Kind::limit;
  }

  // Huge pages: whether what is reserved has a limit where the value has one, be it another one.
  bool reserves(const Limit& l) const {
    const Knob* reserved = l.knob->name == "hugetlb.*.max" ? find_knob("hugetlb.*.rsvd.max") : nullptr;
    if (reserved == nullptr) return true;
    const auto now = read_knob(group_, *reserved);
    const auto* rows = now && *now ? std::get_if<Table>(&**now) : nullptr;
    if (rows == nullptr) return true;
    return std::ranges::none_of(std::get<Table>(l.value), [&](const TableRow& r) {
      const auto at = std::ranges::find(*rows, r.key, &TableRow::key);
      return at != rows->end() && at->fields[0].second == sys::unlimited && r.fields[0].second != sys::unlimited;
    });
  }

  bool holds(const Hierarchy& h, const std::vector<FileWrite>& files) const {
    if (files.size() != 1) return false;
    const auto now = group_.read(h, files[0].file);
    if (!now) return false;
    const auto number = [](std::string_view text) {
      const std::uint64_t n = first_number(text);
      return n >= 0x7ffffffffffff000 ? sys::unlimited : n;  // how v1 shows no limit
    };
    return number(*now) == number(files[0].text);
  }

  Result<> raw(const Limit& l) {
    const Controller c = *controller_of_file(l.file);
    const Hierarchy* h = group_.home(c, l.file);
    const Knob* knob = knob_of_file(l.file, h->version());
    // Lists are cleared by an empty value; v1's memory limits would become 0.
    if (knob != nullptr && sys::trim(l.given).empty() && knob->format != Format::list && knob->format != Format::text)
      return std::unexpected(Error{.code = EINVAL, .what = "an empty value is given", .fault = Fault::usage});
    std::string_view within;
    if (knob != nullptr && backing(*knob, h->version()).files[0] == l.file)
      within = backing(*knob, h->version()).within;
    writes_.push_back({{.verb = Verb::write,
                        .hierarchy = h,
                        .group = group_.name(),
                        .file = l.file,
                        .text = l.given,
                        .knob = knob,
                        .given = l.given},
                       within});
    return {};
  }

  // Two flags that set one file to different values: whoever wins, the other was dropped silently.
  Result<> no_conflict(const Limit& l, const FileWrite& f) const {
    for (const Write& w : writes_)
      if (w.step.file == f.file && w.step.knob != l.knob && w.step.knob != nullptr && w.step.text != f.text)
        return std::unexpected(
            Error{.code = EINVAL,
                  .what = fmt::format("and --{} \"{}\" both set {}", w.step.knob->flag, w.step.given, f.file),
                  .knob = fmt::format("--{}", l.knob->flag),
                  .value = l.given,
                  .fault = Fault::usage});
    return {};
  }

  // v1: CPUs without nodes let no process in, so that a cpuset which has none gets its parent's.
  Result<> fill_nodes() {
    const Hierarchy* h = group_.hierarchies().of(Controller::cpuset);
    if (h == nullptr || h->version() != Version::v1 || !group_.dir(*h)) return {};
    const auto sets = [&](std::string_view file) {
      return std::ranges::any_of(writes_, [&](const Write& w) { return w.step.file == file; });
    };
    if (!sets("cpuset.cpus") || sets("cpuset.mems") || is_fresh(*h)) return {};  // a new one has been filled
    if (!sys::trim(CGX_TRY(group_.read(*h, "cpuset.mems"))).empty()) return {};
    const Cgroup parent(group_.hierarchies(), std::string(parent_of(group_.name())));
    const std::string nodes(sys::trim(CGX_TRY(parent.read(*h, "cpuset.mems"))));
    if (!nodes.empty())
      writes_.push_back({{.verb = Verb::write,
                          .hierarchy = h,
                          .group = group_.name(),
                          .file = "cpuset.mems",
                          .text = nodes,
                          .knob = find_knob("cpuset.mems"),
                          .given = nodes},
                         {}});
    return {};
  }

  // A knob and its bound in one change: the bound goes first where it stays above what is in force, else last.
  void order() {
    for (std::size_t i = 0; i < writes_.size(); ++i) {
      const std::string_view bound = writes_[i].within;
      if (bound.empty()) continue;
      const auto outer =
          std::ranges::find(writes_, bound, [](const Write& w) { return std::string_view(w.step.file); });
      if (outer == writes_.end()) continue;
      const std::size_t o = static_cast<std::size_t>(outer - writes_.begin());
      std::uint64_t inner_now = sys::unlimited;
      if (const auto text = group_.read(*writes_[i].step.hierarchy, writes_[i].step.file))
        inner_now = first_number(*text);
      else if (const auto initial = initial_text(writes_[i].step.file))
        inner_now = first_number(*initial);
      const bool outer_first = first_number(writes_[o].step.text) >= inner_now;
      // Moved, not swapped: the others keep their order (a period stays before its quota).
      const auto at = [&](std::size_t n) { return writes_.begin() + static_cast<std::ptrdiff_t>(n); };
      if (outer_first && i < o) {
        std::rotate(at(i), at(i + 1), at(o + 1));
        --i;  // another one is here now; each moves once, since its bound stays where it is
      } else if (!outer_first && o < i) {
        std::rotate(at(o), at(i), at(i + 1));
      }
    }
  }

  bool is_fresh(const Hierarchy& h) const { return std::ranges::find(fresh_, &h) != fresh_.end(); }

  const Cgroup& group_;
  const Desired& desired_;
  const std::vector<const Hierarchy*>& fresh_;
  std::vector<Write> writes_;
};

}  // namespace

Result<Plan> Plan::make_values(const Cgroup& group,
                               const Desired& desired,
                               const std::vector<const Hierarchy*>& fresh) {
  Plan plan;
  plan.steps_ = CGX_TRY(ValuePlanner(group, desired, fresh).run());
  return plan;
}

}  // namespace cgx
