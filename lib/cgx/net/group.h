// SPDX-License-Identifier: Apache-2.0
// A group as network control sees it: a directory of the v1 net_cls hierarchy or of cgroup v2, its key in the
// store, and the marker attribute that tells others that the store has a record of it.
#pragma once

#include <cstdint>
#include <string>

#include "cgx/net/names.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/result.h"

namespace cgx::net {

// Present on the directory of a group that has a record; its value is the text of the class, or "-".
inline constexpr const char* marker_name = "trusted.cgx.net";

class Group {
 public:
  enum class Version : std::uint8_t { v1, v2 };

  // From any descriptor of the directory (O_PATH too), which stays the caller's. Usage error if it is no group,
  // or one of a v1 hierarchy without net_cls.
  [[nodiscard]] static Result<Group> open(int fd);

  [[nodiscard]] int fd() const { return dir_.get(); }
  [[nodiscard]] Version version() const { return version_; }
  [[nodiscard]] const std::string& key() const { return key_; }  // `v2-4711`

  [[nodiscard]] Result<bool> marked() const;
  [[nodiscard]] Result<> set_marker(ClassId id) const;
  [[nodiscard]] Result<> remove_marker() const;  // none there is no error

  // v1 only: net_cls.classid of the group, and of its parent (value 0 for the root).
  [[nodiscard]] Result<ClassId> class_id() const;
  [[nodiscard]] Result<ClassId> parent_class_id() const;
  [[nodiscard]] Result<> write_class_id(ClassId id) const;

 private:
  Group(sys::Fd dir, Version version, std::string key)
      : dir_(std::move(dir)), version_(version), key_(std::move(key)) {}

  sys::Fd dir_;
  Version version_;
  std::string key_;
};

// Whether the group of `key` is gone. Unknown (neither) where the hierarchy is not mounted in this mount namespace
// or file handles may not be opened (CAP_DAC_READ_SEARCH).
enum class Life : std::uint8_t { alive, gone, unknown };
[[nodiscard]] Life life_of(const std::string& key);

}  // namespace cgx::net
