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
    Known{"DIR", Fill::directories},
    Known{"COMMAND", Fill::commands},
    Known{"SIG", Fill::signals},
    Known{"USER[:GROUP]", Fill::users},
    Known{"EVENT", Fill::words, "oom under_oom oom_kill high max threshold pressure populated empty frozen removed"},
    Known{"COLUMN", Fill::words, "cpu memory io pids pressure name"},
};
// clang-format on

std::vector<std::string> split_words(std::string_view text, char separator) {
  std::vector<std::string> words;
  for (const std::string_view word : sys::split(text, separator)) words.emplace_back(word);
  return words;
}

Suggest suggest(std::string_view placeholder) {
  for (const Known& k : known)
    if (k.placeholder == placeholder)
      return {k.fill, k.words.empty() ? std::vector<std::string>{} : split_words(k.words, ' ')};
  // `bash|zsh|fish`: the words themselves.
  if (placeholder.find('|') != std::string_view::npos &&
      placeholder.find_first_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string_view::npos)
    return {Fill::words, split_words(placeholder, '|')};
  return {};
}

Suggest option_value(const Option& o) {
  if (o.name == "named") return {};  // of a hierarchy, not of a group
  if (o.name == "v1" || o.name == "controllers") return {Fill::controllers, {}};
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

std::vector<Flag> flags_of(const Command& command) {
  std::vector<Flag> flags;
  for (const Option& o : common_options(command))
    flags.push_back(
        {std::string(o.name), o.letter, std::string(o.argument), std::string(o.doc), o.repeatable, option_value(o)});
  if (has(command.takes, Takes::limits))
    for_each_knob([&](const Knob& k) {
      if (k.flag.empty()) return;
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
    p.rest = {Fill::programs, {}};
  }
  return p;
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
