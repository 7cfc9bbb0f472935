// SPDX-License-Identifier: Apache-2.0
#include "view.h"

#include <algorithm>
#include <cerrno>
#include <map>

#include <time.h>

#include <fmt/format.h>

#include "death.h"

namespace cgx::launcher {

Result<Known> find_exactly(const std::string& name, Store::How how) {
  auto known = find(name, how);
  // find() takes the beginning of another one's name where this one has gone meanwhile.
  if (known && known->entry.id() != name) return fail(ENOENT, fmt::format("container {} has gone", name));
  return known;
}

Result<> needs_to_run(const Known& known) {
  if (runs(known)) return {};
  return fail(ESRCH, fmt::format("container {} does not run: {}", known.record.id, status_text(known, now_usec())));
}

Result<> needs_group(const Known& known, std::string_view verb) {
  if (!known.state.group.empty()) return {};
  Error e{.code = ENOTSUP,
          .what = fmt::format("container {} has no cgroup, without which there is no {}", known.record.id, verb),
          .hint = "cgx doctor says why none could be made"};
  return std::unexpected(std::move(e));
}

std::string group_of(const Known& known) {
  if (known.state.group.empty() || known.state.bases.empty()) return known.state.group;
  const auto hierarchies = container::hierarchies_of(known.state);
  return hierarchies ? name_from_root(Cgroup(*hierarchies, known.state.group)) : known.state.group;
}

std::int64_t now_usec() {
  timespec now{};
  (void)clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000;
}

void write_optional(sys::JsonWriter& json, std::string_view text) {
  if (text.empty())
    json.null();
  else
    json.string(text);
}

void write_process(sys::JsonWriter& json, const Known& known) {
  json.key("pid");
  if (runs(known))
    json.integer(known.state.pid);
  else
    json.null();
  json.key("exit_status");
  if (!runs(known) && known.ending)
    json.integer(known.ending->status);
  else
    json.null();
}

void write_labels(sys::JsonWriter& json, const Pairs& labels) {
  std::map<std::string_view, std::string_view> last;
  for (const auto& [name, value] : labels) last.insert_or_assign(name, value);
  json.key("labels").open_object();
  for (const auto& [name, value] : last) json.key(name).string(value);
  json.close_object();
}

}  // namespace cgx::launcher
