// SPDX-License-Identifier: Apache-2.0
// cgx doctor: one line a check, `LEVEL  NAME  WHAT  (WHAT TO DO)`. Looks only; changes nothing. Status 1 where a check
// failed.
//
// --json: {"ok": boolean, "layout": "v1"|"v2"|"hybrid"|null,
//          "checks": [{"level": "ok"|"warn"|"fail", "check": string, "what": string, "todo": string|null}]}
#include "doctor.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/json.h"

#include "command.h"

namespace cgx::tool {
namespace {

std::string_view word(Level level) {
  constexpr std::array<std::string_view, 3> words{"ok", "warn", "fail"};
  return words[static_cast<std::size_t>(level)];
}

}  // namespace

void could_not_look(Checks& checks, std::string_view name, const Error& why, Level level) {
  checks.push_back({level,
                    std::string(name),
                    fmt::format("could not look: {}", why.text()),
                    why.code == EMFILE ? "ulimit -n 64" : ""});
}

Result<int> run_doctor(const Call& call) {
  const auto found = Hierarchies::discover();
  const Hierarchies* hierarchies = found ? &*found : nullptr;
  const KernelConfig config;
  Checks checks;
  // ENOENT: there is none, or no /proc.
  const bool looked = found || found.error().code == ENOENT;
  looked ? check_mounts(checks, hierarchies) : could_not_look(checks, "mounts", found.error(), Level::fail);
  // All the rest is read from /proc.
  if (found || access("/proc/self/mountinfo", R_OK) == 0) {
    if (looked) check_controllers(checks, hierarchies, config);
    check_kernel(checks, hierarchies, config);
    check_process(checks, hierarchies);
  }
  const bool failed = std::ranges::any_of(checks, [](const Check& c) { return c.level == Level::fail; });
  if (call.json) {
    sys::JsonWriter json;
    json.open_object().key("ok").boolean(!failed).key("layout");
    hierarchies != nullptr ? json.string(hierarchies->layout()) : json.null();
    json.key("checks").open_array();
    for (const Check& c : checks) {
      json.open_object()
          .key("level")
          .string(word(c.level))
          .key("check")
          .string(c.name)
          .key("what")
          .string(c.what)
          .key("todo");
      c.todo.empty() ? json.null() : json.string(c.todo);
      json.close_object();
    }
    json.close_array().close_object();
    print(json.take() + "\n");
    return failed ? 1 : 0;
  }
  const bool paint = colour();
  constexpr std::array<std::string_view, 3> colours{"\033[32m", "\033[33m", "\033[31m"};
  std::string out;
  for (const Check& c : checks) {
    const std::string level = fmt::format("{:<4}", word(c.level));
    out += paint ? fmt::format("{}{}\033[0m", colours[static_cast<std::size_t>(c.level)], level) : level;
    out += fmt::format("  {:<18}  {}", c.name, c.what);
    out += c.todo.empty() ? "\n" : fmt::format("  ({})\n", c.todo);
  }
  print(out);
  return failed ? 1 : 0;
}

}  // namespace cgx::tool
