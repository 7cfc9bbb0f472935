// SPDX-License-Identifier: Apache-2.0
// state.json: one flat object, written and read here only, so that a command that looks at a container needs no parser
// of all of JSON.
#include <cerrno>

#include <fmt/format.h>

#include "cgx/container/state.h"
#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

// Reads what state_text() writes: an object of strings, numbers, booleans, and lists of strings.
class StateReader {
 public:
  explicit StateReader(std::string_view text) : rest_(text) {}

  Result<State> run() {
    State state;
    if (!take('{')) return broken();
    while (!take('}')) {
      const std::string key = CGX_TRY(string());
      if (!take(':')) return broken();
      CGX_CHECK(member(state, key));
      if (!take(',') && !at('}')) return broken();
    }
    blanks();
    if (!rest_.empty() || state.id.empty()) return broken();
    return state;
  }

 private:
  static std::unexpected<Error> broken() { return fail(EBADMSG, "the container's state.json is damaged"); }

  Result<> member(State& state, std::string_view key) {
    struct TextMember {
      std::string_view key;
      std::string State::* where;
    };
    static constexpr TextMember texts[] = {{"id", &State::id},
                                           {"bundle", &State::bundle},
                                           {"rootfs", &State::rootfs},
                                           {"ociVersion", &State::oci_version},
                                           {"created", &State::created},
                                           {"owner", &State::owner},
                                           {"group", &State::group},
                                           {"systemdScope", &State::systemd_scope}};
    for (const TextMember& t : texts)
      if (t.key == key) {
        state.*t.where = CGX_TRY(string());
        return {};
      }
    if (key == "pid") {
      state.pid = static_cast<pid_t>(CGX_TRY(number()));
    } else if (key == "pidStart") {
      state.pid_start = CGX_TRY(number());
    } else if (key == "ready") {
      state.ready = CGX_TRY(number()) == 1;
    } else if (key == "groupMade") {
      state.group_made = CGX_TRY(number()) == 1;
    } else if (key == "parentsMade") {
      (void)CGX_TRY(list());  // of an older version, which did not know in which hierarchies
    } else if (key == "made") {
      state.made = CGX_TRY(bases());
    } else if (key == "trackingMade") {
      state.tracking_made = CGX_TRY(list());
    } else if (key == "bases") {
      state.bases = CGX_TRY(bases());
    } else if (key == "annotations") {
      const std::vector<std::string> all = CGX_TRY(list());
      if (all.size() % 2 != 0) return broken();
      for (std::size_t i = 0; i < all.size(); i += 2) state.annotations.emplace_back(all[i], all[i + 1]);
    } else {
      return broken();
    }
    return {};
  }

  void blanks() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\n')) rest_.remove_prefix(1);
  }
  bool at(char c) {
    blanks();
    return !rest_.empty() && rest_[0] == c;
  }
  bool take(char c) {
    if (!at(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  Result<std::uint64_t> number() {
    blanks();
    std::size_t n = 0;
    while (n < rest_.size() && rest_[n] >= '0' && rest_[n] <= '9') ++n;
    const auto value = sys::parse_u64(rest_.substr(0, n));
    if (!value) return broken();
    rest_.remove_prefix(n);
    return *value;
  }

  Result<std::vector<std::string>> list() {
    std::vector<std::string> all;
    if (!take('[')) return broken();
    while (!take(']')) {
      all.push_back(CGX_TRY(string()));
      if (!take(',') && !at(']')) return broken();
    }
    return all;
  }

  Result<std::vector<Base>> bases() {
    const std::vector<std::string> all = CGX_TRY(list());
    if (all.size() % 2 != 0) return broken();
    std::vector<Base> found;
    for (std::size_t i = 0; i < all.size(); i += 2) found.push_back({all[i], all[i + 1]});
    return found;
  }

  Result<std::string> string() {
    if (!take('"')) return broken();
    std::string text;
    while (!rest_.empty() && rest_[0] != '"') {
      const char c = rest_[0];
      rest_.remove_prefix(1);
      if (c != '\\') {
        text += c;
        continue;
      }
      if (rest_.empty()) return broken();
      const char escaped = rest_[0];
      rest_.remove_prefix(1);
      switch (escaped) {
        case 'n':
          text += '\n';
          break;
        case 't':
          text += '\t';
          break;
        case 'r':
          text += '\r';
          break;
        case 'b':
          text += '\b';
          break;
        case 'f':
          text += '\f';
          break;
        case 'u': {  // the writer uses it for control characters only
          if (rest_.size() < 4) return broken();
          const auto code = sys::parse_any_base(fmt::format("0x{}", rest_.substr(0, 4)), 0x7f);
          if (!code) return broken();
          text += static_cast<char>(*code);
          rest_.remove_prefix(4);
          break;
        }
        default:
          text += escaped;
      }
    }
    if (!take('"')) return broken();
    return text;
  }

  std::string_view rest_;
};

}  // namespace

std::string state_text(const State& state) {
  sys::JsonWriter json;
  json.open_object().key("id").string(state.id).key("bundle").string(state.bundle).key("rootfs").string(state.rootfs);
  json.key("ociVersion")
      .string(state.oci_version)
      .key("created")
      .string(state.created)
      .key("owner")
      .string(state.owner);
  json.key("pid").integer(state.pid).key("pidStart").number(state.pid_start).key("ready").number(state.ready ? 1 : 0);
  json.key("group").string(state.group).key("systemdScope").string(state.systemd_scope);
  json.key("bases").open_array();
  for (const Base& base : state.bases) json.string(base.hierarchy).string(base.group);
  json.close_array().key("groupMade").number(state.group_made ? 1 : 0).key("made").open_array();
  for (const Base& made : state.made) json.string(made.hierarchy).string(made.group);
  json.close_array().key("trackingMade").open_array();
  for (const std::string& group : state.tracking_made) json.string(group);
  json.close_array().key("annotations").open_array();
  for (const auto& [key, value] : state.annotations) json.string(key).string(value);
  json.close_array().close_object();
  return json.take() + "\n";
}

Result<State> parse_state(std::string_view text) { return StateReader(text).run(); }

std::string state_json(const State& state, std::string_view status, pid_t pid) {
  sys::JsonWriter json;
  json.open_object().key("ociVersion").string(state.oci_version).key("id").string(state.id);
  json.key("status").string(status);
  if (pid > 0) json.key("pid").integer(pid);
  json.key("bundle").string(state.bundle);
  if (!state.annotations.empty()) {
    json.key("annotations").open_object();
    for (const auto& [key, value] : state.annotations) json.key(key).string(value);
    json.close_object();
  }
  json.close_object();
  return json.take();
}

}  // namespace cgx::container
