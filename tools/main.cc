// SPDX-License-Identifier: Apache-2.0
// cgx: finds the command's row, parses, runs, reports.
#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/presence.h"
#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

#include "command.h"
#include "docker_words.h"

namespace cgx::tool {
namespace {

// Before the command starts, `exec` fails with 125 whatever the reason: 1 and 2 would be mistaken for its own status.
int failed(const Error& error, std::string_view command, bool json) {
  const int status = report(error, command, json);
  return command == "exec" || command == "run" || command == "container exec" ? 125 : status;
}

// A file that is opened later must not become standard output: what cgx prints would be written into it. Such a
// descriptor is open, so that nothing else takes the number, but not for its use, and closed again for `exec`'s
// command.
void hold_standard_files() {
  std::array<pollfd, 3> files{pollfd{0, 0, 0}, pollfd{1, 0, 0}, pollfd{2, 0, 0}};
  if (poll(files.data(), files.size(), 0) <= 0) return;
  for (const pollfd& f : files)
    if ((f.revents & POLLNVAL) != 0) (void)open("/dev/null", (f.fd == 0 ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
}

// `cgx container`, and what is none of its commands.
int run_incomplete(std::string_view name,
                   const std::vector<const Command*>& below,
                   std::span<const std::string_view> rest) {
  if (rest.empty() || rest[0] == "--help" || rest[0] == "-h") {
    print(help_text(name, below));
    return rest.empty() ? 2 : 0;
  }
  return report(no_command(std::string(name) + ' ' + std::string(rest[0])), "", false);
}

// Only for these the next step may be to make the group.
constexpr std::array<std::string_view, 3> wants_group{"set", "exec", "move"};

bool is_missing(const std::string& group) {
  const auto hierarchies = Hierarchies::discover();
  return hierarchies && !is_there(Cgroup(*hierarchies, group)).value_or(true);
}

Error hint_at_create(Error error, const Call& call) {
  if (error.code == ENOENT && !error.group.empty() && error.knob.empty() && error.value.empty() &&
      std::ranges::find(wants_group, call.command->name) != wants_group.end() && is_missing(error.group))
    error.hint = fmt::format("cgx create {} makes it; {}", error.group, error.hint);
  return error;
}

int run_main(std::span<const std::string_view> arguments) {
  if (arguments.empty()) {
    print(help_text());
    return 2;
  }
  const std::string_view name = arguments[0];
  if (name == "--version" || name == "-V") {
    print("cgx " CGX_VERSION "\n");
    return 0;
  }
  if (name == "--help" || name == "-h") {
    print(help_text());
    return 0;
  }
  const auto [command, words] = find_command(arguments);
  if (command == nullptr) {
    if (const auto below = commands_below(name); !below.empty())
      return run_incomplete(name, below, arguments.subspan(1));
    return report(no_command(name), "", false);
  }
  const Result<Call> call = parse_call(*command, arguments.subspan(words));
  if (!call) {
    bool json = false;
    for (const std::string_view word : arguments) {
      if (word == "--") break;
      json = json || word == "--json";
    }
    return failed(hint_at_container(call.error(), *command, arguments.subspan(words)), command->name, json);
  }
  if (call->on("help")) {
    print(help_text(*command));
    return 0;
  }
  const Result<int> status = command->run(*call);
  return status ? *status
                : failed(as_typed(hint_at_container(hint_at_create(status.error(), *call), *call), *call),
                         command->name,
                         call->json);
}

}  // namespace
}  // namespace cgx::tool

int main(int argc, char** argv) {
  cgx::sys::wait_for_children();
  cgx::tool::hold_standard_files();
  std::vector<std::string_view> arguments;
  for (int i = 1; i < argc; ++i) arguments.emplace_back(argv[i]);
  return cgx::tool::run_main(arguments);
}
