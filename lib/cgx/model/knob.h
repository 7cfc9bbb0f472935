// SPDX-License-Identifier: Apache-2.0
// One row per knob: its names, range, unit and, for each cgroup version, the files that hold it and how the value
// goes there and comes back. Flags, help, completion, man page, get, set and the property tests are made from
// these rows; nothing else knows a knob by name. Pure: files are seen through a View.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/model/controller.h"
#include "cgx/model/value.h"

namespace cgx {

// The files of one group as they are now. The one interface through which rows look at the kernel.
class View {
 public:
  View() = default;
  View(const View&) = delete;
  View& operator=(const View&) = delete;
  virtual ~View() = default;
  // The text of `file` in the group's directory of `controller`; ENOENT where there is none.
  [[nodiscard]] virtual Result<std::string> read(Controller controller, std::string_view file) const = 0;
  // Names of the files in that directory.
  [[nodiscard]] virtual std::vector<std::string> files(Controller controller) const = 0;
  // What a change in hand will set `knob` (its row name) to; nullptr: nothing.
  [[nodiscard]] virtual const Value* wanted(std::string_view knob) const = 0;
};

// One write(2): `text` to `file`. A file that starts with '@' is no kernel file but a BPF program or a traffic
// class that cgroupfs/attached.h keeps for the group.
struct FileWrite {
  std::string file;
  std::string text;
  std::vector<FileWrite> undo{};  // what takes it back, where only the codec can know
  bool operator==(const FileWrite&) const = default;
};

// Of Backing::initial. A new group has what its parent has; the file is no setting of a group that would be kept (the
// state of the freezer, files of the root alone, another form of a value that has a row).
inline constexpr std::string_view parents = "parents";
inline constexpr std::string_view no_setting = "no setting";

struct Backing;
using Encode = Result<std::vector<FileWrite>> (*)(const Knob& knob,
                                                  const Backing& backing,
                                                  const Value& value,
                                                  const View& view);
// nullopt: the files are there but hold no value of this kind (as cpu.shares while cpu.idle is 1).
using Decode = Result<std::optional<Value>> (*)(const Knob& knob, const Backing& backing, const View& view);

enum class Kind : std::uint8_t { limit, protection, weight, control, stat, command };

// How true the other version's form of a knob is to its own.
enum class Fidelity : std::uint8_t { exact, lossy, none };

struct Backing {
  Controller controller = Controller::core;
  std::array<std::string_view, 4> files{};  // the first one names the knob in errors; none: not on this version
  Encode encode = nullptr;                  // null: read only
  Decode decode = nullptr;
  std::string_view within{};   // the file of the same group whose value must never be below this knob's
  std::string_view missing{};  // where there are no files: why, and what to use instead
  Fidelity fidelity = Fidelity::exact;
  std::string_view note{};  // of a lossy conversion: what is lost
  // What the kernel puts into a new group: a value as users write it, `parents`, or `no_setting`. Empty: what
  // goes without saying for the format (no limit, 0, no rows).
  std::string_view initial{};
  [[nodiscard]] constexpr bool present() const { return !files[0].empty(); }
};

struct Knob {
  std::string_view name;  // the v2 file's, or the v1 file's where only v1 has it
  std::string_view flag;  // "mem" for --mem; empty: reached by --set only
  std::string_view key;   // in policies: "memory.max", or a section as a whole: "hugetlb"; wherever there is a flag
  Format format = Format::text;
  Kind kind = Kind::control;
  std::uint64_t low = 0;  // of numbers
  std::uint64_t high = sys::unlimited;
  std::string_view words{};  // of Format::word: "kill|pause|group"
  Backing v2{};
  Backing v1{};
  std::string_view doc;
  std::string_view property{};  // systemd's name of it for `systemctl set-property`, where it has one
  std::string_view metric{};    // the Prometheus name, without its prefix: "memory_limit_bytes"; empty: no metric
};

// Whether an error's `name` is this knob: the row's name, its flag, or the first file of either version.
[[nodiscard]] bool is_called(const Knob& knob, std::string_view name);

[[nodiscard]] inline const Backing& backing(const Knob& knob, Version version) {
  return version == Version::v1 ? knob.v1 : knob.v2;
}

// What a new group has, where that does not depend on its parent; nullopt: it does (`parents`), or there is no such
// thing.
[[nodiscard]] std::optional<Value> initial_value(const Knob& knob, const Backing& backing);
// Whether the knob is one that configures a group: it can be written and read back, and counts nothing.
[[nodiscard]] bool configures(const Knob& knob, const Backing& backing);

// Every knob, grouped by controller.
[[nodiscard]] std::span<const std::span<const Knob>> knob_tables();
void for_each_knob(const std::function<void(const Knob&)>& each);

// By row name; by flag with or without dashes; by a kernel file name of either version ("hugetlb.2MB.max" too).
[[nodiscard]] const Knob* find_knob(std::string_view name);
// The row that `file` of `version` belongs to; nullptr: none.
[[nodiscard]] const Knob* knob_of_file(std::string_view file, Version version);
// The controller of a kernel file by its prefix: "blkio.weight" io, "cgroup.procs" and "tasks" core.
[[nodiscard]] std::optional<Controller> controller_of_file(std::string_view file);

}  // namespace cgx
