// SPDX-License-Identifier: Apache-2.0
// `linux.seccomp`: config-linux.md, "Seccomp".
#include "cgx/container/seccomp_words.h"
#include "cgx/container/spec_fill.h"

namespace cgx::container {
namespace {

constexpr std::uint32_t most_errno = 0xffff;  // SECCOMP_RET_DATA

Result<> fill_word(std::string& to, std::span<const Word> words, const json::Value& from) {
  if (!from.there()) return from.missing();
  (void)CGX_TRY(word_value(words, from));
  return json::fill(to, from);
}

Result<> fill_words(std::vector<std::string>& to, std::span<const Word> words, const json::Value& from) {
  CGX_CHECK(json::fill(to, from));
  for (const json::Value word : from) (void)CGX_TRY(word_value(words, word));
  return {};
}

Result<> fill_errno(std::optional<std::uint32_t>& to, std::string_view action, const json::Value& from) {
  if (!from.there()) return {};
  CGX_CHECK(json::fill_within(to.emplace(), from, 0U, most_errno));
  if (!takes_errno(action)) return from.wrong("is given to an action that has no errno");
  return {};
}

}  // namespace

static Result<> fill(SeccompArg& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  const json::Value index = from["index"];
  if (!index.there()) return index.missing();
  CGX_CHECK(json::fill_within(to.index, index, 0U, 5U));
  CGX_CHECK(json::need(to.value, from["value"]));
  CGX_CHECK(json::fill(to.value_two, from["valueTwo"]));
  return fill_word(to.op, seccomp_operators(), from["op"]);
}

static Result<> fill(SeccompSyscall& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  CGX_CHECK(json::need(to.names, from["names"]));
  if (to.names.empty()) return from["names"].wrong("must not be empty");
  CGX_CHECK(fill_word(to.action, seccomp_actions(), from["action"]));
  CGX_CHECK(fill_errno(to.errno_ret, to.action, from["errnoRet"]));
  return json::fill(to.args, from["args"]);
}

Result<> fill(Seccomp& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  CGX_CHECK(fill_word(to.default_action, seccomp_actions(), from["defaultAction"]));
  CGX_CHECK(fill_errno(to.default_errno_ret, to.default_action, from["defaultErrnoRet"]));
  CGX_CHECK(fill_words(to.architectures, seccomp_architectures(), from["architectures"]));
  CGX_CHECK(fill_words(to.flags, seccomp_flags(), from["flags"]));
  CGX_CHECK(json::fill(to.listener_path, from["listenerPath"]));
  CGX_CHECK(json::fill(to.listener_metadata, from["listenerMetadata"]));
  if (!to.listener_metadata.empty() && to.listener_path.empty())
    return from["listenerMetadata"].wrong("is given without a listenerPath");
  return json::fill(to.syscalls, from["syscalls"]);
}

}  // namespace cgx::container
