// SPDX-License-Identifier: Apache-2.0
// Inside daemon/metrics/: the bytes of the two formats of Prometheus, and of HTML. Pure. The functions append, so that
// a page with a million samples is made without a temporary.
//
// Formats: https://prometheus.io/docs/instrumenting/exposition_formats/ and OpenMetrics 1.0.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cgx::daemon {

enum class Format : std::uint8_t {
  text,         // text/plain; version=0.0.4
  openmetrics,  // application/openmetrics-text; version=1.0.0
};
[[nodiscard]] std::string_view content_type(Format format);

enum class MetricType : std::uint8_t { counter, gauge, info };

// What a number is, before it is in the unit of its metric.
enum class Scale : std::uint8_t {
  one,    // as it is
  micro,  // millionths: 1500000 is written 1.5
};

namespace text {

void append(std::string& out, std::uint64_t n);
// The shortest decimal fraction: 1.5, 0.000001, 3.
void append(std::string& out, std::uint64_t n, Scale scale);
// As prometheus-cpp writes it, so that the bounds of a histogram are the same labels in both formats; `+Inf`, `-Inf`,
// `NaN`.
void append_real(std::string& out, double n);

// Names of groups are bytes, but both formats are UTF-8: a byte that is no part of any character becomes `\xNN`, so
// that names which differ stay different as far as possible.
[[nodiscard]] std::string utf8(std::string_view bytes);
// The value of a label, without the quotes: `\`, `"` and newline escaped, and what is not UTF-8 as in utf8().
void append_label(std::string& out, std::string_view value);
// `name="value"`.
void append_label(std::string& out, std::string_view name, std::string_view value);
// HELP texts: `\` and newline are escaped, in OpenMetrics `"` too.
void append_help(std::string& out, std::string_view help, Format format);
// The lines before the samples of a metric. `name` is that of its samples; in OpenMetrics the family's own name is
// without `_total` or `_info`. `unit` may be empty.
void append_header(std::string& out,
                   std::string_view name,
                   MetricType type,
                   std::string_view unit,
                   std::string_view help,
                   Format format);
// For the content of an element and for an attribute in double quotes. What is not UTF-8 as in utf8().
void append_html(std::string& out, std::string_view text);

}  // namespace text
}  // namespace cgx::daemon
