// SPDX-License-Identifier: Apache-2.0
// cgx-isolate: what cgx exec becomes in the group where the command is to be contained.
//   cgx-isolate GROUP text|json COUNT [FLAG VALUE]... CMD [ARG...]
// It stays in the group as the command's parent, hands signals on, and ends with the command's status.
#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <optional>
#include <span>

#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/launch.h"
#include "cgx/container/rootfs.h"
#include "cgx/container/seccomp.h"
#include "cgx/sys/json.h"
#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

#include "foreground.h"
#include "isolation.h"
#include "mount_points.h"

namespace cgx::tool {
namespace {

using container::NamespaceType;
using container::Spec;

constexpr std::array<std::pair<std::string_view, NamespaceType>, 8> types{{{"user", NamespaceType::user},
                                                                           {"mnt", NamespaceType::mount},
                                                                           {"pid", NamespaceType::pid},
                                                                           {"net", NamespaceType::network},
                                                                           {"ipc", NamespaceType::ipc},
                                                                           {"uts", NamespaceType::uts},
                                                                           {"cgroup", NamespaceType::cgroup},
                                                                           {"time", NamespaceType::time}}};

Result<std::string> absolute(const std::string& path) {
  std::array<char, PATH_MAX> buffer{};
  if (realpath(path.c_str(), buffer.data()) == nullptr)
    return located(Result<std::string>(fail_errno(errno, "cannot be opened")), "", "--rootfs", path);
  return std::string(buffer.data());
}

std::vector<std::string> environment() {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) all.emplace_back(*entry);
  return all;
}

Result<std::uint64_t> kept_capabilities(const Isolation& wanted) {
  std::uint64_t all = 0;
  for (int i = 0; !container::capability_name(i).empty(); ++i) all |= std::uint64_t{1} << static_cast<unsigned>(i);
  if (wanted.drop_all) return 0;
  for (const std::string& name : wanted.drop) {
    const int number = container::capability_number(name);
    if (number < 0) return located(Result<std::uint64_t>(bad_value(name, "is no capability")), "", "--cap-drop", name);
    all &= ~(std::uint64_t{1} << static_cast<unsigned>(number));
  }
  return all;
}

// The caller's own ids are root's there; of root all ids are what they are.
void map_ids(Spec& spec) {
  if (geteuid() == 0) {
    spec.linux_.uid_mappings = spec.linux_.gid_mappings = {{0, 0, UINT32_MAX}};
  } else {
    spec.linux_.uid_mappings = {{0, geteuid(), 1}};
    spec.linux_.gid_mappings = {{0, getegid(), 1}};
  }
}

void add_mount(Spec& spec, std::string destination, std::string type, std::vector<std::string> options) {
  container::Mount m;
  m.destination = std::move(destination);
  m.source = type;
  m.type = std::move(type);
  m.options = std::move(options);
  spec.mounts.push_back(std::move(m));
}

// What a root file system of one's own needs besides its files.
void add_kernel_mounts(Spec& spec, bool whole) {
  add_mount(spec, "/proc", "proc", {"nosuid", "noexec", "nodev"});
  if (!whole) return;
  add_mount(spec, "/dev", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"});
  add_mount(spec, "/dev/pts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"});
  add_mount(spec, "/dev/shm", "tmpfs", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"});
  add_mount(spec, "/sys", "sysfs", {"nosuid", "noexec", "nodev", "ro"});
}

// A --bind or --tmpfs; a tmpfs has no source.
struct AskedMount {
  std::string_view flag;
  std::string destination, source;
  bool readonly = false;
};

// In the order in which they are made.
std::vector<AskedMount> asked_mounts(const Isolation& wanted) {
  std::vector<AskedMount> all;
  for (const std::string& path : wanted.tmpfs) all.push_back({"--tmpfs", path, {}});
  for (const Isolation::Bind& b : wanted.binds) all.push_back({"--bind", b.destination, b.source, b.readonly});
  std::ranges::stable_sort(all, {}, [](const AskedMount& m) { return mount_depth(m.destination); });
  return all;
}

// What is made where a mount is to go would stay on the host: `/` is the host's own, and so is what a bind shows.
Result<> check_destinations(const Isolation& wanted) {
  if (!wanted.rootfs.empty()) return {};
  const std::vector<AskedMount> all = asked_mounts(wanted);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string path = mount_point(all[i].destination);
    // The last one above it is the deepest, and hides the others.
    std::string on_host = all[i].destination;
    bool in_memory = false;
    for (std::size_t above = 0; above < i; ++above) {
      const std::string top = mount_point(all[above].destination);
      if (!path.starts_with(top + "/")) continue;
      in_memory = all[above].source.empty();
      on_host = all[above].source + path.substr(top.size());
    }
    struct stat st{};
    if (in_memory || stat(on_host.c_str(), &st) == 0) continue;
    Error e = fail_errno(errno, "cannot be mounted on").error();
    e.knob = all[i].flag;
    e.value = all[i].destination;
    if (e.code == ENOENT) e.hint = "without --rootfs no directory is made for it: mkdir -p " + on_host + " first";
    return std::unexpected(std::move(e));
  }
  return {};
}

class Isolate {
 public:
  Isolate(Isolation wanted, std::vector<std::string> command)
      : wanted_(std::move(wanted)), command_(std::move(command)) {}

  Result<int> run() {
    if (!wanted_.has("user") && !container::may_clone_mounts())
      return std::unexpected(Error{.code = EPERM,
                                   .what = "what contains a command takes root, or a user namespace",
                                   .hint = "--ns user, in which you are root"});
    CGX_CHECK(check_destinations(wanted_));
    Spec spec = CGX_TRY(make_spec());
    container::LaunchRequest request;
    request.spec = &spec;
    request.id = fmt::format("exec-{}", getpid());
    request.no_new_keyring = true;
    request.rootfs.make_dev = !wanted_.rootfs.empty();
    if (!wanted_.seccomp.empty()) request.seccomp = CGX_TRY(filter(spec));
    request.foreground_terminal = spec.process->terminal;
    container::Launched launched = CGX_TRY(container::launch(request));
    for (const std::string& warning : launched.warnings)
      (void)!write(STDERR_FILENO, (warning + "\n").data(), warning.size() + 1);
    return wait_in_foreground(launched, {}, HangUp::ends);
  }

 private:
  Result<Spec> make_spec() {
    Spec spec;
    spec.oci_version = "1.2.0";
    spec.root.path = wanted_.rootfs.empty() ? "/" : CGX_TRY(absolute(wanted_.rootfs));
    spec.root.readonly = wanted_.readonly;
    spec.hostname = wanted_.hostname;
    for (const auto& [name, type] : types)
      if (wanted_.has(name)) spec.linux_.namespaces.push_back({type, {}});
    if (wanted_.has("user")) map_ids(spec);
    if (!wanted_.rootfs.empty() || wanted_.has("pid")) add_kernel_mounts(spec, !wanted_.rootfs.empty());
    add_asked_mounts(spec);
    spec.process = CGX_TRY(make_process());
    return spec;
  }

  // They stand in the place of those that every command with a root of its own has.
  void add_asked_mounts(Spec& spec) const {
    const std::vector<AskedMount> asked = asked_mounts(wanted_);
    std::erase_if(spec.mounts, [&](const container::Mount& m) {
      const auto point = [](const AskedMount& a) { return mount_point(a.destination); };
      return std::ranges::find(asked, m.destination, point) != asked.end();
    });
    for (const AskedMount& m : asked) {
      if (m.source.empty()) {
        add_mount(spec, m.destination, "tmpfs", {"nosuid", "nodev"});
      } else {
        add_mount(spec, m.destination, "bind", {"rbind", m.readonly ? "rro" : "rw"});
        spec.mounts.back().source = m.source;
      }
    }
    std::ranges::stable_sort(spec.mounts, {}, [](const container::Mount& m) { return mount_depth(m.destination); });
  }

  Result<container::Process> make_process() const {
    container::Process process;
    process.args = command_;
    process.env = environment();
    process.terminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
    if (wanted_.rootfs.empty()) {
      std::array<char, PATH_MAX> buffer{};
      if (getcwd(buffer.data(), buffer.size()) != nullptr && buffer[0] == '/') process.cwd = buffer.data();
    }
    if (wanted_.user) {
      process.user.uid = wanted_.user->first;
      process.user.gid = wanted_.user->second;
    } else if (!wanted_.has("user")) {
      process.user.uid = geteuid();
      process.user.gid = getegid();
    }
    process.no_new_privileges = wanted_.no_new_privs;
    process.keeps_capabilities = !wanted_.drop_all && wanted_.drop.empty();
    if (!process.keeps_capabilities) {
      const std::uint64_t kept = CGX_TRY(kept_capabilities(wanted_));
      process.capabilities = container::Capabilities{
          .bounding = kept, .effective = kept, .inheritable = 0, .permitted = kept, .ambient = 0, .unknown = {}};
    }
    return process;
  }

  Result<container::SeccompProgram> filter(const Spec& spec) const {
    const std::uint64_t kept = spec.process->capabilities ? spec.process->capabilities->bounding : ~std::uint64_t{0};
    if (wanted_.seccomp == "default") return container::compile_seccomp(container::default_seccomp(kept));
    const std::string text = CGX_TRY(located(sys::read_path(wanted_.seccomp), "", "--seccomp", wanted_.seccomp));
    return container::compile_seccomp(
        CGX_TRY(located(container::read_seccomp(text, kept), "", "--seccomp", wanted_.seccomp)));
  }

  Isolation wanted_;
  std::vector<std::string> command_;
};

int run_main(std::span<char* const> words) {
  const auto count =
      words.size() > 3 ? sys::parse_u64(words[3], 0, 10'000) : Result<std::uint64_t>(fail(EINVAL, "is no count"));
  if (!count || words.size() < 5 + 2 * *count) return 125;
  std::vector<std::pair<std::string, std::string>> flags;
  flags.reserve(*count);
  for (std::size_t i = 0; i < *count; ++i) flags.emplace_back(words[4 + 2 * i], words[5 + 2 * i]);
  const auto rest = words.subspan(4 + 2 * *count);
  auto wanted = parse_isolation(flags);
  std::vector<std::string> command(rest.begin(), rest.end());
  const auto status =
      wanted ? Isolate(*std::move(wanted), std::move(command)).run() : Result<int>(std::unexpected(wanted.error()));
  if (status) return *status;
  Error error = status.error();
  if (error.group.empty()) error.group = words[1];
  (void)report(error, "exec", std::string_view(words[2]) == "json");
  return exec_status(error);
}

}  // namespace
}  // namespace cgx::tool

int main(int argc, char** argv) {
  if (const auto safe = cgx::container::protect_program(argv); !safe) {
    (void)cgx::tool::report(safe.error(), "exec", false);
    return 125;
  }
  cgx::sys::wait_for_children();
  return cgx::tool::run_main({argv, static_cast<std::size_t>(argc)});
}
