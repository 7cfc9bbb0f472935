// SPDX-License-Identifier: Apache-2.0
// One group: a name, and a directory in each hierarchy. A Cgroup keeps the descriptors of the directories that it
// has opened, so that a group which is removed and made again under the same name is never mistaken for the first.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/model/knob.h"
#include "cgx/sys/fd.h"

namespace cgx {

class Cgroup {
 public:
  // `name` as parse_group_name() answers it. Opens nothing; `hierarchies` must outlive the group.
  Cgroup(const Hierarchies& hierarchies, std::string name);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const Hierarchies& hierarchies() const { return *hierarchies_; }

  // The group's directory in `h` (a named hierarchy too), an O_RDONLY|O_DIRECTORY descriptor that this object owns.
  // ENOENT: not there. EXDEV: something else is mounted over it, and the error says where.
  [[nodiscard]] Result<int> dir(const Hierarchy& h) const;
  // Forgets the descriptors: for after the group was made or removed.
  void forget();
  // The hierarchies in which the group is there, in order; looked up once, until forget().
  [[nodiscard]] const std::vector<const Hierarchy*>& present() const;
  // ENOENT with the group's name and a hint where it is in no hierarchy; why, where one cannot be looked into (EMFILE).
  [[nodiscard]] Result<> require() const;

  // The hierarchy that `file` of `controller` is in: of(controller); for Controller::core the one that has the file.
  [[nodiscard]] const Hierarchy* home(Controller controller, std::string_view file) const;
  // The text of one file, kernel's or '@' one (attached.h). Errors name group and file.
  [[nodiscard]] Result<std::string> read(Controller controller, std::string_view file) const;
  [[nodiscard]] Result<std::string> read(const Hierarchy& h, std::string_view file) const;
  // One write. Errors name group, file and value; the reason is the kernel's word only (explain.h says more).
  [[nodiscard]] Result<> write(const Hierarchy& h, std::string_view file, std::string_view text) const;

 private:
  const Hierarchies* hierarchies_;
  std::string name_;
  mutable std::vector<sys::Fd> dirs_;
  mutable std::optional<std::vector<const Hierarchy*>> present_;
  mutable std::optional<Error> unseen_;  // why present() could not look into a hierarchy
};

// A group's files as knob rows see them, with what a change wants laid over.
class GroupView final : public View {
 public:
  struct Wanted {
    const Knob* knob;
    const Value* value;
  };
  explicit GroupView(const Cgroup& group, std::vector<Wanted> wanted = {});
  [[nodiscard]] Result<std::string> read(Controller controller, std::string_view file) const override;
  [[nodiscard]] std::vector<std::string> files(Controller controller) const override;
  [[nodiscard]] const Value* wanted(std::string_view knob) const override;

 private:
  const Cgroup* group_;
  std::vector<Wanted> wanted_;
};

// The column of `knob` that counts on this host, and its hierarchy; ENOTSUP says what is missing.
struct Home {
  const Backing* backing;
  const Hierarchy* hierarchy;
};
[[nodiscard]] Result<Home> home_of(const Hierarchies& hierarchies, const Knob& knob);
// The knob's value in `group`; nullopt where it has none now.
[[nodiscard]] Result<std::optional<Value>> read_knob(const Cgroup& group, const Knob& knob);

}  // namespace cgx
