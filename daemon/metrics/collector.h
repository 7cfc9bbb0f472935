// SPDX-License-Identifier: Apache-2.0
// Inside daemon/metrics/: which groups there are to be shown, and a snapshot of their numbers. The groups come from the
// world that the main loop hands out; nothing is walked here. Not thread safe.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daemon/metrics/oom_memory.h"
#include "daemon/metrics/reader.h"
#include "daemon/world.h"

namespace cgx::daemon {

struct CollectorOptions {
  std::string scope = "managed";  // "managed", "all", or a glob over names of groups, in which `*` matches `/` too
  std::size_t max_groups = 10'000;
  std::size_t max_series = 1'000'000;
  std::size_t descriptors = 0;
  bool containers = false;  // counts also what only the names container_* have
};

// Whether a group is within a scope.
[[nodiscard]] bool in_scope(std::string_view scope, const std::string& group, bool managed);

// What is said of a group besides its numbers.
struct Owner {
  uid_t uid = 0;
  std::uint64_t since = 0;  // seconds since 1970
};
[[nodiscard]] Labels make_labels(const std::string& group,
                                 const std::string& unit,
                                 std::string_view version,
                                 const std::optional<Owner>& owner);
// The container's id where the group's name is that of one: `docker-ID.scope`, `docker/ID`; else empty.
[[nodiscard]] std::string_view container_id(std::string_view group);

class Collector {
 public:
  // `hierarchies` must outlive it.
  Collector(const Hierarchies& hierarchies, CollectorOptions options);

  // Reads the groups of `world` that are within the scope. `error` is told of what could not be read, once a group.
  [[nodiscard]] Result<std::shared_ptr<const Snapshot>> collect(const std::shared_ptr<const World>& world,
                                                                const std::function<void(const Error&)>& error);
  [[nodiscard]] std::size_t kept_descriptors() const { return reader_ ? reader_->kept() : 0; }
  [[nodiscard]] std::vector<std::string> files() const;
  // Reads the files of the named statistics once, so that it is known which of them this kernel has.
  [[nodiscard]] Result<> prepare();

 private:
  void list_groups(const World& world);
  [[nodiscard]] std::shared_ptr<const Labels> labels_of(const std::string& group, const std::string& unit) const;
  GroupReader::Outcome read(KeptGroup& group, Reading& into);
  std::shared_ptr<Snapshot> fresh();
  void label_devices(Snapshot& snapshot) const;
  void take(Snapshot& snapshot, KeptGroup& group, std::size_t& series);

  const Hierarchies* hierarchies_;
  CollectorOptions options_;
  std::unique_ptr<GroupReader> reader_;
  std::shared_ptr<const World> world_;
  std::uint64_t reloads_ = 0;
  std::unordered_map<std::string, std::unique_ptr<KeptGroup>> kept_;
  std::vector<KeptGroup*> groups_;  // in the order of the pages
  std::size_t left_out_ = 0;        // by the bound on groups
  std::vector<std::shared_ptr<Snapshot>> pool_;
  OomMemory oom_;
};

}  // namespace cgx::daemon
