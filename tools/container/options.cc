// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/container/json_tree.h"
#include "cgx/container/resources.h"
#include "cgx/sys/text.h"

#include "mount_options.h"
#include "tools/bad_flag.h"
#include "tools/groups.h"
#include "tools/isolation.h"
#include "tools/mount_points.h"
#include "tools/signals.h"

namespace cgx::launcher {
namespace {

Result<std::string> capability_word(std::string_view flag, std::string_view text) {
  std::string word;
  for (const char c : text) word += static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  if (word.starts_with("CAP_")) word.erase(0, 4);
  if (word != "ALL" && container::capability_number(word) < 0) return tool::bad_flag(flag, text, "is no capability");
  return word;
}

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// What the files of a container hold, as those read them that look after it; a label is two of a list there.
constexpr std::size_t most_variables = container::json::most_members;
constexpr std::size_t most_labels = container::json::most_members / 2;

std::unexpected<Error> too_many(
    std::string_view flag, std::string_view text, std::size_t count, std::size_t most, std::string_view what) {
  return tool::bad_flag(flag, text, fmt::format("has {} {}, more than {}", count, what, most));
}

class OptionReader {
 public:
  explicit OptionReader(const tool::Call& call) : call_(call) {}

  Result<RunOptions> run() {
    out_.image = call_.words[0];
    out_.command = call_.program;
    out_.dry_run = call_.dry_run;
    // What a flag says itself wins over what stands in a file.
    const auto is_file = [](const std::string& name) { return name == "env-file" || name == "label-file"; };
    for (const bool files : {true, false})
      for (const auto& [name, text] : call_.options)
        if (is_file(name) == files) CGX_CHECK(take(name, text));
    out_.force = call_.on("force");
    out_.limits = CGX_TRY(tool::limits_of(call_));
    for (const tool::LimitFlag& flag : call_.limits)
      out_.limit_texts.emplace_back(flag.knob != nullptr ? "--" + std::string(flag.knob->flag) : flag.file, flag.text);
    return finish();
  }

 private:
  using Take = Result<> (OptionReader::*)(std::string_view flag, const std::string& text);
  struct Row {
    std::string_view name;
    Take take;
  };

  Result<RunOptions> finish() {
    if (out_.remove && out_.restart != Restart::no)
      return tool::bad_flag("restart", restart_text_, "and --rm contradict each other");
    CGX_CHECK(check_destinations());
    if (out_.env.size() > most_variables) return too_many("env", "", out_.env.size(), most_variables, "variables");
    if (out_.labels.size() > most_labels) return too_many("label", "", out_.labels.size(), most_labels, "labels");
    CGX_CHECK(finish_docker_flags(out_));
    return std::move(out_);
  }

  Result<> check_destinations() const {
    std::vector<std::string> all;
    for (const Bind& b : out_.binds) all.push_back(b.destination);
    for (const TmpfsMount& m : out_.tmpfs) all.push_back(m.destination);
    return tool::check_mount_points(all);
  }

  Result<> take(const std::string& name, const std::string& text) {
    static constexpr std::array<std::pair<std::string_view, bool RunOptions::*>, 7> switches{
        {{"detach", &RunOptions::detach},
         {"interactive", &RunOptions::interactive},
         {"tty", &RunOptions::terminal},
         {"rm", &RunOptions::remove},
         {"read-only", &RunOptions::readonly},
         {"no-healthcheck", &RunOptions::no_health_check},
         {"init", &RunOptions::init}}};
    for (const auto& [option, member] : switches)
      if (option == name) return out_.*member = true, Result<>();
    static constexpr std::array<Row, 29> rows{{{"name", &OptionReader::take_name},
                                               {"env", &OptionReader::take_env},
                                               {"env-file", &OptionReader::take_env_file},
                                               {"workdir", &OptionReader::take_workdir},
                                               {"user", &OptionReader::take_user},
                                               {"entrypoint", &OptionReader::take_entrypoint},
                                               {"volume", &OptionReader::take_volume},
                                               {"mount", &OptionReader::take_mount},
                                               {"tmpfs", &OptionReader::take_tmpfs},
                                               {"network", &OptionReader::take_network},
                                               {"cgroup-parent", &OptionReader::take_cgroup_parent},
                                               {"cgroupns", &OptionReader::take_cgroupns},
                                               {"ip", &OptionReader::refuse_network},
                                               {"publish", &OptionReader::refuse_network},
                                               {"publish-all", &OptionReader::refuse_network},
                                               {"hostname", &OptionReader::take_hostname},
                                               {"cap-add", &OptionReader::take_cap_add},
                                               {"cap-drop", &OptionReader::take_cap_drop},
                                               {"security-opt", &OptionReader::take_security},
                                               {"ulimit", &OptionReader::take_ulimit},
                                               {"sysctl", &OptionReader::take_sysctl},
                                               {"shm-size", &OptionReader::take_shm_size},
                                               {"device", &OptionReader::take_device},
                                               {"userns", &OptionReader::take_userns},
                                               {"restart", &OptionReader::take_restart},
                                               {"label", &OptionReader::take_label},
                                               {"stop-signal", &OptionReader::take_stop_signal},
                                               {"stop-timeout", &OptionReader::take_stop_timeout},
                                               {"pull", &OptionReader::take_pull}}};
    for (const Row& row : rows)
      if (row.name == name) return (this->*row.take)(name, text);
    (void)CGX_TRY(take_docker_flag(out_, name, text));
    return {};  // those that every command has, too
  }

  Result<> take_name(std::string_view flag, const std::string& text) {
    if (text.size() > 64 || !Store::check_id(text) || !is_letter_or_digit(text.front()))
      return tool::bad_flag(
          flag, text, "is not a name of 1 to 64 letters, digits, _, +, - and . that begins with a letter or a digit");
    if (container::is_name_of_file(text))
      return tool::bad_flag(flag, text, "is a name that the kernel keeps for its own files in a cgroup");
    out_.name = text;
    return {};
  }
  Result<> take_env(std::string_view flag, const std::string& text) {
    auto variable = located(parse_env(text), "", fmt::format("--{}", flag));
    if (!variable) return std::unexpected(variable.error());
    if (*variable) out_.env.push_back(**std::move(variable));
    return {};
  }
  Result<> take_env_file(std::string_view, const std::string& text) {
    const auto variables = CGX_TRY(read_env_file(text));
    out_.env.insert(out_.env.end(), variables.begin(), variables.end());
    return {};
  }
  Result<> take_workdir(std::string_view flag, const std::string& text) {
    if (!text.starts_with('/')) return tool::bad_flag(flag, text, "does not start with /");
    out_.workdir = text;
    return {};
  }
  Result<> take_user(std::string_view flag, const std::string& text) {
    if (text.empty() || text.starts_with(':') || text.ends_with(':'))
      return tool::bad_flag(flag, text, "is not USER or USER:GROUP");
    out_.user = text;
    return {};
  }
  Result<> take_entrypoint(std::string_view, const std::string& text) { return out_.entrypoint = text, Result<>(); }
  Result<> take_volume(std::string_view flag, const std::string& text) {
    auto bind = parse_volume(text);
    if (!bind) return std::unexpected(located(std::move(bind), "", fmt::format("--{}", flag)).error());
    out_.binds.push_back(std::move(*bind));
    return {};
  }
  Result<> take_mount(std::string_view flag, const std::string& text) {
    return located(parse_mount(text, out_), "", fmt::format("--{}", flag));
  }
  Result<> take_tmpfs(std::string_view flag, const std::string& text) {
    const std::size_t colon = text.find(':');
    TmpfsMount m{.destination = text.substr(0, colon), .options = {"nosuid", "nodev", "noexec", "mode=1777"}};
    if (!m.destination.starts_with('/')) return tool::bad_flag(flag, text, "does not start with /");
    if (colon != std::string::npos) {
      const auto options = sys::split(std::string_view(text).substr(colon + 1), ',');
      if (auto what = contradiction(options, Twice::allowed)) return tool::bad_flag(flag, text, *std::move(what));
      for (const std::string_view option : options)
        if (!option.empty()) m.options.emplace_back(option);
    }
    out_.tmpfs.push_back(std::move(m));
    return {};
  }
  Result<> take_network(std::string_view flag, const std::string& text) {
    if (text == "none" || text == "host") return out_.network = text, Result<>();
    if (text.starts_with("container:") && text.size() > 10) return out_.network = text, Result<>();
    return tool::unsupported_flag(flag, text, "is not supported yet: networks are none, host and container:NAME");
  }
  Result<> refuse_network(std::string_view flag, const std::string& text) {
    return tool::unsupported_flag(flag,
                                  text,
                                  "is not supported yet: there is no network but none, host and container:NAME",
                                  "--network host: what listens on a port listens on the host's");
  }
  Result<> take_cgroup_parent(std::string_view flag, const std::string& text) {
    const auto name = parse_group_name(text);
    if (!name) return tool::bad_flag(flag, text, name.error().what);
    if (name->empty()) return tool::bad_flag(flag, text, "is the root");
    out_.cgroup_parent = *name;
    return {};
  }
  Result<> take_hostname(std::string_view flag, const std::string& text) {
    if (text.empty() || text.size() > 64) return tool::bad_flag(flag, text, "is not of 1 to 64 bytes");
    if (!tool::is_host_word(text)) return tool::bad_flag(flag, text, "has a blank, a control character or a #");
    out_.hostname = text;
    return {};
  }
  Result<> take_cap_add(std::string_view flag, const std::string& text) {
    for (const std::string_view word : sys::split(text, ','))
      out_.cap_add.push_back(CGX_TRY(capability_word(flag, word)));
    return {};
  }
  Result<> take_cap_drop(std::string_view flag, const std::string& text) {
    for (const std::string_view word : sys::split(text, ','))
      out_.cap_drop.push_back(CGX_TRY(capability_word(flag, word)));
    return {};
  }
  Result<> take_security(std::string_view flag, const std::string& text) {
    const std::size_t at = text.find_first_of("=:");
    const std::string_view name = std::string_view(text).substr(0, at);
    const std::string value = at == std::string::npos ? std::string() : text.substr(at + 1);
    if (const auto on = at == std::string::npos ? std::optional(true) : tool::parse_switch(value);
        name == "no-new-privileges" && on)
      return out_.no_new_privileges = *on, Result<>();
    if (value.empty())
      return tool::bad_flag(
          flag, text, "is not seccomp=, apparmor=, label=, systempaths=unconfined or no-new-privileges");
    if (name == "seccomp") return take_seccomp(flag, value);
    if (name == "apparmor") return out_.apparmor = value == "unconfined" ? "" : value, Result<>();
    if (name == "label") return out_.label = value == "disable" ? "" : value, Result<>();
    if (name == "systempaths" && value == "unconfined") return out_.system_paths = false, Result<>();
    return tool::bad_flag(
        flag, text, "is not seccomp=, apparmor=, label=, systempaths=unconfined or no-new-privileges");
  }
  // At once: it may be a descriptor of the caller's (`<(...)` of a shell), which is closed behind this.
  Result<> take_seccomp(std::string_view flag, const std::string& name) {
    out_.seccomp = name;
    out_.seccomp_text.clear();
    if (name == "default" || name == "unconfined") return {};
    auto text = sys::read_path(name);
    if (!text)
      return tool::bad_flag(flag, "seccomp=" + name, fmt::format("cannot be read: {}", errno_text(text.error().code)));
    return out_.seccomp_text = std::move(*text), Result<>();
  }
  Result<> take_ulimit(std::string_view flag, const std::string& text) {
    auto limit = parse_ulimit(text);
    if (!limit) return std::unexpected(located(std::move(limit), "", fmt::format("--{}", flag)).error());
    std::erase_if(out_.rlimits, [&](const container::Rlimit& r) { return r.resource == limit->resource; });
    out_.rlimits.push_back(std::move(*limit));
    return {};
  }
  Result<> take_sysctl(std::string_view flag, const std::string& text) {
    const std::size_t eq = text.find('=');
    if (eq == std::string::npos || eq == 0) return tool::bad_flag(flag, text, "is not NAME=VALUE");
    const std::string name = text.substr(0, eq);
    std::erase_if(out_.sysctls, [&](const auto& before) { return before.first == name; });  // the last one counts
    out_.sysctls.emplace_back(name, text.substr(eq + 1));
    return {};
  }
  Result<> take_shm_size(std::string_view flag, const std::string& text) {
    const auto size = sys::parse_size(text);
    if (!size || *size == 0 || *size == sys::unlimited) return tool::bad_flag(flag, text, "is no size");
    out_.shm_size = *size;
    return {};
  }
  Result<> take_device(std::string_view flag, const std::string& text) {
    auto device = parse_device(text);
    if (!device) return std::unexpected(located(std::move(device), "", fmt::format("--{}", flag)).error());
    out_.devices.push_back(std::move(*device));
    return {};
  }
  Result<> take_userns(std::string_view flag, const std::string& text) {
    if (text != "host" && text != "auto") return tool::bad_flag(flag, text, "is not host or auto");
    out_.userns = text;
    return {};
  }
  Result<> take_cgroupns(std::string_view flag, const std::string& text) {
    if (text != "host" && text != "private") return tool::bad_flag(flag, text, "is not host or private");
    out_.cgroupns = text;
    return {};
  }
  Result<> take_restart(std::string_view, const std::string& text) {
    restart_text_ = text;
    const RestartPolicy policy = CGX_TRY(parse_restart(text));
    out_.restart = policy.restart;
    out_.restart_most = policy.most;
    return {};
  }
  Result<> take_label(std::string_view flag, const std::string& text) {
    const std::size_t eq = text.find('=');
    if (eq == 0 || text.empty()) return tool::bad_flag(flag, text, "is not NAME=VALUE");
    set_label(out_.labels, text);
    return {};
  }
  Result<> take_stop_signal(std::string_view flag, const std::string& text) {
    const auto signal = tool::parse_signal(text);
    if (!signal) return tool::bad_flag(flag, text, "is no signal");
    out_.stop_signal = *signal;
    return {};
  }
  Result<> take_stop_timeout(std::string_view flag, const std::string& text) {
    const auto seconds = sys::parse_i64(text, -1, 86400);
    if (!seconds) return tool::bad_flag(flag, text, "is no number of seconds from -1 to 86400");
    out_.stop_timeout = *seconds;
    return {};
  }
  Result<> take_pull(std::string_view flag, const std::string& text) {
    if (text != "missing" && text != "always" && text != "never")
      return tool::bad_flag(flag, text, "is not missing, always or never");
    return {};
  }

  const tool::Call& call_;
  RunOptions out_;
  std::string restart_text_;
};

}  // namespace

Result<RunOptions> run_options(const tool::Call& call) {
  const tool::Call plain = CGX_TRY(with_docker_limits(call));
  CGX_CHECK(tool::as_typed(check_needed_limits(plain), plain));
  return tool::as_typed(OptionReader(plain).run(), plain);
}

}  // namespace cgx::launcher
