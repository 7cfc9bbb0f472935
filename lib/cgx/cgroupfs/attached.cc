// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/attached.h"

#include <algorithm>
#include <cerrno>
#include <vector>

#include <fmt/format.h>

#include "cgx/cgroupfs/device_bpf.h"
#include "cgx/cgroupfs/net_control.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"
#include "cgx/sys/xattr.h"

namespace cgx {
namespace {

constexpr std::string_view note_prefix = "@note.";

// The note of device rules: a line each and, in the last one, the tag of the program that was made of them. Only with
// that can it be told whether the program on the group is still the one of these rules.
constexpr std::string_view tag_word = "program ";

Result<> write_devices(int group_dir, std::string_view rules) {
  const DeviceList list = CGX_TRY(DeviceList::parse(rules));
  DeviceProgram program;
  if (!(list == DeviceList())) program = CGX_TRY(load_devices(list));
  const DeviceProgram before =
      CGX_TRY(program.fd.valid() ? attach_devices(group_dir, program) : detach_devices(group_dir));
  std::string note(rules);
  if (program.fd.valid()) note += fmt::format("{}{}{}\n", rules.ends_with('\n') ? "" : "\n", tag_word, program.tag);
  auto noted = rules.empty() ? sys::remove_note(group_dir, "devices") : sys::set_note(group_dir, "devices", note);
  if (!noted) {
    // Rules that cannot be read back would be lost at the next change: as it was, then.
    if (const auto back = restore_devices(group_dir, before); !back) noted.error().hint = back.error().what;
  }
  return noted;
}

// Whether programs cannot be looked at at all: no rights, no such programs in this kernel, or no cgroup2.
bool sees_no_programs(int code) {
  return code == EPERM || code == EACCES || code == EINVAL || code == ENOSYS || code == EBADF;
}

// A note alone is no rule in force: systemd, or who may load programs, may have taken the program away.
Result<std::string> read_devices(int group_dir) {
  const auto note = CGX_TRY(sys::get_note(group_dir, "devices"));
  std::string rules = note.value_or("");
  std::string tag;
  if (const std::size_t at = rules.find(tag_word); at != std::string::npos) {
    tag = sys::trim(std::string_view(rules).substr(at + tag_word.size()));
    rules.erase(at);
  }
  const auto nothing = fail(ENODATA, "no device rules are attached");
  auto programs = device_programs(group_dir);
  if (!programs) {
    if (!sees_no_programs(programs.error().code)) return std::unexpected(programs.error());
    return note ? Result<std::string>(std::move(rules)) : nothing;
  }
  std::erase_if(*programs, [](const AttachedProgram& program) { return !program.ours; });
  const bool wants_one = note && !(CGX_TRY(DeviceList::parse(rules)) == DeviceList());
  if (programs->empty()) return note && !wants_one ? Result<std::string>(std::move(rules)) : nothing;
  if (wants_one && programs->size() == 1 && (tag.empty() || tag == programs->front().tag)) return rules;
  return fail(ESTALE, "the device program on the group is not the one that cgx has attached there");
}

}  // namespace

Result<std::string> read_attached(int group_dir, std::string_view name) {
  if (name.starts_with("@net.")) return read_net(group_dir, name);
  if (name == "@devices") return read_devices(group_dir);
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
