// SPDX-License-Identifier: Apache-2.0
// What a host cannot do of a policy. All of it is told at once, as with what is wrong in files.
#include <algorithm>
#include <cerrno>

#include <net/if.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/change/explain.h"
#include "cgx/change/online.h"
#include "cgx/change/owner.h"
#include "cgx/change/slice.h"
#include "cgx/policy/keys.h"
#include "cgx/policy/yaml.h"
#include "cgx/sys/text.h"

namespace cgx::policy {
namespace {

// Sentences of the library name flags; here the keys of policies are meant.
std::string with_keys(std::string text) {
  for (const Section& s : sections())
    for (const Knob* k : s.knobs) {
      const std::string flag = fmt::format("--{}", k->flag);
      for (std::size_t at = text.find(flag); at != std::string::npos; at = text.find(flag, at + 1)) {
        const std::size_t end = at + flag.size();
        const char next = end < text.size() ? text[end] : ' ';
        if (next == '-' || (next >= 'a' && next <= 'z')) continue;  // the head of a longer flag
        text.replace(at, flag.size(), k->key);
      }
    }
  return text;
}

// Whether this kernel has none of a knob's files, as the nearest group that is there shows: the root, which has others,
// does not. Unknown, and so false, where there is no such group yet.
bool kernel_lacks(const Hierarchies& hierarchies, const Home& home, std::string_view name) {
  const Hierarchy& h = *home.hierarchy;
  // Names with @ are programs and notes of cgx; one with * stands for several files.
  if (home.backing->files[0].find_first_of("@*") != std::string_view::npos) return false;
  for (; !name.empty(); name = parent_of(name)) {
    const Cgroup group(hierarchies, std::string(name));
    if (!group.dir(h)) continue;
    if (const std::string_view given = row(home.backing->controller).v2_name;
        h.version() == Version::v2 && !given.empty()) {
      const auto text = group.read(h, "cgroup.controllers");
      if (!text) return false;
      const auto words = sys::words(sys::trim(*text));
      if (std::ranges::find(words, given) == words.end()) continue;
    }
    return std::ranges::none_of(home.backing->files, [&](std::string_view file) {
      if (file.empty()) return false;
      const auto text = group.read(h, file);
      return text || text.error().code != ENOENT;  // a file that can only be written is there too
    });
  }
  return false;
}

class HostCheck {
 public:
  HostCheck(Loaded& loaded, const Hierarchies& hierarchies, Maker maker)
      : loaded_(loaded), hierarchies_(hierarchies), maker_(maker) {}

  void run() {
    for (GroupPolicy& g : loaded_.policies.groups) {
      best_effort_ = g.best_effort;
      if (maker_ == Maker::systemd)
        as_slice(g);
      else
        beside_systemd(g);
      limits(g);
      const bool memory = hierarchies_.of(Controller::memory) != nullptr;
      if (!memory && !g.on_oom.empty() &&
          lacks(g.on_oom[0].place, g.path + ".on_oom", "the memory controller is not mounted on this host"))
        g.on_oom.clear();
      if (!memory && g.oom == OomMode::pause &&
          lacks(g.place, g.path + ".memory.oom", "the memory controller is not mounted on this host"))
        g.oom = OomMode::kernel;
      actions(g.on_oom, g.path + ".on_oom");
      pressure(g);
    }
  }

 private:
  // best_effort leaves out limits. A group that cannot be made is no limit.
  void refuse(const GroupPolicy& g, std::string_view key, std::string what, std::string hint) {
    std::string path = key.empty() ? g.path : fmt::format("{}.{}", g.path, key);
    loaded_.problems.push_back({g.place, std::move(path), std::move(what), std::move(hint)});
  }

  // What systemd makes for no policy.
  void as_slice(const GroupPolicy& g) {
    constexpr std::string_view hint = "cgxd makes the groups itself with --manager cgroupfs";
    if (g.owner) refuse(g, "owner", "systemd's slices cannot be given to somebody", std::string(hint));
    // Its name may be that of a unit, or of anything else.
    if (g.adopt) return refuse(g, "adopt", "is not supported where systemd makes the groups", std::string(hint));
    if (const auto slice = slice_of(g.name); !slice) refuse(g, "", slice.error().what, slice.error().hint);
  }

  // What cgx changes for no policy. An adopted group that cannot be set is left out, and told, by who applies.
  void beside_systemd(const GroupPolicy& g) {
    if (g.adopt) return;
    Desired desired{.group = g.name, .existing = Existing::allow, .owner = g.owner};
    for (const PolicyLimit& l : g.limits) desired.limits.push_back(l.limit);
    if (auto left = leave_to_systemd(hierarchies_, desired); !left) {
      Error& e = left.error();
      e.group.clear();
      refuse(g, "", e.text(), std::move(e.hint));
    }
  }

  // Whether what is lacking is to be left out: under best_effort; else it is an error, and stays.
  bool lacks(const Place& place, std::string path, std::string what, std::string hint = {}) {
    loaded_.problems.push_back(
        {place, std::move(path), with_keys(std::move(what)), with_keys(std::move(hint)), best_effort_});
    return best_effort_;
  }

  bool lacks(const PolicyLimit& limit, const std::string& path, Error error) {
    error.group.clear();
    const Knob* knob = limit.limit.knob;
    if (knob != nullptr ? is_called(*knob, error.knob) : error.knob == limit.limit.file) error.knob.clear();
    return lacks(limit.place, path + '.' + limit.key, error.text(), error.hint);
  }

  void limits(GroupPolicy& g) {
    std::erase_if(g.limits, [&](const PolicyLimit& l) { return cannot(g, l); });
    values(g);
    const auto word = std::ranges::find(g.limits, "memory.oom", &PolicyLimit::key);
    if (g.oom == OomMode::group && word == g.limits.end()) g.oom = OomMode::kernel;
  }

  // Whether a limit is to be left out.
  bool cannot(const GroupPolicy& g, const PolicyLimit& l) {
    if (l.limit.knob == nullptr) return cannot_raw(g, l);
    const Knob& knob = *l.limit.knob;
    const auto home = home_of(hierarchies_, knob);
    if (!home) return lacks(l, g.path, home.error());
    if (const auto offline = offline_in(l.limit, *home)) {
      told_offline(g, l, *offline);
      return false;
    }
    if (auto error = foresee(l.limit, *home)) {
      error->knob = knob.name;
      return lacks(l, g.path, *std::move(error));
    }
    if (auto said = doubt(l.limit))
      loaded_.problems.push_back({l.place, g.path + '.' + l.key, *std::move(said), "", true});
    if (kernel_lacks(hierarchies_, *home, g.name))
      return lacks(l, g.path, {.code = ENOENT, .what = fmt::format("this kernel has no {}", home->backing->files[0])});
    if (knob.format == Format::if_count || knob.format == Format::if_rate)
      for (const TableRow& row : std::get<Table>(l.limit.value))
        if (if_nametoindex(row.key.c_str()) == 0)
          return lacks(
              l.place, g.path + '.' + l.key, fmt::format("\"{}\" is no network interface of this host", row.key));
    if (home->backing->fidelity == Fidelity::lossy && g.lossy != Lossy::allow) {
      const std::string what = fmt::format("cgroup {} has {} in another form: {}",
                                           home->hierarchy->version() == Version::v1 ? "v1" : "v2",
                                           knob.name,
                                           home->backing->note);
      if (g.lossy == Lossy::refuse) return lacks(l.place, g.path + '.' + l.key, what, "lossy: allow takes it");
      loaded_.problems.push_back(
          {l.place, g.path + '.' + l.key, with_keys(what), "lossy: allow takes it without a word", true});
    }
    return false;
  }

  // What applies the policy leaves out what is offline, as long as it is.
  void told_offline(const GroupPolicy& g, const PolicyLimit& l, const Offline& offline) {
    const std::string_view kind = words_of(host_list_of(*l.limit.knob));
    std::string what =
        fmt::format("names {} that are offline ({}), which cgroup v1 refuses: ", kind, offline.ids.text());
    what += offline.online.empty() ? "nothing is set until one is online"
                                   : fmt::format("{} is set until they are online", offline.online.text());
    loaded_.problems.push_back({l.place, g.path + '.' + l.key, std::move(what), "", true});
  }

  bool cannot_raw(const GroupPolicy& g, const PolicyLimit& l) {
    const auto controller = controller_of_file(l.limit.file);
    const Hierarchy* h = controller ? hierarchies_.of(*controller) : nullptr;
    if (h == nullptr)
      return lacks(l.place,
                   g.path + '.' + l.key,
                   controller ? fmt::format("the {} controller is not mounted on this host", row(*controller).name)
                              : "is no file of a controller");
    // A group, or on v1 the root, shows which files there are. The root of v2 has few of a group's.
    for (std::string name = g.name;; name = parent_of(name)) {
      const Cgroup group(hierarchies_, name);
      if (group.dir(*h) && (!name.empty() || h->version() == Version::v1)) {
        // A file that can only be written is there too.
        const auto text = group.read(*h, l.limit.file);
        if (text || text.error().code != ENOENT) return false;
        const std::string where = h->path(name, l.limit.file);
        return lacks(l.place, g.path + '.' + l.key, fmt::format("there is no file {} on this host", where));
      }
      if (name.empty()) return false;
    }
  }

  // What only the conversion into this host's files finds out, as a word that one version does not know. One error at a
  // time is all that a plan says, so that a limit that is told of is taken out and the rest tried again.
  void values(GroupPolicy& g) {
    std::vector<const PolicyLimit*> left;
    for (const PolicyLimit& l : g.limits)
      if (l.limit.knob != nullptr && home_of(hierarchies_, *l.limit.knob)) left.push_back(&l);
    std::vector<const PolicyLimit*> out;
    while (!left.empty()) {
      Desired desired{.group = g.name};
      for (const PolicyLimit* l : left) desired.limits.push_back(l->limit);
      const auto plan = Plan::make_values(Cgroup(hierarchies_, g.name), desired);
      if (plan) break;
      const Error& e = plan.error();
      auto at = std::ranges::find_if(left, [&](const PolicyLimit* l) { return is_called(*l->limit.knob, e.knob); });
      // Of no limit by name: the kernel's file cannot be read, which is for the plan itself to tell. EXDEV: the group
      // has something mounted over it.
      if (at == left.end() || e.code == EXDEV) break;
      if (lacks(**at, g.path, e)) out.push_back(*at);
      left.erase(at);
    }
    std::erase_if(g.limits, [&](const PolicyLimit& l) { return std::ranges::find(out, &l) != out.end(); });
  }

  // Those that are left out go.
  void actions(std::vector<Action>& list, const std::string& path) {
    std::size_t i = 0;
    std::erase_if(list, [&](Action& a) {
      const std::string at = fmt::format("{}[{}].{}", path, i++, a.name());
      if (auto* set = std::get_if<Set>(&a.what)) {
        std::erase_if(set->limits, [&](const PolicyLimit& l) {
          GroupPolicy where;
          where.name = set->group;
          where.path = at;
          where.lossy = Lossy::allow;
          where.best_effort = best_effort_;
          return cannot(where, l);
        });
        return set->limits.empty();
      }
      const auto* exec = std::get_if<Exec>(&a.what);
      if (exec == nullptr || exec->argv.empty() || access(exec->argv[0].c_str(), X_OK) == 0) return false;
      // It may be installed later; when the time has come and it is not, the next action has its turn.
      loaded_.problems.push_back(
          {a.place, at + ".argv", fmt::format("\"{}\": {}", exec->argv[0], errno_text(errno)), {}, true});
      return false;
    });
  }

  void pressure(GroupPolicy& g) {
    for (std::size_t i = 0; i < g.on_pressure.size(); ++i)
      actions(g.on_pressure[i].actions, fmt::format("{}.on_pressure[{}].do", g.path, i));
    if (g.on_pressure.empty()) return;
    std::string_view why;
    if (hierarchies_.unified() == nullptr) why = "pressure of groups is counted on cgroup2 only, which is not mounted";
    if (access("/proc/pressure", F_OK) != 0) why = "this kernel does not count pressure";
    if (!why.empty() && lacks(g.on_pressure[0].place,
                              g.path + ".on_pressure",
                              std::string(why),
                              "psi=1 on the kernel's command line, or mount cgroup2"))
      g.on_pressure.clear();
  }

  Loaded& loaded_;
  const Hierarchies& hierarchies_;
  Maker maker_;
  bool best_effort_ = false;
};

}  // namespace

void check_host(Loaded& loaded, const Hierarchies& hierarchies, Maker maker) {
  HostCheck(loaded, hierarchies, maker).run();
  finish_problems(loaded);
}

}  // namespace cgx::policy
