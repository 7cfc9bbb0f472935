// SPDX-License-Identifier: Apache-2.0
// Writes the man pages at build time, from the rows of commands and knobs and the fragments in man/*.in where rows are
// not enough. usage: gen_man VERSION DATE FRAGMENTS OUT PAGE...; OUT is a directory, each PAGE a file to make there. It
// fails where the pages are not the commands' and the overview's, so that none is forgotten. gen_man --limits prints
// the table of limits of README.md.
#include "gen_man.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cgx/sys/text.h"

#include "command.h"
#include "completion.h"
#include "oci/oci.h"

namespace cgx::man {

std::string literal(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
  }
  return out.starts_with('.') || out.starts_with('\'') ? "\\&" + out : out;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\e";
    else
      out += c;
  }
  return out.starts_with('.') || out.starts_with('\'') ? "\\&" + out : out;
}

namespace {

// Whether the text begins with what is typed or read as it stands: one of `words`, a default, a file or a pair.
bool begins_with_value(std::string_view doc, std::span<const std::string> words) {
  std::string_view first = doc.substr(0, doc.find(' '));
  const std::string_view then = doc.substr(first.size());
  while (!first.empty() && std::string_view(",;:").find(first.back()) != std::string_view::npos) first.remove_suffix(1);
  return std::ranges::find(words, first) != words.end() || first.find_first_of("=./_|") != std::string_view::npos ||
         then.starts_with(" (if not given)") || then.starts_with(" (default)");
}

}  // namespace

std::string sentence(std::string_view doc, std::span<const std::string> words) {
  std::string out(doc);
  if (!out.empty() && out[0] >= 'a' && out[0] <= 'z' && !begins_with_value(doc, words))
    out[0] = static_cast<char>(out[0] - 'a' + 'A');
  return out + ".";
}

std::vector<std::string> words_of(std::string_view alternatives) {
  std::vector<std::string> words;
  if (alternatives.find('|') == std::string_view::npos) return words;
  for (const std::string_view word : sys::split(alternatives, '|')) words.emplace_back(word);
  return words;
}

Page::Page(std::string_view title, int section, std::string_view date, std::string_view version) {
  std::string upper(title);
  for (char& c : upper) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  text_ = fmt::format(".\\\" Made by gen_man; do not edit.\n.TH {} {} {} \"cgx {}\" \"{}\"\n",
                      upper,
                      section,
                      date,
                      version,
                      section == 1   ? "User Commands"
                      : section == 5 ? "File Formats"
                                     : "Miscellaneous");
}

Page& Page::section(std::string_view heading) {
  text_ += fmt::format(".SH {}\n", heading);
  return *this;
}

Page& Page::subsection(std::string_view heading) {
  text_ += fmt::format(".SS {}\n", literal(heading));
  return *this;
}

// Words that a user types (-flags, numbers below 0, and file names with dashes) keep their dashes.
void Page::fill(std::string_view text) {
  std::string line;
  for (const std::string_view word : sys::words(text)) {
    const std::string shown =
        word.starts_with('-') || word.find("--") != std::string_view::npos ? literal(word) : escaped(word);
    if (!line.empty() && line.size() + 1 + shown.size() > 78) {
      text_ += line + '\n';
      line.clear();
    }
    if (!line.empty()) line += ' ';
    line += shown;
    // A sentence ends its line: man(7) sets the space.
    if (word.ends_with('.') || word.ends_with(".)")) {
      text_ += line + '\n';
      line.clear();
    }
  }
  if (!line.empty()) text_ += line + '\n';
}

Page& Page::paragraphs(std::string_view text) {
  bool first = true;
  std::string paragraph;
  const auto flush = [&] {
    if (paragraph.empty()) return;
    if (!first) text_ += ".PP\n";
    first = false;
    fill(paragraph);
    paragraph.clear();
  };
  for (const std::string_view line : sys::lines(text)) {
    if (line.empty()) {
      flush();
      continue;
    }
    paragraph += line;
    paragraph += ' ';
  }
  flush();
  return *this;
}

Page& Page::item(std::string_view tag, std::string_view argument, std::string_view text) {
  text_ += ".TP\n";
  text_ += argument.empty() ? fmt::format(".B {}\n", literal(tag))
                            : fmt::format(".BR \"{}\" \" {}\"\n", literal(tag), literal(argument));
  fill(text);
  return *this;
}

Page& Page::example(std::string_view lines) {
  text_ += ".EX\n";
  for (const std::string_view line : sys::lines(lines)) text_ += literal(line) + '\n';
  text_ += ".EE\n";
  return *this;
}

Page& Page::source(std::string_view text) {
  text_ += text;
  if (!text.ends_with('\n')) text_ += '\n';
  return *this;
}

namespace {

using tool::Command;
using tool::Option;
using tool::Takes;

struct Job {
  std::string version;
  std::string date;
  std::filesystem::path fragments;
  std::filesystem::path out;
  std::set<std::string> left;  // pages asked for and not made yet
};

[[noreturn]] void die(const std::string& what) {
  fmt::print(stderr, "gen_man: {}\n", what);
  std::exit(1);
}

std::string read_fragment(const Job& job, const std::string& name) {
  std::ifstream in(job.fragments / name);
  if (!in) die("cannot read the fragment " + name);
  return {std::istreambuf_iterator<char>(in), {}};
}

void finish(Job& job, const std::string& name, const Page& page) {
  if (job.left.erase(name) == 0) die(fmt::format("the page {} is not in the list of man/meson.build", name));
  std::ofstream out(job.out / name, std::ios::trunc);
  out << page.text();
  if (!out.flush()) die("cannot write " + name);
}

void option_item(Page& page, const Option& o) {
  const std::string tag = o.letter != 0 ? fmt::format("-{}, --{}", o.letter, o.name) : fmt::format("--{}", o.name);
  page.item(tag,
            o.argument,
            sentence(std::string(o.doc) + (o.repeatable ? "; may be given several times" : ""), tool::words_for(o)));
}

std::string exit_status(const Command& command) {
  if (has(command.takes, Takes::program))
    return "The status of CMD, or 128+N where a signal N ended it. 126: CMD cannot be executed. 127: it was not found. "
           "125: cgx itself failed before CMD started. See cgx-exit(7).";
  return "0: done. 1: the kernel or the state of the system refused. 2: the command line or a value is wrong, and "
         "nothing was touched. See cgx-exit(7).";
}

// `container ls` is cgx-container-ls(1).
std::string page_of(const Command& command) {
  std::string name = fmt::format("cgx-{}", command.name);
  std::ranges::replace(name, ' ', '-');
  return name;
}

void command_page(Job& job, const Command& command) {
  const std::string name = page_of(command);
  Page page(name, 1, job.date, job.version);
  page.section("NAME").source(fmt::format("{} \\- {}", literal(name), literal(command.doc)));
  page.section("SYNOPSIS").source(fmt::format(".B cgx {}\n{}", command.name, literal(command.words)));
  page.section("DESCRIPTION").paragraphs(command.details);
  if (!command.alias.empty())
    page.source(".PP").paragraphs(fmt::format("cgx {} is another name of the same command.", command.alias));
  const std::string extra = name.substr(4) + ".in";
  if (std::filesystem::exists(job.fragments / extra)) page.source(read_fragment(job, extra));
  page.section("OPTIONS");
  for (const Option& o : tool::common_options(command)) option_item(page, o);
  if (has(command.takes, Takes::limits)) {
    page.section("LIMITS").paragraphs(
        "The same flag works on v1 and v2; the value is converted where the two differ. A flag that this host cannot "
        "honour is an error that names what is missing. Units are in cgx(1), all files and conversions in "
        "cgx-knobs(7).");
    for_each_knob([&](const Knob& knob) {
      if (takes_limit(command, knob)) page.item(fmt::format("--{}", knob.flag), argument_of(knob), limit_text(knob));
    });
  }
  if (has(command.takes, Takes::json)) page.section("OUTPUT").paragraphs("The schema of --json is in cgx-json(7).");
  page.section("EXIT STATUS").paragraphs(exit_status(command));
  page.section("EXAMPLES").example(command.example);
  page.section("SEE ALSO").source(".BR cgx (1),\n.BR cgx\\-exit (7),\n.BR cgx\\-json (7),\n.BR cgx\\-knobs (7)");
  finish(job, name + ".1", page);
}

void add_commands(Page& page) {
  for (const Command& c : tool::commands()) page.item(fmt::format("cgx {}", c.name), c.words, sentence(c.doc));
}

// Those that begin with a word, for its own page.
void add_commands_below(Page& page, std::string_view word) {
  for (const Command* c : tool::commands_below(word))
    page.item(fmt::format("cgx {}", c->name), c->words, sentence(c->doc));
}

// cgx-oci has a table of its own, and letters after names, as runc's help has them.
void add_oci_flags(Page& page, std::span<const oci::Flag> flags) {
  for (const oci::Flag& f : flags)
    page.item(f.letter != 0 ? fmt::format("--{}, -{}", f.name, f.letter) : fmt::format("--{}", f.name),
              f.argument,
              sentence(f.doc, words_of(f.argument)));
}

void add_oci_commands(Page& page) {
  for (const oci::Command& c : oci::commands()) {
    page.subsection(fmt::format("cgx-oci {}{}{}", c.name, c.words.empty() ? "" : " ", c.words))
        .paragraphs(sentence(c.doc));
    add_oci_flags(page, c.flags);
  }
}

// json.shapes: what tests/tools/json.test checks the outputs against, as it is.
void add_shapes(Page& page, const Job& job) {
  std::string lines;
  const std::string shapes = read_fragment(job, "json.shapes");
  for (const std::string_view line : sys::lines(shapes)) {
    if (line.starts_with('#')) continue;
    lines += line;
    lines += '\n';
  }
  const std::size_t first = lines.find_first_not_of('\n');
  page.example(first == std::string::npos ? "" : std::string_view(lines).substr(first));
}

// The policy that stands in policies/, beside the folder of the fragments.
void add_example(Page& page, const Job& job) { page.example(read_fragment(job, "../policies/web-and-batch.yaml")); }

// A fragment that is a whole page but for its head; lines such as @COMMANDS@ and @KNOBS@ stand for what rows say.
void overview_page(Job& job, const std::string& name, int section) {
  Page page(name, section, job.date, job.version);
  const std::string file = fmt::format("{}.{}", name, section);
  const std::string fragment = read_fragment(job, file + ".in");
  for (const std::string_view line : sys::lines(fragment)) {
    if (line == "@COMMANDS@")
      add_commands(page);
    else if (line == "@COMMANDS container@")
      add_commands_below(page, "container");
    else if (line == "@OCI FLAGS@")
      add_oci_flags(page, oci::global_flags());
    else if (line == "@OCI COMMANDS@")
      add_oci_commands(page);
    else if (line == "@KNOBS@")
      add_knobs(page);
    else if (line == "@SHAPES@")
      add_shapes(page, job);
    else if (line == "@EXAMPLE@")
      add_example(page, job);
    else if (!add_policy_part(page, line))
      page.source(line);
  }
  finish(job, file, page);
}

int run(std::vector<std::string> arguments) {
  if (arguments.size() == 2 && arguments[1] == "--limits") {
    tool::print(limits_table());
    return 0;
  }
  if (arguments.size() < 6) die("usage: gen_man VERSION DATE FRAGMENTS OUT PAGE...");
  Job job{.version = arguments[1], .date = arguments[2], .fragments = arguments[3], .out = arguments[4], .left = {}};
  job.left.insert(arguments.begin() + 5, arguments.end());
  for (const Command& command : tool::commands()) command_page(job, command);
  overview_page(job, "cgx", 1);
  overview_page(job, "cgx-container", 1);
  overview_page(job, "cgx-oci", 1);
  overview_page(job, "org.cgx.Manager1", 5);
  overview_page(job, "cgx-exit", 7);
  overview_page(job, "cgx-json", 7);
  overview_page(job, "cgx-knobs", 7);
  overview_page(job, "cgx-policy", 5);
  if (!job.left.empty()) die(fmt::format("no command is called as the page {} says", *job.left.begin()));
  return 0;
}

}  // namespace
}  // namespace cgx::man

int main(int argc, char** argv) { return cgx::man::run({argv, argv + argc}); }
