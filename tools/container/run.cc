// SPDX-License-Identifier: Apache-2.0
// run: checks all that can be checked, starts the monitor, and stays in the foreground of the container.
#include <array>
#include <cerrno>
#include <optional>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "check.h"
#include "cid_file.h"
#include "commands.h"
#include "dry_run.h"
#include "making.h"
#include "monitor.h"
#include "relay.h"
#include "rootless.h"

namespace cgx::launcher {
namespace {

Result<std::string> new_hex_id() {
  std::array<unsigned char, 32> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return fail_errno(errno, "getrandom");
  std::string digits;
  for (const unsigned char b : bytes) digits += fmt::format("{:02x}", b);
  return digits;
}

}  // namespace

Result<int> run(const Call& call) {
  MonitorPlan plan;
  plan.options = CGX_TRY(run_options(call));
  close_others();
  plan.run_root = CGX_TRY(run_root());
  plan.data_root = CGX_TRY(data_root());
  if (call.dry_run) return show_run(call, plan.options, plan.data_root);
  const Attached shown = plan.options.attached.value_or(Attached{.in = true, .out = true, .err = true});
  const bool input = plan.options.interactive && shown.in;
  if (!plan.options.detach) CGX_CHECK(check_input(input, plan.options.terminal));
  plan.image = CGX_TRY(open_image(plan.options.image, plan.data_root));
  if (!call.json)
    for (const std::string& what : left_out(plan.options, plan.image))
      fmt::print(stderr, "cgx: run: warning: {}: {}\n", plan.image.name, what);
  (void)CGX_TRY(command_of(plan.options, plan.image));
  (void)CGX_TRY(check_request(plan.options, plan.image));
  plan.hex_id = CGX_TRY(new_hex_id());
  plan.id = plan.options.name.empty() ? plan.hex_id.substr(0, 12) : plan.options.name;
  for (const Bind& bind : plan.options.binds)
    if (bind.relabel && access("/sys/fs/selinux/enforce", F_OK) == 0)
      fmt::print(stderr,
                 "cgx: run: warning: --volume: \"{0}\" keeps its labels of SELinux; chcon -Rt container_file_t {0} "
                 "changes them\n",
                 bind.source);
  std::optional<CidFile> cid;
  if (!plan.options.cidfile.empty()) cid.emplace(CGX_TRY(CidFile::open(plan.options.cidfile, plan.hex_id)));
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return fail_errno(errno, "socketpair");
  const sys::Fd mine(ends[0]);
  sys::Fd theirs(ends[1]);
  plan.client = theirs.get();
  const pid_t monitor = CGX_TRY(start_monitor(plan));
  theirs.reset(-1);
  const auto first = CGX_TRY(receive_packet(mine.get()));
  plan.image.in_use.reset(-1);
  if (!first || first->word != Word::started) {
    while (waitpid(monitor, nullptr, 0) < 0 && errno == EINTR) continue;
    Error error =
        first ? data_error(first->data) : Error{.code = EPIPE, .what = "its monitor was killed before it started"};
    if (!first) error.hint = "cgx gc removes what is left of it";
    if (error.group.empty()) error.group = plan.id;
    return std::unexpected(std::move(error));
  }
  if (cid)
    if (const auto named = cid->publish(); !named)
      fmt::print(stderr, "cgx: run: warning: {}: {}\n", plan.id, named.error().text());
  cid.reset();
  if (plan.options.detach) {
    tool::print(plan.id + "\n");
    return 0;
  }
  Foreground foreground{.socket = mine.get(),
                        .input = input,
                        .terminal = plan.options.terminal,
                        .directory = fmt::format("{}/{}", plan.run_root, plan.id),
                        .shown = fmt::format("run {}", plan.id),
                        .out = shown.out,
                        .err = shown.err,
                        .signals = plan.options.pass_signals};
  if (!plan.options.detach_keys.empty()) foreground.keys = plan.options.detach_keys;
  if (!shown.out && !shown.err) tool::print(plan.id + "\n");  // as Docker: who sees no output gets the name
  const int status = CGX_TRY(located(stay(foreground), plan.id));
  if (status < 0) return 0;  // it was left running
  // It has told of the end and goes now, unless it could not write that down and tries again.
  const sys::Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, monitor, 0)));
  pollfd one{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  (void)poll(&one, 1, 1000);
  return status;
}

}  // namespace cgx::launcher
