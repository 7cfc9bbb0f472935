// SPDX-License-Identifier: Apache-2.0
// Inside daemon/bus/: the methods and properties of org.cgx.Manager1. A call is read, its sender's right is found out,
// then the operation runs and is answered.
#pragma once

#include <systemd/sd-bus.h>

#include "daemon/bus/access.h"
#include "daemon/bus/fd_text.h"
#include "daemon/bus/message.h"
#include "daemon/operations.h"

namespace cgx::daemon {

class Methods {
 public:
  Methods(
      sd_event* event, Operations& operations, bool polkit, std::uint64_t polkit_timeout, std::uint64_t text_timeout)
      : operations_(&operations),
        access_(operations, polkit, polkit_timeout),
        texts_(event),
        text_timeout_(text_timeout) {}
  Methods(const Methods&) = delete;
  Methods& operator=(const Methods&) = delete;
  ~Methods() = default;

  // For sd_bus_add_object_vtable() with a Methods as its userdata.
  [[nodiscard]] static const sd_bus_vtable* table();
  // The bus of the calls under way is gone.
  void forget() { access_.forget(); }

 private:
  struct Row;
  struct Request;
  static int on_call(sd_bus_message* call, void* userdata, sd_bus_error*);
  static int on_property(
      sd_bus*, const char*, const char*, const char* property, sd_bus_message* reply, void* userdata, sd_bus_error*);
  [[nodiscard]] static const Row* find(std::string_view member);
  [[nodiscard]] static Result<Request> read(const Row& row, sd_bus_message* call);
  // Errors are answered by these.
  [[nodiscard]] Result<> begin(const Row& row, sd_bus_message* call, Request request);
  void with_right(sd_bus_message* call, const Row& row, Request request, const Granted& granted);
  void run(sd_bus_message* call, const Row& row, const Request& request);

  Operations* operations_;
  Access access_;
  FdText texts_;
  std::uint64_t text_timeout_;
};

}  // namespace cgx::daemon
