// SPDX-License-Identifier: Apache-2.0
// What a container executes, where and with which capabilities: by the options, and else by the image.
#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/container/spec.h"
#include "cgx/sys/text.h"

#include "config.h"

namespace cgx::launcher {
namespace {

// As the field has it, without NET_RAW: ping needs none (net.ipv4.ping_group_range).
constexpr std::string_view default_capabilities =
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT";

std::uint64_t bit_of(std::string_view name) {
  const int number = container::capability_number(name);
  return number < 0 ? 0 : std::uint64_t{1} << static_cast<unsigned>(number);
}

std::uint64_t all_capabilities() {
  std::uint64_t bits = 0;
  for (int i = 0; !container::capability_name(i).empty(); ++i) bits |= std::uint64_t{1} << static_cast<unsigned>(i);
  return bits;
}

}  // namespace

std::uint64_t capabilities_of(const RunOptions& options) {
  std::uint64_t bits = 0;
  const auto has_all = [](const std::vector<std::string>& list) {
    return std::ranges::find(list, "ALL") != list.end();
  };
  if (has_all(options.cap_add))
    bits = all_capabilities();
  else if (!has_all(options.cap_drop))
    for (const std::string_view name : sys::words(default_capabilities)) bits |= bit_of(name);
  for (const std::string& name : options.cap_drop) bits &= ~bit_of(name);
  for (const std::string& name : options.cap_add) bits |= bit_of(name);
  return bits;
}

Result<std::vector<std::string>> command_of(const RunOptions& options, const Image& image) {
  std::vector<std::string> command = image.entrypoint;
  bool of_image = true;
  if (options.entrypoint) {
    command.clear();
    if (!options.entrypoint->empty()) command.push_back(*options.entrypoint);
    of_image = false;  // the image's arguments are for its own
  }
  if (!options.command.empty())
    command.insert(command.end(), options.command.begin(), options.command.end());
  else if (of_image)
    command.insert(command.end(), image.command.begin(), image.command.end());
  if (command.empty()) {
    Error e{.code = EINVAL, .what = "no command is given, and the image has none", .value = image.name};
    e.hint = fmt::format("cgx run {} CMD [ARG...]", image.name);
    e.fault = Fault::usage;
    return std::unexpected(std::move(e));
  }
  return command;
}

std::string workdir_of(const RunOptions& options, const Image& image) {
  if (!options.workdir.empty()) return options.workdir;
  if (image.workdir.empty()) return "/";
  return image.workdir.starts_with('/') ? image.workdir : "/" + image.workdir;
}

}  // namespace cgx::launcher
