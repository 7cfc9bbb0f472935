// SPDX-License-Identifier: Apache-2.0
#include "groups.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"
#include "cgx/sys/xattr.h"

#include "scratch.h"

namespace cgx::test {
namespace fs = std::filesystem;
namespace {

// Usage, statistics and events move by themselves; cgroup.event_control and the like cannot be read.
bool moves(const std::string& file, Version version) {
  if (file == "cgroup.controllers") return false;
  if (file == "net_prio.prioidx") return true;  // of a group that is made again it is another one
  const Knob* knob = knob_of_file(file, version);
  if (knob != nullptr) return knob->kind == Kind::stat;
  return file.find("stat") != std::string::npos || file.find("usage") != std::string::npos ||
         file.find("events") != std::string::npos || file.find("io_") != std::string::npos;
}

std::string notes_of(const std::string& dir) {
  const auto fd = sys::open_path(dir, O_RDONLY | O_DIRECTORY);
  if (!fd) return {};
  std::string text;
  for (const std::string_view key : {"cpu.shares", "cpu.weight", "devices"})
    if (const auto note = sys::get_note(fd->get(), key); note && *note) text += fmt::format(" {}={}", key, **note);
  return text;
}

void add(Picture& picture, const fs::path& dir, Version version) {
  std::error_code error;
  if (!fs::is_directory(dir, error)) return;
  struct stat st{};
  if (stat(dir.c_str(), &st) == 0)
    picture[dir.string()] = fmt::format("{}:{}{}", st.st_uid, st.st_gid, notes_of(dir.string()));
  for (const fs::directory_entry& entry : fs::directory_iterator(dir, error)) {
    if (entry.is_directory(error)) {
      add(picture, entry.path(), version);
      continue;
    }
    const std::string file = entry.path().filename().string();
    if (stat(entry.path().c_str(), &st) != 0 || moves(file, version)) continue;
    std::string text = (st.st_mode & S_IRUSR) != 0 ? content(entry.path().string()) : "<not readable>";
    // hugetlb starts with the largest number of whole pages and shows what is set to no limit as `max`.
    if (text.starts_with("9223372036854771712") || text.starts_with("9223372035781033984")) text = "max\n";
    picture[entry.path().string()] = fmt::format("{}:{} {}", st.st_uid, st.st_gid, text);
  }
}

void remove_tree(const fs::path& dir) {
  std::error_code error;
  if (!fs::is_directory(dir, error)) return;
  std::vector<fs::path> below;
  for (const fs::directory_entry& entry : fs::directory_iterator(dir, error))
    if (entry.is_directory(error)) below.push_back(entry.path());
  for (const fs::path& child : below) remove_tree(child);
  for (int i = 0; i < 200 && rmdir(dir.c_str()) != 0 && errno == EBUSY; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

}  // namespace

TestGroup::TestGroup(const Hierarchies& hierarchies) : hierarchies_(&hierarchies), name_(unique_name()) {
  if (const Hierarchy* h = hierarchies.unified()) given_ = content(h->path("", "cgroup.subtree_control"));
}

TestGroup::~TestGroup() {
  remove();
  const Hierarchy* h = hierarchies_->unified();
  if (h == nullptr) return;
  const std::string path = h->path("", "cgroup.subtree_control");
  const std::string now = content(path);
  const auto before = sys::words(sys::trim(given_));
  for (const std::string_view name : sys::words(sys::trim(now)))
    if (std::ranges::find(before, name) == before.end())
      std::ofstream(path) << '-' << name << std::flush;  // EBUSY: another test's group uses it
}

void TestGroup::remove() const {
  for (const Hierarchy& h : hierarchies_->all()) remove_tree(h.path(name_));
}

Picture picture(const Hierarchies& hierarchies, const std::string& group) {
  Picture all;
  for (const Hierarchy& h : hierarchies.all()) {
    add(all, h.path(group), h.version());
    if (h.version() == Version::v1) continue;
    for (std::string_view name = group; !name.empty();) {
      name = parent_of(name);
      const std::string path = h.path(name, "cgroup.subtree_control");
      all[path] = content(path);
    }
  }
  return all;
}

std::string difference(const Picture& before, const Picture& after) {
  std::string text;
  for (const auto& [path, old] : before) {
    const auto now = after.find(path);
    if (now == after.end())
      text += fmt::format("{} is gone; ", path);
    else if (now->second != old)
      text += fmt::format("{}: \"{}\" became \"{}\"; ", path, old, now->second);
  }
  for (const auto& [path, now] : after)
    if (!before.contains(path)) text += fmt::format("{} is new; ", path);
  return text;
}

Limit limit(std::string_view name, std::string_view text) {
  const Knob* knob = find_knob(name);
  if (knob == nullptr) throw std::runtime_error(fmt::format("no knob {}", name));
  Limit l{knob, {}, std::string(text), {}};
  bool first = true;
  for (const std::string_view part : sys::split(text, ' ')) {
    const bool whole = knob->format == Format::device_rules || knob->format == Format::text;
    auto value = parse_value(*knob, whole ? text : part, {});
    if (!value) throw std::runtime_error(value.error().text());
    if (first)
      l.value = *std::move(value);
    else if (const auto merged = merge_value(l.value, *value); !merged)
      throw std::runtime_error(merged.error().text());
    if (whole) break;
    first = false;
  }
  return l;
}

Limit raw(std::string_view file, std::string_view text) {
  return {nullptr, std::string(), std::string(text), std::string(file)};
}

std::string any_disk() {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator("/sys/block", error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("ram") || name.starts_with("zram") || name.starts_with("loop")) continue;
    const std::string number = content((entry.path() / "dev").string());
    if (!number.starts_with('<')) return std::string(sys::trim(number));
  }
  return {};
}

}  // namespace cgx::test
