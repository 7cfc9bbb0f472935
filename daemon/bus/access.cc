// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/access.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/place.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

namespace cgx::daemon {
namespace {

constexpr std::uint64_t bus_timeout = 5'000'000;  // microseconds, for the bus itself to answer

std::string nearest_above_both(std::string_view a, std::string_view b) {
  const auto holds_b = [&] { return a.empty() || a == b || (b.starts_with(a) && b[a.size()] == '/'); };
  while (!holds_b()) a = parent_of(a);
  return std::string(a);
}

// Whether `user` owns what the process and `group` are inside of, in each cgroup2 hierarchy: there the kernel demands
// the right to write to the nearest group above both (cgroups(7), delegation containment), and cgxd, as root, would
// pass by that.
Result<bool> is_inside(Operations& operations, pid_t pid, const std::string& group, uid_t user) {
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  for (const Place& place : CGX_TRY(places_of(hierarchies, pid)))
    if (place.hierarchy->version() == Version::v2 &&
        !operations.owns(user, nearest_above_both(place.group, group), Operations::Part::itself))
      return false;
  return true;
}

}  // namespace

Result<bool> process_belongs_to(pid_t pid, uid_t user) {
  const auto status = sys::read_path(fmt::format("/proc/{}/status", pid));
  if (!status) return fail(ESRCH, fmt::format("there is no process {}", pid));
  for (const std::string_view line : sys::lines(*status)) {
    if (!line.starts_with("Uid:")) continue;
    for (const std::string_view word : sys::words(line.substr(4)))
      if (sys::parse_u64(word).value_or(0) != user) return false;
    return true;
  }
  return false;
}

Result<> Access::ask(sd_bus_message* call, Need need, Then then) {
  const char* sender = sd_bus_message_get_sender(call);
  if (sender == nullptr) return fail(EACCES, "the call has no sender");
  const auto of_sender = std::ranges::count_if(
      open_, [&](const Question& q) { return std::strcmp(sd_bus_message_get_sender(q.call.get()), sender) == 0; });
  if (open_.size() >= most_waiting || static_cast<std::size_t>(of_sender) >= most_of_sender)
    return fail(EBUSY, "too many calls are waiting for their authorisation");
  Question& q = open_.emplace_back();
  q.access = this;
  q.call.reset(sd_bus_message_ref(call));
  q.need = std::move(need);
  q.then = std::move(then);
  sd_bus* bus = sd_bus_message_get_bus(call);
  sd_bus_message* made = nullptr;
  int r = sd_bus_message_new_method_call(
      bus, &made, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionUnixUser");
  const Message question(made);
  if (r >= 0) r = sd_bus_message_append(question.get(), "s", sender);
  sd_bus_slot* slot = nullptr;
  if (r >= 0) r = sd_bus_call_async(bus, &slot, question.get(), &Access::on_user, &q, bus_timeout);
  if (r < 0) {
    open_.pop_back();
    return fail_errno(-r, "the bus cannot be asked who calls");
  }
  q.slot.reset(slot);
  return {};
}

int Access::on_user(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  Question& q = *static_cast<Question*>(userdata);
  Access& self = *q.access;
  std::uint32_t user = 0;
  if (sd_bus_message_get_error(reply) != nullptr || sd_bus_message_read(reply, "u", &user) < 0) {
    self.answer(q, fail(EACCES, "the bus does not say who calls"));
    return 0;
  }
  q.user = user;
  if (q.need.what == Need::What::nothing || user == 0 || user == geteuid()) {
    self.answer(q, Granted{.user = user});
    return 0;
  }
  if (self.owner_may(q)) {
    self.answer(q, Granted{.user = user, .owner = user});
    return 0;
  }
  if (!self.polkit_ || !self.ask_polkit(q)) self.refuse(q);
  return 0;
}

bool Access::owner_may(Question& q) {
  using Part = Operations::Part;
  const auto owns = [&](Part part) { return operations_->owns(q.user, q.need.group, part); };
  switch (q.need.what) {
    case Need::What::nothing:
      return true;
    case Need::What::all:
      return false;
    case Need::What::make:
    case Need::What::below:
      if (q.need.group.empty() || !owns(Part::itself)) return false;
      if (owns(q.need.what == Need::What::make ? Part::fresh : Part::above)) return true;
      q.why = "is the root of what belongs to the caller: its limits are root's to change";
      return false;
    case Need::What::into: {
      if (q.need.group.empty() || !owns(Part::itself)) return false;
      if (const auto theirs = process_belongs_to(q.need.pid, q.user); !theirs || !*theirs) {
        q.why = theirs ? fmt::format("process {} belongs to another user", q.need.pid) : theirs.error().what;
        return false;
      }
      if (const auto inside = is_inside(*operations_, q.need.pid, q.need.group, q.user); !inside || !*inside) {
        q.why = inside ? fmt::format("process {} is outside of what belongs to the caller", q.need.pid)
                       : inside.error().what;
        return false;
      }
      return true;
    }
  }
  return false;
}

Result<> Access::ask_polkit(Question& q) {
  sd_bus* bus = sd_bus_message_get_bus(q.call.get());
  const bool interactive = sd_bus_message_get_allow_interactive_authorization(q.call.get()) > 0;
  sd_bus_message* made = nullptr;
  int r = sd_bus_message_new_method_call(bus,
                                         &made,
                                         "org.freedesktop.PolicyKit1",
                                         "/org/freedesktop/PolicyKit1/Authority",
                                         "org.freedesktop.PolicyKit1.Authority",
                                         "CheckAuthorization");
  const Message question(made);
  const std::string group(shown(q.need.group));
  if (r >= 0)
    r = sd_bus_message_append(question.get(),
                              "(sa{sv})sa{ss}us",
                              "system-bus-name",
                              1,
                              "name",
                              "s",
                              sd_bus_message_get_sender(q.call.get()),
                              q.need.action,
                              1,
                              "group",
                              utf8(group).c_str(),
                              interactive ? 1U : 0U,
                              "");
  sd_bus_slot* slot = nullptr;
  const std::uint64_t timeout = interactive ? 4 * polkit_timeout_ : polkit_timeout_;
  if (r >= 0) r = sd_bus_call_async(bus, &slot, question.get(), &Access::on_polkit, &q, timeout);
  if (r < 0) return fail_errno(-r, "polkit cannot be asked");
  q.slot.reset(slot);
  return {};
}

int Access::on_polkit(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  Question& q = *static_cast<Question*>(userdata);
  Access& self = *q.access;
  int authorised = 0;
  int challenge = 0;
  if (const sd_bus_error* error = sd_bus_message_get_error(reply)) {
    // Where polkit is not there, it can refuse nothing and grant nothing.
    if (std::strcmp(error->name, "org.freedesktop.DBus.Error.NoReply") == 0 ||
        std::strcmp(error->name, "org.freedesktop.DBus.Error.Timeout") == 0)
      q.why = "polkit did not answer in time";
  } else if (sd_bus_message_read(reply, "(bba{ss})", &authorised, &challenge, 0) < 0 &&
             (sd_bus_message_rewind(reply, 1) < 0 || sd_bus_message_enter_container(reply, 'r', "bba{ss}") < 0 ||
              sd_bus_message_read(reply, "bb", &authorised, &challenge) < 0)) {
    q.why = "polkit's answer is not understood";
    authorised = 0;
  } else if (authorised == 0) {
    q.why = challenge != 0 ? "polkit wants the caller to authenticate, and the call does not allow it to ask"
                           : "polkit does not authorise the caller";
  }
  if (authorised != 0)
    self.answer(q, Granted{.user = q.user});
  else
    self.refuse(q);
  return 0;
}

void Access::refuse(Question& q) {
  Error e{.code = EACCES, .group = q.need.group};
  e.what = q.need.what == Need::What::all ? fmt::format("uid {} may not do this", q.user)
                                          : fmt::format("uid {} may not change this group", q.user);
  if (!q.why.empty()) e.what += ": " + q.why;
  e.hint = q.need.what == Need::What::all
               ? fmt::format("root may, and whom polkit authorises for {}", q.need.action)
               : fmt::format(
                     "root may, the owner of a group (cgx create --owner) below it, and whom polkit authorises for {}",
                     q.need.action);
  answer(q, std::unexpected(std::move(e)));
}

void Access::answer(Question& q, Result<Granted> granted) {
  const Then then = std::move(q.then);
  open_.remove_if([&](const Question& other) { return &other == &q; });
  then(std::move(granted));
}

}  // namespace cgx::daemon
