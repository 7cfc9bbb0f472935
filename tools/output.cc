// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstdlib>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/harmless.h"
#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

#include "command.h"

namespace cgx::tool {
namespace {

// 0, or the errno of the write that failed.
int write_whole(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return 0;
}

std::string json_error(const Error& e, std::string_view command) {
  sys::JsonWriter json;
  json.open_object().key("error").open_object();
  json.key("command").string(command).key("group").string(e.group).key("knob").string(e.knob).key("value").string(
      e.value);
  json.key("message").string(e.what).key("hint").string(e.hint).key("errno").number(static_cast<std::uint64_t>(e.code));
  json.close_object().close_object();
  return json.take() + "\n";
}

}  // namespace

void print(std::string_view text) {
  const int code = write_whole(STDOUT_FILENO, text);
  if (code == 0) return;
  // Nobody reads any more (`| head`): the status alone says it.
  if (code != EPIPE) (void)write_whole(STDERR_FILENO, fmt::format("cgx: standard output: {}\n", errno_text(code)));
  _exit(1);
}

void print_steps(const Call& call, std::string_view lines) {
  if (!call.json) return print(isatty(STDOUT_FILENO) == 1 ? sys::harmless_lines(lines) : std::string(lines));
  sys::JsonWriter json;
  json.open_object().key("steps").open_array();
  for (const std::string_view line : sys::lines(lines)) json.string(line);
  json.close_array().close_object();
  print(json.take() + "\n");
}

bool colour() {
  // Asked once a command, before it prints.
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0') &&
         (term == nullptr || std::string_view(term) != "dumb");
}

int report(const Error& error, std::string_view command, bool json) {
  std::string text;
  if (json) {
    text = json_error(error, command);
  } else {
    // `cgx: create child: cpuset.cpus: "9" is outside the online CPUs 0-1`
    std::string line = command.empty() ? "cgx: " : fmt::format("cgx: {}{}", command, error.group.empty() ? ": " : " ");
    line += error.text();
    text = sys::harmless(line) + "\n";  // one line, whatever was given
    if (!error.hint.empty()) text += "hint: " + sys::harmless(error.hint) + "\n";
  }
  (void)write_whole(STDERR_FILENO, text);  // the status tells it where stderr does not
  return error.fault == Fault::usage ? 2 : 1;
}

int exec_status(const Error& error) {
  if (error.fault != Fault::program) return 125;
  return error.code == ENOENT ? 127 : 126;
}

}  // namespace cgx::tool
