// SPDX-License-Identifier: Apache-2.0
// Which files to read, and reading them.
#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "cgx/cgroupfs/usage.h"
#include "cgx/cgroupfs/walk.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

// What a file says that does not exist: no such file or group, a group that goes away, pressure that is switched off,
// something mounted over the group.
bool not_there(int code) { return code == ENOENT || code == ENODEV || code == EOPNOTSUPP || code == EXDEV; }

// Whether a file of IO has counted anything at the root, where all of it arrives.
Result<bool> counts_io(const Hierarchy& h, std::string_view file) {
  const auto text = sys::read_file(CGX_TRY(h.root()), file);
  if (!text) return false;
  return std::ranges::any_of(sys::lines(*text), [](std::string_view line) {
    const auto words = sys::words(line);
    return words.size() == 3 && sys::parse_dev_number(words[0]) && words[2] != "0";
  });
}

}  // namespace

Result<Sampler> Sampler::create(const Hierarchies& hierarchies, std::span<const std::string_view> names) {
  Sampler sampler;
  sampler.hierarchies_ = &hierarchies;
  sampler.buffer_.resize(16384);
  for (StatId id = 0; id < stat_count(); ++id) {
    const Stat& row = stat_row(id);
    if (!names.empty() && std::ranges::find(names, row.name) == names.end()) continue;
    // Of core, only cgroup2 counts anything.
    for (const Version version : {Version::v2, Version::v1}) {
      const StatSource& from = source(row, version);
      if (!from.present()) continue;
      const Hierarchy* h =
          from.controller == Controller::core ? hierarchies.unified() : hierarchies.of(from.controller);
      if (h == nullptr || h->version() != version) continue;
      CGX_CHECK(sampler.choose(hierarchies, from, id));
    }
  }
  sampler.parents_.resize(sampler.sources_.size());
  return sampler;
}

Result<> Sampler::choose(const Hierarchies& hierarchies, const StatSource& from, StatId id) {
  const Hierarchy& h = *(from.controller == Controller::core ? hierarchies.unified() : hierarchies.of(from.controller));
  add(h, from.file, from, id);
  // Two parts of the kernel count IO on v1, each for some of the devices; the second one on few hosts.
  if (!from.instead.empty() && CGX_TRY(counts_io(h, from.instead))) add(h, from.instead, from, id);
  return {};
}

void Sampler::add(const Hierarchy& h, std::string_view file, const StatSource& from, StatId id) {
  auto place = std::ranges::find(sources_, &h, &Source::hierarchy);
  if (place == sources_.end()) place = sources_.insert(sources_.end(), Source{&h, {}});
  auto entry = std::ranges::find(place->files, file, &StatFile::name);
  if (entry == place->files.end())
    entry = place->files.insert(place->files.end(), StatFile{file, from.controller, from.format, {}});
  entry->fields.push_back({from.key, id, from.scale});
}

Result<Usage> Sampler::read(std::string_view group) { return read_in(group, nullptr); }

Result<Usage> Sampler::read(const Listed& group) { return read_in(group.name, &group); }

Result<Usage> Sampler::read_in(std::string_view group, const Listed* listed) {
  Usage usage;
  usage.when = std::chrono::steady_clock::now();
  bool there = false;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    const Hierarchy& h = *sources_[i].hierarchy;
    if (listed != nullptr && !listed->in(h)) continue;
    auto dir = listed != nullptr ? open_below(h, parents_[i], group)
                                 : sys::open_beneath(CGX_TRY(h.root()), group, O_PATH | O_DIRECTORY);
    if (CGX_TRY(located(read_source(sources_[i], std::move(dir), group, usage), shown(group)))) there = true;
  }
  if (there) return usage;
  for (const Hierarchy& h : hierarchies_->all())
    if (sys::exists(CGX_TRY(h.root()), group)) return usage;
  Error e{.code = ENOENT, .what = "there is no such group", .group = std::string(shown(group))};
  e.hint = "cgx ls shows what there is";
  return std::unexpected(std::move(e));
}

Result<sys::Fd> Sampler::open_below(const Hierarchy& h, Parent& parent, std::string_view group) {
  const std::string_view above = parent_of(group);
  const bool kept = parent.dir.valid() && parent.name == above;
  if (!kept) parent = {std::string(above), CGX_TRY(sys::open_beneath(CGX_TRY(h.root()), above, O_PATH | O_DIRECTORY))};
  auto dir =
      sys::open_beneath(parent.dir.get(), group.substr(above.empty() ? 0 : above.size() + 1), O_PATH | O_DIRECTORY);
  if (dir || !kept) return dir;
  // Another parent may have taken the place of the one that was kept.
  parent = {};
  return sys::open_beneath(CGX_TRY(h.root()), group, O_PATH | O_DIRECTORY);
}

// Whether the group is in this hierarchy. One directory is resolved safely; its files are plain names in it.
Result<bool> Sampler::read_source(Source& source, Result<sys::Fd> dir, std::string_view group, Usage& usage) {
  if (!dir) {
    if (not_there(dir.error().code)) return false;
    return std::unexpected(dir.error());
  }
  // A controller's files come and go together (v2 has them only where the controller is enabled): one that is missing
  // beside others of its controller is not in this kernel, and is not looked for again. The root has fewer than others.
  std::size_t begin = 0;
  while (begin < source.files.size()) {
    std::size_t end = begin;
    bool any = false;
    std::vector<StatFile*> missing;
    for (; end < source.files.size() && source.files[end].controller == source.files[begin].controller; ++end) {
      StatFile& file = source.files[end];
      if (file.absent) continue;
      const auto text = read_file(dir->get(), file.name);
      if (text) {
        any = true;
        usage.take(file, *text);
        continue;
      }
      if (!not_there(text.error().code)) return located(Result<bool>(std::unexpected(text.error())), {}, file.name);
      if (text.error().code == ENOENT) missing.push_back(&file);
    }
    // The group itself may have gone in the middle: then nothing was learnt.
    if (any && !missing.empty() && !group.empty() && faccessat(dir->get(), "cgroup.procs", F_OK, 0) == 0)
      for (StatFile* file : missing) file->absent = true;
    begin = end;
  }
  return true;
}

Result<std::string_view> Sampler::read_file(int dir, std::string_view name) {
  // `name` is a literal of a row, so it ends in NUL.
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage)
  const sys::Fd fd(openat(dir, name.data(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY));
  if (!fd.valid()) return fail(errno, errno_text(errno));
  std::size_t have = 0;
  while (true) {
    const ssize_t n = ::read(fd.get(), buffer_.data() + have, buffer_.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno, errno_text(errno));
    have += static_cast<std::size_t>(n);
    // The kernel answers these files whole where the buffer is large enough: no second read to see the end.
    if (have < buffer_.size()) return std::string_view(buffer_.data(), have);
    buffer_.resize(buffer_.size() * 2);
  }
}

}  // namespace cgx
