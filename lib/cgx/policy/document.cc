// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/document.h"

#include <algorithm>
#include <sstream>
#include <unordered_map>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "cgx/sys/harmless.h"

namespace cgx::policy {
namespace {

// A policy needs about ten levels. The library's own bound is near what its stack bears.
constexpr std::size_t most_depth = 32;
// Values that aliases may add to a document. One of 1 MiB has some 200,000 of its own at most.
constexpr std::size_t most_copied = 100'000;

std::size_t size_of(const Node& node) {
  std::size_t n = 1;
  for (const Node& i : node.items) n += size_of(i);
  for (const Entry& e : node.entries) n += size_of(e.value);
  return n;
}

// The offset of the first byte that is not of a UTF-8 text without control characters; nullopt: there is none.
std::optional<std::size_t> not_text(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x80) {
      if ((c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7f) return i;
      ++i;
      continue;
    }
    const std::size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4 || i + length > text.size()) return i;
    unsigned code = c & (0x7fU >> length);
    for (std::size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xc0U) != 0x80) return i;
      code = code << 6U | (next & 0x3fU);
    }
    // Overlong forms, surrogates, beyond Unicode, and the second set of control characters.
    if ((length == 3 && code < 0x800) || (length == 4 && (code < 0x10000 || code > 0x10ffff)) ||
        (code >= 0xd800 && code <= 0xdfff) || (code >= 0x80 && code < 0xa0))
      return i;
    i += length;
  }
  return {};
}

// A tab that a line begins with, in the line of `at` or the one before: the library finds fault with what follows it.
std::optional<YAML::Mark> tab_near(std::string_view text, const YAML::Mark& at) {
  if (at.line < 0) return {};
  int line = 0;
  for (const std::string_view one : sys::lines(text)) {
    if (line == at.line || line + 1 == at.line) {
      const std::size_t tab = one.substr(0, one.find_first_not_of(" \t")).find('\t');
      if (tab != std::string_view::npos) {
        YAML::Mark found = at;
        found.line = line;
        found.column = static_cast<int>(tab);
        return found;
      }
    }
    ++line;
  }
  return {};
}

// Lines of the text, for columns: the library counts bytes, people count characters.
class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text) {
    ascii_ = std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
    if (ascii_) return;
    starts_.push_back(0);
    for (std::size_t i = 0; i < text.size(); ++i)
      if (text[i] == '\n') starts_.push_back(i + 1);
  }
  [[nodiscard]] unsigned column(unsigned line, unsigned bytes) const {
    if (ascii_ || line == 0 || line > starts_.size()) return bytes;
    unsigned characters = 1;
    for (std::size_t i = starts_[line - 1]; i + 1 < starts_[line - 1] + bytes && i < text_.size(); ++i)
      characters += (static_cast<unsigned char>(text_[i]) & 0xc0U) != 0x80 ? 1 : 0;
    return characters;
  }

 private:
  std::string_view text_;
  bool ascii_ = true;
  std::vector<std::size_t> starts_;
};

// Builds the tree from the library's events. Its own tree (YAML::Node) keeps the last of two equal keys and says
// nothing, and has no place for keys.
class Builder final : public YAML::EventHandler {
 public:
  Builder(const Lines& lines, const std::string& file, std::vector<Problem>& problems)
      : lines_(lines), file_(file), problems_(problems) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ == 1) fail(mark, "is the start of a second document; a file holds one");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (broken()) return;
    Node node;
    place(node, mark);
    keep(anchor, node);
    add(std::move(node));
  }
  void OnScalar(const YAML::Mark& mark,
                const std::string& tag,
                YAML::anchor_t anchor,
                const std::string& value) override {
    if (broken() || tagged(mark, tag)) return;
    Node node;
    node.kind = Node::Kind::scalar;
    node.quoted = tag == "!";
    node.text = value;
    place(node, mark);
    if (value.find('\0') != std::string::npos) return fail(mark, "has a NUL character");
    keep(anchor, node);
    add(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark,
                       const std::string& tag,
                       YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(Node::Kind::list, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark,
                  const std::string& tag,
                  YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(Node::Kind::map, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (broken()) return;
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) return fail(mark, "is an alias of what it stands in");
    copied_ += found->second.size;
    if (copied_ > most_copied)
      return fail(mark, fmt::format("aliases make this document grow by more than {} values", most_copied));
    Node node = found->second.node;
    add(std::move(node));
  }

  // The document; nullopt: it may not be read.
  std::optional<Node> take() {
    if (broken_) return {};
    return std::move(root_);
  }
  void fail(const YAML::Mark& mark, std::string what) {
    if (broken_) return;
    broken_ = true;
    Node at;
    place(at, mark);
    say(at.line, at.column, std::move(what));
  }
  [[nodiscard]] bool broken() const { return broken_; }

 private:
  struct Open {
    Node node;
    YAML::anchor_t anchor;
    std::optional<Entry> key;                               // of a map: read, and its value not yet
    std::unordered_map<std::string, std::size_t> places{};  // of the keys among its entries
    std::optional<std::size_t> merge{};                     // the place of `<<`, where it is no word in quotes
  };
  struct Anchor {
    std::size_t size;
    Node node;
  };

  void say(unsigned line, unsigned column, std::string what) {
    problems_.push_back({{file_, line, column}, path(), std::move(what), {}, false});
  }

  // Of what is being read: "groups.web.on_oom[0]".
  [[nodiscard]] std::string path() const {
    std::string out;
    for (const Open& o : open_) {
      if (o.node.kind == Node::Kind::list)
        out += fmt::format("[{}]", o.node.items.size());
      else if (o.key)
        out += (out.empty() ? "" : ".") + printable(o.key->key);
    }
    return out;
  }

  void place(Node& node, const YAML::Mark& mark) const {
    if (mark.is_null()) return;
    node.line = static_cast<unsigned>(mark.line) + 1;
    node.column = lines_.column(node.line, static_cast<unsigned>(mark.column) + 1);
  }

  bool tagged(const YAML::Mark& mark, const std::string& tag) {
    // The library's own marks of plain and of quoted values.
    if (tag.empty() || tag == "?" || tag == "!") return false;
    fail(mark, fmt::format("has the tag {}; a policy has no tags", tag.substr(0, 60)));
    return true;
  }

  void keep(YAML::anchor_t anchor, const Node& node) {
    if (anchor != 0) anchors_.insert_or_assign(anchor, Anchor{size_of(node), node});
  }

  void open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (broken() || tagged(mark, tag)) return;
    if (open_.size() >= most_depth) return fail(mark, fmt::format("is nested deeper than {} levels", most_depth));
    Node node;
    node.kind = kind;
    place(node, mark);
    open_.push_back({std::move(node), anchor, {}});
  }

  void close() {
    if (broken()) return;
    Open done = std::move(open_.back());
    open_.pop_back();
    if (done.node.kind == Node::Kind::map) merge(done);
    keep(done.anchor, done.node);
    add(std::move(done.node));
  }

  void add(Node node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& in = open_.back();
    if (in.node.kind == Node::Kind::list) {
      in.node.items.push_back(std::move(node));
      return;
    }
    if (!in.key) {
      in.key = Entry{node.text, node.line, node.column, {}};
      if (node.text == "<<" && !node.quoted && !in.places.contains("<<")) in.merge = in.node.entries.size();
      if (node.kind != Node::Kind::scalar) say(node.line, node.column, "has a key that is no single word");
      return;
    }
    in.key->value = std::move(node);
    const auto [at, fresh] = in.places.emplace(in.key->key, in.node.entries.size());
    if (fresh) {
      in.node.entries.push_back(*std::move(in.key));
    } else {
      const Entry& first = in.node.entries[at->second];
      say(in.key->line,
          in.key->column,
          fmt::format("is a duplicate key; the first one is at {}:{}", first.line, first.column));
    }
    in.key.reset();
  }

  // `<<: *web` takes the entries of another map, where there is none of that name.
  void merge(Open& in) {
    if (!in.merge) return;
    const auto entry = in.node.entries.begin() + static_cast<std::ptrdiff_t>(*in.merge);
    std::vector<Node> from;
    if (entry->value.kind == Node::Kind::list)
      from = std::move(entry->value.items);
    else
      from.push_back(std::move(entry->value));
    if (!std::ranges::all_of(from, [](const Node& n) { return n.kind == Node::Kind::map; }))
      say(entry->line, entry->column, "<< takes an alias of a map, or a list of such");
    in.node.entries.erase(entry);
    for (Node& other : from)
      for (Entry& e : other.entries)
        if (in.places.emplace(e.key, 0).second) in.node.entries.push_back(std::move(e));
  }

  const Lines& lines_;
  const std::string& file_;
  std::vector<Problem>& problems_;
  std::vector<Open> open_;
  std::unordered_map<YAML::anchor_t, Anchor> anchors_;  // those that are complete
  std::optional<Node> root_;
  std::size_t copied_ = 0;
  unsigned documents_ = 0;
  bool broken_ = false;
};

}  // namespace

const Entry* Node::find(std::string_view key) const {
  const auto at = std::ranges::find(entries, key, &Entry::key);
  return at == entries.end() ? nullptr : &*at;
}

bool is_utf8(std::string_view text) { return !not_text(text); }

std::string_view whole_characters(std::string_view text, std::size_t most) {
  std::size_t end = std::min(text.size(), most);
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

std::string printable(std::string_view text, std::size_t most) {
  std::string out = sys::harmless(whole_characters(text, most));
  return text.size() > most ? out + "..." : out;
}

std::optional<Node> parse_document(std::string_view text, const std::string& file, std::vector<Problem>& problems) {
  const auto refuse = [&](unsigned line, unsigned column, std::string what) {
    problems.push_back({{file, line, column}, {}, std::move(what), {}, false});
    return std::nullopt;
  };
  if (text.size() > most_document_bytes) return refuse(0, 0, "is over 1 MiB");
  const Lines lines(text);
  if (const auto bad = not_text(text)) {
    const std::string_view before = text.substr(0, *bad);
    const auto line = static_cast<unsigned>(std::ranges::count(before, '\n')) + 1;
    const std::size_t start = before.rfind('\n');
    const auto bytes = static_cast<unsigned>(*bad - (start == std::string_view::npos ? 0 : start + 1)) + 1;
    const auto c = static_cast<unsigned char>(text[*bad]);
    return refuse(line,
                  lines.column(line, bytes),
                  c < 0x80 ? fmt::format("has a control character (0x{:02x})", c) : "is not UTF-8 text");
  }
  Builder builder(lines, file, problems);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return refuse(0, 0, "is empty");
    if (!builder.broken()) (void)parser.HandleNextDocument(builder);  // the builder refuses a second one
  } catch (const YAML::Exception& e) {
    if (const auto tab = tab_near(text, e.mark))
      builder.fail(*tab, "is not YAML: a tab is no indentation; use spaces");
    else
      builder.fail(e.mark, fmt::format("is not YAML: {}", printable(e.msg)));
  } catch (const std::exception& e) {
    // The library has been seen to let others through where the text is damaged.
    builder.fail(YAML::Mark::null_mark(), fmt::format("is not YAML: {}", printable(e.what())));
  }
  return builder.take();
}

}  // namespace cgx::policy
