// SPDX-License-Identifier: Apache-2.0
#include "cgx/model/codec.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/model/convert.h"

namespace cgx::codec {
namespace {

__extension__ using Wide = unsigned __int128;  // quota times period may pass 64 bits

constexpr std::uint64_t v1_memory_unlimited = 0x7ffffffffffff000;  // PAGE_COUNTER_MAX in bytes

using Writes = Result<std::vector<FileWrite>>;
using Read = Result<std::optional<Value>>;

FileWrite to(std::string_view file, std::string text) { return {std::string(file), std::move(text)}; }

std::string number_text(std::uint64_t n, Version version) {
  if (n == sys::unlimited) return version == Version::v1 ? "-1" : "max";
  return std::to_string(n);
}

// A number from a kernel file: `max`, -1 and v1's huge numbers are unlimited.
Result<std::uint64_t> kernel_number(std::string_view text) {
  text = sys::trim(text);
  if (text == "max" || text == "-1") return sys::unlimited;
  const std::uint64_t n = CGX_TRY(sys::parse_u64(text));
  return n >= v1_memory_unlimited ? sys::unlimited : n;
}

bool is_number(Format format) {
  return format == Format::size || format == Format::count || format == Format::number || format == Format::usec ||
         format == Format::flag || format == Format::classid;
}

Result<std::uint64_t> read_number(const Backing& b, const View& view, std::string_view file) {
  return kernel_number(CGX_TRY(view.read(b.controller, file)));
}

// The number that is wanted for `knob` by this change, else what `file` holds now.
Result<std::uint64_t> wanted_or_now(std::string_view knob, const Backing& b, std::string_view file, const View& view) {
  if (const Value* v = view.wanted(knob)) return std::get<std::uint64_t>(*v);
  return read_number(b, view, file);
}

Writes put_plain(const Knob& knob, const Backing& b, const Value& value, Version version) {
  if (const auto* n = std::get_if<std::uint64_t>(&value)) return Writes({to(b.files[0], number_text(*n, version))});
  if (const auto* s = std::get_if<std::string>(&value)) return Writes({to(b.files[0], *s)});
  return fail(EINVAL, fmt::format("{} takes no such value", knob.name));
}

// The user's own number of a many-to-one conversion, kept beside the file as "GIVEN WRITTEN".
using Kept = Result<std::optional<std::uint64_t>>;
Kept kept(const Backing& b, const View& view, std::string_view knob, std::uint64_t now) {
  const auto note = view.read(b.controller, fmt::format("@note.{}", knob));
  if (!note && (note.error().code == ENODATA || note.error().code == ENOENT)) return Kept();
  if (!note) return std::unexpected(note.error());
  const auto parts = sys::words(*note);
  if (parts.size() != 2 || parts[1] != std::to_string(now)) return Kept();  // somebody else wrote since
  const auto given = sys::parse_u64(parts[0]);
  return given ? Kept(*given) : Kept();
}

Writes put_converted(const Backing& b, std::string_view knob, std::uint64_t given, std::uint64_t written) {
  return Writes({to(b.files[0], std::to_string(written)),
                 to(fmt::format("@note.{}", knob), fmt::format("{} {}", given, written))});
}

}  // namespace

Writes put_v1(const Knob& k, const Backing& b, const Value& v, const View& /*view*/) {
  return put_plain(k, b, v, Version::v1);
}

Writes put_v2(const Knob& k, const Backing& b, const Value& v, const View& /*view*/) {
  return put_plain(k, b, v, Version::v2);
}

Read get_plain(const Knob& k, const Backing& b, const View& view) {
  const std::string text = CGX_TRY(view.read(b.controller, b.files[0]));
  if (is_number(k.format)) {
    const auto n = kernel_number(text);
    // A file that should hold a number and does not (a vendor's kernel) is shown as it is, not lost.
    return n ? Read(Value(*n)) : Read(Value(std::string(sys::trim(text))));
  }
  if (k.format == Format::list) {
    const auto set = sys::IdSet::parse(sys::trim(text));
    if (set) return Value(set->text());
  }
  if (k.format == Format::keyed) return Value(text);
  return Value(std::string(sys::trim(text)));
}

Writes put_shares_as_weight(const Knob& k, const Backing& b, const Value& v, const View& /*view*/) {
  const std::uint64_t shares = std::get<std::uint64_t>(v);
  return put_converted(b, k.name, shares, shares_to_weight(shares));
}

Read get_shares_from_weight(const Knob& k, const Backing& b, const View& view) {
  const std::uint64_t weight = CGX_TRY(read_number(b, view, b.files[0]));
  if (weight == 0) return std::optional<Value>{};  // cpu.idle is on
  if (const auto given = CGX_TRY(kept(b, view, k.name, weight))) return Value(*given);
  return Value(weight_to_shares(weight));
}

Writes put_weight_as_shares(const Knob& k, const Backing& b, const Value& v, const View& /*view*/) {
  const std::uint64_t weight = std::get<std::uint64_t>(v);
  return put_converted(b, k.name, weight, weight_to_shares(weight));
}

Read get_weight_from_shares(const Knob& k, const Backing& b, const View& view) {
  const std::uint64_t shares = CGX_TRY(read_number(b, view, b.files[0]));
  if (const auto given = CGX_TRY(kept(b, view, k.name, shares))) return Value(*given);
  return Value(shares_to_weight(shares));
}

Writes put_quota_v1(const Knob& k, const Backing& b, const Value& v, const View& view) {
  const auto& q = std::get<sys::Quota>(v);
  std::vector<FileWrite> writes;
  const std::uint64_t old_period = CGX_TRY(read_number(b, view, b.files[1]));
  std::uint64_t quota = q.quota;
  if (q.period != 0 && q.period != old_period) writes.push_back(to(b.files[1], std::to_string(q.period)));
  if (q.period == 0 && quota != sys::unlimited && k.format == Format::quota && old_period != 100'000)
    // `150%` is a share of the period; parse_quota answers it at 100 ms.
    quota = static_cast<std::uint64_t>(static_cast<Wide>(quota) * old_period / 100'000);
  if (quota < 1000 && k.format == Format::quota)
    return fail(EINVAL, fmt::format("is under 1000 microseconds in the group's period of {} us", old_period));
  writes.push_back(to(b.files[0], number_text(quota, Version::v1)));
  // With the old quota, a longer period lowers the bandwidth and a shorter one raises it; the plan tries this
  // order first and the other one where the kernel refuses it for the sake of a parent or child.
  return writes;
}

Read get_quota_v1(const Knob& /*k*/, const Backing& b, const View& view) {
  sys::Quota q;
  q.quota = CGX_TRY(read_number(b, view, b.files[0]));
  q.period = CGX_TRY(read_number(b, view, b.files[1]));
  return Value(q);
}

Writes put_quota_v2(const Knob& /*k*/, const Backing& b, const Value& v, const View& view) {
  const auto& q = std::get<sys::Quota>(v);
  if (q.period != 0) return Writes({to(b.files[0], fmt::format("{} {}", number_text(q.quota, Version::v2), q.period))});
  std::uint64_t quota = q.quota;
  if (quota != sys::unlimited) {
    // One number keeps the period in force; a share given in percent is of that period.
    const std::string text = CGX_TRY(view.read(b.controller, b.files[0]));
    const auto now = sys::words(text);
    const std::uint64_t period = now.size() > 1 ? sys::parse_u64(now[1]).value_or(100'000) : 100'000;
    quota = static_cast<std::uint64_t>(static_cast<Wide>(quota) * period / 100'000);
    if (quota < 1000)
      return fail(EINVAL, fmt::format("is under 1000 microseconds in the group's period of {} us", period));
  }
  return Writes({to(b.files[0], number_text(quota, Version::v2))});
}

Read get_quota_v2(const Knob& /*k*/, const Backing& b, const View& view) {
  const std::string text = CGX_TRY(view.read(b.controller, b.files[0]));
  const auto parts = sys::words(text);
  if (parts.size() < 2) return Value(std::string(sys::trim(text)));
  sys::Quota q;
  q.quota = CGX_TRY(kernel_number(parts[0]));
  q.period = CGX_TRY(kernel_number(parts[1]));  // kernels of some vendors append a burst
  return Value(q);
}

Writes put_memsw_v2(const Knob& /*k*/, const Backing& b, const Value& v, const View& view) {
  const std::uint64_t memsw = std::get<std::uint64_t>(v);
  if (memsw == sys::unlimited) return Writes({to(b.files[0], "max")});
  const std::uint64_t mem = CGX_TRY(wanted_or_now("memory.max", b, "memory.max", view));
  if (mem == sys::unlimited)
    return fail(EINVAL, "needs a memory limit: on v2 swap is limited alone, to memsw minus mem (give --mem too)");
  if (memsw < mem) return fail(EINVAL, fmt::format("is below the memory limit of {} bytes", mem));
  return Writes({to(b.files[0], std::to_string(memsw - mem))});
}

Read get_memsw_v2(const Knob& /*k*/, const Backing& b, const View& view) {
  const std::uint64_t swap = CGX_TRY(read_number(b, view, b.files[0]));
  const std::uint64_t mem = CGX_TRY(read_number(b, view, "memory.max"));
  return Value(swap == sys::unlimited || mem == sys::unlimited ? sys::unlimited : mem + swap);
}

Writes put_swap_v1(const Knob& /*k*/, const Backing& b, const Value& v, const View& view) {
  const std::uint64_t swap = std::get<std::uint64_t>(v);
  if (swap == sys::unlimited) return Writes({to(b.files[0], "-1")});
  const std::uint64_t mem = CGX_TRY(wanted_or_now("memory.max", b, "memory.limit_in_bytes", view));
  if (mem == sys::unlimited)
    return fail(EINVAL, "needs a memory limit: v1 limits memory and swap together (give --mem too)");
  return Writes({to(b.files[0], std::to_string(mem + swap))});
}

Read get_swap_v1(const Knob& /*k*/, const Backing& b, const View& view) {
  const std::uint64_t memsw = CGX_TRY(read_number(b, view, b.files[0]));
  const std::uint64_t mem = CGX_TRY(read_number(b, view, "memory.limit_in_bytes"));
  return Value(memsw == sys::unlimited || mem > memsw ? sys::unlimited : memsw - mem);
}

Writes put_oom_v1(const Knob& /*k*/, const Backing& b, const Value& v, const View& /*view*/) {
  const auto& word = std::get<std::string>(v);
  if (word == "group") return fail(ENOTSUP, "needs cgroup v2 (memory.oom.group); v1 has kill and pause");
  return Writes({to(b.files[0], word == "pause" ? "1" : "0")});
}

Read get_oom_v1(const Knob& /*k*/, const Backing& b, const View& view) {
  const std::string text = CGX_TRY(view.read(b.controller, b.files[0]));
  return Value(std::string(sys::keyed_u64(text, "oom_kill_disable").value_or(0) == 1 ? "pause" : "kill"));
}

Writes put_oom_v2(const Knob& /*k*/, const Backing& b, const Value& v, const View& /*view*/) {
  const auto& word = std::get<std::string>(v);
  if (word == "pause")
    return fail(ENOTSUP, "needs cgxd, which emulates it: v2 cannot pause at an OOM; v2 has kill and group");
  return Writes({to(b.files[0], word == "group" ? "1" : "0")});
}

Read get_oom_v2(const Knob& /*k*/, const Backing& b, const View& view) {
  return Value(std::string(CGX_TRY(read_number(b, view, b.files[0])) == 1 ? "group" : "kill"));
}

}  // namespace cgx::codec
