// SPDX-License-Identifier: Apache-2.0
// The loop of `cgx events`: sources of many groups on one epoll, in the order in which they happen.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cgx/cgroupfs/tree_watch.h"
#include "cgx/cgroupfs/watch.h"

namespace cgx::tool {

struct EventsRequest {
  std::vector<std::string> names;  // of groups, unique
  bool recursive = false;
  std::optional<EventKind> until;
  std::optional<std::chrono::microseconds> timeout;
  std::vector<std::uint64_t> thresholds;
  std::vector<Pressure> pressures;
};

class EventsMonitor {
 public:
  // What to do with each event, at once.
  using Tell = std::function<void(const Event&)>;

  EventsMonitor(const Hierarchies& hierarchies, EventsRequest request, Tell tell);

  // Registers everything. From its return on no event is lost: what happens before run() waits in the kernel.
  [[nodiscard]] Result<> begin();
  // The status: 0 when --until came, when all groups are gone or the time is over without --until; 1 when nobody reads
  // our output any more. ETIMEDOUT and ENOENT: --until waited in vain.
  [[nodiscard]] Result<int> run();

  [[nodiscard]] std::size_t groups() const { return groups_.size(); }
  [[nodiscard]] EventSet tells() const;

 private:
  enum class Part : std::uint8_t { memory, state, v1_state, threshold, pressure };
  struct Source {
    Watch watch;
    Part part;
    std::size_t number;  // of the threshold or pressure flag
  };
  struct Group {
    std::vector<std::unique_ptr<Source>> sources;
    bool named = false;
    bool occupancy = false;  // the v1 source tells of processes too
  };
  using Groups = std::map<std::string, Group, std::less<>>;

  Result<> arm(const std::string& name, Since since);
  Result<> arm_part(Group& group, const Cgroup& cgroup, Part part, std::size_t number, Since since);
  Result<Watch> make(const Cgroup& cgroup, Part part, std::size_t number, Occupancy occupancy, Since since) const;
  Result<> add(Group& group, Source source);
  void drop(Source& source);
  Result<> check_until() const;
  Result<> read(Source& source, Watch::Wake wake);
  Result<> read_tree();
  Result<> removed(std::string_view name);
  void tell(const Event& event);
  [[nodiscard]] int milliseconds_to_wait() const;
  Result<std::optional<int>> step();

  const Hierarchies* hierarchies_;
  EventsRequest request_;
  Tell tell_;
  sys::Fd epoll_;
  std::optional<TreeWatch> tree_;
  Groups groups_;
  std::vector<Source*> late_;                                   // those with a due time
  std::vector<std::unique_ptr<Source>> dropped_;                // until the events of this round are through
  std::array<std::optional<Error>, event_kind_count> lacking_;  // why an event cannot come
  std::uint64_t open_files_ = 0;                                // as many as this process may have
  std::size_t named_left_ = 0;
  bool done_ = false;
  std::optional<Watch::Clock::time_point> end_;
};

}  // namespace cgx::tool
