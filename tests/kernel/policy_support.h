// SPDX-License-Identifier: Apache-2.0
// Policies made of flags, for tests that apply them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/policy/apply.h"
#include "cgx/sys/fd.h"

#include "groups.h"
#include "scratch.h"

namespace cgx::test {

using Flags = std::vector<std::pair<std::string_view, std::string>>;  // flag and value; a kernel file has a dot

inline policy::GroupPolicy group_policy(std::string name, const Flags& flags = {}) {
  policy::GroupPolicy g;
  g.name = std::move(name);
  g.place = {"test.yaml", 1, 1};
  for (const auto& [flag, text] : flags) {
    const bool is_file = flag.find('.') != std::string_view::npos;
    Limit l = is_file ? raw(flag, text) : limit(flag, text);
    std::string key(is_file ? flag : l.knob->name);
    g.limits.push_back({std::move(l), std::move(key), {"test.yaml", 2, 3}});
  }
  return g;
}

inline policy::Source source(std::string name, std::vector<policy::GroupPolicy> groups) {
  return {std::move(name), {std::move(groups), {}}};
}

// A state directory of its own, and apply() with every mutation counted.
class Host {
 public:
  Host() : hierarchies_(*Hierarchies::discover()), top_(hierarchies_) { options_.state_dir = state_.path() + "/run"; }
  [[nodiscard]] const Hierarchies& hierarchies() const { return hierarchies_; }
  [[nodiscard]] const TestGroup& top() const { return top_; }
  [[nodiscard]] std::string name(std::string_view below = {}) const {
    return below.empty() ? top_.name() : top_.name() + "/" + std::string(below);
  }
  policy::ApplyOptions& options() { return options_; }
  [[nodiscard]] const ScratchDir& scratch() const { return state_; }
  [[nodiscard]] bool v1(Controller c) const {
    const Hierarchy* h = hierarchies_.of(c);
    return h != nullptr && h->version() == Version::v1;
  }
  [[nodiscard]] bool has(Controller c) const { return hierarchies_.of(c) != nullptr; }

  Result<policy::Applied> apply(const std::vector<policy::Source>& sources) {
    mutations_ = 0;
    const sys::FaultFn count = [&](std::string_view, std::string_view) {
      ++mutations_;
      return 0;
    };
    sys::inject_faults(&count);
    auto done = policy::apply(hierarchies_, sources, options_);
    sys::inject_faults(nullptr);
    return done;
  }
  // It passes, and a second one makes no write. Answers the changes, a line each.
  std::string must(const std::vector<policy::Source>& sources) {
    const auto done = apply(sources);
    if (!done) FAIL(done.error().text(), " (hint: ", done.error().hint, ")");
    std::string text;
    for (const policy::Change& c : done->changes) text += c.text() + "\n";
    const auto again = apply(sources);
    REQUIRE(again.has_value());
    CHECK_MESSAGE(again->changes.empty(), (again->changes.empty() ? std::string() : again->changes[0].text()));
    CHECK(mutations_ == 0);
    return text;
  }
  std::string must(std::vector<policy::GroupPolicy> groups) { return must({source("/test.yaml", std::move(groups))}); }
  [[nodiscard]] unsigned mutations() const { return mutations_; }
  [[nodiscard]] std::string read(std::string_view below, std::string_view flag) const {
    const auto value = read_knob(Cgroup(hierarchies_, name(below)), *find_knob(flag));
    return value && *value ? exact(*find_knob(flag), **value) : "<none>";
  }
  [[nodiscard]] bool there(std::string_view below) const {
    return !Cgroup(hierarchies_, name(below)).present().empty();
  }
  // What `changes` look like with the name of the test's group taken out.
  [[nodiscard]] std::string plain(std::string text) const {
    for (std::size_t at = text.find(top_.name()); at != std::string::npos; at = text.find(top_.name(), at))
      text.replace(at, top_.name().size(), "T");
    return text;
  }

 private:
  ScratchDir state_;
  Hierarchies hierarchies_;
  TestGroup top_;
  policy::ApplyOptions options_;
  unsigned mutations_ = 0;
};

}  // namespace cgx::test
