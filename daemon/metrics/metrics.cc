// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics/metrics.h"

#include "daemon/descriptors.h"
#include "daemon/metrics/status.h"

namespace cgx::daemon {
namespace {

// A Hierarchies opens its roots when they are first asked for, which two threads must not do at the same time.
Hierarchies own_copy(const Hierarchies& from) {
  std::vector<Mount> mounts;
  for (const Hierarchy& h : from.all()) mounts.push_back(h.mount());
  return Hierarchies::of_mounts(mounts);
}

CollectorOptions collector_options(const MetricsOptions& o) {
  return {.scope = o.scope,
          .max_groups = o.max_groups,
          .max_series = o.max_series,
          .descriptors = o.descriptors != 0 ? o.descriptors : descriptor_limit() / 4,
          .containers = o.cadvisor};
}

}  // namespace

Metrics::Metrics(const Hierarchies& hierarchies, const Shared& shared, MetricsOptions options)
    : hierarchies_(own_copy(hierarchies)),
      shared_(&shared),
      options_(std::move(options)),
      collector_(hierarchies_, collector_options(options_)) {}

// A snapshot that was begun after the call, or at most `age` before it.
std::shared_ptr<const Snapshot> Metrics::snapshot(std::chrono::milliseconds age) {
  const auto wanted = std::chrono::steady_clock::now() - age;
  const std::scoped_lock lock(mutex_);
  if (last_ && last_->began >= wanted) return last_;
  last_.reset();  // so that its memory can be used again
  const std::shared_ptr<const World> world = shared_->get();
  own_.world(*world);
  const auto note = [this](const Error& error) {
    own_.scrape_error();
    const std::scoped_lock error_lock(error_mutex_);
    error_ = error.text();
  };
  auto result = collector_.collect(world, note);
  if (result) {
    last_ = *std::move(result);
  } else {
    note(result.error());
    last_ = std::make_shared<const Snapshot>();
  }
  own_.scraped(last_->count, last_->dropped, collector_.kept_descriptors(), last_->took);
  return last_;
}

Page Metrics::pages(Format format, Page::Names names) {
  std::shared_ptr<const Snapshot> now = snapshot(std::chrono::milliseconds(0));
  return Page(std::move(now), format, names, names == Page::Names::group ? own_.page(format) : std::string());
}

std::string Metrics::page(Format format) { return pages(format, Page::Names::group).rest(); }
std::string Metrics::cadvisor(Format format) { return pages(format, Page::Names::container).rest(); }

// People's pages take what is there where it is fresh: many browsers cost no more than one.
std::string Metrics::html(const std::string& nonce) {
  return status_html(*snapshot(std::chrono::milliseconds(900)), *shared_->get(), nonce);
}
std::string Metrics::json() { return status_json(*snapshot(std::chrono::milliseconds(900)), *shared_->get()); }

std::string Metrics::take_error() {
  const std::scoped_lock lock(error_mutex_);
  return std::exchange(error_, {});
}

std::vector<std::string> Metrics::files() {
  const std::scoped_lock lock(mutex_);
  if (!collector_.prepare()) return {};
  return collector_.files();
}

}  // namespace cgx::daemon
