// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/message.h"

#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx::daemon {
namespace {

Error wrong(std::string_view key, std::string_view value, std::string what) {
  Error e = bad_value(value, std::move(what)).error();
  e.knob = key;
  return e;
}

std::unexpected<Error> broken(int code) { return fail_errno(-code, "the message cannot be read"); }

template <class T>
Result<std::string> number(sd_bus_message* message, char type) {
  T value{};
  if (const int r = sd_bus_message_read_basic(message, type, &value); r < 0) return broken(r);
  return fmt::format("{}", value);
}

Result<std::string> read_text(sd_bus_message* message) {
  const char* text = nullptr;
  if (const int r = sd_bus_message_read_basic(message, 's', static_cast<void*>(&text)); r < 0) return broken(r);
  return std::string(text);
}

Result<std::string> read_basic(sd_bus_message* message, char type, std::string_view key) {
  switch (type) {
    case 's':
      return read_text(message);
    case 'y':
      return number<std::uint8_t>(message, type);
    case 'n':
      return number<std::int16_t>(message, type);
    case 'q':
      return number<std::uint16_t>(message, type);
    case 'i':
      return number<std::int32_t>(message, type);
    case 'u':
      return number<std::uint32_t>(message, type);
    case 'x':
      return number<std::int64_t>(message, type);
    case 't':
      return number<std::uint64_t>(message, type);
    case 'd':
      return number<double>(message, type);
    case 'b': {
      int value = 0;
      if (const int r = sd_bus_message_read_basic(message, type, &value); r < 0) return broken(r);
      return std::string(value != 0 ? "1" : "0");
    }
    default:
      return std::unexpected(
          wrong(key, std::string{type}, "is no type of a limit: a string, a number, a boolean or an array of strings"));
  }
}

Result<> add(LimitTexts& limits, std::string_view key, std::string text) {
  if (limits.size() >= most_call_limits)
    return fail(E2BIG, fmt::format("more than {} limits in one call", most_call_limits));
  if (text.size() > most_limit_text)
    return std::unexpected(wrong(key, text.substr(0, 40), fmt::format("is longer than {} bytes", most_limit_text)));
  limits.emplace_back(key, std::move(text));
  return {};
}

Result<> read_variant(sd_bus_message* message, std::string_view key, LimitTexts& limits) {
  char type = 0;
  const char* contents = nullptr;
  int r = sd_bus_message_peek_type(message, &type, &contents);
  if (r < 0) return broken(r);
  const std::string inner = contents == nullptr ? "" : contents;
  r = sd_bus_message_enter_container(message, 'v', inner.c_str());
  if (r < 0) return broken(r);
  if (inner == "as") {
    if (r = sd_bus_message_enter_container(message, 'a', "s"); r < 0) return broken(r);
    while ((r = sd_bus_message_at_end(message, 0)) == 0) CGX_CHECK(add(limits, key, CGX_TRY(read_text(message))));
    if (r < 0) return broken(r);
    if (r = sd_bus_message_exit_container(message); r < 0) return broken(r);
  } else if (inner.size() == 1) {
    CGX_CHECK(add(limits, key, CGX_TRY(read_basic(message, inner[0], key))));
  } else {
    return std::unexpected(
        wrong(key, inner, "is no type of a limit: a string, a number, a boolean or an array of strings"));
  }
  if (r = sd_bus_message_exit_container(message); r < 0) return broken(r);
  return {};
}

int append_answer(sd_bus_message* m, const Answer& answer) {
  if (const auto* b = std::get_if<bool>(&answer)) return sd_bus_message_append(m, "v", "b", static_cast<int>(*b));
  if (const auto* u = std::get_if<std::uint64_t>(&answer)) return sd_bus_message_append(m, "v", "t", *u);
  if (const auto* i = std::get_if<std::int64_t>(&answer)) return sd_bus_message_append(m, "v", "x", *i);
  if (const auto* d = std::get_if<double>(&answer)) return sd_bus_message_append(m, "v", "d", *d);
  if (const auto* s = std::get_if<std::string>(&answer)) return sd_bus_message_append(m, "v", "s", utf8(*s).c_str());
  int r = sd_bus_message_open_container(m, 'v', "as");
  if (r >= 0) r = append_texts(m, std::get<std::vector<std::string>>(answer));
  return r < 0 ? r : sd_bus_message_close_container(m);
}

}  // namespace

std::string utf8(std::string_view text) {
  // D-Bus refuses a message with other bytes, and names of groups and commands may have any.
  std::string out;
  while (!text.empty()) {
    const auto lead = static_cast<unsigned char>(text[0]);
    const std::size_t length = lead < 0x80 ? 1 : lead >> 5U == 6 ? 2 : lead >> 4U == 14 ? 3 : lead >> 3U == 30 ? 4 : 0;
    std::uint32_t code = length == 0 ? 0 : length == 1 ? lead : lead & (0x7FU >> length);
    bool good = length != 0 && length <= text.size() && lead != 0;
    for (std::size_t i = 1; good && i < length; ++i) {
      const auto next = static_cast<unsigned char>(text[i]);
      good = next >> 6U == 2;
      code = code << 6U | (next & 0x3FU);
    }
    constexpr std::array<std::uint32_t, 5> least{0, 0, 0x80, 0x800, 0x10000};
    good = good && code >= least[length] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
    out += good ? text.substr(0, length) : "\xEF\xBF\xBD";
    text.remove_prefix(good ? length : 1);
  }
  return out;
}

Result<LimitTexts> read_limits(sd_bus_message* message) {
  LimitTexts limits;
  int r = sd_bus_message_enter_container(message, 'a', "{sv}");
  if (r < 0) return broken(r);
  while ((r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
    const std::string key = CGX_TRY(read_text(message));
    if (key.empty() || key.size() > 255) return std::unexpected(wrong("", key.substr(0, 40), "is no name of a limit"));
    CGX_CHECK(read_variant(message, key, limits));
    if (r = sd_bus_message_exit_container(message); r < 0) return broken(r);
  }
  if (r >= 0) r = sd_bus_message_exit_container(message);
  if (r < 0) return broken(r);
  return limits;
}

int append_texts(sd_bus_message* message, const std::vector<std::string>& texts) {
  int r = sd_bus_message_open_container(message, 'a', "s");
  for (const std::string& text : texts)
    if (r >= 0) r = sd_bus_message_append(message, "s", utf8(text).c_str());
  return r < 0 ? r : sd_bus_message_close_container(message);
}

int append_answers(sd_bus_message* message, const Answers& answers) {
  int r = sd_bus_message_open_container(message, 'a', "{sv}");
  for (const auto& [key, answer] : answers) {
    if (r >= 0) r = sd_bus_message_open_container(message, 'e', "sv");
    if (r >= 0) r = sd_bus_message_append(message, "s", key.c_str());
    if (r >= 0) r = append_answer(message, answer);
    if (r >= 0) r = sd_bus_message_close_container(message);
  }
  return r < 0 ? r : sd_bus_message_close_container(message);
}

Answers describe(const Decision& d) {
  Answers a;
  a.emplace_back("id", d.id);
  const auto time = std::chrono::duration_cast<std::chrono::microseconds>(d.time.time_since_epoch()).count();
  a.emplace_back("time", static_cast<std::uint64_t>(time));
  const auto text = [&](const char* key, std::string_view value) {
    if (!value.empty()) a.emplace_back(key, std::string(value));
  };
  const auto number = [&](const char* key, std::uint64_t value) {
    if (value != 0) a.emplace_back(key, value);
  };
  text("group", d.group.view());
  text("event", d.event.view());
  text("limit_of", d.limit_of.view());
  text("limit", d.limit.view());
  number("limit_bytes", d.limit_bytes);
  number("usage", d.usage);
  number("count", d.count);
  text("action", d.action.view());
  text("result", d.result.view());
  text("detail", d.detail.view());
  number("old_value", d.old_value);
  number("new_value", d.new_value);
  number("pid", d.pid > 0 ? static_cast<std::uint64_t>(d.pid) : 0);
  text("command", d.command.view());
  number("rss", d.rss);
  number("age_usec", d.age);
  number("took_usec", d.took);
  number("policy_line", d.policy_line);
  return a;
}

std::string error_name(const Error& error) {
  const auto name = [&]() -> std::string_view {
    switch (error.code) {
      case ENOENT:
      case ESRCH:
      case ENODEV:
        return "NotFound";
      case EEXIST:
        return "Exists";
      case EPERM:
      case EACCES:
        return "Refused";
      case EBUSY:
      case EAGAIN:
        return "Busy";
      case ETIMEDOUT:
        return "TimedOut";
      case ENOTSUP:
      case ENOSYS:
        return "NotSupported";
      case E2BIG:
      case EFBIG:
        return "TooLarge";
      case EINVAL:
      case ERANGE:
      case EBADF:
        return "InvalidArgument";
      default:
        return "Failed";
    }
  }();
  return fmt::format("org.cgx.Error.{}", error.fault == Fault::usage && name == "Failed" ? "InvalidArgument" : name);
}

int reply_error(sd_bus_message* call, const Error& error, const std::string& name) {
  std::string sentence = utf8(error.text());
  if (!error.hint.empty()) sentence += "\nhint: " + utf8(error.hint);
  sd_bus_message* made = nullptr;
  int r = sd_bus_message_new_method_errorf(
      call, &made, (name.empty() ? error_name(error) : name).c_str(), "%s", sentence.c_str());
  const Message reply(made);
  if (r < 0) return r;
  Answers parts;
  parts.emplace_back("message", error.what);
  for (const auto& [key, text] : {std::pair("group", &error.group),
                                  std::pair("knob", &error.knob),
                                  std::pair("value", &error.value),
                                  std::pair("hint", &error.hint)})
    if (!text->empty()) parts.emplace_back(key, *text);
  parts.emplace_back("errno", static_cast<std::int64_t>(error.code));
  parts.emplace_back("usage", error.fault == Fault::usage);
  r = append_answers(reply.get(), parts);
  return r < 0 ? r : sd_bus_message_send(reply.get());
}

}  // namespace cgx::daemon
