// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/attached.h"

#include <cerrno>

#include "cgx/cgroupfs/device_bpf.h"
#include "cgx/cgroupfs/net_control.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/xattr.h"

namespace cgx {
namespace {

constexpr std::string_view note_prefix = "@note.";

Result<> write_devices(int group_dir, std::string_view rules) {
  const DeviceList list = CGX_TRY(DeviceList::parse(rules));
  const DeviceProgram before = CGX_TRY(rules.empty() ? detach_devices(group_dir) : attach_devices(group_dir, list));
  auto noted = rules.empty() ? sys::remove_note(group_dir, "devices") : sys::set_note(group_dir, "devices", rules);
  if (!noted) {
    // Rules that cannot be read back would be lost at the next change: as it was, then.
    if (const auto back = restore_devices(group_dir, before); !back) noted.error().hint = back.error().what;
  }
  return noted;
}

}  // namespace

Result<std::string> read_attached(int group_dir, std::string_view name) {
  if (name.starts_with("@net.")) return read_net(group_dir, name);
  const std::string_view key = name.starts_with(note_prefix) ? name.substr(note_prefix.size()) : name.substr(1);
  const auto note = CGX_TRY(sys::get_note(group_dir, key));
  if (!note) return fail(ENODATA, "nothing of that name is attached");
  return *note;
}

Result<> write_attached(int group_dir, std::string_view name, std::string_view text) {
  if (name == "@devices") return write_devices(group_dir, text);
  if (name == "@net.restore") return restore_net(group_dir, text);
  if (!name.starts_with(note_prefix)) return fail(ENOTSUP, "is not supported here");
  CGX_CHECK(sys::mutation("xattr", name));
  const std::string_view key = name.substr(note_prefix.size());
  const auto done = text.empty() ? sys::remove_note(group_dir, key) : sys::set_note(group_dir, key, text);
  if (!done && done.error().code != EOPNOTSUPP && done.error().code != EPERM) return done;
  return {};
}

}  // namespace cgx
