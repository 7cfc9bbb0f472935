// SPDX-License-Identifier: Apache-2.0
#include "killer.h"

#include <ctime>

#include <unistd.h>

#include "cgx/container/json_tree.h"
#include "cgx/sys/json.h"

namespace cgx::launcher {
namespace {

constexpr const char* killer_file = "killer.json";
constexpr std::uint64_t killer_is_believed = 60;  // seconds

// No clock that somebody sets: what is kept of a container does not outlive the boot.
std::uint64_t seconds_since_boot() {
  timespec now{};
  (void)clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec);
}

}  // namespace

std::string killer_text(const container::State& state, std::string_view command, std::uint64_t now) {
  sys::JsonWriter json;
  json.open_object().key("pid").integer(state.pid).key("pidStart").number(state.pid_start);
  json.key("noted").number(now).key("command").string(command).close_object();
  return json.take() + "\n";
}

std::string parse_killer(std::string_view text, const container::State& state, std::uint64_t now) {
  using container::json::fill;
  const auto tree = container::json::parse(text);
  if (!tree) return {};
  const container::json::Value top(*tree, 0);
  pid_t pid = 0;
  std::uint64_t start = 0, noted = 0;
  std::string command;
  if (!fill(pid, top["pid"]) || !fill(start, top["pidStart"]) || !fill(noted, top["noted"]) ||
      !fill(command, top["command"]))
    return {};
  const bool is_fresh = noted <= now && now - noted <= killer_is_believed;
  return is_fresh && pid == state.pid && start == state.pid_start ? command : std::string();
}

void note_killer(const container::Store::Entry& entry, const container::State& state, std::string_view command) {
  (void)entry.write_text(killer_file, killer_text(state, command, seconds_since_boot()));
}

void forget_killer(const container::Store::Entry& entry) { (void)unlinkat(entry.directory(), killer_file, 0); }

std::string noted_killer(const container::Store::Entry& entry, const container::State& state) {
  const auto text = entry.read_text(killer_file);
  return text ? parse_killer(*text, state, seconds_since_boot()) : std::string();
}

}  // namespace cgx::launcher
