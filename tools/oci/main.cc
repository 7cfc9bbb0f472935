// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <vector>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/launch.h"
#include "cgx/sys/process.h"

#include "oci.h"
#include "tools/own_limits.h"

namespace cgx::oci {
namespace {

// A descriptor of 0 to 2 that is closed would be the next file that is opened, which a container then gets.
void fill_standard_descriptors() {
  for (int fd = open("/dev/null", O_RDWR | O_CLOEXEC); fd >= 0; fd = open("/dev/null", O_RDWR | O_CLOEXEC)) {
    if (fd > STDERR_FILENO) {
      (void)close(fd);
      return;
    }
    (void)fcntl(fd, F_SETFD, 0);
  }
}

int failed(const Invocation& call, const Log& log, const Error& error) {
  std::string text = error.text();
  if (call.command != nullptr && error.fault != Fault::usage) text.insert(0, call.command->prefix);
  if (!error.hint.empty()) text += fmt::format(" ({})", error.hint);
  log.error(text);
  return call.command != nullptr && error.fault != Fault::usage ? call.command->failure : 1;
}

int run_main(std::span<const std::string_view> words, std::string_view program, char** argv) {
  Parsed parsed = parse(words, program);
  Invocation& call = parsed.invocation;
  Log log;
  call.log = &log;
  if (auto opened =
          log.open(call.global("log"), call.global("log-format"), call.global("log-level"), call.global_on("debug"));
      !opened)
    return failed(call, log, opened.error());
  if (!parsed.outcome) {
    if (call.command != nullptr) print(fmt::format("Incorrect Usage.\n\n{}", help_text(call)));
    (void)failed(call, log, parsed.outcome.error());
    return parsed.unknown_command ? 3 : 1;
  }
  if (call.command == nullptr && call.global_on("version")) {
    print(fmt::format("{} version {}\nspec: 1.3.0\n", call.program, CGX_VERSION));
    return 0;
  }
  if (call.help && !(call.command != nullptr && call.command->fn == &run_unsupported)) {
    print(help_text(call));
    return 0;
  }
  if (call.command->protects) {
    if (auto safe = container::protect_program(argv); !safe) return failed(call, log, safe.error());
    tool::raise_descriptor_limit();
    call.limits_before = tool::limits_before();
  }
  if (log.debugs())
    log.debug(fmt::format("{}{}{} begins, root {}, process {}",
                          call.command->name,
                          call.words.empty() ? "" : " ",
                          call.words.empty() ? "" : call.words[0],
                          call.root(),
                          getpid()));
  const Result<int> status = call.command->fn(call);
  if (log.debugs() && status) log.debug(fmt::format("{} ends with status {}", call.command->name, *status));
  return status ? *status : failed(call, log, status.error());
}

}  // namespace
}  // namespace cgx::oci

int main(int argc, char** argv) {
  cgx::sys::wait_for_children();
  cgx::container::recall_program(argv);
  cgx::oci::fill_standard_descriptors();
  (void)signal(SIGPIPE, SIG_DFL);
  cgx::tool::ignore_file_limit_signal();
  const std::span<char* const> all(argv, static_cast<std::size_t>(argc));
  std::vector<std::string_view> words;
  for (const char* word : all.subspan(all.empty() ? 0 : 1)) words.emplace_back(word);
  return cgx::oci::run_main(words, all.empty() ? "cgx-oci" : all[0], argv);
}
