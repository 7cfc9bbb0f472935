// SPDX-License-Identifier: Apache-2.0
// cgx tree. --json prints one object:
//   {"time": 1700000000.1, "version": "v1"|"v2"|"hybrid",
//    "tree": {"name": "web", "processes": 2, "memory.current": 4096, "cpu.usage_usec": 17, "children": [...]}}
// `name` is the path from the root ("/" is the root itself); `processes` are those in the group itself, the two usages
// include the groups below and are left out where the kernel does not count them.
#include <array>
#include <cerrno>
#include <cstdlib>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/cgroupfs/walk.h"
#include "cgx/sys/text.h"

#include "command.h"
#include "usage_text.h"

namespace cgx::tool {
namespace {

struct Node {
  std::string name;
  std::size_t processes = 0;
  std::optional<std::uint64_t> memory, cpu_usec;
  std::vector<std::size_t> children;  // by index
};

constexpr std::array<std::string_view, 2> shown_stats{"memory.current", "cpu.usage_usec"};

// The lines that join a group to its siblings.
struct Art {
  std::string_view middle, last, pass, none;
};
constexpr Art unicode{"├─ ", "└─ ", "│  ", "   "};
constexpr Art ascii{"|- ", "`- ", "|  ", "   "};

bool utf8_terminal() {
  if (isatty(STDOUT_FILENO) != 1) return false;
  // As setlocale(3) decides, which a static program had better not call: it would load the C library's plug-ins.
  for (const char* variable : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(variable);
    if (value == nullptr || *value == '\0') continue;
    const std::string_view locale(value);
    for (const std::string_view name : {"UTF-8", "utf8", "UTF8", "utf-8"})
      if (locale.ends_with(name)) return true;
    return false;
  }
  return false;
}

class Tree {
 public:
  static Result<Tree> read(const Hierarchies& hierarchies, const std::string& top) {
    Tree tree;
    Sampler sampler = CGX_TRY(Sampler::create(hierarchies, shown_stats));
    (void)CGX_TRY(tree.add(sampler, top, CGX_TRY(tasks_of(Cgroup(hierarchies, top))), Must::be_there));
    // Parents come before children, so the last group of each level on the way is the parent of what follows.
    std::vector<std::size_t> way{0};
    for (const Listed& found : CGX_TRY(walk(Cgroup(hierarchies, top), Depth::all))) {
      const std::vector<pid_t> ids = CGX_TRY(tasks_of(hierarchies, found));
      if (!CGX_TRY(tree.add(sampler, found.name, ids, Must::may_vanish))) continue;
      while (tree.nodes_[way.back()].name != parent_of(found.name) && way.size() > 1) way.pop_back();
      tree.nodes_[way.back()].children.push_back(tree.nodes_.size() - 1);
      way.push_back(tree.nodes_.size() - 1);
    }
    return tree;
  }

  [[nodiscard]] std::string text(const Art& art) const {
    std::vector<std::string> names;
    std::vector<const Node*> order;
    label(0, "", "", art, names, order);
    std::size_t width = 5;
    for (const std::string& name : names) width = std::max(width, columns(name));
    std::string text = fmt::format("{:<{}}  PROCESSES    MEMORY  CPU TIME\n", "GROUP", width);
    for (std::size_t i = 0; i < names.size(); ++i) {
      const Node& n = *order[i];
      text += names[i] + std::string(width - columns(names[i]), ' ');
      text += fmt::format("  {:>9}  {:>8}  {:>8}\n",
                          n.processes,
                          n.memory ? sys::format_size(*n.memory) : "-",
                          n.cpu_usec ? short_time(*n.cpu_usec / 1000 * 1000) : "-");
    }
    return text;
  }

  void write(sys::JsonWriter& json, std::size_t at = 0) const {
    const Node& n = nodes_[at];
    json.open_object().key("name").string(shown(n.name)).key("processes").number(n.processes);
    if (n.memory) json.key("memory.current").number(*n.memory);
    if (n.cpu_usec) json.key("cpu.usage_usec").number(*n.cpu_usec);
    json.key("children").open_array();
    for (const std::size_t child : n.children) write(json, child);
    json.close_array().close_object();
  }

 private:
  enum class Must : std::uint8_t { be_there, may_vanish };

  Result<bool> add(Sampler& sampler, const std::string& name, const std::vector<pid_t>& processes, Must must) {
    const auto usage = sampler.read(name);
    if (!usage && usage.error().code == ENOENT && must == Must::may_vanish) return false;
    if (!usage) return std::unexpected(usage.error());
    nodes_.push_back({name, processes.size(), usage->get(shown_stats[0]), usage->get(shown_stats[1]), {}});
    return true;
  }

  // Cells of a terminal, near enough: a code point is one.
  static std::size_t columns(std::string_view text) {
    std::size_t n = 0;
    for (const char c : text) n += (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
    return n;
  }

  void label(std::size_t at,
             const std::string& own,
             const std::string& below,
             const Art& art,
             std::vector<std::string>& names,
             std::vector<const Node*>& order) const {
    const Node& n = nodes_[at];
    const std::string_view full = shown(n.name);
    names.push_back(own + without_controls(at == 0 ? full : full.substr(full.rfind('/') + 1)));
    order.push_back(&n);
    for (std::size_t i = 0; i < n.children.size(); ++i) {
      const bool last = i + 1 == n.children.size();
      label(n.children[i],
            below + std::string(last ? art.last : art.middle),
            below + std::string(last ? art.none : art.pass),
            art,
            names,
            order);
    }
  }

  std::vector<Node> nodes_;
};

}  // namespace

Result<int> run_tree(const Call& call) {
  const std::string top = call.words.empty() ? std::string() : CGX_TRY(parse_group_name(call.words[0]));
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const Tree tree = CGX_TRY(Tree::read(hierarchies, top));
  if (!call.json) {
    print(tree.text(utf8_terminal() ? unicode : ascii));
    return 0;
  }
  sys::JsonWriter json;
  json.open_object().key("time").real(wall_clock()).key("version").string(hierarchies.layout()).key("tree");
  tree.write(json);
  print(json.close_object().take() + "\n");
  return 0;
}

}  // namespace cgx::tool
