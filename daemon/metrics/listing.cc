// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics/listing.h"

#include <string_view>

#include "daemon/metrics/families.h"
#include "daemon/metrics/own.h"
#include "daemon/metrics/process.h"

namespace cgx::daemon {
namespace {

std::string_view word(MetricType type) {
  return type == MetricType::counter ? "counter" : type == MetricType::info ? "info" : "gauge";
}

void row(
    std::string& out, std::string_view name, std::string_view type, std::string_view labels, std::string_view rest) {
  out.append("| `").append(name).append("` | ").append(type).append(" | ").append(labels).append(" | ");
  out.append(rest).append(" |\n");
}

std::string where(bool v1, bool v2) { return v1 && v2 ? "v1, v2" : v1 ? "v1" : "v2"; }

// On which versions of cgroups there is a source for one of the entries, and whose numbers they are.
std::string versions(const MetricFamily& family) {
  bool v1 = false;
  bool v2 = false;
  bool own = false;  // v1 counts the group without those below it
  for (const Entry& entry : family.entries) {
    switch (entry.from) {
      case From::stat:
      case From::device_stat: {
        const Stat& stat = stat_row(entry.id);
        v1 = v1 || stat.v1.present();
        v2 = v2 || stat.v2.present();
        own = own || (stat.v1.present() && stat.v1.scope == StatScope::group && stat.v2.scope != StatScope::group);
        break;
      }
      case From::limit: {
        const Knob& knob = *metric_limits()[entry.id];
        v1 = v1 || (knob.v1.present() && !is_alias(knob, Version::v1));
        v2 = v2 || (knob.v2.present() && !is_alias(knob, Version::v2));
        break;
      }
      default:
        v1 = v2 = true;
    }
  }
  return where(v1, v2) + (own && v1 ? "; on v1 of the group alone" : "");
}

std::string labels(const MetricFamily& family, std::string_view first) {
  std::string text = '`' + std::string(first) + '`';
  const Entry& entry = family.entries.front();
  if (entry.from == From::device_stat) text += ", `device`";
  if (!entry.label.empty()) text += ", `event`";
  if (entry.from == From::info) text += ", `unit`, `container`, `uid`, `version`";
  return text;
}

}  // namespace

std::string metrics_listing() {
  std::string out =
      "### Of groups: `/metrics`\n\n| metric | type | labels | on | meaning |\n| --- | --- | --- | --- | --- |\n";
  for (const MetricFamily& f : group_families())
    row(out, f.name, word(f.type), labels(f, "cgroup") + " | " + versions(f), f.help);
  out.append("\n### Of cgxd: `/metrics`\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n");
  for (const OwnMetrics::Described& d : OwnMetrics::described()) {
    std::string names;
    for (std::string_view rest = d.labels; !rest.empty();) {
      const std::size_t comma = rest.find(',');
      names.append(names.empty() ? "`" : ", `").append(rest.substr(0, comma)).append("`");
      rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 2);
    }
    row(out, d.name, d.type, names, d.help);
  }
  for (const ProcessRow& r : process_rows()) row(out, r.name, word(r.type), "", r.help);
  out.append(
      "\n### With cAdvisor's names: `/metrics/cadvisor`\n\n| metric | type | labels | meaning |\n"
      "| --- | --- | --- | --- |\n");
  for (const MetricFamily& f : container_families())
    row(out,
        f.name,
        word(f.type),
        f.entries.front().from == From::device_stat ? "`id`, `image`, `name`, `device`" : "`id`, `image`, `name`",
        f.help);
  return out;
}

}  // namespace cgx::daemon
