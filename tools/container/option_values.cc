// SPDX-License-Identifier: Apache-2.0
// Values of the flags of `cgx run` that have a form of their own.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include <sys/resource.h>

#include <fmt/format.h>

#include "cgx/container/json_tree.h"
#include "cgx/sys/text.h"

#include "mount_options.h"
#include "options.h"
#include "tools/bad_flag.h"
#include "tools/mount_points.h"

namespace cgx::launcher {
namespace {

struct UlimitName {
  std::string_view name;
  int resource;
};
constexpr std::array<UlimitName, 16> ulimit_names{{{"core", RLIMIT_CORE},
                                                   {"cpu", RLIMIT_CPU},
                                                   {"data", RLIMIT_DATA},
                                                   {"fsize", RLIMIT_FSIZE},
                                                   {"locks", RLIMIT_LOCKS},
                                                   {"memlock", RLIMIT_MEMLOCK},
                                                   {"msgqueue", RLIMIT_MSGQUEUE},
                                                   {"nice", RLIMIT_NICE},
                                                   {"nofile", RLIMIT_NOFILE},
                                                   {"nproc", RLIMIT_NPROC},
                                                   {"rss", RLIMIT_RSS},
                                                   {"rtprio", RLIMIT_RTPRIO},
                                                   {"rttime", RLIMIT_RTTIME},
                                                   {"sigpending", RLIMIT_SIGPENDING},
                                                   {"stack", RLIMIT_STACK},
                                                   {"as", RLIMIT_AS}}};

// Of the caller, as a shell would have it; a path that does not begin so stays as it is.
std::string host_path(std::string_view text) {
  if (text == "~" || text.starts_with("~/")) {
    const char* home = std::getenv("HOME");
    if (home != nullptr && *home == '/') return home + std::string(text.substr(1));
  }
  if (text != "." && text != ".." && !text.starts_with("./") && !text.starts_with("../")) return std::string(text);
  std::error_code error;
  const auto here = std::filesystem::current_path(error);
  return error ? std::string(text) : tool::mount_point((here / text).string());
}

// The fields of a line of CSV, which --mount has: quotes hold commas, and two of them are one.
std::vector<std::string> csv_fields(std::string_view text) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"' && quoted && i + 1 < text.size() && text[i + 1] == '"')
      fields.back() += text[++i];
    else if (text[i] == '"' && (quoted || fields.back().empty()))
      quoted = !quoted;
    else if (text[i] == ',' && !quoted)
      fields.emplace_back();
    else
      fields.back() += text[i];
  }
  return fields;
}

constexpr std::array<std::string_view, 6> propagations{"private", "rprivate", "shared", "rshared", "slave", "rslave"};

// The keys of --mount.
struct MountKey {
  std::string_view name;
  std::string_view type;  // empty: of every type
  bool is_switch = false;
  std::string_view means = name;  // another name of it
};
constexpr std::array mount_keys{MountKey{"type", ""},
                                MountKey{"src", ""},
                                MountKey{"source", "", false, "src"},
                                MountKey{"dst", ""},
                                MountKey{"destination", "", false, "dst"},
                                MountKey{"target", "", false, "dst"},
                                MountKey{"ro", "", true},
                                MountKey{"readonly", "", true, "ro"},
                                MountKey{"consistency", ""},
                                MountKey{"bind-nonrecursive", "bind", true},
                                MountKey{"bind-propagation", "bind"},
                                MountKey{"tmpfs-size", "tmpfs"},
                                MountKey{"tmpfs-mode", "tmpfs"}};

std::unexpected<Error> bad_mount(std::string_view text, std::string what) { return bad_value(text, std::move(what)); }

}  // namespace

Result<std::optional<std::string>> parse_env(std::string_view text) {
  const std::size_t eq = text.find('=');
  if (text.empty() || eq == 0 || text.find('\0') != std::string_view::npos)
    return bad_value(text, "is not NAME=VALUE or NAME");
  if (eq != std::string_view::npos) return std::string(text);
  const char* value = std::getenv(std::string(text).c_str());
  if (value == nullptr) return std::optional<std::string>();
  return fmt::format("{}={}", text, value);
}

Result<std::vector<std::string>> parse_env_file(std::string_view text) {
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf", blanks = " \t\v\f";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  std::vector<std::string> variables;
  int number = 0;
  for (std::string_view line : sys::lines(text)) {
    ++number;
    line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    // As Docker and Podman have it: nobody means a variable with the name `export X`.
    const std::string_view name = line.substr(0, line.find('='));
    if (name.find_first_of(blanks) != std::string_view::npos) {
      Error e = bad_value(name, "is not the name of a variable: it has a blank").error();
      e.what = fmt::format("line {}: {}", number, e.text());
      e.value.clear();
      e.hint = "a line is NAME=VALUE or NAME: no shell reads it";
      return std::unexpected(std::move(e));
    }
    auto variable = parse_env(line);
    if (!variable) return fail(EINVAL, fmt::format("line {}: {}", number, variable.error().text()));
    if (*variable) variables.push_back(**std::move(variable));
  }
  return variables;
}

Result<std::vector<std::string>> read_env_file(const std::string& path) {
  constexpr std::string_view flag = "env-file";
  const auto file = sys::read_path(path);
  if (!file) return tool::bad_flag(flag, path, fmt::format("cannot be read: {}", errno_text(file.error().code)));
  auto variables = parse_env_file(*file);
  if (!variables) return tool::bad_flag(flag, path, variables.error().text(), variables.error().hint);
  if (constexpr std::size_t most = container::json::most_members; variables->size() > most)
    return tool::bad_flag(flag, path, fmt::format("has {} variables, more than {}", variables->size(), most));
  return variables;
}

Result<RestartPolicy> parse_restart(const std::string& text) {
  RestartPolicy policy;
  std::string_view word = text;
  const auto wrong = [&] {
    return tool::bad_flag("restart", text, "is not no, on-failure[:N], always or unless-stopped");
  };
  if (const std::size_t colon = text.find(':'); colon != std::string::npos) {
    word = std::string_view(text).substr(0, colon);
    const auto most = sys::parse_u64(std::string_view(text).substr(colon + 1), 1, 1'000'000'000);
    if (word != "on-failure" || !most) return wrong();
    policy.most = *most;
  }
  for (const Restart r : {Restart::no, Restart::on_failure, Restart::always, Restart::unless_stopped})
    if (restart_word(r) == word) return policy.restart = r, policy;
  return wrong();
}

Result<Bind> parse_volume(std::string_view text) {
  const auto parts = sys::split(text, ':');
  if (parts.size() == 1 && text.starts_with('/')) {
    Error e = bad_value(text, "is a volume without a name, which is not supported yet").error();
    e.hint = "-v /path/of/the/host:/path";
    return std::unexpected(std::move(e));
  }
  if (parts.size() < 2 || parts.size() > 3 || parts[0].empty() || !parts[1].starts_with('/'))
    return bad_mount(text, "is not SRC:DST or SRC:DST:OPTIONS with absolute paths");
  const std::string source = host_path(parts[0]);
  if (!source.starts_with('/')) {
    Error e = bad_value(text, "is a volume by name, which is not supported yet").error();
    e.hint = fmt::format("for a directory: -v $PWD/{}:{}", parts[0], parts[1]);
    return std::unexpected(std::move(e));
  }
  Bind bind{.source = source, .destination = std::string(parts[1]), .options = {"rbind"}, .make_source = true};
  bool propagation = false;
  static constexpr std::array<std::string_view, 4> plain{"ro", "rw", "rro", "idmap"};
  // Of docker's on other systems, or of volumes by name: there is nothing for them to do.
  static constexpr std::array<std::string_view, 4> idle{"cached", "consistent", "delegated", "nocopy"};
  if (parts.size() == 3) {
    const auto options = sys::split(parts[2], ',');
    for (const std::string_view option : options) {
      if (std::ranges::find(idle, option) != idle.end()) continue;
      if (option == "z" || option == "Z") {
        bind.relabel = true;
        continue;
      }
      if (std::ranges::find(propagations, option) != propagations.end())
        propagation = true;
      else if (std::ranges::find(plain, option) == plain.end() && !option.starts_with("idmap="))
        return bad_mount(
            text, fmt::format("has the option \"{}\", which is none of ro, rw, rro, idmap and propagation", option));
      bind.options.emplace_back(option == "ro" ? "rro" : option);
    }
    if (auto what = contradiction(options, Twice::refused)) return bad_mount(text, *std::move(what));
  }
  if (!propagation) bind.options.emplace_back("rprivate");
  return bind;
}

Result<> parse_mount(std::string_view text, RunOptions& into) {
  std::string type = "volume", source, destination, propagation = "rprivate", size, mode;
  bool readonly = false, plain = false;
  std::string_view of_bind, of_tmpfs;  // a key that is about this type alone
  struct Said {
    std::string_view key;
    std::string value, field;
  };
  std::vector<Said> all;
  for (const std::string& field : csv_fields(text)) {
    const std::string_view part = field;
    const std::size_t eq = part.find('=');
    const std::string key(part.substr(0, eq));
    const std::string value(eq == std::string_view::npos ? std::string_view() : part.substr(eq + 1));
    const auto row = std::ranges::find(mount_keys, std::string_view(key), &MountKey::name);
    if (row == mount_keys.end()) return bad_mount(text, fmt::format("has the key \"{}\", which is not known", key));
    if (row->type == "bind") of_bind = row->name;
    if (row->type == "tmpfs") of_tmpfs = row->name;
    Said said{.key = row->means, .value = value, .field = field};
    if (row->is_switch) {
      const auto on = eq == std::string_view::npos ? std::optional(true) : tool::parse_switch(value);
      if (!on) return bad_mount(text, fmt::format("has \"{}\", which is neither true nor false", field));
      (key == "bind-nonrecursive" ? plain : readonly) = *on;
      said.value = *on ? "true" : "false";
    }
    const auto before = std::ranges::find(all, said.key, &Said::key);
    if (before == all.end())
      all.push_back(std::move(said));
    else if (before->value != said.value)
      return bad_mount(text, fmt::format("has \"{}\" and \"{}\", which contradict each other", before->field, field));
    if (key == "type")
      type = value;
    else if (key == "src" || key == "source")
      source = value;
    else if (key == "dst" || key == "destination" || key == "target")
      destination = value;
    else if (key == "bind-propagation")
      propagation = value;
    else if (key == "tmpfs-size")
      size = value;
    else if (key == "tmpfs-mode")
      mode = value;
  }
  if (!destination.starts_with('/')) return bad_mount(text, "has no dst=/PATH");
  if (const std::string_view other = type == "bind" ? of_tmpfs : type == "tmpfs" ? of_bind : ""; !other.empty())
    return bad_mount(text, fmt::format("has the key \"{}\", which is not for type={}", other, type));
  if (std::ranges::find(propagations, propagation) == propagations.end())
    return bad_mount(text, fmt::format("has the propagation \"{}\", which is not known", propagation));
  if (type == "tmpfs") {
    if (mode.find_first_not_of("01234567") != std::string::npos || mode.size() > 5)
      return bad_mount(text, "has a tmpfs-mode that is no octal number");
    TmpfsMount m{.destination = destination,
                 .options = {"nosuid", "nodev", "noexec", "mode=" + (mode.empty() ? "1777" : mode)}};
    if (!size.empty()) {
      const auto bytes = sys::parse_size(size);
      if (!bytes) return bad_mount(text, "has a tmpfs-size that is no size");
      m.options.push_back(fmt::format("size={}", *bytes));
    }
    if (readonly) m.options.emplace_back("ro");
    into.tmpfs.push_back(std::move(m));
    return {};
  }
  if (type == "volume") {
    Error e = bad_mount(text, "is a volume, which is not supported yet").error();
    e.hint = "type=bind,src=/path/of/the/host,dst=" + destination;
    return std::unexpected(std::move(e));
  }
  if (type != "bind") return bad_mount(text, fmt::format("has the type \"{}\", which is none of bind and tmpfs", type));
  source = host_path(source);
  if (!source.starts_with('/')) return bad_mount(text, "has no src=/PATH");
  into.binds.push_back({.source = source,
                        .destination = destination,
                        .options = {plain ? "bind" : "rbind", readonly ? "rro" : "rw", propagation}});
  return {};
}

void set_label(Pairs& labels, std::string_view text) {
  const std::size_t eq = text.find('=');
  const std::string_view name = text.substr(0, eq);
  std::erase_if(labels, [&](const auto& label) { return label.first == name; });
  labels.emplace_back(name, eq == std::string_view::npos ? std::string_view() : text.substr(eq + 1));
}

Result<DevicePath> parse_device(std::string_view text) {
  const auto parts = sys::split(text, ':');
  DevicePath d{.source = std::string(parts[0]), .destination = {}, .access = "rwm"};
  if (!d.source.starts_with('/') && text.find('/') != std::string_view::npos &&
      text.find('=') != std::string_view::npos) {
    Error e = bad_value(text, "is a device of CDI, which is not supported").error();
    e.hint = "--device /dev/NODE gives a device, -v DIR:PATH the libraries of its driver";
    return std::unexpected(std::move(e));
  }
  if (!d.source.starts_with('/') || parts.size() > 3)
    return bad_mount(text, "is not SRC[:DST[:rwm]] with absolute paths");
  const auto access = [](std::string_view word) {
    return !word.empty() && word.find_first_not_of("rwm") == std::string_view::npos;
  };
  d.destination = d.source;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (i == 1 && parts[i].starts_with('/'))
      d.destination = parts[i];
    else if (i == parts.size() - 1 && access(parts[i]))
      d.access = parts[i];
    else
      return bad_mount(text, "is not SRC[:DST[:rwm]] with absolute paths");
  }
  return d;
}

Result<container::Rlimit> parse_ulimit(std::string_view text) {
  const std::size_t eq = text.find('=');
  const auto name = std::ranges::find(ulimit_names, text.substr(0, eq), &UlimitName::name);
  if (eq == std::string_view::npos || name == ulimit_names.end())
    return bad_mount(text, "is not NAME=SOFT[:HARD] with a name like nofile, nproc or core");
  const auto number = [](std::string_view word) -> Result<std::uint64_t> {
    if (word == "-1" || word == "unlimited") return sys::unlimited;
    return sys::parse_u64(word);
  };
  const auto [soft, hard] = [&] {
    const std::string_view values = text.substr(eq + 1);
    const std::size_t colon = values.find(':');
    return std::pair(values.substr(0, colon), colon == std::string_view::npos ? values : values.substr(colon + 1));
  }();
  const auto low = number(soft), high = number(hard);
  if (!low || !high) return bad_mount(text, "is not NAME=SOFT[:HARD] with numbers");
  if (*low > *high) return bad_mount(text, "has a soft limit above the hard one");
  std::string type = "RLIMIT_";
  for (const char c : name->name) type += static_cast<char>(c - 'a' + 'A');
  return container::Rlimit{.resource = name->resource, .type = std::move(type), .soft = *low, .hard = *high};
}

}  // namespace cgx::launcher
