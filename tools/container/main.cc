// SPDX-License-Identifier: Apache-2.0
// cgx-container COMMAND ARGS...: what cgx becomes for run, container and gc.
#include <cerrno>
#include <cstdlib>
#include <span>

#include <signal.h>
#include <unistd.h>

#include "cgx/container/launch.h"
#include "cgx/sys/process.h"

#include "commands.h"
#include "rootless.h"
#include "tools/own_limits.h"

namespace cgx::launcher {
namespace {

struct Row {
  std::string_view name;
  Result<int> (*fn)(const Call&);
  bool starts = false;  // programs of containers: is to be safe from being written to by them
  bool makes = false;   // files with other owners than the caller: without root, in a user namespace
  bool reads = false;   // files that its words name, /dev/fd/N among them: it closes the caller's descriptors itself
};
constexpr Row rows[] = {
    {"run", run, true, true, true},
    {"container ls", ls},
    {"container inspect", inspect},
    {"container stop", stop},
    {"container kill", kill},
    {"container rm", rm},
    {"container pause", pause},
    {"container unpause", unpause},
    {"container wait", wait},
    {"container exec", exec, true, false, true},
    {"container attach", attach},
    {"container logs", logs},
    {"container top", top},
    {"container stats", stats},
    {"container update", update},
    {"container prune", prune, false, true},
    {"gc", gc, false, true},
};

int failed(const Error& error, std::string_view command, bool json) {
  const int status = tool::report(error, command, json);
  return command == "run" || command == "container exec" ? tool::exec_status(error) : status;
}

int run_main(std::span<const std::string_view> words, char** argv) {
  if (words.empty()) return 2;
  const Row* row = nullptr;
  for (const Row& r : rows)
    if (r.name == words[0]) row = &r;
  const tool::Command* command = tool::find_command(words[0]);
  if (row == nullptr || command == nullptr) return 2;
  if (!row->reads) close_others();
  const auto call = tool::parse_call(*command, words.subspan(1));
  if (!call) return failed(call.error(), command->name, false);
  if (row->starts && !call->dry_run) {
    if (auto safe = container::protect_program(argv); !safe) return failed(safe.error(), command->name, call->json);
  }
  if (row->starts) tool::raise_descriptor_limit();
  if (row->makes && !call->dry_run)
    if (auto entered = enter_own_namespace(); !entered) return failed(entered.error(), command->name, call->json);
  const auto status = row->fn(*call);
  return status ? *status : failed(tool::as_typed(status.error(), *call), command->name, call->json);
}

}  // namespace

void close_others() { (void)close_range(STDERR_FILENO + 1, ~0U, 0); }

}  // namespace cgx::launcher

int main(int argc, char** argv) {
  cgx::sys::wait_for_children();
  cgx::container::recall_program(argv);
  (void)signal(SIGPIPE, SIG_IGN);
  cgx::tool::ignore_file_limit_signal();
  std::vector<std::string_view> words;
  for (int i = 1; i < argc; ++i) words.emplace_back(argv[i]);
  return cgx::launcher::run_main(words, argv);
}
