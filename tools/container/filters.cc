// SPDX-License-Identifier: Apache-2.0
#include "filters.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include <regex.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cgx/sys/text.h"

#include "moment.h"
#include "view.h"

namespace cgx::launcher {
namespace {

using Accepts = std::function<bool(const Known&)>;

constexpr std::array<std::string_view, 6> states{"created", "running", "paused", "restarting", "exited", "dead"};

// An expression, as of docker's filter of names.
Result<Accepts> by_name(std::string_view value) {
  const auto expression = std::shared_ptr<regex_t>(new regex_t{}, [](regex_t* r) {
    regfree(r);
    delete r;
  });
  const std::string text(value);
  if (regcomp(expression.get(), text.c_str(), REG_EXTENDED | REG_NOSUB) != 0)
    return bad_value(value, "is no regular expression");
  return [expression](const Known& known) {
    const auto matches = [&](const std::string& name) {
      return regexec(expression.get(), name.c_str(), 0, nullptr, 0) == 0;
    };
    return matches(known.record.id) || matches("/" + known.record.id);  // docker's names begin with a slash
  };
}

Result<Accepts> by_id(std::string_view value) {
  return [id = std::string(value)](const Known& known) {
    return known.record.id == id || (!known.record.hex_id.empty() && known.record.hex_id.starts_with(id));
  };
}

bool has_label(const Record& record, const std::string& name, const std::string* value) {
  // Of a name that is there twice the last one counts.
  const auto found =
      std::find_if(record.labels.rbegin(), record.labels.rend(), [&](const auto& l) { return l.first == name; });
  return found != record.labels.rend() && (value == nullptr || found->second == *value);
}

Result<Accepts> by_label(std::string_view value) {
  const std::size_t eq = value.find('=');
  return [name = std::string(value.substr(0, eq)),
          bare = eq == std::string_view::npos,
          text = std::string(eq == std::string_view::npos ? "" : value.substr(eq + 1))](const Known& known) {
    return has_label(known.record, name, bare ? nullptr : &text);
  };
}

Result<Accepts> without_label(std::string_view value) {
  return [with = CGX_TRY(by_label(value))](const Known& known) { return !with(known); };
}

Result<Accepts> by_status(std::string_view value) {
  if (std::ranges::find(states, value) == states.end())
    return bad_value(value, fmt::format("is not a status ({})", fmt::join(states, ", ")));
  return [state = std::string(value)](const Known& known) { return docker_state(known) == state; };
}

Result<Accepts> by_exit_status(std::string_view value) {
  const auto status = sys::parse_u64(value, 0, 255);
  if (!status) return bad_value(value, "is no exit status from 0 to 255");
  return [status = static_cast<int>(*status)](const Known& known) {
    return !runs(known) && known.ending && known.ending->status == status;
  };
}

// An image, with or without its tag.
Result<Accepts> by_image(std::string_view value) {
  return [image = std::string(value)](const Known& known) {
    const std::string_view whole = known.record.image;
    const std::size_t colon = whole.rfind(':');
    return whole == image || (whole.starts_with("oci:") && colon > 4 && colon != std::string_view::npos &&
                              whole.find('/', colon) == std::string_view::npos && whole.substr(0, colon) == image);
  };
}

Result<Accepts> made_before(std::string_view value) {
  return [created = CGX_TRY(find(value)).record.created](const Known& known) { return known.record.created < created; };
}
Result<Accepts> made_since(std::string_view value) {
  return [created = CGX_TRY(find(value)).record.created](const Known& known) { return known.record.created > created; };
}

Result<Accepts> by_network(std::string_view value) {
  return [network = std::string(value)](const Known& known) { return known.record.network == network; };
}

Result<Accepts> made_until(std::string_view value) {
  return [until = CGX_TRY(parse_moment(value, now_usec()))](const Known& known) {
    const auto created = parse_rfc3339(known.record.created);
    return created && *created < until;
  };
}

struct FilterRow {
  std::string_view key;
  Result<Accepts> (*make)(std::string_view value);
  bool every = false;
};
constexpr FilterRow rows[] = {{"id", by_id},
                              {"name", by_name},
                              {"label", by_label, true},
                              {"label!", without_label, true},
                              {"status", by_status},
                              {"exited", by_exit_status},
                              {"ancestor", by_image},
                              {"before", made_before},
                              {"since", made_since},
                              {"network", by_network},
                              {"until", made_until}};

}  // namespace

Result<Filters> Filters::parse(const tool::Call& call, std::span<const std::string_view> known) {
  Filters made;
  for (const std::string_view text : call.all("filter")) {
    const auto wrong = [&](std::string what) {
      return located(Result<Filters>(bad_value(text, std::move(what))), "", "--filter");
    };
    const std::size_t eq = text.find('=');
    if (eq == std::string_view::npos || eq == 0) return wrong("is not KEY=VALUE");
    const std::string_view key = text.substr(0, eq);
    const auto row = std::ranges::find(rows, key, &FilterRow::key);
    if (std::ranges::find(known, key) == known.end() || row == std::end(rows))
      return wrong(fmt::format("has the key \"{}\", which is not supported (keys: {})", key, fmt::join(known, ", ")));
    auto accepts = located(row->make(text.substr(eq + 1)), "", "--filter");
    if (!accepts) return std::unexpected(std::move(accepts).error());
    made.filters_.push_back({.key = std::string(key), .accepts = std::move(*accepts), .every = row->every});
  }
  return made;
}

bool Filters::accept(const Known& container) const {
  return std::ranges::all_of(filters_, [&](const Filter& f) {
    if (f.every) return f.accepts(container);
    return std::ranges::any_of(filters_,
                               [&](const Filter& other) { return other.key == f.key && other.accepts(container); });
  });
}

bool Filters::has(std::string_view key) const {
  return std::ranges::find(filters_, key, &Filter::key) != filters_.end();
}

std::string_view docker_state(const Known& known) {
  switch (known.status) {
    case Status::creating:
    case Status::created:
      return "created";
    case Status::running:
      return "running";
    case Status::paused:
      return "paused";
    case Status::stopped:
      break;
  }
  if (known.monitored && known.ending && known.record.restart != Restart::no) return "restarting";
  return known.ending || known.monitored ? "exited" : "dead";
}

}  // namespace cgx::launcher
