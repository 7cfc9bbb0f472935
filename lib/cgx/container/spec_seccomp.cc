// SPDX-License-Identifier: Apache-2.0
// `linux.seccomp`: config-linux.md, "Seccomp". And the profiles of container engines, which have conditions besides: a
// rule is for some architectures, kernels and capabilities, and it must not count where they do not hold.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <seccomp.h>
#include <sys/utsname.h>

#include <fmt/format.h>

#include "cgx/container/seccomp.h"
#include "cgx/container/seccomp_words.h"
#include "cgx/container/spec_fill.h"
#include "cgx/sys/text.h"

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

// As words: profiles of podman have both, the name being the number's of the machine that they were made on.
Result<> fill_errno(std::optional<std::uint32_t>& to,
                    std::string_view action,
                    const json::Value& from,
                    const json::Value& name) {
  if (from.there()) {
    CGX_CHECK(json::fill_within(to.emplace(), from, 0U, most_errno));
    if (!takes_errno(action)) return from.wrong("is given to an action that has no errno");
  } else if (name.there()) {
    const std::string_view word = CGX_TRY(name.text());
    if (word.empty()) return {};
    for (int code = 1; code < 256 && !to; ++code)
      if (const char* known = strerrorname_np(code); known != nullptr && word == known)
        to = static_cast<std::uint32_t>(code);
    if (!to) return name.wrong("is no errno");
    if (!takes_errno(action)) return name.wrong("is given to an action that has no errno");
  }
  return {};
}

// A filter of which a part was not understood is another one than was asked for.
Result<> only(const json::Value& from, std::initializer_list<std::string_view> keys) {
  for (const json::Value member : from)
    if (std::ranges::find(keys, member.key()) == keys.end()) return member.wrong("is not a key of seccomp profiles");
  return {};
}

// The words that profiles have for this machine.
std::span<const std::string_view> architecture_names() {
  struct Row {
    std::uint32_t token;
    std::array<std::string_view, 2> names;
  };
  static constexpr std::array<Row, 11> rows = {{{SCMP_ARCH_X86_64, {"amd64", "x86_64"}},
                                                {SCMP_ARCH_X86, {"x86", "386"}},
                                                {SCMP_ARCH_AARCH64, {"arm64", "aarch64"}},
                                                {SCMP_ARCH_ARM, {"arm", "arm"}},
                                                {SCMP_ARCH_PPC64LE, {"ppc64le", "ppc64le"}},
                                                {SCMP_ARCH_PPC64, {"ppc64", "ppc64"}},
                                                {SCMP_ARCH_RISCV64, {"riscv64", "riscv64"}},
                                                {SCMP_ARCH_S390X, {"s390x", "s390x"}},
                                                {SCMP_ARCH_MIPS64, {"mips64", "mips64"}},
                                                {SCMP_ARCH_MIPSEL64, {"mips64le", "mipsel64"}},
                                                {SCMP_ARCH_MIPSEL, {"mipsle", "mipsel"}}}};
  const auto row = std::ranges::find(rows, seccomp_arch_native(), &Row::token);
  return row == rows.end() ? std::span<const std::string_view>() : std::span<const std::string_view>(row->names);
}

Result<std::pair<std::uint64_t, std::uint64_t>> kernel_version(std::string_view text) {
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) return fail(EINVAL, "is not MAJOR.MINOR");
  const std::string_view rest = text.substr(dot + 1);
  const auto major = sys::parse_u64(text.substr(0, dot));
  const auto minor = sys::parse_u64(rest.substr(0, rest.find_first_not_of("0123456789")));
  if (!major || !minor) return fail(EINVAL, "is not MAJOR.MINOR");
  return std::pair{*major, *minor};
}

// What `includes` or `excludes` of a rule asks for.
struct Condition {
  std::vector<std::string> arches, caps;
  std::string min_kernel;

  [[nodiscard]] bool for_this_machine() const {
    return std::ranges::any_of(arches, [](const std::string& a) {
      return std::ranges::find(architecture_names(), a) != architecture_names().end();
    });
  }
  [[nodiscard]] static bool has(const std::string& capability, std::uint64_t bits) {
    const int number = capability_number(capability);
    return number >= 0 && (bits >> static_cast<unsigned>(number) & 1U) != 0;
  }
  [[nodiscard]] bool kernel_reaches() const {
    utsname name{};
    (void)uname(&name);
    const auto now = kernel_version(&name.release[0]);
    const auto wanted = kernel_version(min_kernel);
    return now && wanted && *now >= *wanted;
  }
};

Result<> fill(Condition& to, const json::Value& from, FromProfile profile) {
  if (!from.there()) return {};
  CGX_CHECK(from.expect(json::Kind::object));
  if (profile == FromProfile::yes) CGX_CHECK(only(from, {"arches", "caps", "minKernel"}));
  CGX_CHECK(json::fill(to.arches, from["arches"]));
  CGX_CHECK(json::fill(to.caps, from["caps"]));
  CGX_CHECK(json::fill(to.min_kernel, from["minKernel"]));
  if (!to.min_kernel.empty())
    if (const auto version = kernel_version(to.min_kernel); !version)
      return from["minKernel"].wrong(version.error().what);
  return {};
}

// All of `includes` must hold, and none of `excludes`.
Result<bool> holds(const json::Value& from, std::uint64_t capabilities, FromProfile profile) {
  Condition includes;
  Condition excludes;
  CGX_CHECK(fill(includes, from["includes"], profile));
  CGX_CHECK(fill(excludes, from["excludes"], profile));
  const auto held = [&](const std::string& name) { return Condition::has(name, capabilities); };
  if (excludes.for_this_machine() || std::ranges::any_of(excludes.caps, held)) return false;
  if (!excludes.min_kernel.empty() && excludes.kernel_reaches()) return false;
  if (!includes.arches.empty() && !includes.for_this_machine()) return false;
  if (!includes.min_kernel.empty() && !includes.kernel_reaches()) return false;
  return std::ranges::all_of(includes.caps, held);
}

// The architectures that go with this machine's.
Result<> fill_architecture_map(std::vector<std::string>& to, const json::Value& from, FromProfile profile) {
  if (!from.there()) return {};
  if (!to.empty()) return from.wrong("is given beside architectures");
  CGX_CHECK(from.expect(json::Kind::list));
  for (const json::Value item : from) {
    CGX_CHECK(item.expect(json::Kind::object));
    if (profile == FromProfile::yes) CGX_CHECK(only(item, {"architecture", "subArchitectures"}));
    std::vector<std::string> others;
    const std::uint32_t token = CGX_TRY(word_value(seccomp_architectures(), item["architecture"]));
    CGX_CHECK(fill_words(others, seccomp_architectures(), item["subArchitectures"]));
    if (token != seccomp_arch_native() || !to.empty()) continue;
    to.emplace_back(CGX_TRY(item["architecture"].text()));
    to.insert(to.end(), others.begin(), others.end());
  }
  return {};
}

Result<> fill(SeccompArg& to, const json::Value& from, FromProfile profile) {
  CGX_CHECK(from.expect(json::Kind::object));
  if (profile == FromProfile::yes) CGX_CHECK(only(from, {"index", "value", "valueTwo", "op"}));
  const json::Value index = from["index"];
  if (!index.there()) return index.missing();
  CGX_CHECK(json::fill_within(to.index, index, 0U, 5U));
  CGX_CHECK(json::need(to.value, from["value"]));
  CGX_CHECK(json::fill(to.value_two, from["valueTwo"]));
  return fill_word(to.op, seccomp_operators(), from["op"]);
}

Result<> fill(SeccompSyscall& to, const json::Value& from, FromProfile profile) {
  if (profile == FromProfile::yes)
    CGX_CHECK(only(from, {"names", "name", "action", "errnoRet", "errno", "args", "comment", "includes", "excludes"}));
  if (const json::Value name = from["name"]; profile == FromProfile::yes && name.there()) {
    if (from["names"].there()) return name.wrong("is given beside names");
    CGX_CHECK(json::fill(to.names.emplace_back(), name));
  } else {
    CGX_CHECK(json::need(to.names, from["names"]));
  }
  if (to.names.empty()) return from["names"].wrong("must not be empty");
  CGX_CHECK(fill_word(to.action, seccomp_actions(), from["action"]));
  CGX_CHECK(fill_errno(to.errno_ret, to.action, from["errnoRet"], from["errno"]));
  const json::Value args = from["args"];
  if (!args.there()) return {};
  CGX_CHECK(args.expect(json::Kind::list));
  for (const json::Value arg : args) CGX_CHECK(fill(to.args.emplace_back(), arg, profile));
  return {};
}

}  // namespace

Result<> fill(Seccomp& to, const json::Value& from, std::uint64_t capabilities, FromProfile profile) {
  CGX_CHECK(from.expect(json::Kind::object));
  if (profile == FromProfile::yes)
    CGX_CHECK(only(from,
                   {"defaultAction",
                    "defaultErrnoRet",
                    "defaultErrno",
                    "architectures",
                    "archMap",
                    "flags",
                    "listenerPath",
                    "listenerMetadata",
                    "syscalls",
                    "comment"}));
  CGX_CHECK(fill_word(to.default_action, seccomp_actions(), from["defaultAction"]));
  CGX_CHECK(fill_errno(to.default_errno_ret, to.default_action, from["defaultErrnoRet"], from["defaultErrno"]));
  CGX_CHECK(fill_words(to.architectures, seccomp_architectures(), from["architectures"]));
  CGX_CHECK(fill_architecture_map(to.architectures, from["archMap"], profile));
  CGX_CHECK(fill_words(to.flags, seccomp_flags(), from["flags"]));
  CGX_CHECK(json::fill(to.listener_path, from["listenerPath"]));
  CGX_CHECK(json::fill(to.listener_metadata, from["listenerMetadata"]));
  if (!to.listener_metadata.empty() && to.listener_path.empty())
    return from["listenerMetadata"].wrong("is given without a listenerPath");
  const json::Value calls = from["syscalls"];
  if (!calls.there()) return {};
  CGX_CHECK(calls.expect(json::Kind::list));
  for (const json::Value call : calls) {
    CGX_CHECK(call.expect(json::Kind::object));
    // Read also where its conditions do not hold: what is wrong with it is wrong everywhere.
    SeccompSyscall rule;
    CGX_CHECK(fill(rule, call, profile));
    if (CGX_TRY(holds(call, capabilities, profile))) to.syscalls.push_back(std::move(rule));
  }
  return {};
}

Result<Seccomp> read_seccomp(std::string_view text, std::uint64_t capabilities) {
  const json::Tree tree = CGX_TRY(json::parse(text));
  Seccomp rules;
  CGX_CHECK(fill(rules, json::Value(tree, 0), capabilities, FromProfile::yes));
  return rules;
}

}  // namespace cgx::container
