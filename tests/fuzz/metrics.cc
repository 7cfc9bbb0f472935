// SPDX-License-Identifier: Apache-2.0
// What clients send, and names that stand in labels: any bytes are taken, and what is written can be read back.
#include <string>

#include "daemon/metrics/accept.h"
#include "daemon/metrics/listen.h"
#include "daemon/metrics/text.h"
#include "fuzz.h"

namespace text = cgx::daemon::text;

namespace {

// The value of a label, from what stands between its quotes. Stops where a format's reader would.
std::string unescaped(std::string_view label) {
  std::string out;
  for (std::size_t i = 0; i < label.size(); ++i) {
    FUZZ_CHECK(label[i] != '"' && label[i] != '\n');
    if (label[i] != '\\') {
      out.push_back(label[i]);
      continue;
    }
    FUZZ_CHECK(++i < label.size());
    FUZZ_CHECK(label[i] == '\\' || label[i] == '"' || label[i] == 'n');
    out.push_back(label[i] == 'n' ? '\n' : label[i]);
  }
  return out;
}

}  // namespace

void cgx::fuzz::one(std::string_view input) {
  (void)daemon::accepted_format(input);
  (void)daemon::accepts_gzip(input);
  if (const auto listen = daemon::Listen::parse(input)) {
    const auto again = daemon::Listen::parse(listen->text());
    FUZZ_CHECK(again.has_value() && again->text() == listen->text());
  }
  std::string label;
  text::append_label(label, input);
  const std::string plain = text::utf8(input);
  FUZZ_CHECK(unescaped(label) == plain);
  FUZZ_CHECK(text::utf8(plain) == plain);  // it is text now
  std::string help;
  text::append_help(help, input, daemon::Format::openmetrics);
  FUZZ_CHECK(unescaped(help) == plain);
  std::string html;
  text::append_html(html, input);
  FUZZ_CHECK(html.find_first_of("<>\"'") == std::string::npos);
}
