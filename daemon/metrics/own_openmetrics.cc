// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "daemon/metrics/own.h"

namespace cgx::daemon {
namespace {

using prometheus::ClientMetric;
using ClientLabels = std::vector<ClientMetric::Label>;

// `NAME{a="1",more} `.
void start(std::string& out, std::string_view name, const ClientLabels& labels, std::string_view more = {}) {
  out.append(name);
  if (!labels.empty() || !more.empty()) {
    out.push_back('{');
    bool first = true;
    for (const auto& label : labels) {
      if (!first) out.push_back(',');
      first = false;
      text::append_label(out, label.name, label.value);
    }
    if (!first && !more.empty()) out.push_back(',');
    out.append(more).push_back('}');
  }
  out.push_back(' ');
}

void line(std::string& out, std::string_view name, const ClientLabels& labels, double value) {
  start(out, name, labels);
  text::append_real(out, value);
  out.push_back('\n');
}

void histogram(std::string& out, const std::string& name, const ClientMetric& metric) {
  for (const auto& bucket : metric.histogram.bucket) {
    std::string bound = "le=\"";
    text::append_real(bound, bucket.upper_bound);
    bound.push_back('"');
    start(out, name + "_bucket", metric.label, bound);
    text::append(out, bucket.cumulative_count);
    out.push_back('\n');
  }
  start(out, name + "_count", metric.label);
  text::append(out, metric.histogram.sample_count);
  out.push_back('\n');
  line(out, name + "_sum", metric.label, metric.histogram.sample_sum);
}

std::string_view unit(std::string_view name) {
  if (name.ends_with("_total")) name.remove_suffix(6);
  return name.ends_with("_seconds") ? "seconds" : name.ends_with("_bytes") ? "bytes" : "";
}

}  // namespace

std::string openmetrics(const std::vector<prometheus::MetricFamily>& families) {
  std::string out;
  for (const auto& family : families) {
    if (family.metric.empty()) continue;
    const bool info = family.name.ends_with("_info");
    if (family.type == prometheus::MetricType::Histogram) {
      out.append("# HELP ").append(family.name).push_back(' ');
      text::append_help(out, family.help, Format::openmetrics);
      out.append("\n# TYPE ").append(family.name).append(" histogram\n");
      if (!unit(family.name).empty())
        out.append("# UNIT ").append(family.name).append(" ").append(unit(family.name)).push_back('\n');
      for (const ClientMetric& metric : family.metric) histogram(out, family.name, metric);
      continue;
    }
    const bool counter = family.type == prometheus::MetricType::Counter;
    text::append_header(out,
                        family.name,
                        counter ? MetricType::counter
                        : info  ? MetricType::info
                                : MetricType::gauge,
                        unit(family.name),
                        family.help,
                        Format::openmetrics);
    for (const ClientMetric& metric : family.metric)
      line(out, family.name, metric.label, counter ? metric.counter.value : metric.gauge.value);
  }
  return out;
}

}  // namespace cgx::daemon
