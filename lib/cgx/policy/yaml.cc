// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/yaml.h"

#include <algorithm>
#include <cerrno>
#include <set>
#include <tuple>
#include <unordered_map>

#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/policy/adopted.h"
#include "cgx/policy/read.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/own_dir.h"

namespace cgx::policy {
namespace {

constexpr std::string_view trust_hint =
    "let it and what is above it belong to root, and be written by nobody else: chown root, chmod go-w";

class Loader {
 public:
  explicit Loader(From from) : from_(from) {}

  void path(const std::string& path) {
    if (path == "-") return stdin_text();
    struct stat st{};
    if (stat(path.c_str(), &st) != 0) return refuse(path, errno_text(errno));
    if (S_ISDIR(st.st_mode)) return folder(path);
    file(path);
  }

  void text(std::string_view text, const std::string& name) {
    came(name);
    const auto root = parse_document(text, name, loaded_.problems);
    if (!root) {
      unread_ = true;
      return;
    }
    Reader reader(name, loaded_.problems);
    if (root->kind == Node::Kind::null) return refuse(name, "is empty: it has not even a version");
    if (!reader.map(*root)) return;
    // Keys for people's own use, such as a place for anchors.
    Node known = Node{.kind = Node::Kind::map};
    for (const Entry& e : root->entries)
      if (!e.key.starts_with("x-")) known.entries.push_back({e.key, e.line, e.column, {}});
    reader.only(known, file_fields());
    if (const Entry* e = root->find("version")) {
      const auto step = reader.in(*e);
      const auto version = reader.text(e->value);
      if (version && *version != "1")
        reader.wrong(fmt::format("\"{}\" is not a version that this cgx knows", version->substr(0, 80)), "there is 1");
    }
    for (GroupPolicy& g : read_groups(reader, root->find("defaults"), root->find("groups"))) add(std::move(g));
    if (const Entry* e = root->find("rules")) {
      const auto step = reader.in(*e);
      for (Rule& r : read_rules(reader, e->value)) loaded_.policies.rules.push_back(std::move(r));
    }
  }

  Loaded take() {
    check_names();
    // Parents before children; else the order of the files.
    std::ranges::stable_sort(
        loaded_.policies.groups, {}, [](const GroupPolicy& g) { return std::ranges::count(g.name, '/'); });
    finish_problems(loaded_);
    return std::move(loaded_);
  }

 private:
  void refuse(const std::string& name, std::string what, std::string hint = {}) {
    loaded_.problems.push_back({{name, 0, 0}, {}, std::move(what), std::move(hint), false});
    unread_ = true;
    came(name);
  }

  // Opens a file or directory. Who can write it says what becomes of groups and, by cgxd, which programs run as root.
  sys::Fd open(const std::string& path) {
    if (from_ != From::anybody) {
      auto trusted = sys::open_trusted(path);
      if (trusted) return *std::move(trusted);
      const bool refused = from_ == From::trusted;
      std::string what = trusted.error().what;
      if (what.starts_with(path + ' ')) what.erase(0, path.size() + 1);
      if (refused) refuse(path, std::move(what), trusted.error().code == EPERM ? std::string(trust_hint) : "");
      if (refused) return {};
      if (trusted.error().code == EPERM)
        loaded_.problems.push_back(
            {{path, 0, 0}, {}, what + "; cgxd refuses what others can write", std::string(trust_hint), true});
    }
    sys::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd.valid()) refuse(path, errno_text(errno));
    return fd;
  }

  void folder(const std::string& path) {
    const sys::Fd dir = open(path);
    if (!dir.valid()) return;
    std::vector<std::string> names;
    for (const auto which : {sys::Entries::files, sys::Entries::directories}) {  // the latter are refused by name
      const auto listed = sys::list_dir(dir.get(), "", which);
      if (!listed) return refuse(path, errno_text(listed.error().code));
      for (const std::string& name : *listed)
        if (!name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".yml"))) names.push_back(name);
    }
    std::ranges::sort(names);
    const std::string prefix = path.ends_with('/') ? path : path + '/';
    for (const std::string& name : names) file(prefix + name);
  }

  void file(const std::string& path) {
    // Opening a FIFO waits, and opening a device may do something: looked at first, and once more when it is open.
    struct stat st{};
    if (stat(path.c_str(), &st) != 0) return refuse(path, errno_text(errno));
    if (!S_ISREG(st.st_mode)) return refuse(path, "is not a regular file");
    const sys::Fd fd = open(path);
    if (!fd.valid()) return;
    if (fstat(fd.get(), &st) != 0) return refuse(path, errno_text(errno));
    if (!S_ISREG(st.st_mode)) return refuse(path, "is not a regular file");
    whole(fd.get(), path);
  }

  void stdin_text() { whole(STDIN_FILENO, "-"); }

  void whole(int fd, const std::string& name) {
    const auto read = sys::read_all(fd, most_document_bytes);
    if (!read) return refuse(name, read.error().code == EFBIG ? "is over 1 MiB" : errno_text(read.error().code));
    text(*read, name);
  }

  void add(GroupPolicy group) {
    const auto [at, fresh] = seen_.emplace(group.name, group.place);
    if (fresh) {
      loaded_.policies.groups.push_back(std::move(group));
      return;
    }
    const Place& first = at->second;
    loaded_.problems.push_back(
        {group.place,
         group.path,
         fmt::format("the group {} is in {}:{}:{} too", group.name, first.file, first.line, first.column),
         {},
         false});
  }

  // What names groups of the set.
  void check_names() {
    std::vector<std::string_view> names;
    for (const GroupPolicy& g : loaded_.policies.groups) names.push_back(g.name);
    const auto check = [&](std::string_view name, const Place& place, std::string path) {
      // What could not be read may have it.
      if (unread_ || name.empty() || seen_.contains(std::string(name))) return;
      const std::string_view near = names.size() <= 10'000 ? sys::nearest(name, names) : std::string_view();
      loaded_.problems.push_back({place,
                                  std::move(path),
                                  fmt::format("no policy makes the group {}", name),
                                  near.empty() ? "" : fmt::format("did you mean {}?", near),
                                  true});
    };
    const auto actions = [&](const std::vector<Action>& list, const std::string& path) {
      for (std::size_t i = 0; i < list.size(); ++i) {
        const Action& a = list[i];
        const std::string at = fmt::format("{}[{}].{}", path, i, a.name());
        if (const auto* f = std::get_if<Freeze>(&a.what)) check(f->group, a.place, at);
        if (const auto* t = std::get_if<Thaw>(&a.what)) check(t->group, a.place, at);
        if (const auto* s = std::get_if<Set>(&a.what)) check(s->group, a.place, at);
      }
    };
    for (const GroupPolicy& g : loaded_.policies.groups)
      if (g.adopt) adopted_.insert(g.name);
    for (const GroupPolicy& g : loaded_.policies.groups) {
      if (!g.adopt) below(g);
      raises(g);
      actions(g.on_oom, g.path + ".on_oom");
      for (std::size_t i = 0; i < g.on_pressure.size(); ++i)
        actions(g.on_pressure[i].actions, fmt::format("{}.on_pressure[{}].do", g.path, i));
    }
    for (const Rule& r : loaded_.policies.rules) {
      const auto name = r.target.find('%') == std::string::npos ? parse_group_name(r.target).value_or("") : "";
      check(name, r.place, "rules");
      if (!r.target.empty()) placed(r);
    }
  }

  // The adopted group that `name` is, or is below; empty: none.
  std::string_view adopted(std::string_view name) const {
    while (!name.empty() && !adopted_.contains(name)) name = parent_of(name);
    return name;
  }

  void below(const GroupPolicy& g) {
    if (const std::string_view above = adopted(parent_of(g.name)); !above.empty())
      loaded_.problems.push_back({g.place, g.path, below_adopted(g.name, above), std::string(adopt_too), false});
  }

  // A rule makes the group that it puts processes into. What a template becomes is known only then: what it may become
  // counts.
  void placed(const Rule& r) {
    std::vector<std::string> target;
    for (const std::string_view part : sys::split(r.target, '/'))
      if (!part.empty()) target.push_back(part_pattern(part));
    for (const std::string_view name : adopted_) {
      const auto parts = sys::split(name, '/');
      const auto fits = [](const std::string& pattern, std::string_view part) {
        return fnmatch(pattern.c_str(), std::string(part).c_str(), 0) == 0;
      };
      if (parts.size() > target.size() ||
          !std::equal(parts.begin(), parts.end(), target.begin(), [&](auto a, auto& b) { return fits(b, a); }))
        continue;
      loaded_.problems.push_back({r.place,
                                  "rules",
                                  fmt::format("{} is adopted: which processes are in it is its owner's to say", name),
                                  {},
                                  false});
      return;
    }
  }

  // `%u` may be any name, and `%%` is a percent sign; all else stands for itself.
  static std::string part_pattern(std::string_view part) {
    std::string pattern;
    for (std::size_t i = 0; i < part.size(); ++i) {
      const bool letter = part[i] == '%' && i + 1 < part.size();
      if (letter) ++i;
      if (letter && part[i] != '%')
        pattern += '*';
      else
        pattern += {'\\', part[i]};
    }
    return pattern;
  }

  // A limit that is to grow has to have room to.
  void raises(const GroupPolicy& g) {
    const auto max = std::ranges::find(g.limits, "memory.max", &PolicyLimit::key);
    if (max == g.limits.end()) return;
    const auto* limit = std::get_if<std::uint64_t>(&max->limit.value);
    const auto check = [&](const std::vector<Action>& list, const std::string& path) {
      for (std::size_t i = 0; i < list.size(); ++i)
        if (const auto* r = std::get_if<Raise>(&list[i].what);
            r != nullptr && r->up_to != 0 && limit != nullptr && r->up_to <= *limit)
          loaded_.problems.push_back(
              {list[i].place,
               fmt::format("{}[{}].raise", path, i),
               fmt::format(
                   "up_to {} is not above the limit memory.max {}", sys::format_size(r->up_to), max->limit.given),
               {},
               false});
    };
    check(g.on_oom, g.path + ".on_oom");
    for (std::size_t i = 0; i < g.on_pressure.size(); ++i)
      check(g.on_pressure[i].actions, fmt::format("{}.on_pressure[{}].do", g.path, i));
  }

  void came(const std::string& name) {
    if (std::ranges::find(loaded_.files, name) == loaded_.files.end()) loaded_.files.push_back(name);
  }

  From from_;
  Loaded loaded_;
  bool unread_ = false;  // a file that there is
  std::unordered_map<std::string, Place> seen_;
  std::set<std::string_view> adopted_;  // names of groups of `loaded_`
};

}  // namespace

bool Loaded::ok() const { return std::ranges::all_of(problems, &Problem::warning); }

void finish_problems(Loaded& loaded) {
  constexpr std::size_t whole = 8192;  // longer than a path of groups
  for (Problem& p : loaded.problems)
    for (std::string* text : {&p.path, &p.what, &p.hint}) *text = printable(*text, whole);
  std::unordered_map<std::string_view, std::size_t> order;
  for (const std::string& file : loaded.files) order.emplace(file, order.size());
  std::ranges::stable_sort(loaded.problems, [&](const Problem& a, const Problem& b) {
    const std::size_t x = order[a.place.file];
    const std::size_t y = order[b.place.file];
    return std::tie(x, a.place.line, a.place.column) < std::tie(y, b.place.line, b.place.column);
  });
}

Loaded load(std::span<const std::string> paths, From from) {
  Loader loader(from);
  for (const std::string& path : paths) loader.path(path);
  return loader.take();
}

Loaded load_text(std::string_view text, std::string_view name) {
  Loader loader(From::anybody);
  loader.text(text, std::string(name));
  return loader.take();
}

}  // namespace cgx::policy
