// SPDX-License-Identifier: Apache-2.0
// container prune. --json: {"removed": ["web", ...]}
#include <algorithm>
#include <cerrno>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/count.h"

#include "commands.h"
#include "filters.h"
#include "remove.h"
#include "view.h"

namespace cgx::launcher {
namespace {

// Asks on standard error: what is printed are names.
bool agreed(std::size_t count) {
  const std::string question =
      fmt::format("Remove {} ended? [y/N] ", sys::counted(count, "container that has", "containers that have"));
  if (write(STDERR_FILENO, question.data(), question.size()) < 0) return false;
  std::string answer;
  for (char c = 0; answer.size() < 16;) {
    const ssize_t n = read(STDIN_FILENO, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 || c == '\n') break;
    answer += c;
  }
  return answer == "y" || answer == "Y" || answer == "yes";
}

// false: it has gone meanwhile, or was started again.
Result<bool> prune_one(const std::string& name) {
  auto known = find_exactly(name, Store::How::change);
  if (!known && known.error().code == ENOENT) return false;
  if (!known) return std::unexpected(std::move(known).error());
  if (goes_on(*known)) return false;
  CGX_CHECK(remove_container(std::move(*known)));
  return true;
}

}  // namespace

Result<int> prune(const Call& call) {
  const Filters filters = CGX_TRY(Filters::parse(call, prune_filters));
  std::vector<std::string> names;
  const Listing listing = CGX_TRY(list_containers());
  for (const Known& known : listing.containers)
    if (!goes_on(known) && filters.accept(known)) names.push_back(known.record.id);
  if (!names.empty() && !call.on("force") && isatty(STDIN_FILENO) == 1 && !agreed(names.size())) names.clear();
  int status = 0;
  for (const Error& e : listing.damaged) status = std::max(status, tool::report(e, call.command->name, call.json));
  std::vector<std::string> removed;
  for (const std::string& name : names) {
    const auto done = prune_one(name);
    if (!done) {
      status = std::max(status, tool::report(done.error(), call.command->name, call.json));
      continue;
    }
    if (!*done) continue;
    removed.push_back(name);
    if (!call.json) tool::print(name + "\n");
  }
  if (call.json) {
    sys::JsonWriter json;
    json.open_object().key("removed").open_array();
    for (const std::string& name : removed) json.string(name);
    tool::print(json.close_array().close_object().take() + "\n");
  }
  return status;
}

}  // namespace cgx::launcher
