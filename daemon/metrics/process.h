// SPDX-License-Identifier: Apache-2.0
// Inside daemon/metrics/: the process_* metrics that every exporter has, of this process.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "daemon/metrics/text.h"

namespace cgx::daemon {

struct ProcessRow {
  std::string_view name;
  MetricType type;
  std::string_view unit;
  std::string_view help;
};
[[nodiscard]] std::span<const ProcessRow> process_rows();
// What cannot be read is left out.
void append_process_metrics(std::string& out, Format format);

}  // namespace cgx::daemon
