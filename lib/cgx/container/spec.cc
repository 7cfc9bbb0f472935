// SPDX-License-Identifier: Apache-2.0
// config.json as a whole: config.md.
#include "cgx/container/spec.h"

#include <algorithm>

#include "cgx/container/spec_fill.h"

namespace cgx::container {
namespace {

// 1.0.2, 1.0.2-dev, 1.1.0-rc.2+build: all of a major version is compatible.
bool is_version(std::string_view text) {
  text = text.substr(0, text.find_first_of("-+"));
  std::size_t parts = 0;
  while (true) {
    const std::size_t dot = text.find('.');
    const std::string_view part = text.substr(0, dot);
    if (part.empty() || part.find_first_not_of("0123456789") != std::string_view::npos) return false;
    if (parts++ == 0 && part != "1") return false;
    if (dot == std::string_view::npos) break;
    text.remove_prefix(dot + 1);
  }
  return parts == 2 || parts == 3;
}

std::string below(std::string_view bundle, const std::string& path) {
  if (path.starts_with('/')) return path;
  return std::string(bundle) + (bundle.ends_with('/') ? "" : "/") + path;
}

Result<> fill(Root& to, const json::Value& from) {
  if (!from.there()) return from.missing();
  CGX_CHECK(from.expect(json::Kind::object));
  CGX_CHECK(json::need(to.path, from["path"]));
  if (to.path.empty()) return from["path"].wrong("is empty");
  return json::fill(to.readonly, from["readonly"]);
}

Result<> fill_annotations(Pairs& to, const json::Value& from) {
  CGX_CHECK(json::fill(to, from));
  for (const json::Value annotation : from)
    if (annotation.key().empty()) return annotation.wrong("has an empty key");
  return {};
}

}  // namespace

Result<Spec> read_spec(std::string_view text, std::string_view bundle) {
  const json::Tree tree = CGX_TRY(json::parse(text));
  const json::Value from(tree, 0);
  Spec spec;
  const json::Value version = from["ociVersion"];
  CGX_CHECK(json::need(spec.oci_version, version));
  if (!is_version(spec.oci_version)) return version.wrong("is no version 1.x of the specification");
  if (const json::Value process = from["process"]; process.there()) CGX_CHECK(fill(spec.process.emplace(), process));
  CGX_CHECK(fill(spec.root, from["root"]));
  spec.root.path = below(bundle, spec.root.path);
  CGX_CHECK(json::fill(spec.hostname, from["hostname"]));
  CGX_CHECK(json::fill(spec.domainname, from["domainname"]));
  CGX_CHECK(json::fill(spec.mounts, from["mounts"]));
  for (Mount& mount : spec.mounts)
    if (mount.type == "bind") mount.source = below(bundle, mount.source);
  CGX_CHECK(fill(spec.hooks, from["hooks"]));
  CGX_CHECK(fill_annotations(spec.annotations, from["annotations"]));
  CGX_CHECK(fill(spec.linux_, from["linux"]));
  if (const json::Value rules = from["linux"]["seccomp"]; rules.there()) {
    const bool granted = spec.process && spec.process->capabilities;
    const std::uint64_t capabilities = granted ? spec.process->capabilities->bounding : 0;
    CGX_CHECK(fill(spec.linux_.seccomp.emplace(), rules, capabilities, FromProfile::no));
  }
  CGX_CHECK(check(spec));
  return spec;
}

const Namespace* Spec::find(NamespaceType type) const {
  const auto found = std::ranges::find(linux_.namespaces, type, &Namespace::type);
  return found == linux_.namespaces.end() ? nullptr : &*found;
}

std::string_view Spec::annotation(std::string_view key) const {
  const auto found = std::ranges::find(annotations, key, &std::pair<std::string, std::string>::first);
  return found == annotations.end() ? std::string_view() : std::string_view(found->second);
}

bool Spec::switched_on(std::string_view key) const {
  const std::string_view value = annotation(key);
  return !value.empty() && value != "0" && value != "false";
}

}  // namespace cgx::container
