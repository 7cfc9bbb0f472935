// SPDX-License-Identifier: Apache-2.0
// Flags of docker's `run` that have no likeness in the rest of cgx, as values of RunOptions.
#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include <arpa/inet.h>
#include <sys/utsname.h>

#include <fmt/format.h>

#include "cgx/container/json_tree.h"
#include "cgx/sys/text.h"

#include "options.h"
#include "relay.h"
#include "tools/bad_flag.h"
#include "tools/isolation.h"

namespace cgx::launcher {
namespace {

constexpr std::uint64_t most_log_bytes = 1ULL << 40U;

Result<> take_attach(RunOptions& o, std::string_view flag, const std::string& text) {
  std::string name;
  for (const char c : text) name += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  if (!o.attached) o.attached.emplace();
  if (name == "stdin")
    o.attached->in = true;
  else if (name == "stdout")
    o.attached->out = true;
  else if (name == "stderr")
    o.attached->err = true;
  else
    return tool::bad_flag(flag, text, "is not stdin, stdout or stderr");
  return {};
}

Result<> take_detach_keys(RunOptions& o, std::string_view flag, const std::string& text) {
  auto keys = parse_detach_keys(text);
  if (!keys) return tool::bad_flag(flag, text, keys.error().what);
  o.detach_keys = std::move(*keys);
  return {};
}

Result<> take_sig_proxy(RunOptions& o, std::string_view, const std::string& text) {
  o.pass_signals = text != "false";
  return {};
}

Result<> take_content_trust(RunOptions&, std::string_view flag, const std::string& text) {
  if (text != "false") return {};
  return tool::unsupported_flag(
      flag, text, "is not supported: images are directories, which carry no signatures", "leave it out");
}

bool is_address(const std::string& text) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return inet_pton(AF_INET, text.c_str(), bytes.data()) == 1 || inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1;
}

Result<> take_add_host(RunOptions& o, std::string_view flag, const std::string& text) {
  const std::size_t at = text.find_first_of(":=");
  const std::string name = text.substr(0, at);
  std::string address = at == std::string::npos ? std::string() : text.substr(at + 1);
  if (address == "host-gateway")
    return tool::unsupported_flag(flag,
                                  text,
                                  "is not supported: there is no network between a container and the host",
                                  "--network host, where the host is localhost");
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  if (!tool::is_host_word(name) || !is_address(address)) return tool::bad_flag(flag, text, "is not HOST:ADDRESS");
  o.hosts.emplace_back(name, address);
  return {};
}

Result<> take_dns(RunOptions& o, std::string_view flag, const std::string& text) {
  if (!is_address(text)) return tool::bad_flag(flag, text, "is no address");
  o.dns.push_back(text);
  return {};
}

Result<> take_dns_word(RunOptions& o, std::string_view flag, const std::string& text) {
  if (!tool::is_host_word(text)) return tool::bad_flag(flag, text, "is not a word of /etc/resolv.conf");
  (flag == "dns-search" ? o.dns_search : o.dns_options).push_back(text);
  return {};
}

Result<> take_domainname(RunOptions& o, std::string_view flag, const std::string& text) {
  if (!tool::is_host_word(text) || text.size() > 64)
    return tool::bad_flag(flag, text, "is not a name of 1 to 64 bytes");
  o.domainname = text;
  return {};
}

Result<> take_group_add(RunOptions& o, std::string_view flag, const std::string& text) {
  if (text.empty()) return tool::bad_flag(flag, text, "is no group");
  o.group_add.push_back(text);
  return {};
}

Result<> take_oom_score_adj(RunOptions& o, std::string_view flag, const std::string& text) {
  const auto score = sys::parse_i64(text, -1000, 1000);
  if (!score) return tool::bad_flag(flag, text, "is no number from -1000 to 1000");
  o.oom_score_adj = static_cast<int>(*score);
  return {};
}

Result<> take_label_file(RunOptions& o, std::string_view flag, const std::string& text) {
  const auto file = sys::read_path(text);
  if (!file) return tool::bad_flag(flag, text, fmt::format("cannot be read: {}", errno_text(file.error().code)));
  int number = 0;
  for (std::string_view line : sys::lines(*file)) {
    ++number;
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    if (line.front() == '=')
      return tool::bad_flag(flag, text, fmt::format("line {}: \"{}\" is not NAME=VALUE", number, line));
    set_label(o.labels, line);
    // A label is two members of a list of the record.
    if (constexpr std::size_t most = container::json::most_members / 2; o.labels.size() > most)
      return tool::bad_flag(flag, text, fmt::format("has more than {} labels", most));
  }
  return {};
}

Result<> take_device_rule(RunOptions& o, std::string_view flag, const std::string& text) {
  const auto wrong_rule = [&] { return tool::bad_flag(flag, text, "is not TYPE MAJOR:MINOR ACCESS", "'c 189:* rmw'"); };
  const auto words = sys::words(text);
  if (words.size() != 3 || words[0].size() != 1 || std::string_view("abc").find(words[0][0]) == std::string_view::npos)
    return wrong_rule();
  const std::size_t colon = words[1].find(':');
  if (colon == std::string_view::npos || words[2].size() > 3 ||
      words[2].find_first_not_of("rwm") != std::string_view::npos)
    return wrong_rule();
  DeviceRuleText rule{.type = words[0][0], .major = {}, .minor = {}, .access = std::string(words[2])};
  const auto take = [](std::optional<std::uint64_t>& to, std::string_view number) {
    if (number == "*") return true;
    const auto n = sys::parse_u64(number, 0, 0xfffff);
    if (n) to = *n;
    return n.has_value();
  };
  if (!take(rule.major, words[1].substr(0, colon)) || !take(rule.minor, words[1].substr(colon + 1)))
    return wrong_rule();
  o.device_rules.push_back(std::move(rule));
  return {};
}

// No port of a container is published, so this is a note.
Result<> take_expose(RunOptions&, std::string_view flag, const std::string& text) {
  static constexpr std::array<std::string_view, 3> protocols{"tcp", "udp", "sctp"};
  const std::size_t slash = text.find('/');
  const std::string_view ports = std::string_view(text).substr(0, slash);
  const bool known = slash == std::string::npos ||
                     std::ranges::find(protocols, std::string_view(text).substr(slash + 1)) != protocols.end();
  const std::size_t dash = ports.find('-');
  const auto first = sys::parse_u64(ports.substr(0, dash), 1, 65535);
  const auto last = dash == std::string_view::npos ? first : sys::parse_u64(ports.substr(dash + 1), 1, 65535);
  if (!known || !first || !last || *last < *first)
    return tool::bad_flag(flag, text, "is not PORT[-PORT][/tcp|udp|sctp]");
  return {};
}

Result<> take_platform(RunOptions&, std::string_view flag, const std::string& text) {
  struct Machine {
    std::string_view name, word;
  };
  static constexpr std::array machines{Machine{"x86_64", "amd64"},
                                       Machine{"i686", "386"},
                                       Machine{"aarch64", "arm64"},
                                       Machine{"armv7l", "arm"},
                                       Machine{"armv6l", "arm"},
                                       Machine{"loongarch64", "loong64"}};
  utsname host{};
  if (uname(&host) != 0) return fail_errno(errno, "uname");
  const auto* machine = std::ranges::find(machines, std::string_view(host.machine), &Machine::name);
  const std::string_view own = machine != machines.end() ? machine->word : std::string_view(host.machine);
  auto parts = sys::split(text, '/');
  if (parts.front() == "linux") parts.erase(parts.begin());
  if (parts.size() <= 2 && (parts.empty() || parts[0] == own || parts[0] == std::string_view(host.machine))) return {};
  return tool::unsupported_flag(
      flag, text, "is not supported: a container runs on the processor of the host", fmt::format("linux/{}", own));
}

Result<> take_privileged(RunOptions& o, std::string_view, const std::string&) {
  o.privileged = true;
  return {};
}

Result<> take_cidfile(RunOptions& o, std::string_view flag, const std::string& text) {
  if (text.empty()) return tool::bad_flag(flag, text, "is no path");
  o.cidfile = text;
  return {};
}

// Docker's own words; private is podman's for what is so without the flag.
Result<> take_shared(RunOptions& o, std::string_view flag, const std::string& text) {
  static constexpr std::string_view other = "container:";
  std::string& mode = flag == "pid" ? o.pid : o.uts;
  if (text != "private" && text != "host" && (!text.starts_with(other) || text.size() == other.size()))
    return tool::bad_flag(flag, text, "is not private, host or container:NAME");
  mode = text;
  return {};
}

Result<> take_ipc(RunOptions& o, std::string_view flag, const std::string& text) {
  if (text.starts_with("container:"))
    return tool::unsupported_flag(
        flag,
        text,
        "is not supported: the /dev/shm of a container is in its mounts, which others cannot have",
        "--ipc host for both, or -v DIR:/dev/shm");
  if (text != "private" && text != "shareable" && text != "host" && text != "none")
    return tool::bad_flag(flag, text, "is not private, host or none");
  o.ipc = text == "shareable" ? "private" : text;
  return {};
}

// The log has the same form whatever it is called.
Result<> take_log_driver(RunOptions& o, std::string_view flag, const std::string& text) {
  if (text != "json-file" && text != "local" && text != "none")
    return tool::unsupported_flag(flag,
                                  text,
                                  "is not supported: the log is in two files, which cgx container logs reads",
                                  "--log-driver json-file or none; cgx container logs -f NAME | PROGRAM hands it on");
  o.log_size = text == "none" ? 0 : RunOptions().log_size;
  return {};
}

Result<> take_log_opt(RunOptions& o, std::string_view flag, const std::string& text) {
  const std::size_t eq = text.find('=');
  const std::string_view name = std::string_view(text).substr(0, eq);
  const std::string_view value = eq == std::string::npos ? std::string_view() : std::string_view(text).substr(eq + 1);
  if (name == "max-size") {
    const auto size = sys::parse_size(value);
    if (!size || *size == 0 || (*size > most_log_bytes && *size != sys::unlimited))
      return tool::bad_flag(flag, text, "has no size up to 1 TiB");
    o.log_max_size = *size == sys::unlimited ? most_log_bytes : *size;
  } else if (name == "max-file") {
    const auto files = sys::parse_u64(value, 1, 1000);
    if (!files) return tool::bad_flag(flag, text, "has no number from 1 to 1000");
    o.log_max_file = *files;
  } else if (text != "mode=blocking") {
    return tool::unsupported_flag(
        flag, text, "is not supported: the log has max-size, max-file and mode=blocking", "leave it out");
  }
  return {};
}

struct FlagRow {
  std::string_view name;
  Result<> (*take)(RunOptions& into, std::string_view flag, const std::string& text);
};
constexpr std::array flag_rows{FlagRow{"add-host", take_add_host},
                               FlagRow{"attach", take_attach},
                               FlagRow{"cidfile", take_cidfile},
                               FlagRow{"detach-keys", take_detach_keys},
                               FlagRow{"device-cgroup-rule", take_device_rule},
                               FlagRow{"disable-content-trust", take_content_trust},
                               FlagRow{"dns", take_dns},
                               FlagRow{"dns-option", take_dns_word},
                               FlagRow{"dns-search", take_dns_word},
                               FlagRow{"domainname", take_domainname},
                               FlagRow{"expose", take_expose},
                               FlagRow{"group-add", take_group_add},
                               FlagRow{"ipc", take_ipc},
                               FlagRow{"label-file", take_label_file},
                               FlagRow{"log-driver", take_log_driver},
                               FlagRow{"log-opt", take_log_opt},
                               FlagRow{"oom-score-adj", take_oom_score_adj},
                               FlagRow{"pid", take_shared},
                               FlagRow{"platform", take_platform},
                               FlagRow{"privileged", take_privileged},
                               FlagRow{"sig-proxy", take_sig_proxy},
                               FlagRow{"uts", take_shared}};

}  // namespace

Result<bool> take_docker_flag(RunOptions& into, std::string_view flag, const std::string& text) {
  const auto* row = std::ranges::find(flag_rows, flag, &FlagRow::name);
  if (row == flag_rows.end()) return false;
  CGX_CHECK(row->take(into, flag, text));
  return true;
}

Result<> finish_docker_flags(RunOptions& o) {
  if (o.attached && o.detach) return tool::bad_flag("attach", "", "contradicts --detach");
  for (const auto& [flag, text] : {std::pair("hostname", &o.hostname), {"domainname", &o.domainname}})
    if (o.uts != "private" && !text->empty())
      return tool::bad_flag(flag, *text, fmt::format("and --uts {} contradict each other", o.uts));
  if (o.log_max_file && !o.log_max_size) return tool::bad_flag("log-opt", "max-file", "needs max-size");
  // The same bound of all files together, in the two that the log has.
  if (o.log_max_size && o.log_size != 0)
    o.log_size = std::max<std::uint64_t>(*o.log_max_size * o.log_max_file.value_or(1) / 2, 1);
  if (!o.privileged) return {};
  // As Docker has it, but that --cap-drop and a profile that is named still count.
  o.cap_add.emplace_back("ALL");
  if (o.seccomp == "default") o.seccomp = "unconfined";
  o.system_paths = false;
  return {};
}

}  // namespace cgx::launcher
