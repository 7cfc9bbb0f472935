// SPDX-License-Identifier: Apache-2.0
// Flags of docker's `run` that have no likeness in the rest of cgx, as values of RunOptions.
#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/sys/text.h"

#include "options.h"
#include "relay.h"

namespace cgx::launcher {
namespace {

std::unexpected<Error> bad_flag(std::string_view flag,
                                std::string_view value,
                                std::string what,
                                std::string hint = {}) {
  return std::unexpected(Error{.code = EINVAL,
                               .what = std::move(what),
                               .knob = fmt::format("--{}", flag),
                               .value = std::string(value),
                               .hint = std::move(hint),
                               .fault = Fault::usage});
}

std::unexpected<Error> unsupported(std::string_view flag, std::string_view value, std::string what, std::string hint) {
  Error e = bad_flag(flag, value, std::move(what), std::move(hint)).error();
  e.code = ENOTSUP;
  return std::unexpected(std::move(e));
}

Result<> take_attach(RunOptions& o, std::string_view flag, const std::string& text) {
  std::string name;
  for (const char c : text) name += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  if (!o.attached) o.attached.emplace();
  if (name == "stdin")
    o.attached->in = true;
  else if (name == "stdout")
    o.attached->out = true;
  else if (name == "stderr")
    o.attached->err = true;
  else
    return bad_flag(flag, text, "is not stdin, stdout or stderr");
  return {};
}

Result<> take_detach_keys(RunOptions& o, std::string_view flag, const std::string& text) {
  auto keys = parse_detach_keys(text);
  if (!keys) return bad_flag(flag, text, keys.error().what);
  o.detach_keys = std::move(*keys);
  return {};
}

Result<> take_sig_proxy(RunOptions& o, std::string_view, const std::string& text) {
  o.pass_signals = text != "false";
  return {};
}

Result<> take_content_trust(RunOptions&, std::string_view flag, const std::string& text) {
  if (text != "false") return {};
  return unsupported(flag, text, "is not supported: images are directories, which nobody has signed", "leave it out");
}

struct FlagRow {
  std::string_view name;
  Result<> (*take)(RunOptions& into, std::string_view flag, const std::string& text);
};
constexpr std::array flag_rows{FlagRow{"attach", take_attach},
                               FlagRow{"detach-keys", take_detach_keys},
                               FlagRow{"disable-content-trust", take_content_trust},
                               FlagRow{"sig-proxy", take_sig_proxy}};

}  // namespace

Result<bool> take_docker_flag(RunOptions& into, std::string_view flag, const std::string& text) {
  const auto* row = std::ranges::find(flag_rows, flag, &FlagRow::name);
  if (row == flag_rows.end()) return false;
  CGX_CHECK(row->take(into, flag, text));
  return true;
}

Result<> finish_docker_flags(RunOptions& o) {
  if (o.attached && o.detach) return bad_flag("attach", "", "contradicts --detach");
  return {};
}

}  // namespace cgx::launcher
