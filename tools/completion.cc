// SPDX-License-Identifier: Apache-2.0
// cgx completion: what can follow what.
#include "completion.h"

#include <algorithm>
#include <array>

#include "cgx/sys/text.h"

#include "signals.h"

namespace cgx::tool {
namespace {

struct Known {
  std::string_view placeholder;
  Fill fill;
  std::string_view words{};
};

// clang-format off
constexpr std::array known{
    Known{"NAME", Fill::groups},
    Known{"PID", Fill::pids},
    Known{"NAME|PID", Fill::groups_pids},
    Known{"KNOB", Fill::knobs},
    Known{"NAME|FILE", Fill::groups},
    Known{"FILE", Fill::files},
    Known{"DIR", Fill::directories},
    Known{"COMMAND", Fill::commands},
    Known{"SUBCOMMAND", Fill::subcommands},
    Known{"CONTAINER", Fill::containers},
    Known{"IMAGE", Fill::images},
    Known{"SIG", Fill::signals},
    Known{"USER[:GROUP]", Fill::users},
    Known{"EVENT", Fill::words, "oom under_oom oom_kill high max threshold pressure populated empty frozen removed"},
    Known{"COLUMN", Fill::words, "cpu memory io pids pressure name"},
};
// Options whose placeholder says less than their name.
constexpr std::array known_options{
    Known{"named", Fill::nothing},  // of a hierarchy, not of a group
    Known{"v1", Fill::controllers},
    Known{"controllers", Fill::controllers},
    Known{"policy", Fill::files},
    Known{"bus", Fill::words, "system session"},
    Known{"name", Fill::nothing},  // of a container that is not there yet
    Known{"hostname", Fill::nothing},
    Known{"user", Fill::nothing},  // of the image
    Known{"workdir", Fill::nothing},
    Known{"volume", Fill::directories},
    Known{"bind", Fill::directories},
    Known{"device", Fill::files},
    Known{"ns", Fill::words, "pid net ipc mnt uts user cgroup time"},
    Known{"network", Fill::words, "none host"},
    Known{"pid", Fill::words, "private host"},
    Known{"ipc", Fill::words, "private host none"},
    Known{"uts", Fill::words, "private host"},
    Known{"cgroupns", Fill::words, "private host"},
    Known{"condition", Fill::words, "not-running next-exit removed"},
    Known{"userns", Fill::words, "host auto"},
    Known{"restart", Fill::words, "no on-failure always unless-stopped"},
    Known{"seccomp", Fill::words, "default off"},
    Known{"security-opt", Fill::words, "no-new-privileges seccomp=unconfined systempaths=unconfined"},
    Known{"cap-add", Fill::words, "all"},
    Known{"cap-drop", Fill::words, "all"},
};
// Commands for containers that have ended too.
constexpr std::array<std::string_view, 3> of_ended{"container inspect", "container logs", "container rm"};
// clang-format on

std::vector<std::string> split_words(std::string_view text, char separator) {
  std::vector<std::string> words;
  for (const std::string_view word : sys::split(text, separator)) words.emplace_back(word);
  return words;
}

Suggest suggest(const Known& k) {
  return {k.fill, k.words.empty() ? std::vector<std::string>{} : split_words(k.words, ' ')};
}

Suggest suggest(std::string_view placeholder) {
  for (const Known& k : known)
    if (k.placeholder == placeholder) return suggest(k);
  // `bash|zsh|fish`: the words themselves.
  if (placeholder.find('|') != std::string_view::npos &&
      placeholder.find_first_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string_view::npos)
    return {Fill::words, split_words(placeholder, '|')};
  return {};
}

Suggest option_value(const Option& o) {
  for (const Known& k : known_options)
    if (k.placeholder == o.name) return suggest(k);
  return suggest(o.argument);
}

Suggest knob_value(const Knob& k) {
  if (k.format == Format::word) return {Fill::words, split_words(k.words, '|')};
  if (k.format == Format::flag) return {Fill::words, {"0", "1"}};
  if (k.format == Format::device_rules || k.format == Format::io_max || k.format == Format::io_latency)
    return {Fill::files, {}};
  return {};
}

}  // namespace

std::vector<std::string> words_for(const Option& option) { return option_value(option).words; }

std::vector<Flag> flags_of(const Command& command) {
  std::vector<Flag> flags;
  for (const Option& o : common_options(command))
    flags.push_back(
        {std::string(o.name), o.letter, std::string(o.argument), std::string(o.doc), o.repeatable, option_value(o)});
  if (has(command.takes, Takes::limits))
    for_each_knob([&](const Knob& k) {
      if (!takes_limit(command, k)) return;
      // --cpu-idle stands alone.
      const std::string argument(k.format == Format::flag   ? std::string_view()
                                 : k.format == Format::word ? k.words
                                                            : placeholder(k.format));
      flags.push_back(
          {std::string(k.flag), 0, argument, std::string(k.doc), true, argument.empty() ? Suggest{} : knob_value(k)});
    });
  return flags;
}

Positions positions_of(const Command& command) {
  std::vector<std::pair<std::string, bool>> labels;  // and whether it repeats
  for (std::string_view word : sys::words(command.words)) {
    if (word == "--") break;
    std::string label;
    for (const char c : word)
      if (c != '[' && c != ']') label += c;
    const bool repeats = label.ends_with("...");
    if (repeats) label.erase(label.size() - 3);
    if (label == "LIMITS") continue;
    labels.emplace_back(label, repeats);
  }
  Positions p;
  if (!labels.empty()) {
    p.first_label = labels[0].first;
    p.first = suggest(p.first_label);
  }
  if (labels.size() > 1) {
    p.rest_label = labels[1].first;
    p.rest = suggest(p.rest_label);
  } else if (!labels.empty() && labels[0].second) {
    p.rest_label = p.first_label;
    p.rest = p.first;
  }
  if (has(command.takes, Takes::program)) {
    p.rest_label = "CMD";
    // What a container has is not what this host has.
    p.rest = has(command.takes, Takes::stops_at_word) ? Suggest{} : Suggest{Fill::programs, {}};
  }
  if (p.first.fill == Fill::containers && std::ranges::find(of_ended, command.name) != of_ended.end())
    p.first.fill = Fill::all_containers;
  if (p.rest.fill == Fill::containers) p.rest.fill = p.first.fill;
  return p;
}

std::vector<Word> first_words() {
  std::vector<Word> words;
  for (const Command& c : commands()) {
    const std::string first(c.name.substr(0, c.name.find(' ')));
    if (first.size() == c.name.size()) {
      words.push_back({first, std::string(c.doc)});
      if (!c.alias.empty()) words.push_back({std::string(c.alias), std::string(c.doc)});
    } else if (words.empty() || words.back().name != first) {
      words.push_back({first, std::string(below_doc)});
    }
  }
  return words;
}

std::vector<Word> second_words(std::string_view first) {
  std::vector<Word> words;
  for (const Command* c : commands_below(first))
    for (const std::string_view name : {c->name, c->alias})
      if (!name.empty()) words.push_back({std::string(name.substr(first.size() + 1)), std::string(c->doc)});
  return words;
}

std::vector<std::string> names_of(const std::vector<Word>& words) {
  std::vector<std::string> names;
  for (const Word& word : words) names.push_back(word.name);
  return names;
}

std::vector<std::string> knob_names() {
  std::vector<std::string> names;
  for_each_knob([&](const Knob& k) {
    names.emplace_back(k.name);
    if (!k.flag.empty()) names.emplace_back(k.flag);
  });
  std::ranges::sort(names);
  return names;
}

std::vector<std::string> controller_names() {
  std::vector<std::string> names;
  for (const ControllerRow& c : controllers())
    if (c.id != Controller::core) names.emplace_back(c.name);
  return names;
}

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string joined(const std::vector<std::string>& words, std::string_view separator) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += separator;
    text += word;
  }
  return text;
}

Result<int> run_completion(const Call& call) {
  const std::string& shell = call.words[0];
  if (shell == "bash") {
    print(bash_script());
  } else if (shell == "zsh") {
    print(zsh_script());
  } else if (shell == "fish") {
    print(fish_script());
  } else {
    auto error = bad_value(shell, "is no shell that cgx has a completion for");
    error.error().hint = "cgx completion bash, zsh or fish";
    return error;
  }
  return 0;
}

}  // namespace cgx::tool
