// SPDX-License-Identifier: Apache-2.0
// Limits in files. Each value takes the way of the command line: a map becomes the words that a flag would be given, so
// that whatever works there works here and is checked by the same code.
#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/cgroupfs/device_node.h"
#include "cgx/cgroupfs/disk.h"
#include "cgx/model/value_parts.h"
#include "cgx/policy/read.h"

namespace cgx::policy {
namespace {

// A device that is not there is the host's lack, not a fault of the file.
template <class T>
Result<T> of_host(Result<T> found) {
  if (!found) found.error().code = ENODEV;
  return found;
}
Result<std::string> disk(std::string_view path) { return of_host(disk_of(path)); }
Result<NodeType> device(const std::string& path) { return of_host(device_node(path)); }
constexpr DeviceNames names{.disk = disk, .node = device};

// Several values, each of which a flag of its own would give.
bool repeats(Format format) { return is_table(format) || format == Format::device_rules; }

// The key of a map and the value below it: by a colon (DEV:N) or an equals sign (IF=N).
char joint(Format format) {
  return format == Format::io_latency || format == Format::io_weight || format == Format::io_max ||
                 format == Format::dev_key_count
             ? ':'
             : '=';
}

class LimitReader {
 public:
  LimitReader(Reader& reader, const Knob& knob, bool best_effort)
      : reader_(reader), knob_(knob), best_effort_(best_effort) {}

  // nullopt: it is wrong, which has been said, or nothing is left of it.
  std::optional<Limit> read(const Node& node) {
    switch (node.kind) {
      case Node::Kind::null:
        reader_.wrong("has no value");
        ok_ = false;
        break;
      case Node::Kind::scalar:
        if (knob_.format == Format::word && !reader_.word(node, knob_.words))
          ok_ = false;
        else
          feed(node.text, node);
        break;
      case Node::Kind::list:
        if (knob_.format == Format::list)
          joined(node);
        else if (repeats(knob_.format))
          items(node, "");
        else
          refuse(node);
        break;
      case Node::Kind::map:
        if (!repeats(knob_.format))
          refuse(node);
        else if (knob_.format == Format::device_rules)
          devices(node);
        else
          table(node);
        break;
    }
    if (!ok_ || !value_) return {};
    return Limit{&knob_, *std::move(value_), given_, {}};
  }

 private:
  void refuse(const Node& node) {
    ok_ = false;
    const std::string_view form = knob_.format == Format::word ? knob_.words : placeholder(knob_.format);
    reader_.wrong(fmt::format("takes {}, not {}", form, Reader::kind(node)));
  }

  // One value as a flag would be given it; `own` is what stands in the file.
  void feed(std::string text, const Node& own) {
    if (knob_.format == Format::flag && !own.quoted) {
      if (text == "true") text = "1";
      if (text == "false") text = "0";
    }
    auto value = parse_parts(knob_, text, names);
    if (!value) {
      Error& e = value.error();
      // The whole words of a flag, of which the file has the first part as keys: the place says which.
      if (e.value != own.text && e.code != ENODEV) e = of_whole(knob_, std::move(e), text);
      if (e.value == text && knob_.format == Format::device_rules) e.value = own.text;
      if (e.code == ENODEV) {
        reader_.lacks(e, best_effort_);
        ok_ = ok_ && best_effort_;
        return;
      }
      reader_.wrong(e);
      ok_ = false;
      return;
    }
    if (!given_.empty()) given_ += ' ';
    given_ += text;
    if (!value_) {
      value_ = *std::move(value);
      return;
    }
    if (const auto merged = merge_value(*value_, *value); !merged) {
      reader_.wrong(merged.error());
      ok_ = false;
    }
  }

  // CPUs as YAML has lists: [0, 2-3].
  void joined(const Node& node) {
    Node whole{.kind = Node::Kind::scalar};
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const auto step = reader_.in(i, node.items[i]);
      const auto text = reader_.text(node.items[i]);
      if (!text) ok_ = false;
      if (text) whole.text += (i > 0 ? "," : "") + *text;
    }
    if (ok_) feed(whole.text, whole);
  }

  void feed_scalar(const std::string& prefix, const Node& node) {
    if (const auto text = reader_.text(node))
      feed(prefix + *text, node);
    else
      ok_ = false;
  }

  // A list of words, or one.
  void items(const Node& node, const std::string& prefix) {
    if (node.kind != Node::Kind::list) return feed_scalar(prefix, node);
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const auto step = reader_.in(i, node.items[i]);
      feed_scalar(prefix, node.items[i]);
    }
  }

  // {DEV: {KEY: N}}, {IF: N}, {SIZE: LIMIT}, and for weights {default: N, DEV: N}.
  void table(const Node& node) {
    const bool two = knob_.format == Format::io_max || knob_.format == Format::dev_key_count;
    if (node.entries.empty()) {
      reader_.wrong("is empty");
      ok_ = false;
    }
    for (const Entry& e : node.entries) {
      const auto step = reader_.in(e);
      if (e.key.empty() || (joint(knob_.format) == '=' && e.key.find('=') != std::string::npos)) {
        reader_.wrong(fmt::format("is no key of {}", placeholder(knob_.format)));
        ok_ = false;
        continue;
      }
      const std::string prefix =
          knob_.format == Format::io_weight && e.key == "default" ? "" : e.key + joint(knob_.format);
      if (!two) {
        feed_scalar(prefix, e.value);
      } else if (e.value.kind == Node::Kind::scalar) {
        feed(prefix + e.value.text, e.value);
      } else if (!reader_.map(e.value)) {
        ok_ = false;
      } else {
        fields(prefix, e.value);
      }
    }
  }

  void fields(const std::string& prefix, const Node& node) {
    static constexpr std::array io{Field{"rbps", Takes::size, "bytes read in a second"},
                                   Field{"wbps", Takes::size, "bytes written in a second"},
                                   Field{"riops", Takes::size, "reads in a second"},
                                   Field{"wiops", Takes::size, "writes in a second"}};
    if (node.entries.empty()) {
      reader_.wrong("is empty");
      ok_ = false;
    }
    if (knob_.format == Format::io_max) reader_.only(node, io);
    for (const Entry& e : node.entries) {
      if (knob_.format == Format::io_max && std::ranges::find(io, e.key, &Field::name) == io.end()) {
        ok_ = false;
        continue;
      }
      const auto step = reader_.in(e);
      feed_scalar(prefix + e.key + '=', e.value);
    }
  }

  // What is against the default comes first: rules of the other kind are exceptions from it.
  void devices(const Node& node) {
    reader_.only(node, device_fields());
    const Entry* rules = node.find("rules");
    if (rules != nullptr && node.entries.size() > 1) {
      const auto step = reader_.in(*rules);
      reader_.wrong("stands in place of default, allow and deny, not beside them");
      ok_ = false;
      return;
    }
    if (rules != nullptr) {
      const auto step = reader_.in(*rules);
      return items(rules->value, "");
    }
    bool deny = false;
    if (const Entry* e = node.find("default"); e != nullptr) {
      const auto step = reader_.in(*e);
      const auto word = reader_.word(e->value, "allow|deny");
      if (!word) ok_ = false;
      if (word) {
        deny = *word == 1;
        Node all;
        feed(deny ? "deny a" : "allow a", all);
      }
    }
    for (const bool allow : {deny, !deny}) {
      const Entry* e = node.find(allow ? "allow" : "deny");
      if (e == nullptr) continue;
      const auto step = reader_.in(*e);
      for (const Node& item : e->value.items)
        if (item.text.starts_with("allow ") || item.text.starts_with("deny ")) {
          reader_.wrong(fmt::format("\"{}\" says allow or deny, which the key does already", item.text.substr(0, 80)));
          ok_ = false;
        }
      if (ok_) items(e->value, allow ? "allow " : "deny ");
    }
  }

  Reader& reader_;
  const Knob& knob_;
  bool best_effort_;
  bool ok_ = true;
  std::optional<Value> value_;
  std::string given_;
};

// Why a kernel file is no setting: writing it moves, kills or reclaims, or cannot be taken back. Empty: it is one.
std::string_view not_a_setting(std::string_view file) {
  if (file == "cgroup.procs" || file == "cgroup.threads" || file == "tasks") return "processes are placed by rules";
  if (file == "cgroup.event_control") return "it is for listening to events";
  if (file == "cgroup.subtree_control") return "controllers are enabled where limits need them";
  if (file == "cgroup.type") return "a group that is threaded stays so";
  if (file == "release_agent") return "it is a file of the hierarchy, not of a group";
  return {};
}

}  // namespace

Result<> check_raw(std::string_view file, std::string_view text) {
  if (!controller_of_file(file)) {
    auto none = fail(EINVAL, "is no file of a controller");
    none.error().hint = "its name begins with that of a controller, as cpu.uclamp.min";
    return none;
  }
  if (const std::string_view why = not_a_setting(file); !why.empty())
    return fail(EINVAL, fmt::format("is not a setting: {}", why));
  const Knob* knob = find_knob(file);
  if (knob != nullptr && knob->kind == Kind::stat) return fail(EINVAL, "is a counter, which cannot be set");
  if (knob != nullptr && knob->kind == Kind::command) return fail(EINVAL, "is a command, not a setting");
  if (text.find('\n') != std::string_view::npos || text.size() > 4096)
    return fail(EINVAL, "takes one line of at most 4096 bytes");
  return {};
}

void read_section(
    Reader& reader, const Section& section, const Node& node, bool best_effort, std::vector<PolicyLimit>& limits) {
  const auto add = [&](const Knob& knob, const Node& value) {
    if (auto limit = LimitReader(reader, knob, best_effort).read(value))
      limits.push_back({*std::move(limit), std::string(knob.key), reader.place()});
  };
  if (section.whole) return add(*section.knobs[0], node);
  if (!reader.map(node)) return;
  std::vector<std::string_view> known;
  for (const Knob* k : section.knobs) known.push_back(name_of(k->key));
  reader.only(node, section.name == "memory" ? memory_fields() : std::span<const Field>(), known);
  for (const Entry& e : node.entries) {
    const auto at = std::ranges::find(known, e.key);
    if (at == known.end()) continue;
    const auto step = reader.in(e);
    add(*section.knobs[static_cast<std::size_t>(at - known.begin())], e.value);
  }
}

void read_raw(Reader& reader, const Node& node, std::vector<PolicyLimit>& limits) {
  if (!reader.map(node)) return;
  for (const Entry& e : node.entries) {
    const auto step = reader.in(e);
    const auto text = reader.text(e.value);
    if (!text) continue;
    if (const auto good = check_raw(e.key, *text); !good) {
      reader.wrong(good.error());
      continue;
    }
    limits.push_back({Limit{nullptr, std::string(), *text, e.key}, "raw." + e.key, reader.place()});
  }
}

}  // namespace cgx::policy
