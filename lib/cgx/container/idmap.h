// SPDX-License-Identifier: Apache-2.0
// Inside container/: user namespaces that exist for the mapping of a mount alone.
#pragma once

#include <string_view>
#include <vector>

#include "cgx/container/spec.h"
#include "cgx/sys/fd.h"

namespace cgx::container {

struct IdMaps {
  std::vector<IdMapping> uids, gids;
};
// A user namespace with these mappings, for MOUNT_ATTR_IDMAP: `container_id` is what the source holds, `host_id` what
// the host sees of it. A child lives for a moment.
[[nodiscard]] Result<sys::Fd> mapping_namespace(const IdMaps& maps);

// The value of option `idmap=`: "uids=0-1000-10#20-2000-1;gids=...", each FROM-TO-SIZE; after '@' TO is an id of the
// container, whose mappings are `container`.
[[nodiscard]] Result<IdMaps> parse_id_map(std::string_view text, const IdMaps& container);

}  // namespace cgx::container
