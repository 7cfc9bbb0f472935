// SPDX-License-Identifier: Apache-2.0
#include "host_files.h"

#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx::launcher {
namespace {

std::string with_newline(std::string_view text) {
  std::string out(text);
  if (!out.empty() && !out.ends_with('\n')) out += '\n';
  return out;
}

}  // namespace

std::string hosts_text(const RunOptions& options, std::string_view host, std::string_view of_host) {
  std::string text = options.network == "host" ? with_newline(of_host) : "127.0.0.1\tlocalhost\n::1\tlocalhost\n";
  // In a line of its own: the first name of a line is the whole one, for which `hostname -f` asks.
  if (!options.domainname.empty())
    text += fmt::format("127.0.0.1\t{0}.{1} {0}\n", host, options.domainname);
  else if (const std::size_t dot = host.find('.'); dot != std::string_view::npos && dot != 0)
    text += fmt::format("127.0.0.1\t{} {}\n", host, host.substr(0, dot));
  else
    text += fmt::format("127.0.0.1\t{}\n", host);
  for (const auto& [name, address] : options.hosts) text += fmt::format("{}\t{}\n", address, name);
  return text;
}

std::string resolv_text(const RunOptions& options, std::string_view of_host) {
  std::string text;
  const auto is_replaced = [&](std::string_view keyword) {
    return (keyword == "nameserver" && !options.dns.empty()) ||
           ((keyword == "search" || keyword == "domain") && !options.dns_search.empty()) ||
           (keyword == "options" && !options.dns_options.empty());
  };
  for (const std::string_view line : sys::lines(of_host)) {
    const auto words = sys::words(line);
    if (!words.empty() && is_replaced(words[0])) continue;
    text += fmt::format("{}\n", line);
  }
  const auto put = [&](std::string_view keyword, const std::vector<std::string>& list) {
    std::string all;
    for (const std::string& word : list)
      if (word != ".") all += ' ' + word;
    if (!all.empty()) text += fmt::format("{}{}\n", keyword, all);
  };
  put("search", options.dns_search);
  for (const std::string& address : options.dns) text += fmt::format("nameserver {}\n", address);
  put("options", options.dns_options);
  return text;
}

}  // namespace cgx::launcher
