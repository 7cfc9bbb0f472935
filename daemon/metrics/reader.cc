// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics/reader.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "cgx/cgroupfs/cgroup.h"

namespace cgx::daemon {
namespace {

__extension__ using Wide = unsigned __int128;

// What is read most, and what costs most to open for what it says. In the order of their worth.
constexpr std::string_view hot_files[] = {"memory.current",
                                          "memory.usage_in_bytes",
                                          "memory.stat",
                                          "cpu.stat",
                                          "cpuacct.usage",
                                          "memory.events",
                                          "memory.oom_control"};

// What a file that is not to be had says: no such file or group, a group that goes away, pressure that is switched off.
bool not_there(int code) { return code == ENOENT || code == ENODEV || code == EOPNOTSUPP || code == EXDEV; }

// The limit files of one group, for the decode functions of the rows.
class TextView final : public View {
 public:
  TextView(std::span<const std::string_view> names, std::span<const std::string> texts)
      : names_(names), texts_(texts) {}
  Result<std::string> read(Controller /*controller*/, std::string_view file) const override {
    const auto at = std::ranges::find(names_, file);
    if (at == names_.end()) return fail(ENOENT, "is not read");
    const std::string& text = texts_[static_cast<std::size_t>(at - names_.begin())];
    if (text.empty()) return fail(ENOENT, "is not there");
    return text;
  }
  std::vector<std::string> files(Controller /*controller*/) const override { return {}; }
  const Value* wanted(std::string_view /*knob*/) const override { return nullptr; }

 private:
  std::span<const std::string_view> names_;
  std::span<const std::string> texts_;
};

// In the unit of the metric; no_value for no limit.
std::uint64_t limit_number(const Value& value) {
  if (const auto* n = std::get_if<std::uint64_t>(&value)) return *n;  // sys::unlimited is no_value
  if (const auto* q = std::get_if<sys::Quota>(&value)) {
    if (q->quota == sys::unlimited || q->period == 0) return no_value;
    return static_cast<std::uint64_t>(static_cast<Wide>(q->quota) * 1'000'000 / q->period);
  }
  return no_value;
}
static_assert(no_value == sys::unlimited);

}  // namespace

Result<GroupReader> GroupReader::create(const Hierarchies& hierarchies, std::size_t descriptors) {
  GroupReader reader;
  reader.hierarchies_ = &hierarchies;
  reader.budget_ = descriptors;
  reader.buffer_.resize(65536);
  std::vector<std::string_view> names;
  for (StatId id = 0; id < stat_count(); ++id)
    if (!stat_row(id).metric.empty()) names.push_back(stat_row(id).name);
  const Sampler sampler = CGX_TRY(Sampler::create(hierarchies, names));
  for (const Sampler::Source& source : sampler.sources())
    for (const StatFile& file : source.files)
      CGX_TRY(reader.file_of(*source.hierarchy, file.controller, file.name))->stat = file;
  CGX_CHECK(reader.add_limits(hierarchies));
  int hot = 0;
  for (const std::string_view name : hot_files)
    for (Section& section : reader.sections_)
      for (File& file : section.files)
        if (file.stat.name == name && hot < static_cast<int>(most_hot)) file.hot = hot++;
  return reader;
}

// The entry for a file, made where there is none.
Result<GroupReader::File*> GroupReader::file_of(const Hierarchy& h, Controller controller, std::string_view name) {
  auto place = std::ranges::find_if(sections_,
                                    [&](const Section& s) { return s.hierarchy == &h && s.controller == controller; });
  if (place == sections_.end())
    place = sections_.insert(sections_.end(), Section{&h, CGX_TRY(h.root()), controller, {}});
  auto file = std::ranges::find(place->files, name, [](const File& f) { return f.stat.name; });
  if (file == place->files.end())
    file =
        place->files.insert(place->files.end(), File{.stat = {.name = name, .controller = controller, .fields = {}}});
  return &*file;
}

Result<> GroupReader::add_limits(const Hierarchies& hierarchies) {
  const auto rows = metric_limits();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto home = home_of(hierarchies, *rows[i]);
    if (!home || home->backing->decode == nullptr || is_alias(*rows[i], home->hierarchy->version())) continue;
    limits_[i] = {rows[i], home->backing};
    for (const std::string_view name : home->backing->files) {
      if (name.empty() || std::ranges::find(limit_files_, name) != limit_files_.end()) continue;
      if (limit_files_.size() == std::tuple_size_v<decltype(KeptGroup::limit_texts)>) continue;
      CGX_TRY(file_of(*home->hierarchy, home->backing->controller, name))->limit =
          static_cast<int>(limit_files_.size());
      limit_files_.push_back(name);
    }
  }
  return {};
}

GroupReader::Outcome GroupReader::read(KeptGroup& group, Reading& into, bool processes) {
  into.usage.clear();
  into.usage.when = std::chrono::steady_clock::now();
  into.processes = no_value;
  Look look;
  for (Section& section : sections_) {
    read_section(section, group, into, look);
    if (look.starved) return Outcome::starved;
  }
  // A group that was there and is not any more has no numbers; one that was made again has been read from its new
  // files.
  if (!look.any && !exists(group.name)) return Outcome::gone;
  if (look.removed && !exists(group.name)) return Outcome::gone;
  if (look.removed) group.made_again = true;
  if (look.limits_changed) decode_limits(group);
  into.limits = group.limits;
  if (processes) count_processes(group.name, into);
  return look.failed ? Outcome::failed : Outcome::read;
}

// A controller's files come and go together (v2 has them only where the controller is enabled): after two that are not
// there no third one is looked for. One that is missing beside others is not in this kernel, and is not tried again for
// any group. The root has fewer files than others.
void GroupReader::read_section(Section& section, KeptGroup& group, Reading& into, Look& look) {
  bool any = false;
  std::array<File*, 8> missing{};
  std::size_t n_missing = 0;
  for (File& file : section.files) {
    if (file.stat.absent) continue;
    const auto text =
        !any && n_missing == 2 ? Result<std::string_view>(fail(ENODEV, {})) : read_file(section, file, group, look);
    if (look.starved) return;
    if (text) {
      any = true;
      if (!file.stat.fields.empty()) into.usage.take(file.stat, *text);
    } else if (!not_there(text.error().code)) {
      look.failed = true;
      error_ = text.error();
      error_.group = shown(group.name);
      error_.knob = file.stat.name;
    } else if (text.error().code == ENOENT && n_missing < missing.size()) {
      missing[n_missing++] = &file;
    }
    if (file.limit >= 0) {
      std::string& kept = group.limit_texts[static_cast<std::size_t>(file.limit)];
      const std::string_view now = text ? *text : std::string_view();
      if (kept != now) {
        kept.assign(now);
        look.limits_changed = true;
      }
    }
  }
  look.any = look.any || any;
  if (any && n_missing > 0 && !group.name.empty() && exists(group.name))
    for (std::size_t i = 0; i < n_missing; ++i) missing[i]->stat.absent = true;
}

Result<std::string_view> GroupReader::read_file(const Section& section,
                                                const File& file,
                                                KeptGroup& group,
                                                Look& look) {
  sys::Fd* kept = file.hot >= 0 ? &group.hot[static_cast<std::size_t>(file.hot)] : nullptr;
  if (kept != nullptr && kept->valid()) {
    const auto text = read_fd(kept->get());
    if (text || text.error().code != ENODEV) return text;
    // The group is gone; perhaps there is another one of its name.
    kept->reset(-1);
    --kept_;
    look.removed = true;
  }
  path_.assign(group.name);
  if (!path_.empty()) path_.push_back('/');
  path_.append(file.stat.name);
  auto fd = sys::open_beneath(section.root, path_, O_RDONLY | O_NOCTTY);
  if (!fd) {
    if (fd.error().code == EMFILE || fd.error().code == ENFILE) look.starved = true;
    return std::unexpected(fd.error());
  }
  const auto text = read_fd(fd->get());
  if (text && kept != nullptr && kept_ < budget_) {
    *kept = *std::move(fd);
    ++kept_;
  }
  return text;
}

Result<std::string_view> GroupReader::read_fd(int fd) {
  std::size_t have = 0;
  while (true) {
    const ssize_t n = pread(fd, buffer_.data() + have, buffer_.size() - have, static_cast<off_t>(have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno, errno_text(errno));
    have += static_cast<std::size_t>(n);
    // The kernel answers these files whole where the buffer is large enough: no second read to see the end.
    if (have < buffer_.size()) return std::string_view(buffer_.data(), have);
    buffer_.resize(buffer_.size() * 2);
  }
}

void GroupReader::decode_limits(KeptGroup& group) const {
  const TextView view(limit_files_, group.limit_texts);
  for (std::size_t i = 0; i < limits_.size(); ++i) {
    group.limits[i] = no_value;
    if (limits_[i].backing == nullptr) continue;
    const auto value = limits_[i].backing->decode(*limits_[i].knob, *limits_[i].backing, view);
    if (value && *value) group.limits[i] = limit_number(**value);
  }
}

// Of the group itself, as cAdvisor counts them.
void GroupReader::count_processes(std::string_view group, Reading& into) {
  const Hierarchy* h = hierarchies_->of(Controller::memory);
  if (h == nullptr) h = hierarchies_->of(Controller::core);
  if (h == nullptr) return;
  const auto root = h->root();
  if (!root) return;
  path_.assign(group).append("/cgroup.procs");
  const auto text = sys::read_file(*root, path_);
  if (text) into.processes = static_cast<std::uint64_t>(std::ranges::count(*text, '\n'));
}

bool GroupReader::exists(std::string_view group) const {
  for (const Hierarchy& h : hierarchies_->all())
    if (const auto root = h.root(); root && sys::exists(*root, group)) return true;
  return false;
}

void GroupReader::look_again() {
  for (Section& section : sections_)
    for (File& file : section.files) file.stat.absent = false;
}

void GroupReader::release(KeptGroup& group) {
  for (sys::Fd& fd : group.hot) {
    if (fd.valid()) --kept_;
    fd.reset(-1);
  }
}

std::vector<std::string> GroupReader::files() const {
  std::vector<std::string> list;
  for (const Section& section : sections_)
    for (const File& file : section.files)
      if (!file.stat.absent)
        list.push_back(section.hierarchy->dir() + ' ' + std::string(file.stat.name) +
                       (file.hot >= 0 ? " kept" : " opened"));
  return list;
}

}  // namespace cgx::daemon
