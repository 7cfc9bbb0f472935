// SPDX-License-Identifier: Apache-2.0
#include "bus_client.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include <unistd.h>

#include <fmt/format.h>

#include "daemon/bus/bus.h"

namespace cgx::tool {
namespace {

constexpr std::uint64_t call_timeout = 180'000'000;  // microseconds: a person may be asked for a password

std::unexpected<Error> broken() { return fail(EBADMSG, "cgxd's answer is not understood: is it of another version?"); }

std::string plain(int code) { return errno_text(code < 0 ? -code : code); }

Result<daemon::Answer> read_value(sd_bus_message* m, const std::string& type) {
  if (type == "as") return daemon::Answer(CGX_TRY(read_texts(m)));
  if (type.size() != 1) return broken();
  union {
    std::uint8_t y;
    std::int16_t n;
    std::uint16_t q;
    std::int32_t i;
    std::uint32_t u;
    std::int64_t x;
    std::uint64_t t;
    double d;
    const char* s;
  } value{};
  if (std::strchr("ynqiuxtdsbog", type[0]) == nullptr || sd_bus_message_read_basic(m, type[0], &value) <= 0)
    return broken();
  switch (type[0]) {
    case 'b':
      return daemon::Answer(value.i != 0);
    case 'y':
      return daemon::Answer(std::uint64_t{value.y});
    case 'q':
      return daemon::Answer(std::uint64_t{value.q});
    case 'u':
      return daemon::Answer(std::uint64_t{value.u});
    case 't':
      return daemon::Answer(value.t);
    case 'n':
      return daemon::Answer(std::int64_t{value.n});
    case 'i':
      return daemon::Answer(std::int64_t{value.i});
    case 'x':
      return daemon::Answer(value.x);
    case 'd':
      return daemon::Answer(value.d);
    default:
      return daemon::Answer(std::string(value.s));
  }
}

}  // namespace

Result<Manager> Manager::connect(const std::string& bus) {
  sd_bus* made = nullptr;
  int r = 0;
  std::string name = bus + " bus";
  if (bus == "system") {
    r = sd_bus_open_system(&made);
  } else if (bus == "session") {
    r = sd_bus_open_user(&made);
  } else {
    name = "bus at " + bus;
    r = sd_bus_new(&made);
    if (r >= 0) r = sd_bus_set_address(made, bus.c_str());
    if (r >= 0) r = sd_bus_set_bus_client(made, 1);
    if (r >= 0) r = sd_bus_start(made);
    if (r == -EINVAL || r == -EAFNOSUPPORT) {  // the text is read by the last call
      sd_bus_unref(made);
      return located(Result<Manager>(bad_value(bus, "is not system, session, or the address of a bus")), "", "--bus");
    }
  }
  Manager manager(made, name);
  if (r < 0) {
    Error e{.code = -r, .what = fmt::format("there is no {} to talk to: {}", name, plain(r))};
    if (bus == "system") e.hint = "cgxd serves its interface where dbus-daemon runs";
    return std::unexpected(std::move(e));
  }
  // A person at a terminal may be asked for a password by polkit.
  (void)sd_bus_set_allow_interactive_authorization(made, isatty(STDIN_FILENO));
  return manager;
}

Manager::~Manager() { sd_bus_flush_close_unref(bus_); }

Error Manager::not_running() const {
  Error e{.code = ENOENT,
          .what = fmt::format("cgxd does not run: nobody has the name {} on the {}", daemon::bus_name, name_)};
  e.hint = access("/run/systemd/system", F_OK) == 0 ? "systemctl start cgxd" : "start cgxd, as root";
  return e;
}

Error Manager::error_of(sd_bus_message* reply) const {
  const sd_bus_error* error = sd_bus_message_get_error(reply);
  const std::string_view name = error->name;
  if (name == "org.freedesktop.DBus.Error.ServiceUnknown" || name == "org.freedesktop.DBus.Error.NameHasNoOwner")
    return not_running();
  const char* sentence = nullptr;
  if (sd_bus_message_has_signature(reply, "sa{sv}") != 0 && sd_bus_message_read(reply, "s", &sentence) > 0) {
    if (const auto parts = read_answers(reply)) {
      Error e{.what = std::string(text_of(*parts, "message")),
              .group = std::string(text_of(*parts, "group")),
              .knob = std::string(text_of(*parts, "knob")),
              .value = std::string(text_of(*parts, "value")),
              .hint = std::string(text_of(*parts, "hint"))};
      e.code = static_cast<int>(number_of(*parts, "errno"));
      if (number_of(*parts, "usage") != 0) e.fault = Fault::usage;
      return e;
    }
  }
  return Error{.code = sd_bus_message_get_errno(reply),
               .what = error->message != nullptr ? error->message : std::string(name)};
}

Result<daemon::Message> Manager::send(sd_bus_message* message) const {
  // Not sd_bus_call(), which keeps of an error no more than its name and first string.
  daemon::Message reply;
  const auto on_reply = [](sd_bus_message* m, void* userdata, sd_bus_error*) {
    static_cast<daemon::Message*>(userdata)->reset(sd_bus_message_ref(m));
    return 0;
  };
  int r = sd_bus_call_async(bus_, nullptr, message, on_reply, &reply, call_timeout);
  while (r >= 0 && !reply) {
    r = sd_bus_process(bus_, nullptr);
    if (r == 0) r = sd_bus_wait(bus_, UINT64_MAX);
    if (r == -EINTR) r = 0;
  }
  if (!reply) return fail(-r, fmt::format("no connection to the {}: {}", name_, plain(r)));
  if (sd_bus_message_get_error(reply.get()) != nullptr) return std::unexpected(error_of(reply.get()));
  return reply;
}

Result<daemon::Message> Manager::call(const char* member, const Fill& fill) const {
  sd_bus_message* made = nullptr;
  int r =
      sd_bus_message_new_method_call(bus_, &made, daemon::bus_name, daemon::bus_path, daemon::bus_interface, member);
  const daemon::Message message(made);
  if (r >= 0 && fill) r = fill(message.get());
  if (r < 0) return fail_errno(-r, "the call");
  return send(message.get());
}

Result<daemon::Answers> Manager::properties() const {
  sd_bus_message* made = nullptr;
  int r = sd_bus_message_new_method_call(
      bus_, &made, daemon::bus_name, daemon::bus_path, "org.freedesktop.DBus.Properties", "GetAll");
  const daemon::Message message(made);
  if (r >= 0) r = sd_bus_message_append(message.get(), "s", daemon::bus_interface);
  if (r < 0) return fail_errno(-r, "the call");
  return read_answers(CGX_TRY(send(message.get())).get());
}

Result<daemon::Answers> read_answers(sd_bus_message* m) {
  daemon::Answers answers;
  if (sd_bus_message_enter_container(m, 'a', "{sv}") <= 0) return broken();
  int r = 0;
  while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
    const char* key = nullptr;
    const char* contents = nullptr;
    char type = 0;
    if (sd_bus_message_read_basic(m, 's', static_cast<void*>(&key)) <= 0 ||
        sd_bus_message_peek_type(m, &type, &contents) <= 0 || contents == nullptr)
      return broken();
    const std::string inner = contents;
    if (sd_bus_message_enter_container(m, 'v', inner.c_str()) <= 0) return broken();
    answers.emplace_back(key, CGX_TRY(read_value(m, inner)));
    for (int i = 0; i < 2; ++i)  // the variant and the entry
      if (sd_bus_message_exit_container(m) < 0) return broken();
  }
  if (r < 0 || sd_bus_message_exit_container(m) < 0) return broken();
  return answers;
}

Result<std::vector<std::string>> read_texts(sd_bus_message* m) {
  std::vector<std::string> texts;
  if (sd_bus_message_enter_container(m, 'a', "s") <= 0) return broken();
  const char* text = nullptr;
  int r = 0;
  while ((r = sd_bus_message_read_basic(m, 's', static_cast<void*>(&text))) > 0) texts.emplace_back(text);
  if (r < 0 || sd_bus_message_exit_container(m) < 0) return broken();
  return texts;
}

Result<std::vector<daemon::Answers>> read_list(sd_bus_message* m) {
  std::vector<daemon::Answers> list;
  if (sd_bus_message_enter_container(m, 'a', "a{sv}") <= 0) return broken();
  int r = 0;
  while ((r = sd_bus_message_at_end(m, 0)) == 0) list.push_back(CGX_TRY(read_answers(m)));
  if (r < 0 || sd_bus_message_exit_container(m) < 0) return broken();
  return list;
}

std::string_view text_of(const daemon::Answers& answers, std::string_view key) {
  for (const auto& [name, value] : answers)
    if (name == key)
      if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return {};
}

std::uint64_t number_of(const daemon::Answers& answers, std::string_view key) {
  for (const auto& [name, value] : answers) {
    if (name != key) continue;
    if (const auto* u = std::get_if<std::uint64_t>(&value)) return *u;
    if (const auto* i = std::get_if<std::int64_t>(&value)) return *i < 0 ? 0 : static_cast<std::uint64_t>(*i);
    if (const auto* b = std::get_if<bool>(&value)) return *b ? 1 : 0;
  }
  return 0;
}

std::string shown(const daemon::Answer& answer) {
  if (const auto* b = std::get_if<bool>(&answer)) return *b ? "yes" : "no";
  if (const auto* u = std::get_if<std::uint64_t>(&answer)) return fmt::format("{}", *u);
  if (const auto* i = std::get_if<std::int64_t>(&answer)) return fmt::format("{}", *i);
  if (const auto* d = std::get_if<double>(&answer)) return fmt::format("{}", *d);
  if (const auto* s = std::get_if<std::string>(&answer)) return *s;
  return fmt::format("{}", fmt::join(std::get<std::vector<std::string>>(answer), " "));
}

bool is_time(std::string_view key) { return key == "time" || key == "LastReload"; }

void write_answers(sys::JsonWriter& json, const daemon::Answers& answers) {
  for (const auto& [key, value] : answers) {
    json.key(key);
    if (is_time(key)) {
      json.real(static_cast<double>(number_of(answers, key)) / 1e6);
    } else if (const auto* b = std::get_if<bool>(&value)) {
      json.boolean(*b);
    } else if (const auto* u = std::get_if<std::uint64_t>(&value)) {
      json.number(*u);
    } else if (const auto* i = std::get_if<std::int64_t>(&value)) {
      json.integer(*i);
    } else if (const auto* d = std::get_if<double>(&value)) {
      json.real(*d);
    } else if (const auto* s = std::get_if<std::string>(&value)) {
      json.string(*s);
    } else {
      json.open_array();
      for (const std::string& text : std::get<std::vector<std::string>>(value)) json.string(text);
      json.close_array();
    }
  }
}

std::string shown_time(std::uint64_t usec) {
  if (usec == 0) return "never";
  const auto seconds = static_cast<std::time_t>(usec / 1'000'000);
  std::tm tm{};
  std::array<char, 32> text{};
  if (gmtime_r(&seconds, &tm) == nullptr) return "never";
  const std::size_t n = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &tm);
  return {text.data(), n};
}

}  // namespace cgx::tool
