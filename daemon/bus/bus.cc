// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/bus.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <systemd/sd-bus.h>

#include <fmt/format.h>

#include "daemon/bus/methods.h"

namespace cgx::daemon {
namespace {

constexpr std::uint64_t longest_retry = 30'000'000;  // microseconds
// Of the bus's own source: below those of the memory events (0 and less) and above idle work.
constexpr std::int64_t priority = SD_EVENT_PRIORITY_NORMAL + 10;

}  // namespace

Result<BusKind> parse_bus_kind(std::string_view text) {
  if (text == "off") return BusKind::off;
  if (text == "session") return BusKind::session;
  if (text == "system") return BusKind::system;
  return bad_value(text, "is not off, session or system");
}

class Bus::Impl {
 public:
  Impl(sd_event* event, BusKind kind, Operations& operations, Options options)
      : event_(event),
        kind_(kind),
        options_(std::move(options)),
        retry_(options_.first_retry),
        methods_(event, operations, kind == BusKind::system, options_.polkit_timeout, options_.text_timeout) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    methods_.forget();
    drop();
    sd_event_source_disable_unref(timer_);
  }

  Result<> start() {
    if (kind_ == BusKind::off) return {};
    const int r = sd_event_add_time_relative(event_, &timer_, CLOCK_MONOTONIC, 0, 1, &Impl::on_retry, this);
    if (r < 0) return fail_errno(-r, "the event loop");
    // At once, so that a daemon that says READY is on the bus, where there is one.
    (void)sd_event_source_set_enabled(timer_, SD_EVENT_OFF);
    connect();
    return {};
  }

  [[nodiscard]] bool serving() const { return serving_; }

  // A signal with what `fill` appends.
  template <class Fill>
  void emit(const char* member, Fill fill) {
    if (!serving_) return;
    sd_bus_message* made = nullptr;
    int r = sd_bus_message_new_signal(bus_, &made, bus_path, bus_interface, member);
    const Message signal(made);
    if (r >= 0) r = fill(signal.get());
    // Where the bus is so slow that its queue is full, signals are lost; the history has them.
    if (r >= 0) (void)sd_bus_message_send(signal.get());
  }

  void properties_changed() {
    if (serving_)
      (void)sd_bus_emit_properties_changed(bus_, bus_path, bus_interface, "PolicyValid", "LastReload", nullptr);
  }

 private:
  [[nodiscard]] const char* kind_name() const { return kind_ == BusKind::system ? "system" : "session"; }

  void say(std::string_view text) {
    if (options_.say) options_.say(text);
  }

  // Opening is a connect() to a local socket; the rest (who we are, the name) goes by the event loop.
  void connect() {
    int r = kind_ == BusKind::system ? sd_bus_open_system_with_description(&bus_, "cgxd")
                                     : sd_bus_open_user_with_description(&bus_, "cgxd");
    sd_bus_slot* slot = nullptr;
    if (r >= 0) r = sd_bus_set_exit_on_disconnect(bus_, 0);
    if (r >= 0) r = sd_bus_attach_event(bus_, event_, priority);
    if (r >= 0)
      r = sd_bus_match_signal_async(bus_,
                                    &slot,
                                    nullptr,
                                    "/org/freedesktop/DBus/Local",
                                    "org.freedesktop.DBus.Local",
                                    "Disconnected",
                                    &Impl::on_disconnected,
                                    nullptr,
                                    this);
    disconnected_.reset(slot);
    slot = nullptr;
    if (r >= 0) r = sd_bus_add_object_vtable(bus_, &slot, bus_path, bus_interface, Methods::table(), &methods_);
    object_.reset(slot);
    slot = nullptr;
    if (r >= 0) r = sd_bus_request_name_async(bus_, &slot, bus_name, 0, &Impl::on_name, this);
    name_.reset(slot);
    if (r < 0) lost(errno_text(-r));
  }

  void drop() {
    serving_ = false;
    disconnected_.reset();
    object_.reset();
    name_.reset();
    if (bus_ != nullptr) {
      (void)sd_bus_detach_event(bus_);
      sd_bus_close(bus_);
      bus_ = sd_bus_unref(bus_);
    }
  }

  // Said once, until it is there again.
  void lost(const std::string& why) {
    if (!told_) say(fmt::format("no D-Bus ({}): {}; trying again", kind_name(), why));
    told_ = true;
    // This runs inside of callbacks of the bus, so the rest waits for the loop.
    serving_ = false;
    (void)sd_event_source_set_time_relative(timer_, retry_);
    (void)sd_event_source_set_enabled(timer_, SD_EVENT_ONESHOT);
    retry_ = std::min(retry_ * 2, longest_retry);
  }

  static int on_retry(sd_event_source*, std::uint64_t, void* userdata) {
    auto& self = *static_cast<Impl*>(userdata);
    self.methods_.forget();
    self.drop();
    self.connect();
    return 0;
  }

  static int on_disconnected(sd_bus_message*, void* userdata, sd_bus_error*) {
    static_cast<Impl*>(userdata)->lost("the connection is gone");
    return 0;
  }

  static int on_name(sd_bus_message* reply, void* userdata, sd_bus_error*) {
    auto& self = *static_cast<Impl*>(userdata);
    // The connection may go before the answer comes; on_disconnected tells of that.
    std::uint32_t result = 0;
    if (const sd_bus_error* error = sd_bus_message_get_error(reply)) {
      self.lost(fmt::format(
          "the name {} is refused: {}", bus_name, error->message != nullptr ? error->message : error->name));
    } else if (sd_bus_message_read(reply, "u", &result) < 0 || (result != 1 && result != 4)) {
      // 1: owner; 4: already owner (DBUS_REQUEST_NAME_REPLY_*).
      self.lost(fmt::format("another program has the name {}", bus_name));
    } else {
      if (self.told_) self.say(fmt::format("D-Bus ({}) is back", self.kind_name()));
      self.told_ = false;
      self.retry_ = self.options_.first_retry;
      self.serving_ = true;
    }
    return 0;
  }

  sd_event* event_;
  BusKind kind_;
  Options options_;
  std::uint64_t retry_;
  Methods methods_;
  sd_bus* bus_ = nullptr;
  Slot disconnected_;
  Slot object_;
  Slot name_;
  sd_event_source* timer_ = nullptr;
  bool serving_ = false;
  bool told_ = false;
};

Bus::Bus(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Bus::~Bus() = default;

Result<std::unique_ptr<Bus>> Bus::open(sd_event* event, BusKind kind, Operations& operations, Options options) {
  auto impl = std::make_unique<Impl>(event, kind, operations, std::move(options));
  CGX_CHECK(impl->start());
  return std::unique_ptr<Bus>(new Bus(std::move(impl)));
}

bool Bus::serving() const { return impl_->serving(); }

void Bus::emit_oom(const Decision& decision) {
  impl_->emit("Oom", [&](sd_bus_message* signal) {
    const int r = sd_bus_message_append(signal, "s", utf8(decision.group.view()).c_str());
    return r < 0 ? r : append_answers(signal, describe(decision));
  });
}

void Bus::emit_action(const Decision& decision) {
  impl_->emit("Action", [&](sd_bus_message* signal) {
    const int r =
        sd_bus_message_append(signal, "ss", utf8(decision.group.view()).c_str(), utf8(decision.action.view()).c_str());
    return r < 0 ? r : append_answers(signal, describe(decision));
  });
}

void Bus::policy_changed() {
  impl_->emit("PolicyChanged", [](sd_bus_message*) { return 0; });
  impl_->properties_changed();
}

void Bus::group_added(const std::string& group) {
  impl_->emit("GroupAdded",
              [&](sd_bus_message* signal) { return sd_bus_message_append(signal, "s", utf8(group).c_str()); });
}

void Bus::group_removed(const std::string& group) {
  impl_->emit("GroupRemoved",
              [&](sd_bus_message* signal) { return sd_bus_message_append(signal, "s", utf8(group).c_str()); });
}

}  // namespace cgx::daemon
