// SPDX-License-Identifier: Apache-2.0
#include "container_support.h"

#include <array>
#include <cstdlib>
#include <filesystem>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cgx::test {
namespace {

constexpr std::array commands{"sh",       "cat",      "ls",  "id",   "true", "false", "sleep", "echo",
                              "hostname", "readlink", "tty", "stat", "grep", "uname", "env",   "touch",
                              "ip",       "head",     "wc",  "kill", "stty", "ps"};

Ended finished(Result<container::Launched> launched, Streams& streams) {
  streams.restore();
  Ended ended;
  if (!launched) {
    ended.error = launched.error().text();
    ended.code = launched.error().code;
    ended.output = streams.text();
    return ended;
  }
  (void)waitpid(launched->pid, &ended.status, 0);
  ended.output = streams.text();
  ended.warnings = launched->warnings;
  return ended;
}

}  // namespace

BusyboxRoot::BusyboxRoot() : path_(dir_.path() + "/root") {
  namespace fs = std::filesystem;
  std::error_code code;
  for (const char* dir : {"root", "root/bin", "root/proc", "root/sys", "root/dev", "root/tmp", "root/etc"})
    dir_.dir(dir);
  found_ = fs::copy_file("/bin/busybox", path_ + "/bin/busybox", code);
  for (const char* name : commands) dir_.link(std::string("root/bin/") + name, "busybox");
}

container::Spec spec_for(const std::string& root, const std::string& command) {
  using container::NamespaceType;
  container::Spec spec;
  spec.oci_version = "1.2.0";
  spec.root.path = root;
  spec.hostname = "inside";
  container::Process& process = spec.process.emplace();
  process.args = {"sh", "-c", command};
  process.env = {"PATH=/bin"};
  process.no_new_privileges = true;
  container::Capabilities& caps = process.capabilities.emplace();
  caps.bounding = caps.effective = caps.permitted =
      1U << 29U | 1U << 5U | 1U << 10U;  // audit_write, kill, net_bind_service
  for (const auto type : {NamespaceType::pid,
                          NamespaceType::network,
                          NamespaceType::ipc,
                          NamespaceType::uts,
                          NamespaceType::mount,
                          NamespaceType::cgroup})
    spec.linux_.namespaces.push_back({type, {}});
  const auto mount = [&](const char* to, const char* type, const char* source, std::vector<std::string> options) {
    container::Mount m;
    m.destination = to;
    m.type = type;
    m.source = source;
    m.options = std::move(options);
    spec.mounts.push_back(std::move(m));
  };
  mount("/proc", "proc", "proc", {});
  mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"});
  mount("/dev/pts", "devpts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"});
  mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"});
  return spec;
}

container::LaunchRequest request_for(const container::Spec& spec) {
  container::LaunchRequest request;
  request.spec = &spec;
  request.id = unique_name();
  request.state_json = [](std::string_view status, pid_t pid) {
    return "{\"status\":\"" + std::string(status) + "\",\"pid\":" + std::to_string(pid) + "}";
  };
  return request;
}

Streams::Streams()
    : file_(memfd_create("streams", MFD_CLOEXEC)),
      in_(fcntl(0, F_DUPFD_CLOEXEC, 10)),
      out_(fcntl(1, F_DUPFD_CLOEXEC, 10)),
      err_(fcntl(2, F_DUPFD_CLOEXEC, 10)) {
  (void)fcntl(file_.get(), F_SETFL, O_APPEND);
  const sys::Fd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  (void)dup2(null.get(), 0);
  (void)dup2(file_.get(), 1);
  (void)dup2(file_.get(), 2);
}

void Streams::restore() {
  if (!in_.valid()) return;
  (void)dup2(in_.get(), 0);
  (void)dup2(out_.get(), 1);
  (void)dup2(err_.get(), 2);
  in_.reset(-1);
  out_.reset(-1);
  err_.reset(-1);
}

std::string Streams::text() const {
  (void)lseek(file_.get(), 0, SEEK_SET);
  return sys::read_all(file_.get()).value_or("");
}

Ended run(container::LaunchRequest& request) {
  Streams streams;
  return finished(container::launch(request), streams);
}

Ended run(const container::Spec& spec) {
  container::LaunchRequest request = request_for(spec);
  return run(request);
}

Ended enter(container::EnterRequest& request) {
  Streams streams;
  return finished(container::enter(request), streams);
}

std::string field(const std::string& text, const std::string& key) {
  const std::string start = key + ":";
  std::size_t at = text.starts_with(start) ? 0 : text.find("\n" + start);
  if (at == std::string::npos) return "<none>";
  if (text[at] == '\n') ++at;
  at += start.size();
  std::string value = text.substr(at, text.find('\n', at) - at);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.erase(0, 1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.pop_back();
  return value;
}

bool has_children() {
  siginfo_t info{};
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

}  // namespace cgx::test
