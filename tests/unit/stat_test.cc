// SPDX-License-Identifier: Apache-2.0
#include "cgx/model/stat.h"

#include <set>
#include <string>

#include <doctest/doctest.h>

namespace stat_test {

using namespace cgx;

TEST_CASE("stat: every row is named once, by both of its names") {
  std::set<std::string_view> names;
  std::set<std::pair<std::string_view, std::string_view>> metrics;
  for (StatId id = 0; id < stat_count(); ++id) {
    const Stat& row = stat_row(id);
    CAPTURE(std::string(row.name));
    CHECK(names.insert(row.name).second);
    if (!row.metric.empty())
      CHECK(metrics.emplace(row.metric, row.metric == "memory_events_total" ? row.event : "").second);
    CHECK(find_stat(row.name) == id);
    CHECK(stat_id(row.name) == id);
  }
  CHECK(names.size() > 50);
  CHECK_FALSE(find_stat("cpu.usage").has_value());
}

TEST_CASE("stat: every row says what it is, and has a source") {
  for (StatId id = 0; id < stat_count(); ++id) {
    const Stat& row = stat_row(id);
    CAPTURE(std::string(row.name));
    CHECK_FALSE(row.doc.empty());
    CHECK((row.v1.present() || row.v2.present()));
    CHECK(row.name.find('.') != std::string_view::npos);
    CHECK(row.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._") == std::string_view::npos);
    CHECK(row.metric.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string_view::npos);
    CHECK(row.metric.ends_with("_total") == (row.kind == StatKind::counter));
    CHECK(row.metric.empty() == (row.unit == StatUnit::centipercent));
  }
}

TEST_CASE("stat: sources fit their version, and only times are scaled") {
  for (StatId id = 0; id < stat_count(); ++id) {
    const Stat& row = stat_row(id);
    CAPTURE(std::string(row.name));
    for (const Version version : {Version::v1, Version::v2}) {
      const StatSource& from = source(row, version);
      if (!from.present()) continue;
      if (from.scale != StatScale::base) {
        CHECK(row.unit == StatUnit::usec);
        CHECK(version == Version::v1);  // v2 counts microseconds itself
      }
      CHECK((from.format == StatFormat::number) == from.key.empty());
      if (version == Version::v1) {
        CHECK_FALSE(cgx::row(from.controller).v1_name.empty());
        CHECK(from.format != StatFormat::pressure);
        CHECK(from.format != StatFormat::io_stat);
      } else {
        CHECK(from.format != StatFormat::blkio);
        CHECK(from.instead.empty());
      }
    }
    const bool device_format = row.v2.format == StatFormat::io_stat || row.v1.format == StatFormat::blkio;
    CHECK(row.per_device == device_format);
  }
}

TEST_CASE("stat: rows per device stand together") {
  bool ended = false;
  for (StatId id = first_device_stat(); id < stat_count(); ++id) {
    if (!stat_row(id).per_device) ended = true;
    CHECK_FALSE((ended && stat_row(id).per_device));
  }
  CHECK(stat_row(first_device_stat()).name == "io.rbytes");
  CHECK_FALSE(stat_row(first_device_stat() - 1).per_device);
}

}  // namespace stat_test
