// SPDX-License-Identifier: Apache-2.0
// cgx-policy: what `cgx check`, `plan`, `apply`, `snapshot` and `import` do, in a program of its own because of the
// YAML library. cgx has parsed the words already and hands them on; this program's words are the same.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/change/slice.h"
#include "cgx/policy/apply.h"
#include "cgx/policy/emit.h"
#include "cgx/policy/import.h"
#include "cgx/policy/snapshot.h"
#include "cgx/policy/yaml.h"
#include "cgx/sys/json.h"
#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

#include "command.h"
#include "policy_place.h"

namespace {

using cgx::Error;
using cgx::Result;
using cgx::policy::Problem;
using cgx::tool::print;
using cgx::tool::report;

// A signal makes apply() take everything back; a second one ends the program.
std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);
extern "C" void on_signal(int /*signal*/) { interrupted = true; }

struct Options {
  std::string command;
  std::vector<std::string> words;
  bool json = false;
  bool keep = false;
  bool exit_code = false;
  bool dry_run = false;
  std::string state;
  std::string manager = "auto";  // of check: whom cgxd has make the groups
};

Result<Options> parse(std::span<char* const> arguments) {
  Options o;
  bool dashes = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view word = arguments[i];
    if (o.command.empty())
      o.command = word;
    else if (dashes || word == "-" || !word.starts_with('-'))
      o.words.emplace_back(word);
    else if (word == "--")
      dashes = true;
    else if (word == "--json")
      o.json = true;
    else if (word == "--keep")
      o.keep = true;
    else if (word == "--exit-code")
      o.exit_code = true;
    else if (word == "--dry-run")
      o.dry_run = true;
    else if (word == "--state" && i + 1 < arguments.size())
      o.state = arguments[++i];
    else if (word == "--manager" && i + 1 < arguments.size())
      o.manager = arguments[++i];
    else
      return cgx::bad_value(word, "is not a flag of cgx-policy");
  }
  if (!o.state.empty() && !o.state.starts_with('/'))
    return cgx::located(Result<Options>(cgx::bad_value(o.state, "is not an absolute path")), "", "--state");
  if (o.manager != "auto" && o.manager != "systemd" && o.manager != "cgroupfs")
    return cgx::located(
        Result<Options>(cgx::bad_value(o.manager, "is not auto, systemd or cgroupfs")), "", "--manager");
  return o;
}

// A user's policies can be written by whom he likes; root is told of others.
cgx::policy::From read_from() { return geteuid() == 0 ? cgx::policy::From::anybody_told : cgx::policy::From::anybody; }

// Root keeps its record for the host, a user for the time being logged in.
std::string state_dir(const Options& o) {
  if (!o.state.empty()) return o.state;
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  return geteuid() != 0 && runtime != nullptr && *runtime == '/' ? std::string(runtime) + "/cgx" : "/run/cgx";
}

// One object stands for all that is wrong where JSON is asked for.
int report_problems(const std::vector<Problem>& problems, const Options& o) {
  Error all{.code = EINVAL, .fault = cgx::Fault::usage};
  for (const Problem& p : problems) {
    if (p.warning) continue;
    if (!o.json) {
      (void)report({.code = EINVAL, .what = p.text(), .hint = p.hint}, o.command, false);
      continue;
    }
    all.what += (all.what.empty() ? "" : "\n") + p.text();
    if (all.hint.empty()) all.hint = p.hint;
  }
  if (o.json) (void)report(all, o.command, true);
  return 2;
}

void note(const Options& o, std::string_view text) {
  if (o.json) return;  // stderr is one JSON object there, or nothing
  const std::string line = fmt::format("cgx: {}: note: {}\n", o.command, text);
  (void)!write(STDERR_FILENO, line.data(), line.size());  // a note that cannot be shown is not worth failing for
}

void note_warnings(const std::vector<Problem>& problems, const Options& o) {
  for (const Problem& p : problems) {
    if (!p.warning) continue;
    Problem plain = p;
    plain.warning = false;
    note(o, plain.text());
  }
}

int check(const Options& o, const cgx::Hierarchies& hierarchies) {
  cgx::policy::Loaded loaded = cgx::policy::load(o.words, read_from());
  const bool systemd = o.manager == "auto" ? cgx::systemd_is_manager() : o.manager == "systemd";
  cgx::policy::check_host(loaded, hierarchies, systemd ? cgx::policy::Maker::systemd : cgx::policy::Maker::cgx);
  if (!o.json) {
    if (!loaded.ok()) {
      note_warnings(loaded.problems, o);
      return report_problems(loaded.problems, o);
    }
    note_warnings(loaded.problems, o);
    return 0;
  }
  cgx::sys::JsonWriter json;
  json.open_object().key("ok").boolean(loaded.ok()).key("problems").open_array();
  for (const Problem& p : loaded.problems) {
    json.open_object().key("file").string(p.place.file).key("line").number(p.place.line);
    json.key("column").number(p.place.column).key("key").string(p.path).key("message").string(p.what);
    json.key("hint").string(p.hint).key("warning").boolean(p.warning).close_object();
  }
  json.close_array().close_object();
  print(json.take() + "\n");
  return loaded.ok() ? 0 : 2;
}

std::string source_name(const std::string& word) {
  if (word == "-") return word;
  std::error_code error;
  const std::filesystem::path whole = std::filesystem::absolute(word, error).lexically_normal();
  std::string name = error ? word : whole.string();
  while (name.size() > 1 && name.ends_with('/')) name.pop_back();
  return name;
}

// Each word is a source; a group belongs to the one whose file it is in.
std::vector<cgx::policy::Source> sources_of(const Options& o, cgx::policy::Policies policies) {
  std::vector<cgx::policy::Source> sources;
  for (const std::string& word : o.words) {
    const std::string name = source_name(word);
    if (std::ranges::find(sources, name, &cgx::policy::Source::name) == sources.end()) sources.push_back({name, {}});
  }
  for (cgx::policy::GroupPolicy& g : policies.groups) {
    const std::string file = source_name(g.place.file);
    for (cgx::policy::Source& s : sources)
      if (file == s.name || (file.starts_with(s.name) && file[s.name.size()] == '/')) {
        s.policies.groups.push_back(std::move(g));
        break;
      }
  }
  return sources;
}

// What stands in policies and is done by the daemon alone.
void note_daemon(const cgx::policy::Policies& policies, const Options& o) {
  for (const cgx::policy::GroupPolicy& g : policies.groups) {
    std::string what;
    const auto add = [&](bool there, std::string_view name) {
      if (there) what += (what.empty() ? "" : ", ") + std::string(name);
    };
    add(g.oom == cgx::policy::OomMode::pause, "oom: pause");
    add(!g.on_oom.empty(), "on_oom");
    add(!g.on_pressure.empty(), "on_pressure");
    if (!what.empty()) note(o, fmt::format("{}: {}: carried out by cgxd while it runs", g.name, what));
  }
  if (!policies.rules.empty()) note(o, "rules: carried out by cgxd while it runs");
}

Result<int> plan_or_apply(const Options& o, const cgx::Hierarchies& hierarchies) {
  cgx::policy::Loaded loaded = cgx::policy::load(o.words, read_from());
  cgx::policy::check_host(loaded, hierarchies);
  if (!loaded.ok()) return report_problems(loaded.problems, o);
  note_warnings(loaded.problems, o);
  if (o.command == "apply" && !o.dry_run) note_daemon(loaded.policies, o);
  const std::vector<cgx::policy::Source> sources = sources_of(o, std::move(loaded.policies));
  cgx::policy::ApplyOptions options{.state_dir = state_dir(o), .keep = o.keep, .stop = &interrupted};
  if (o.command == "apply" && !o.dry_run) {
    const cgx::policy::Applied applied = CGX_TRY(cgx::policy::apply(hierarchies, sources, options));
    for (const std::string& text : applied.notes) note(o, text);
    std::string text;
    for (const cgx::policy::Change& c : applied.changes) text += c.text() + "\n";
    print(o.json ? json(applied) : text + summary(applied.changes) + "\n");
    return 0;
  }
  const cgx::policy::PolicyPlan plan = CGX_TRY(cgx::policy::PolicyPlan::make(hierarchies, sources, options));
  for (const std::string& text : plan.notes()) note(o, text);
  if (o.command == "apply") {
    cgx::tool::Call call;
    call.json = o.json;
    print_steps(call, CGX_TRY(plan.steps(hierarchies)));
    return 0;
  }
  print(o.json ? plan.json() : plan.text() + plan.summary() + "\n");
  return o.exit_code && !plan.empty() ? 3 : 0;
}

Result<int> take_snapshot(const Options& o, const cgx::Hierarchies& hierarchies) {
  const std::string group = o.words.empty() ? std::string() : CGX_TRY(cgx::parse_group_name(o.words[0]));
  print(CGX_TRY(cgx::policy::snapshot(hierarchies, group)));
  return 0;
}

// Groups of one file and rules of another are one policy; what was said in comments stays.
Result<std::string> one_policy(const std::vector<std::string>& texts, const std::vector<std::string>& names) {
  cgx::policy::Policies all;
  std::string comments;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    for (const std::string_view line : cgx::sys::lines(texts[i]))
      if (line.starts_with('#')) comments += std::string(line) + "\n";
    cgx::policy::Loaded loaded = cgx::policy::load_text(texts[i], names[i]);
    for (const Problem& p : loaded.problems)
      if (!p.warning)
        return std::unexpected(
            Error{.code = EINVAL, .what = p.text(), .hint = "import the files one by one", .fault = cgx::Fault::usage});
    std::ranges::move(loaded.policies.groups, std::back_inserter(all.groups));
    std::ranges::move(loaded.policies.rules, std::back_inserter(all.rules));
  }
  return comments + CGX_TRY(emit(all));
}

Result<int> import_files(const Options& o) {
  std::vector<std::string> names = o.words;
  if (names.empty())
    for (const char* usual : {"/etc/cgconfig.conf", "/etc/cgrules.conf"})
      if (access(usual, F_OK) == 0) names.emplace_back(usual);
  if (names.empty())
    return std::unexpected(Error{.code = ENOENT,
                                 .what = "neither /etc/cgconfig.conf nor /etc/cgrules.conf is here",
                                 .hint = "cgx import FILE names another one",
                                 .fault = cgx::Fault::usage});
  std::vector<std::string> texts;
  std::vector<Problem> problems;
  for (const std::string& name : names) {
    auto text = name == "-" ? cgx::sys::read_all(STDIN_FILENO) : cgx::sys::read_path(name);
    if (!text) {
      text.error().fault = cgx::Fault::usage;
      return std::unexpected(text.error());
    }
    auto made = cgx::policy::import_text(*text, name, problems);
    if (!made) {
      if (made.error().value.empty()) made.error().value = name;
      made.error().fault = cgx::Fault::usage;
      return std::unexpected(made.error());
    }
    texts.push_back(*std::move(made));
  }
  note_warnings(problems, o);
  if (std::ranges::any_of(problems, [](const Problem& p) { return !p.warning; })) return report_problems(problems, o);
  print(texts.size() == 1 ? texts[0] : CGX_TRY(one_policy(texts, names)));
  return 0;
}

Result<int> run(const Options& o) {
  if (o.command == "import") return import_files(o);
  const cgx::Hierarchies hierarchies = CGX_TRY(cgx::Hierarchies::discover());
  if (o.command == "check") return check(o, hierarchies);
  if (o.command == "plan" || o.command == "apply") return plan_or_apply(o, hierarchies);
  if (o.command == "snapshot") return take_snapshot(o, hierarchies);
  return cgx::bad_value(o.command, "is not a command of cgx-policy");
}

}  // namespace

int main(int argc, char** argv) {
  cgx::sys::wait_for_children();
  const auto words = std::span(argv, static_cast<std::size_t>(argc)).subspan(argc > 0 ? 1 : 0);
  if (!words.empty() && std::string_view(words[0]) == "place") return cgx::tool::run_place(words.subspan(1));
  const auto options = parse(words);
  if (!options) return report(options.error(), words.empty() ? "policy" : words[0], false);
  if (options->command == "apply") {
    struct sigaction action{};
    action.sa_handler = on_signal;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) (void)sigaction(signal, &action, nullptr);
  }
  const Result<int> status = run(*options);
  return status ? *status : report(status.error(), options->command, options->json);
}
