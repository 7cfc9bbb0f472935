// SPDX-License-Identifier: Apache-2.0
// Namespaces that a container shares with another container: --network, --pid, --uts container:NAME. The other one is
// kept by its id, and its process is looked up at each start: that may be another one by then, or gone.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cgx/container/spec.h"
#include "cgx/sys/fd.h"

#include "options.h"
#include "record.h"

namespace cgx::launcher {

struct Shared {
  std::map<std::string, std::string> paths;  // by the type of the specification; nothing can be opened by them
  std::string hostname;                      // of the container that --uts names; empty: none
};
// Looks the other containers up, and notes them in the record.
[[nodiscard]] Result<Shared> choose_shared(const RunOptions& options, const std::string& run_root, Record& record);
// Whether each of them runs: for a dry run.
[[nodiscard]] Result<> check_shared(const RunOptions& options);
// The host name that the container sees: its own, the host's, or the other container's.
[[nodiscard]] Result<std::string> host_name_of(const RunOptions& options, const std::string& id, const Shared& shared);
// Opens the namespaces as they are now, and puts their descriptors' paths into the specification. They have to stay
// open until the container has started. ESRCH: a container does not run, was removed, or is another one by now.
[[nodiscard]] Result<std::vector<sys::Fd>> open_shared(const Record& record, container::Spec& spec);

}  // namespace cgx::launcher
