// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/methods.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include <fcntl.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/hierarchy.h"

#include "daemon/bus/bus.h"

namespace cgx::daemon {
namespace {

// What a method takes, in this order.
enum Takes : unsigned { group = 1, limits = 2, pid = 4, signal = 8, text = 16, count = 32 };

constexpr const char* manage = "org.cgx.Manager1.manage-groups";
constexpr const char* policies = "org.cgx.Manager1.manage-policies";

constexpr std::uint32_t most_history = 1000;

}  // namespace

struct Methods::Request {
  std::string group;
  LimitTexts limits;
  pid_t pid = 0;
  int signal = 0;
  std::size_t count = 0;
  sys::Fd fd;
  std::string text;
  uid_t owner = static_cast<uid_t>(-1);
};

struct Methods::Row {
  using Run = Result<> (*)(Operations&, const Request&, sd_bus_message* reply);
  std::string_view member;
  unsigned takes;
  Need::What need;
  const char* action;
  Run run;
};

namespace {

// What appends to a reply fails only where memory is short.
Result<> appended(int r) {
  if (r < 0) return fail_errno(-r, "the answer");
  return {};
}

Result<> append_texts_of(const Result<std::vector<std::string>>& texts, sd_bus_message* reply) {
  if (!texts) return std::unexpected(texts.error());
  return appended(append_texts(reply, *texts));
}

Result<> append_history(Operations& operations, std::size_t most, sd_bus_message* reply) {
  int r = sd_bus_message_open_container(reply, 'a', "a{sv}");
  for (const Decision& d : operations.history(most))
    if (r >= 0) r = append_answers(reply, describe(d));
  return appended(r < 0 ? r : sd_bus_message_close_container(reply));
}

}  // namespace

const Methods::Row* Methods::find(std::string_view member) {
  using What = Need::What;
  using R = const Request&;
  // clang-format off
  static constexpr std::array rows{
      Row{"ListGroups", 0, What::nothing, nullptr,
          [](Operations& o, R, sd_bus_message* m) { return append_texts_of(o.list_groups(), m); }},
      Row{"GetGroup", group, What::nothing, nullptr,
          [](Operations& o, R r, sd_bus_message* m) -> Result<> { return appended(append_answers(m, CGX_TRY(o.get_group(r.group)))); }},
      Row{"CreateGroup", group | limits, What::make, manage,
          [](Operations& o, R r, sd_bus_message*) { return o.create_group(r.group, r.limits, r.owner); }},
      Row{"SetLimits", group | limits, What::below, manage,
          [](Operations& o, R r, sd_bus_message*) { return o.set_limits(r.group, r.limits, r.owner); }},
      Row{"DeleteGroup", group, What::below, manage,
          [](Operations& o, R r, sd_bus_message*) { return o.delete_group(r.group); }},
      Row{"AttachProcess", group | pid, What::into, manage,
          [](Operations& o, R r, sd_bus_message*) { return o.attach_process(r.group, r.pid); }},
      Row{"Freeze", group, What::below, manage,
          [](Operations& o, R r, sd_bus_message*) { return o.freeze(r.group); }},
      Row{"Thaw", group, What::below, manage,
          [](Operations& o, R r, sd_bus_message*) { return o.thaw(r.group); }},
      Row{"Kill", group | signal, What::below, manage,
          [](Operations& o, R r, sd_bus_message* m) -> Result<> {
            return appended(sd_bus_message_append(m, "t", CGX_TRY(o.kill(r.group, r.signal)))); }},
      Row{"Apply", text, What::all, policies,
          [](Operations& o, R r, sd_bus_message* m) { return append_texts_of(o.apply(r.text), m); }},
      Row{"Plan", text, What::nothing, nullptr,
          [](Operations& o, R r, sd_bus_message* m) { return append_texts_of(o.plan(r.text), m); }},
      Row{"Reload", 0, What::all, policies,
          [](Operations& o, R, sd_bus_message*) { return o.reload(); }},
      Row{"History", count, What::nothing, nullptr,
          [](Operations& o, R r, sd_bus_message* m) { return append_history(o, r.count, m); }},
      Row{"Explain", group, What::nothing, nullptr,
          [](Operations& o, R r, sd_bus_message* m) { return append_texts_of(o.explain(r.group), m); }},
      Row{"Status", 0, What::nothing, nullptr,
          [](Operations& o, R, sd_bus_message* m) { return appended(append_answers(m, o.status())); }},
  };
  // clang-format on
  for (const Row& row : rows)
    if (row.member == member) return &row;
  return nullptr;
}

const sd_bus_vtable* Methods::table() {
  // sd-bus would let none but root call a method that is not marked "unprivileged"; access.h decides instead.
  constexpr std::uint64_t open = SD_BUS_VTABLE_UNPRIVILEGED;
  // clang-format off
  static const sd_bus_vtable rows[] = {
      SD_BUS_VTABLE_START(0),
      SD_BUS_METHOD_WITH_NAMES("ListGroups", "", "", "as", SD_BUS_PARAM(groups), &Methods::on_call, open),
      SD_BUS_METHOD_WITH_NAMES("GetGroup", "s", SD_BUS_PARAM(group), "a{sv}", SD_BUS_PARAM(values), &Methods::on_call, open),
      SD_BUS_METHOD_WITH_NAMES("CreateGroup", "sa{sv}", SD_BUS_PARAM(group) SD_BUS_PARAM(limits), "", "", &Methods::on_call, open),
      SD_BUS_METHOD_WITH_NAMES("SetLimits", "sa{sv}", SD_BUS_PARAM(group) SD_BUS_PARAM(limits), "", "", &Methods::on_call, open),
      SD_BUS_METHOD_WITH_NAMES("DeleteGroup", "s", SD_BUS_PARAM(group), "", "", &Methods::on_call, open),
      SD_BUS_METHOD_WITH_NAMES("AttachProcess", "su", SD_BUS_PARAM(group) SD_BUS_PARAM(pid), "", "", &Methods::on_call, open),
      SD_BUS_METHOD_WITH_NAMES("Freeze", "s", SD_BUS_PARAM(group), "", "", &Methods::on_call, open),
      SD_BUS_METHOD_WITH_NAMES("Thaw", "s", SD_BUS_PARAM(group), "", "", &Methods::on_call, open),
      SD_BUS_METHOD_WITH_NAMES("Kill", "si", SD_BUS_PARAM(group) SD_BUS_PARAM(signal), "t", SD_BUS_PARAM(processes), &Methods::on_call, open),
      SD_BUS_METHOD_WITH_NAMES("Apply", "h", SD_BUS_PARAM(policy), "as", SD_BUS_PARAM(changes), &Methods::on_call, open),
      SD_BUS_METHOD_WITH_NAMES("Plan", "h", SD_BUS_PARAM(policy), "as", SD_BUS_PARAM(changes), &Methods::on_call, open),
      SD_BUS_METHOD_WITH_NAMES("Reload", "", "", "", "", &Methods::on_call, open),
      SD_BUS_METHOD_WITH_NAMES("History", "u", SD_BUS_PARAM(most), "aa{sv}", SD_BUS_PARAM(decisions), &Methods::on_call, open),
      SD_BUS_METHOD_WITH_NAMES("Explain", "s", SD_BUS_PARAM(group), "as", SD_BUS_PARAM(steps), &Methods::on_call, open),
      SD_BUS_METHOD_WITH_NAMES("Status", "", "", "a{sv}", SD_BUS_PARAM(status), &Methods::on_call, open),
      SD_BUS_PROPERTY("Version", "s", &Methods::on_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
      SD_BUS_PROPERTY("PolicyValid", "b", &Methods::on_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
      SD_BUS_PROPERTY("LastReload", "t", &Methods::on_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
      SD_BUS_SIGNAL_WITH_NAMES("Oom", "sa{sv}", SD_BUS_PARAM(group) SD_BUS_PARAM(details), 0),
      SD_BUS_SIGNAL_WITH_NAMES("Action", "ssa{sv}", SD_BUS_PARAM(group) SD_BUS_PARAM(action) SD_BUS_PARAM(details), 0),
      SD_BUS_SIGNAL("PolicyChanged", "", 0),
      SD_BUS_SIGNAL_WITH_NAMES("GroupAdded", "s", SD_BUS_PARAM(group), 0),
      SD_BUS_SIGNAL_WITH_NAMES("GroupRemoved", "s", SD_BUS_PARAM(group), 0),
      SD_BUS_VTABLE_END,
  };
  // clang-format on
  return rows;
}

int Methods::on_property(
    sd_bus*, const char*, const char*, const char* property, sd_bus_message* reply, void* userdata, sd_bus_error*) {
  Operations& o = *static_cast<Methods*>(userdata)->operations_;
  const std::string_view name = property;
  if (name == "Version") return sd_bus_message_append(reply, "s", CGX_VERSION);
  if (name == "PolicyValid") return sd_bus_message_append(reply, "b", static_cast<int>(o.policy_valid()));
  const auto usec = std::chrono::duration_cast<std::chrono::microseconds>(o.last_reload().time_since_epoch()).count();
  return sd_bus_message_append(reply, "t", static_cast<std::uint64_t>(std::max<std::int64_t>(usec, 0)));
}

int Methods::on_call(sd_bus_message* call, void* userdata, sd_bus_error*) {
  Methods& self = *static_cast<Methods*>(userdata);
  const Row* row = find(sd_bus_message_get_member(call));
  if (row == nullptr) return 0;  // not in the table: sd-bus says so
  Result<Request> request = read(*row, call);
  Result<> begun = request ? self.begin(*row, call, std::move(*request)) : std::unexpected(request.error());
  if (!begun) (void)reply_error(call, begun.error());  // nobody is left to tell
  return 1;
}

Result<Methods::Request> Methods::read(const Row& row, sd_bus_message* call) {
  Request request;
  int r = 0;
  if ((row.takes & group) != 0) {
    const char* name = nullptr;
    if (r = sd_bus_message_read(call, "s", &name); r < 0) return fail_errno(-r, "the message cannot be read");
    request.group = CGX_TRY(parse_group_name(name));
  }
  if ((row.takes & limits) != 0) request.limits = CGX_TRY(located(read_limits(call), shown(request.group)));
  if ((row.takes & pid) != 0) {
    std::uint32_t number = 0;
    r = sd_bus_message_read(call, "u", &number);
    // 0 would be cgxd itself to the kernel.
    if (number == 0 || number > 1U << 30U)
      return located(Result<Request>(bad_value(fmt::format("{}", number), "is no process id")), request.group);
    request.pid = static_cast<pid_t>(number);
  }
  if (r >= 0 && (row.takes & signal) != 0) {
    r = sd_bus_message_read(call, "i", &request.signal);
    if (request.signal <= 0 || request.signal > 64)
      return located(Result<Request>(bad_value(fmt::format("{}", request.signal), "is no signal")), request.group);
  }
  if (r >= 0 && (row.takes & count) != 0) {
    std::uint32_t number = 0;
    r = sd_bus_message_read(call, "u", &number);
    request.count = std::min(number, most_history);
  }
  if (r >= 0 && (row.takes & text) != 0) {
    int fd = -1;  // the message's
    r = sd_bus_message_read(call, "h", &fd);
    if (r >= 0) {
      request.fd.reset(fcntl(fd, F_DUPFD_CLOEXEC, 3));
      if (!request.fd.valid()) return fail_errno(errno, "the descriptor of the policy");
    }
  }
  if (r < 0) return fail_errno(-r, "the message cannot be read");
  return request;
}

Result<> Methods::begin(const Row& row, sd_bus_message* call, Request request) {
  // Whose text it is has to be known, to bound how much one user can ask for.
  if (row.need == Need::What::nothing && (row.takes & text) == 0) {
    run(call, row, request);
    return {};
  }
  Need need{.what = row.need, .group = request.group, .pid = request.pid, .action = row.action};
  auto kept = std::make_shared<Request>(std::move(request));  // a std::function is copied
  return access_.ask(
      call,
      std::move(need),
      [this, &row, kept, message = std::shared_ptr<sd_bus_message>(sd_bus_message_ref(call), MessageUnref())](
          Result<Granted> granted) {
        if (granted)
          with_right(message.get(), row, std::move(*kept), *granted);
        else
          (void)reply_error(
              message.get(), granted.error(), granted.error().code == EACCES ? "org.cgx.Error.AccessDenied" : "");
      });
}

void Methods::with_right(sd_bus_message* call, const Row& row, Request request, const Granted& granted) {
  request.owner = granted.owner;
  if ((row.takes & text) == 0) return run(call, row, request);
  sys::Fd fd = std::move(request.fd);
  const Result<> started =
      texts_.start(granted.user,
                   std::move(fd),
                   text_timeout_,
                   [this, &row, message = std::shared_ptr<sd_bus_message>(sd_bus_message_ref(call), MessageUnref())](
                       Result<std::string> read_text) {
                     if (!read_text) return (void)reply_error(message.get(), read_text.error());
                     Request ready;
                     ready.text = std::move(*read_text);
                     run(message.get(), row, ready);
                   });
  if (!started) (void)reply_error(call, started.error());
}

void Methods::run(sd_bus_message* call, const Row& row, const Request& request) {
  sd_bus_message* made = nullptr;
  const int r = sd_bus_message_new_method_return(call, &made);
  const Message reply(made);
  Result<> done = appended(r);
  if (done) done = row.run(*operations_, request, reply.get());
  if (!done) {
    if (done.error().group.empty()) done.error().group = request.group;
    (void)reply_error(call, done.error());
    return;
  }
  // The caller may be gone; what it asked for is done.
  (void)sd_bus_message_send(reply.get());
}

}  // namespace cgx::daemon
