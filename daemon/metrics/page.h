// SPDX-License-Identifier: Apache-2.0
// Inside daemon/metrics/: makes a page out of a snapshot, a piece at a time, so that a page of 10,000 groups, which is
// as large as 60 MB, is never in memory as a whole. Pure.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "daemon/metrics/families.h"
#include "daemon/metrics/snapshot.h"

namespace cgx::daemon {

class Page {
 public:
  enum class Names : std::uint8_t { group, container };
  // `own` are further metrics, whole, that come after those of the groups.
  Page(std::shared_ptr<const Snapshot> snapshot, Format format, Names names, std::string own);

  // Appends at least `some` bytes, a little more, or all that is left. False: that was the end.
  bool more(std::string& out, std::size_t some);
  // All that is left.
  [[nodiscard]] std::string rest();

 private:
  bool family(std::string& out, std::size_t end);
  void samples(std::string& out, const MetricFamily& family, const Entry& entry, const Reading& group);
  void sample(
      std::string& out, const MetricFamily& family, const Entry& entry, std::string_view device, std::uint64_t n);
  void gone(std::string& out, const MetricFamily& family);
  [[nodiscard]] std::string_view labels(const Reading& group) const;

  std::shared_ptr<const Snapshot> snapshot_;
  Format format_;
  Names names_;
  std::string own_;
  const std::vector<MetricFamily>* families_;
  std::size_t family_ = 0;
  std::size_t group_ = 0;
  bool header_ = false;  // of the family: is out
  bool ended_ = false;
  std::string_view labels_;
};

}  // namespace cgx::daemon
