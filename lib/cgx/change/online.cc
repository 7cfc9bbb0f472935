// SPDX-License-Identifier: Apache-2.0
#include "cgx/change/online.h"

#include <string>
#include <variant>

#include <fmt/format.h>

namespace cgx {
namespace {

sys::IdSet read_ids(HostList list, std::string_view which) {
  const bool cpus = list == HostList::cpus;
  const auto text = sys::read_path(fmt::format("/sys/devices/system/{}/{}", cpus ? "cpu" : "node", which));
  return sys::IdSet::parse(sys::trim(text ? *text : (cpus ? "" : "0"))).value_or(sys::IdSet());
}

}  // namespace

HostList host_list_of(const Knob& knob) {
  return knob.name.find(".cpus") != std::string_view::npos ? HostList::cpus : HostList::nodes;
}

std::string_view words_of(HostList list) { return list == HostList::cpus ? "CPUs" : "memory nodes"; }

HostIds host_ids(HostList list) { return {.online = read_ids(list, "online"), .possible = read_ids(list, "possible")}; }

const sys::IdSet& allowed_by(Version version, const HostIds& host) {
  return version == Version::v1 ? host.online : host.possible;
}

std::optional<Offline> offline_in(Version version, const sys::IdSet& wanted, const HostIds& host) {
  if (version != Version::v1 || host.online.empty() || !wanted.within(host.possible)) return {};
  Offline found;
  for (const unsigned id : wanted.ids()) (host.online.contains(id) ? found.online : found.ids).add(id);
  return found.ids.empty() ? std::nullopt : std::optional(std::move(found));
}

std::optional<Offline> offline_in(const Limit& limit, const Home& home) {
  if (limit.knob == nullptr || limit.knob->format != Format::list) return {};
  const auto wanted = sys::IdSet::parse(std::get<std::string>(limit.value));
  if (!wanted) return {};
  return offline_in(home.hierarchy->version(), *wanted, host_ids(host_list_of(*limit.knob)));
}

bool leave_out_offline(const Hierarchies& hierarchies, Limit& limit) {
  if (limit.knob == nullptr) return true;
  const auto home = home_of(hierarchies, *limit.knob);
  const auto offline = home ? offline_in(limit, *home) : std::nullopt;
  if (!offline) return true;
  limit.given = offline->online.text();
  limit.value = limit.given;
  return !offline->online.empty();
}

}  // namespace cgx
