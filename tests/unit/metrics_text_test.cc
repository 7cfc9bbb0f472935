// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "daemon/metrics/accept.h"
#include "daemon/metrics/listen.h"
#include "daemon/metrics/text.h"

namespace metrics_text_test {

using namespace cgx;
using daemon::Format;
using daemon::MetricType;
using daemon::Scale;
namespace text = daemon::text;

namespace {

std::string number(std::uint64_t n, Scale scale) {
  std::string out;
  text::append(out, n, scale);
  return out;
}
std::string label(std::string_view value) {
  std::string out;
  text::append_label(out, value);
  return out;
}
std::string real(double n) {
  std::string out;
  text::append_real(out, n);
  return out;
}
std::string html(std::string_view value) {
  std::string out;
  text::append_html(out, value);
  return out;
}

}  // namespace

TEST_CASE("metrics text: numbers are exact and short") {
  CHECK(number(0, Scale::one) == "0");
  CHECK(number(std::numeric_limits<std::uint64_t>::max(), Scale::one) == "18446744073709551615");
  CHECK(number(0, Scale::micro) == "0");
  CHECK(number(1, Scale::micro) == "0.000001");
  CHECK(number(1'500'000, Scale::micro) == "1.5");
  CHECK(number(1'000'010, Scale::micro) == "1.00001");
  CHECK(number(7'000'000, Scale::micro) == "7");
  CHECK(number(std::numeric_limits<std::uint64_t>::max(), Scale::micro) == "18446744073709.551615");
  CHECK(real(0.1) == "0.1");
  CHECK(real(0.00025) == "0.00025");
  CHECK(real(0.00001) == "1e-05");
  CHECK(real(12345678) == "12345678");
  CHECK(real(std::numeric_limits<double>::infinity()) == "+Inf");
  CHECK(real(-std::numeric_limits<double>::infinity()) == "-Inf");
  CHECK(real(std::numeric_limits<double>::quiet_NaN()) == "NaN");
}

TEST_CASE("metrics text: labels are escaped, and what is no text is shown") {
  CHECK(label("web/api") == "web/api");
  CHECK(label("a\"b\\c\nd") == "a\\\"b\\\\c\\nd");
  CHECK(label("\xC3\xBC\xE2\x82\xAC\xF0\x9F\x90\xA7") == "\xC3\xBC\xE2\x82\xAC\xF0\x9F\x90\xA7");
  CHECK(label("a\xFFz") == "a\\\\xffz");
  CHECK(label("\xC3") == "\\\\xc3");                                   // cut off
  CHECK(label("\xC0\xAF") == "\\\\xc0\\\\xaf");                        // an overlong slash
  CHECK(label("\xED\xA0\x80") == "\\\\xed\\\\xa0\\\\x80");             // a surrogate
  CHECK(label("\xF4\x90\x80\x80") == "\\\\xf4\\\\x90\\\\x80\\\\x80");  // above U+10FFFF
  CHECK(label("\xE0\x80\x80") == "\\\\xe0\\\\x80\\\\x80");
  CHECK(text::utf8("a\xFF\"") == "a\\xff\"");
  std::string pair;
  text::append_label(pair, "cgroup", "a\"");
  CHECK(pair == "cgroup=\"a\\\"\"");
}

TEST_CASE("metrics text: the head of a metric, in both formats") {
  std::string out;
  text::append_header(out, "x_seconds_total", MetricType::counter, "seconds", "Time \\ \"spent\"\n.", Format::text);
  CHECK(out == "# HELP x_seconds_total Time \\\\ \"spent\"\\n.\n# TYPE x_seconds_total counter\n");
  out.clear();
  text::append_header(
      out, "x_seconds_total", MetricType::counter, "seconds", "Time \\ \"spent\"\n.", Format::openmetrics);
  CHECK(out == "# HELP x_seconds Time \\\\ \\\"spent\\\"\\n.\n# TYPE x_seconds counter\n# UNIT x_seconds seconds\n");
  out.clear();
  text::append_header(out, "x_info", MetricType::info, "", "What.", Format::text);
  text::append_header(out, "x_info", MetricType::info, "", "What.", Format::openmetrics);
  CHECK(out == "# HELP x_info What.\n# TYPE x_info gauge\n# HELP x What.\n# TYPE x info\n");
}

TEST_CASE("metrics text: HTML is escaped") {
  CHECK(html("<img src=x onerror='a()'>&\"\xFE") == "&lt;img src=x onerror=&#39;a()&#39;&gt;&amp;&quot;\\xfe");
}

TEST_CASE("metrics: what Accept asks for") {
  const auto format = [](std::string_view accept) { return daemon::accepted_format(accept); };
  CHECK(format("") == Format::text);
  CHECK(format("*/*") == Format::text);
  CHECK(format("text/html,application/xhtml+xml,*/*;q=0.8") == Format::text);
  // As Prometheus 2.42 asks.
  CHECK(format("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
               "text/plain;version=0.0.4;q=0.5,*/*;q=0.1") == Format::openmetrics);
  CHECK(format("application/openmetrics-text") == Format::openmetrics);
  CHECK(format("APPLICATION/OpenMetrics-Text ; Version=\"1.0.0\" ; Q=0.9 , text/plain;q=0.8") == Format::openmetrics);
  CHECK(format("application/openmetrics-text;version=0.0.1") == Format::text);
  CHECK(format("application/openmetrics-text;version=2.0.0,*/*") == Format::text);
  CHECK(format("application/openmetrics-text;q=0") == Format::text);
  CHECK(format("application/openmetrics-text;q=0.2,text/plain") == Format::text);
  CHECK(format("application/openmetrics-text;q=0.5,text/plain;q=0.4,*/*") == Format::openmetrics);
  CHECK(format("application/openmetrics-text;q=x") == Format::text);
  CHECK(format(",;,=;q,;;") == Format::text);
}

TEST_CASE("metrics: what Accept-Encoding asks for") {
  CHECK_FALSE(daemon::accepts_gzip(""));
  CHECK(daemon::accepts_gzip("gzip"));
  CHECK(daemon::accepts_gzip("deflate, GZIP;q=0.5"));
  CHECK(daemon::accepts_gzip("*"));
  CHECK_FALSE(daemon::accepts_gzip("gzip;q=0"));
  CHECK_FALSE(daemon::accepts_gzip("gzip;q=0.000, *"));
  CHECK_FALSE(daemon::accepts_gzip("identity"));
  CHECK_FALSE(daemon::accepts_gzip("gzip2"));
  CHECK_FALSE(daemon::accepts_gzip("gzip;q=1.5"));
}

TEST_CASE("metrics: where to listen") {
  const auto parsed = [](std::string_view given) {
    const auto listen = daemon::Listen::parse(given);
    return listen ? listen->text() : "error: " + listen.error().text();
  };
  CHECK(parsed("127.0.0.1:9753") == "127.0.0.1:9753");
  CHECK(parsed("9753") == "127.0.0.1:9753");
  CHECK(parsed("localhost:1") == "127.0.0.1:1");
  CHECK(parsed("0.0.0.0:80") == "0.0.0.0:80");
  CHECK(parsed("[::1]:9753") == "[::1]:9753");
  CHECK(parsed(":9753") == "[::]:9753");
  CHECK(parsed("unix:/run/cgx/metrics.sock") == "unix:/run/cgx/metrics.sock");
  for (const char* wrong : {"",
                            "x",
                            "127.0.0.1:",
                            "127.0.0.1:65536",
                            "127.0.0.1:-1",
                            "example.org:80",
                            "::1:9753",
                            "[::1",
                            "[::1]",
                            "[]:1",
                            "[::g]:1",
                            "unix:",
                            "unix:run",
                            "unix:/",
                            "127.0.0.1:80x"}) {
    CAPTURE(std::string(wrong));
    CHECK_FALSE(daemon::Listen::parse(wrong).has_value());
  }
  CHECK(parsed("::1:9753") ==
        "error: \"::1:9753\" is not ADDR:PORT; an IPv6 address stands in brackets, as in [::1]:9753");
}

}  // namespace metrics_text_test
