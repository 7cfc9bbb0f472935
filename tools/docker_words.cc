// SPDX-License-Identifier: Apache-2.0
#include "docker_words.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/sys/program.h"

namespace cgx::tool {
namespace {

constexpr std::string_view image_hint =
    "cgx run takes dir:DIR and oci:DIR[:TAG], as skopeo, umoci and podman save --format oci-dir write them";
constexpr std::string_view again_hint = "cgx run starts a new one; with --restart it is started again when it ends";
constexpr std::string_view files_hint = "cgx run -v DIR:PATH shares a directory with the container";
constexpr std::string_view network_hint = "cgx run --network takes none, host and container:NAME";

// clang-format off
constexpr std::array words{
    DockerWord{"attach", false, "cgx container attach"},
    DockerWord{"build", true, image_hint},
    DockerWord{"checkpoint", true, "cgx container pause stops its processes for a while"},
    DockerWord{"commit", true, image_hint},
    DockerWord{"cp", true, files_hint},
    DockerWord{"create", true, "cgx run -d makes a container and starts it"},
    DockerWord{"diff", true, files_hint},
    DockerWord{"export", true, files_hint},
    DockerWord{"history", true, image_hint},
    DockerWord{"image", true, image_hint},
    DockerWord{"images", true, image_hint},
    DockerWord{"info", false, "cgx doctor"},
    DockerWord{"inspect", false, "cgx container inspect"},
    DockerWord{"list", false, "cgx container ls"},
    DockerWord{"load", true, image_hint},
    DockerWord{"login", true, image_hint},
    DockerWord{"logout", true, image_hint},
    DockerWord{"logs", false, "cgx container logs"},
    DockerWord{"network", true, network_hint},
    DockerWord{"pause", false, "cgx container pause"},
    DockerWord{"port", true, network_hint},
    DockerWord{"prune", false, "cgx container prune"},
    DockerWord{"ps", false, "cgx container ls"},
    DockerWord{"pull", true, image_hint},
    DockerWord{"push", true, image_hint},
    DockerWord{"rename", true, "cgx run --name names a container when it is made"},
    DockerWord{"restart", true, again_hint},
    DockerWord{"restore", true, again_hint},
    DockerWord{"rmi", true, image_hint},
    DockerWord{"save", true, image_hint},
    DockerWord{"search", true, image_hint},
    DockerWord{"start", true, again_hint},
    DockerWord{"stats", false, "cgx container stats"},
    DockerWord{"stop", false, "cgx container stop"},
    DockerWord{"system", false, "cgx gc"},
    DockerWord{"tag", true, image_hint},
    DockerWord{"unpause", false, "cgx container unpause"},
    DockerWord{"update", false, "cgx container update"},
    DockerWord{"version", false, "cgx --version"},
    DockerWord{"volume", true, files_hint},
    DockerWord{"wait", false, "cgx container wait"},
};

// The one that has its place elsewhere here.
constexpr DockerWord container_run{"container run", false, "cgx run"};

// Commands of groups, and those of containers that do the like.
struct Pair {
  std::string_view group, container;
};
constexpr std::array pairs{
    Pair{"delete", "rm"},   Pair{"events", "inspect"}, Pair{"exec", "exec"}, Pair{"freeze", "pause"},
    Pair{"get", "inspect"}, Pair{"kill", "kill"},      Pair{"procs", "top"}, Pair{"set", "update"},
    Pair{"stat", "stats"},  Pair{"thaw", "unpause"},   Pair{"top", "top"},
};
// clang-format on

// By cgx-container, which alone knows where the records are and what an id is. Only after a failure.
bool is_container(const std::string& name) {
  const auto program = sys::helper_path("cgx-container");
  const std::array<std::string, 2> arguments{"container inspect", name};
  return program && sys::run_program(*program, arguments, -1);
}

std::string hint_at(const Pair& pair, std::string_view name) {
  return fmt::format("cgx container {} {} is the command of the container", pair.container, name);
}

bool is_group(std::string_view name) {
  const auto group = parse_group_name(name);
  const auto hierarchies = Hierarchies::discover();
  if (!group || !hierarchies) return false;
  return std::ranges::any_of(hierarchies->all(),
                             [&](const Hierarchy& h) { return access(h.path(*group).c_str(), F_OK) == 0; });
}

}  // namespace

std::span<const DockerWord> docker_words() { return words; }

const DockerWord* find_docker_word(std::string_view name) {
  if (name == container_run.name) return &container_run;
  constexpr std::string_view below = "container ";
  if (name.starts_with(below)) name.remove_prefix(below.size());
  const auto* found = std::ranges::find(words, name, &DockerWord::name);
  return found != words.end() ? found : nullptr;
}

Error hint_at_container(Error error, const Call& call) {
  const auto* pair = std::ranges::find(pairs, call.command->name, &Pair::group);
  if (pair == pairs.end() || error.code != ENOENT || !error.knob.empty()) return error;
  const auto named = std::ranges::find(call.words, error.group);
  if (error.group.empty() || named == call.words.end() || named->starts_with('-') || !is_container(*named))
    return error;
  error.hint = hint_at(*pair, *named);
  return error;
}

Error hint_at_container(Error error, const Command& command, std::span<const std::string_view> arguments) {
  const auto* pair = std::ranges::find(pairs, command.name, &Pair::group);
  if (pair == pairs.end() || error.code != EINVAL) return error;
  // Which word is the name cannot be told behind flags that are not known: the first words are tried.
  std::size_t tries = 4;
  for (const std::string_view word : arguments) {
    if (word == "--" || tries == 0) break;
    if (word.empty() || word.starts_with('-')) continue;
    --tries;
    if (is_group(word)) break;
    if (!is_container(std::string(word))) continue;
    error.hint = hint_at(*pair, word);
    break;
  }
  return error;
}

}  // namespace cgx::tool
