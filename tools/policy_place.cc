// SPDX-License-Identifier: Apache-2.0
#include "policy_place.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <filesystem>

#include <fcntl.h>
#include <unistd.h>

#include "cgx/cgroupfs/place.h"
#include "cgx/policy/users.h"
#include "cgx/policy/yaml.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

#include "command.h"

namespace cgx::tool {
namespace {

constexpr const char* default_policies = "/etc/cgx/policies.d";
constexpr std::size_t most_comm = 15;     // TASK_COMM_LEN without its NUL
constexpr int most_interpreters = 5;      // fs/exec.c, exec_binprm()
constexpr std::size_t script_head = 256;  // BINPRM_BUF_SIZE

// As execvp(3) finds it; empty where it does not.
std::string found(const std::string& program) {
  if (program.find('/') != std::string::npos) return program;
  const char* path = std::getenv("PATH");
  for (const std::string_view dir : sys::split(path != nullptr ? path : "/bin:/usr/bin", ':')) {
    const std::string whole = (dir.empty() ? std::string() : std::string(dir) + '/') + program;
    if (access(whole.c_str(), X_OK) == 0 && !std::filesystem::is_directory(whole)) return whole;
  }
  return {};
}

std::string first_line(const std::string& path) {
  const auto file = sys::open_path(path, O_RDONLY | O_NONBLOCK);
  std::array<char, script_head> head{};
  const ssize_t n = file ? read(file->get(), head.data(), head.size()) : -1;
  const std::string_view text(head.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  return std::string(text.substr(0, text.find('\n')));
}

// What /proc/PID/exe and /proc/PID/comm will show. A script is run by its interpreter, under its own name; one that
// names none by sh, which execvp(3) then executes by the name of sh.
struct Executed {
  std::string exe;
  std::string comm;
};
Executed executed(std::string path) {
  std::string comm = path.substr(path.rfind('/') + 1);
  for (int i = 0; i < most_interpreters; ++i) {
    const std::string line = first_line(path);
    if (line.starts_with("\x7f"
                         "ELF") ||
        line.empty())
      break;
    const auto words = sys::words(line.starts_with("#!") ? std::string_view(line).substr(2) : std::string_view());
    if (words.empty()) comm = "sh";
    path = words.empty() ? "/bin/sh" : std::string(words[0]);
  }
  std::array<char, PATH_MAX> whole{};
  const bool there = realpath(path.c_str(), whole.data()) != nullptr;
  return {.exe = there ? std::string(whole.data()) : std::string(), .comm = comm.substr(0, most_comm)};
}

class FutureProcess final : public policy::Facts {
 public:
  FutureProcess(const std::string& program, const std::vector<Place>& places) {
    if (const std::string path = found(program); !path.empty()) program_ = executed(path);
    groups_.resize(static_cast<std::size_t>(std::max(getgroups(0, nullptr), 0)));
    groups_.resize(static_cast<std::size_t>(std::max(getgroups(static_cast<int>(groups_.size()), groups_.data()), 0)));
    for (const Place& place : places) cgroups_.push_back(place.group);
  }
  [[nodiscard]] pid_t pid() const override { return getppid(); }
  [[nodiscard]] uid_t uid() const override { return getuid(); }
  [[nodiscard]] gid_t gid() const override { return getgid(); }
  [[nodiscard]] bool in_group(gid_t gid) const override {
    return gid == getgid() || std::ranges::find(groups_, gid) != groups_.end();
  }
  [[nodiscard]] std::string_view comm() const override { return program_.comm; }
  [[nodiscard]] std::string_view exe() const override { return program_.exe; }
  [[nodiscard]] std::span<const std::string> cgroups() const override {
    asked_ = true;
    return cgroups_;
  }
  // Whether some rule depends on the groups.
  [[nodiscard]] bool was_asked_for_cgroups() const { return asked_; }

 private:
  Executed program_;
  std::vector<gid_t> groups_;
  std::vector<std::string> cgroups_;
  mutable bool asked_ = false;
};

}  // namespace

Result<std::string> place(std::span<const std::string> paths, const std::string& program) {
  std::vector<std::string> all(paths.begin(), paths.end());
  if (all.empty() && access(default_policies, F_OK) == 0) all.emplace_back(default_policies);
  if (all.empty()) return std::string();
  const policy::Loaded loaded = policy::load(all);
  if (!loaded.ok()) {
    Error e{.code = EINVAL, .hint = "cgx check tells all that is wrong with the policies", .fault = Fault::usage};
    const auto first = std::ranges::find(loaded.problems, false, &policy::Problem::warning);
    e.what = first->text();
    return std::unexpected(std::move(e));
  }
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const FutureProcess process(program, CGX_TRY(places_of(hierarchies, 0)));
  policy::HostNames names;
  const policy::Rule* rule = policy::first_match(loaded.policies.rules, process, names);
  if (process.was_asked_for_cgroups() && !CGX_TRY(unnamed_of(hierarchies, 0)).empty())
    return located(Result<std::string>(std::unexpected(cannot_be_named(program))), "", "--by-rules");
  if (rule == nullptr || rule->target.empty()) return std::string();
  return CGX_TRY(policy::expand(rule->target, process, names)) + "\n";
}

int run_place(std::span<char* const> words) {
  std::vector<std::string> paths;
  std::size_t at = 0;
  for (; at + 1 < words.size() && std::string_view(words[at]) == "--policy"; at += 2) paths.emplace_back(words[at + 1]);
  if (at + 2 != words.size() || std::string_view(words[at]) != "--")
    return report(
        {.code = EINVAL, .what = "place [--policy PATH]... -- PROGRAM", .fault = Fault::usage}, "place", false);
  const auto group = place(paths, words[at + 1]);
  if (!group) return report(group.error(), "place", false);
  print(*group);
  return 0;
}

}  // namespace cgx::tool
