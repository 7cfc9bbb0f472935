// SPDX-License-Identifier: Apache-2.0
// Inside policy/: what the importers of libcgroup's files share.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/policy/policy.h"

namespace cgx::policy {

inline constexpr std::size_t most_import_bytes = 1U << 20U;

// Collects what is to be told of one file.
class Told {
 public:
  Told(std::string_view file, std::vector<Problem>& problems) : file_(file), problems_(problems) {}
  // What cannot be read.
  void wrong(unsigned line, const std::string& path, std::string what, std::string hint = {});
  // What cannot be carried over.
  void missing(unsigned line, const std::string& path, std::string what, std::string hint = {});
  // The file of policies, with what was told in comments at its top; puts that in the order of lines. E2BIG where it
  // is larger than files of policies may be, EILSEQ as of emit().
  [[nodiscard]] Result<std::string> policy_file(const Policies& policies);

 private:
  [[nodiscard]] std::string comments();

  std::string file_;
  std::vector<Problem>& problems_;
  std::size_t first_ = problems_.size();
};

// ---- cgconfig.conf as it stands -------------------------------------------------------------------------------------

struct ConfigParam {
  std::string name;
  std::string value;
  unsigned line = 0;
};
struct ConfigController {
  std::string name;
  std::vector<ConfigParam> params;
  unsigned line = 0;
};
struct ConfigPerm {
  std::string task_uid, task_gid, admin_uid, admin_gid;
  bool modes = false;  // fperm or dperm is there
  unsigned line = 0;
};
struct ConfigGroup {
  std::string name;
  bool is_template = false;
  std::optional<ConfigPerm> perm;
  std::vector<ConfigController> controllers;
  unsigned line = 0;
};
struct ConfigFile {
  std::vector<ConfigParam> mounts;
  std::vector<ConfigParam> namespaces;
  std::vector<ConfigParam> systemd;
  std::vector<ConfigGroup> groups;
  std::optional<ConfigPerm> default_perm;
};
// Goes on after a mistake with the next section.
[[nodiscard]] ConfigFile parse_cgconfig(std::string_view text, Told& told);

// The limits that the parameters of one group mean; adds to `group`, `raw` for those that no knob is for.
void import_limits(const std::vector<ConfigParam>& params, GroupPolicy& group, Told& told);

}  // namespace cgx::policy
