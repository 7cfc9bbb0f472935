// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics/collector.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <unordered_set>

#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>

namespace cgx::daemon {
namespace {

bool is_hex(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// Samples that a group makes, about: the bound on series need not be exact.
std::size_t series_of(const Reading& reading) {
  const StatId per_device = first_device_stat();
  std::size_t n = 1;
  for (StatId id = 0; id < per_device; ++id) n += reading.usage.get(id).has_value() ? 1U : 0U;
  for (const auto limit : reading.limits) n += limit != no_value ? 1U : 0U;
  return n + reading.usage.devices().size() * most_device_stats;
}

}  // namespace

bool in_scope(std::string_view scope, const std::string& group, bool managed) {
  if (scope == "all") return true;
  if (scope == "managed") return managed;
  return fnmatch(std::string(scope).c_str(), group.c_str(), 0) == 0;
}

std::string_view container_id(std::string_view group) {
  std::string_view last = group.substr(group.rfind('/') + 1);
  if (last.ends_with(".scope")) last.remove_suffix(6);
  if (const std::size_t dash = last.rfind('-'); dash != std::string_view::npos) last.remove_prefix(dash + 1);
  return last.size() == 64 && is_hex(last) ? last : std::string_view();
}

Labels make_labels(const std::string& group,
                   const std::string& unit,
                   std::string_view version,
                   const std::optional<Owner>& owner) {
  Labels labels;
  labels.name = group;
  labels.unit = unit;
  const std::string_view name = shown(group);
  labels.group = "{";
  text::append_label(labels.group, "cgroup", name);
  labels.info = labels.group;
  const auto add = [&](std::string_view label, std::string_view value) {
    if (value.empty()) return;
    labels.info.push_back(',');
    text::append_label(labels.info, label, value);
  };
  std::string_view of_unit = unit;
  const std::string_view last = std::string_view(group).substr(group.rfind('/') + 1);
  if (of_unit.empty())
    for (const std::string_view suffix : {".service", ".scope", ".slice"})
      if (last.size() > suffix.size() && last.ends_with(suffix)) of_unit = last;
  const std::string_view container = container_id(group);
  add("unit", of_unit);
  add("container", container);
  if (owner) {
    add("uid", std::to_string(owner->uid));
    labels.start = owner->since;
  }
  add("version", version);
  labels.container = "{";
  text::append_label(labels.container, "id", name.starts_with('/') ? std::string(name) : '/' + std::string(name));
  labels.container.push_back(',');
  // Dashboards leave out series without an image: those are of the host's own groups there.
  text::append_label(labels.container, "image", "cgx");
  labels.container.push_back(',');
  text::append_label(labels.container, "name", !container.empty() ? container : !of_unit.empty() ? of_unit : name);
  return labels;
}

Collector::Collector(const Hierarchies& hierarchies, CollectorOptions options)
    : hierarchies_(&hierarchies), options_(std::move(options)) {}

Result<> Collector::prepare() {
  if (!reader_)
    reader_ = std::make_unique<GroupReader>(CGX_TRY(GroupReader::create(*hierarchies_, options_.descriptors)));
  return {};
}

std::vector<std::string> Collector::files() const { return reader_ ? reader_->files() : std::vector<std::string>(); }

std::shared_ptr<const Labels> Collector::labels_of(const std::string& group, const std::string& unit) const {
  std::optional<Owner> owner;
  for (const Hierarchy& h : hierarchies_->all()) {
    const auto root = h.root();
    if (!root) continue;
    const auto dir = sys::open_beneath(*root, group, O_PATH | O_DIRECTORY);
    struct stat st{};
    if (!dir || fstat(dir->get(), &st) != 0) continue;
    owner = Owner{st.st_uid, static_cast<std::uint64_t>(st.st_mtim.tv_sec)};
    break;
  }
  return std::make_shared<const Labels>(make_labels(group, unit, hierarchies_->layout(), owner));
}

// The groups of a new world: what is kept of those that are still there stays.
void Collector::list_groups(const World& world) {
  decltype(kept_) kept;
  std::unordered_set<std::string> labels;
  std::unordered_set<std::string_view> names;  // of the world, which lives longer than this call
  groups_.clear();
  left_out_ = 0;
  const bool reloaded = world.reloads != reloads_;  // perhaps groups have other owners now
  reloads_ = world.reloads;
  if (reloaded) reader_->look_again();
  const auto add = [&](const std::string& name, const std::string& unit) {
    if (!names.insert(name).second) return;
    if (groups_.size() >= options_.max_groups) {
      ++left_out_;
      return;
    }
    auto old = kept_.extract(name);
    auto group = old ? std::move(old.mapped()) : std::make_unique<KeptGroup>();
    if (!old) {
      group->name = name;
      group->limits.fill(no_value);
    }
    if (!group->labels || reloaded || group->labels->unit != unit) group->labels = labels_of(name, unit);
    // Names that differ only in bytes that are no text may look alike: one of them is shown.
    if (!labels.insert(group->labels->group).second) {
      ++left_out_;
      reader_->release(*group);
      return;
    }
    groups_.push_back(group.get());
    kept.emplace(name, std::move(group));
  };
  for (const ManagedGroup& g : world.groups)
    if (!g.waits && in_scope(options_.scope, g.name, true)) add(g.name, g.unit);
  for (const std::string& name : world.seen)
    if (in_scope(options_.scope, name, false)) add(name, {});
  const auto now = std::chrono::steady_clock::now();
  for (auto& [name, group] : kept_) {
    if (!group) continue;
    reader_->release(*group);
    oom_.gone(name, group->labels->container, now);
  }
  kept_ = std::move(kept);
}

// A snapshot that nobody reads any more, with the memory that it has got; or a new one.
std::shared_ptr<Snapshot> Collector::fresh() {
  for (const auto& used : pool_)
    if (used.use_count() == 1) {
      // Whoever gave it up has read all of it before.
      std::atomic_thread_fence(std::memory_order_acquire);
      return used;
    }
  if (pool_.size() >= 2) return std::make_shared<Snapshot>();  // slow readers hold the others
  pool_.push_back(std::make_shared<Snapshot>());
  return pool_.back();
}

GroupReader::Outcome Collector::read(KeptGroup& group, Reading& into) {
  const auto outcome = reader_->read(group, into, options_.containers);
  if (outcome != GroupReader::Outcome::starved) return outcome;
  // No descriptor is left for this process: those that are kept go, and half as many are kept from now on.
  reader_->set_budget(reader_->kept() / 2);
  for (KeptGroup* g : groups_) reader_->release(*g);
  return reader_->read(group, into, options_.containers);
}

void Collector::take(Snapshot& snapshot, KeptGroup& group, std::size_t& series) {
  Reading& into = snapshot.groups[snapshot.count];
  static const StatId oom_kill = stat_id("memory.oom_kill");
  const auto now = std::chrono::steady_clock::now();
  if (group.made_again) group.labels = labels_of(group.name, group.labels->unit);
  group.made_again = false;
  into.labels = group.labels;
  into.oom_events = no_value;
  if (options_.containers)
    if (const auto kills = into.usage.get(oom_kill)) into.oom_events = oom_.seen(group.name, *kills, now);
  series += series_of(into);
  ++snapshot.count;
}

Result<std::shared_ptr<const Snapshot>> Collector::collect(const std::shared_ptr<const World>& world,
                                                           const std::function<void(const Error&)>& error) {
  CGX_CHECK(prepare());
  if (world_ != world) {
    list_groups(*world);
    world_ = world;
  }
  std::shared_ptr<Snapshot> snapshot = fresh();
  snapshot->time = std::chrono::system_clock::now();
  snapshot->began = std::chrono::steady_clock::now();
  snapshot->count = 0;
  snapshot->dropped = left_out_;
  if (snapshot->groups.size() < groups_.size()) snapshot->groups.resize(groups_.size());
  std::size_t series = 0;
  for (KeptGroup* group : groups_) {
    if (series >= options_.max_series) {
      ++snapshot->dropped;
      continue;
    }
    switch (read(*group, snapshot->groups[snapshot->count])) {
      case GroupReader::Outcome::failed:
        error(reader_->error());
        [[fallthrough]];
      case GroupReader::Outcome::read:
        take(*snapshot, *group, series);
        break;
      case GroupReader::Outcome::starved: {
        Error e{.code = EMFILE, .what = errno_text(EMFILE), .group = group->name};
        e.hint = "raise LimitNOFILE= of cgxd";
        error(e);
        break;
      }
      case GroupReader::Outcome::gone:
        oom_.gone(group->name, group->labels->container, std::chrono::steady_clock::now());
        break;
    }
  }
  label_devices(*snapshot);
  snapshot->gone = options_.containers ? oom_.remembered(std::chrono::steady_clock::now()) : std::vector<GoneOom>();
  snapshot->took = std::chrono::steady_clock::now() - snapshot->began;
  return snapshot;
}

// Numbers of devices are given again; their names are looked up each time, which is once a device and scrape.
void Collector::label_devices(Snapshot& snapshot) const {
  snapshot.device_labels.clear();
  for (std::size_t i = 0; i < snapshot.count; ++i)
    for (const Usage::Device& d : snapshot.groups[i].usage.devices()) {
      if (std::ranges::find(snapshot.device_labels, d.device, &std::pair<sys::DevNumber, std::string>::first) !=
          snapshot.device_labels.end())
        continue;
      const std::string number = std::to_string(d.device.major) + ':' + std::to_string(d.device.minor);
      std::string name = number;
      if (const auto text = sys::read_path("/sys/dev/block/" + number + "/uevent"))
        for (const std::string_view line : sys::lines(*text))
          if (line.starts_with("DEVNAME=")) name = line.substr(8);
      std::string label = ",";
      text::append_label(label, "device", name);
      const bool taken =
          std::ranges::find(snapshot.device_labels, label, &std::pair<sys::DevNumber, std::string>::second) !=
          snapshot.device_labels.end();
      if (taken) {
        label = ",";
        text::append_label(label, "device", number);
      }
      snapshot.device_labels.emplace_back(d.device, std::move(label));
    }
}

}  // namespace cgx::daemon
