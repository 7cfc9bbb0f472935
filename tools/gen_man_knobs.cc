// SPDX-License-Identifier: Apache-2.0
// What the man pages say of knobs. Nothing here knows a knob by name: all of it comes from the rows.
#include <cerrno>

#include <fmt/format.h>

#include "cgx/sys/text.h"

#include "gen_man.h"

namespace cgx::man {
namespace {

std::string files_of(const Backing& backing) {
  std::string out;
  for (const std::string_view file : backing.files) {
    if (file.empty()) continue;
    if (!out.empty()) out += ", ";
    out += file == "@devices" ? "a BPF program" : file.starts_with('@') ? "traffic control and BPF programs" : file;
  }
  return out;
}

std::string_view name_of(Format format) {
  switch (format) {
    case Format::size:
      return "bytes, or max";
    case Format::count:
      return "a number, or max";
    case Format::number:
      return "a number";
    case Format::usec:
      return "a time";
    case Format::flag:
      return "0 or 1";
    case Format::quota:
      return "CPU bandwidth";
    case Format::rt:
      return "real-time bandwidth";
    case Format::list:
      return "a list of numbers, 0-3,8";
    case Format::word:
      return "a word";
    case Format::integer:
      return "a whole number, with sign";
    case Format::percent:
      return "percent, 0.00 to 100.00, or max";
    case Format::classid:
      return "a traffic class, MAJ:MIN in hexadecimal";
    case Format::io_max:
      return "limits by disk";
    case Format::io_latency:
      return "times by disk";
    case Format::io_weight:
      return "a weight, for all disks or for one";
    case Format::hugetlb:
      return "bytes by page size";
    case Format::key_count:
      return "numbers by key";
    case Format::dev_key_count:
      return "numbers by device and key";
    case Format::if_count:
      return "numbers by network interface";
    case Format::if_rate:
      return "rates by network interface";
    case Format::device_rules:
      return "device rules";
    case Format::keyed:
      return "lines of a key and a value";
    case Format::text:
      return "text, as the kernel has it";
  }
  return {};
}

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::limit:
      return "limit";
    case Kind::protection:
      return "protection";
    case Kind::weight:
      return "weight";
    case Kind::control:
      return "control";
    case Kind::stat:
      return "statistic";
    case Kind::command:
      return "command";
  }
  return {};
}

std::string access_of(const Backing& backing) {
  if (backing.encode == nullptr) return " (read only)";
  return backing.decode == nullptr ? " (write only)" : "";
}

std::string column(const Backing& backing) {
  if (!backing.present()) return fmt::format("none: {}", backing.missing);
  std::string out = files_of(backing) + access_of(backing);
  switch (backing.fidelity) {
    case Fidelity::exact:
      break;
    case Fidelity::lossy:
      out += fmt::format("; converted with loss: {}", backing.note);
      break;
    case Fidelity::none:
      out += "; not converted";
      break;
  }
  if (backing.fidelity == Fidelity::exact && !backing.note.empty()) out += fmt::format("; {}", backing.note);
  if (!backing.within.empty()) out += fmt::format("; never above {}", backing.within);
  return out;
}

std::string range_of(const Knob& knob) {
  const bool bounded = knob.high != sys::unlimited && knob.format == Format::number;
  return bounded ? fmt::format(", {} to {}", knob.low, knob.high) : std::string();
}

void add_knob(Page& page, const Knob& knob) {
  std::string text = fmt::format("{} ({}: {}{}",
                                 sentence(knob.doc, words_of(knob.words)),
                                 name_of(knob.kind),
                                 name_of(knob.format),
                                 range_of(knob));
  if (!knob.words.empty()) text += fmt::format(" of {}", knob.words);
  text += ")";
  page.item(knob.name, knob.flag.empty() ? "" : fmt::format("--{} {}", knob.flag, argument_of(knob)), text);
  page.source(".RS");
  page.item("v1", "", column(knob.v1) + ".");
  page.item("v2", "", column(knob.v2) + ".");
  if (!knob.property.empty()) page.item("systemd", "", fmt::format("{}=.", knob.property));
  page.source(".RE");
}

// A knob stands under the controller of its v2 column, or of v1's where v2 has none.
Controller controller_of(const Knob& knob) { return knob.v2.present() ? knob.v2.controller : knob.v1.controller; }

// A group without files: which words a knob takes does not depend on any.
class NoFiles final : public View {
 public:
  [[nodiscard]] Result<std::string> read(Controller /*controller*/, std::string_view /*file*/) const override {
    return fail(ENOENT, "there is no group");
  }
  [[nodiscard]] std::vector<std::string> files(Controller /*controller*/) const override { return {}; }
  [[nodiscard]] const Value* wanted(std::string_view /*knob*/) const override { return nullptr; }
};

// The words of a knob that one version cannot keep, as its own codec says.
std::string words_refused(const Knob& knob, const Backing& backing) {
  if (knob.words.empty() || backing.encode == nullptr) return {};
  std::string out;
  for (const std::string_view word : sys::split(knob.words, '|')) {
    const auto writes = backing.encode(knob, backing, Value(std::string(word)), NoFiles());
    if (!writes) out += fmt::format("{}`{}`", out.empty() ? "" : ", ", word);
  }
  return out;
}

// "yes", "differently: ..." or "not supported: ...". A value that goes to a file of its own meaning is plainly
// supported; conversions and what is no file (BPF programs, traffic control) are told.
std::string support(const Knob& knob, const Backing& backing) {
  if (!backing.present()) return fmt::format("not supported: {}", backing.missing);
  if (backing.fidelity == Fidelity::lossy) return fmt::format("differently: {}", backing.note);
  if (backing.files[0] == "@devices") return "differently: a BPF program";
  if (backing.files[0].starts_with('@')) return fmt::format("differently: {}", files_of(backing));
  const std::string refused = words_refused(knob, backing);
  return refused.empty() ? "yes" : fmt::format("yes, but not {}", refused);
}

std::string on_hybrid(const Knob& knob, const std::string& v1, const std::string& v2) {
  if (v1 == v2) return v1;
  const Controller c = controller_of(knob);
  if (!knob.v1.present()) return fmt::format("where {} is on v2", row(c).name);
  if (!knob.v2.present()) return fmt::format("where {} is on v1", row(c).name);
  return fmt::format("by where {} is", row(c).name);
}

std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, 1, '\\');
  return text;
}

}  // namespace

std::string limits_table() {
  std::string out = "| flag | v1 | hybrid | v2 |\n| --- | --- | --- | --- |\n";
  for_each_knob([&](const Knob& knob) {
    if (knob.flag.empty()) return;
    const std::string v1 = support(knob, knob.v1);
    const std::string v2 = support(knob, knob.v2);
    const std::string argument = argument_of(knob);
    out += fmt::format("| `--{}{}{}` | {} | {} | {} |\n",
                       knob.flag,
                       argument.empty() ? "" : " ",
                       cell(argument),
                       cell(v1),
                       cell(on_hybrid(knob, v1, v2)),
                       cell(v2));
  });
  return out;
}

std::string argument_of(const Knob& knob) {
  if (knob.format == Format::flag) return {};
  return std::string(knob.format == Format::word ? knob.words : placeholder(knob.format));
}

std::string limit_text(const Knob& knob) {
  std::string out = sentence(knob.doc, words_of(knob.words));
  out += knob.v1.present() ? fmt::format(" v1: {}.", files_of(knob.v1)) : " Not on v1.";
  out += knob.v2.present() ? fmt::format(" v2: {}.", files_of(knob.v2)) : " Not on v2.";
  return out;
}

void add_knobs(Page& page) {
  for (const ControllerRow& row : controllers()) {
    bool opened = false;
    for_each_knob([&](const Knob& knob) {
      if (controller_of(knob) != row.id) return;
      if (!opened) {
        page.subsection(row.v1_name == row.name || row.v1_name.empty()
                            ? std::string(row.name)
                            : fmt::format("{} ({} on v1)", row.name, row.v1_name));
        page.paragraphs(sentence(row.doc));
        opened = true;
      }
      add_knob(page, knob);
    });
    if (!opened) page.subsection(row.name).paragraphs(sentence(row.doc) + " It has no files.");
  }
}

}  // namespace cgx::man
