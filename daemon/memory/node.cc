// SPDX-License-Identifier: Apache-2.0
#include "daemon/memory/node.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

#include <fcntl.h>
#include <unistd.h>

#include "cgx/sys/text.h"

namespace cgx::daemon::memory {
namespace {

// The kernel kills for contiguous 32 KiB: less room than this is none.
constexpr std::uint64_t headroom = std::uint64_t{64} * 1024;

bool is_full(std::uint64_t usage, std::uint64_t limit) { return limit != sys::unlimited && usage + headroom > limit; }

}  // namespace

OomState read_oom(const Node& node) {
  std::array<char, 256> buffer;
  const Text t = read_text(node.files.events.get(), buffer);
  if (t.code != 0) return {.code = t.code};
  return {.code = 0,
          .disabled = number_of(t.text, "oom_kill_disable") != 0,
          .under_oom = number_of(t.text, "under_oom") != 0,
          .oom_kill = number_of(t.text, "oom_kill")};
}

Counts read_counts(int fd) {
  std::array<char, 512> buffer;
  const Text t = read_text(fd, buffer);
  if (t.code != 0) return {.code = t.code};
  return {.code = 0,
          .high = number_of(t.text, "high"),
          .max = number_of(t.text, "max"),
          .oom = number_of(t.text, "oom"),
          .oom_kill = number_of(t.text, "oom_kill")};
}

Fill read_fill(const Node& node) {
  const Number usage = read_number(node.files.usage.get());
  const Number limit = read_number(node.files.limit.get());
  if (usage.code != 0 || limit.code != 0) return {.code = usage.code != 0 ? usage.code : limit.code};
  Fill fill{.code = 0, .full = is_full(usage.value, limit.value), .usage = usage.value, .limit = limit.value};
  if (fill.full) return fill;
  if (node.version == Version::v2) {
    if (!node.files.high.valid()) return fill;
    const Number high = read_number(node.files.high.get());
    // Little above it is hardly throttled: at the tripwire is over it.
    if (high.code == 0 && high.value < limit.value) fill.full = is_full(usage.value, high.value);
    return fill;
  }
  // Memory and swap together may be what is short. Only hosts with swap get here with two different numbers.
  if (!node.files.memsw.valid()) return fill;
  const Number both = read_number(node.files.memsw.get());
  if (both.code != 0 || both.value == sys::unlimited) return fill;
  const sys::Fd file(sys::open_part(node.files.dir.get(), "memory.memsw.usage_in_bytes", O_RDONLY));
  const Number used = file.valid() ? read_number(file.get()) : Number{.code = EBADF};
  if (used.code == 0 && is_full(used.value, both.value))
    return {.full = true, .with_swap = true, .usage = used.value, .limit = both.value};
  return fill;
}

std::uint64_t reclaimable(const Node& node) {
  const sys::Fd file(sys::open_part(node.files.dir.get(), "memory.stat", O_RDONLY));
  if (!file.valid()) return 0;
  std::array<char, 8192> buffer;
  const Text t = read_text(file.get(), buffer);
  if (t.code != 0) return 0;
  if (node.version == Version::v2)
    return number_of(t.text, "inactive_file") + number_of(t.text, "active_file") +
           number_of(t.text, "slab_reclaimable");
  return number_of(t.text, "total_inactive_file") + number_of(t.text, "total_active_file");
}

Number read_failures(const Node& node) {
  Number sum = read_number(node.files.failcnt.get());
  if (sum.code == 0 && node.files.memsw_failcnt.valid()) sum.value += read_number(node.files.memsw_failcnt.get()).value;
  return sum;
}

bool counts_failures(const Node& node) {
  if (!node.files.memsw.valid()) return true;
  const Number limit = read_number(node.files.limit.get());
  const Number both = read_number(node.files.memsw.get());
  return limit.code != 0 || both.code != 0 || limit.value < both.value;
}

std::uint64_t gap_to_limit(const Node& node) {
  const Number limit = read_number(node.files.limit.get());
  if (limit.code != 0 || limit.value == sys::unlimited) return sys::unlimited;
  const sys::Fd file(sys::open_part(node.files.dir.get(), "memory.max_usage_in_bytes", O_RDONLY));
  const Number peak = file.get() >= 0 ? read_number(file.get()) : Number{.code = EBADF};
  const Number usage = read_number(node.files.usage.get());
  if (peak.code != 0 || usage.code != 0 || !is_full(peak.value, limit.value)) return sys::unlimited;
  return limit.value - std::min(limit.value, usage.value);
}

std::uint64_t limit_above(const Node& node) {
  std::uint64_t least = sys::unlimited;
  for (const Node* above = node.parent; above != nullptr; above = above->parent)
    if (const Number limit = read_number(above->files.limit.get()); limit.code == 0)
      least = std::min(least, limit.value);
  return least;
}

bool has_no_room(const Fill& fill, std::uint64_t charged_ahead) {
  return fill.full ||
         (fill.limit != sys::unlimited && fill.usage + std::min(charged_ahead, fill.limit / 8) > fill.limit);
}

bool stuck(const Node& node, Micros now) { return node.waits_since != never && now - node.waits_since >= second; }

Node* oom_root(Node& node) {
  Node* root = nullptr;
  for (Node* n = &node; n != nullptr; n = n->parent)
    if (read_oom(*n).under_oom) root = n;
  return root;
}

Written write_limit(Node& node, std::uint64_t from, std::uint64_t to) {
  const std::string_view file = limit_file(node);
  const auto plus = [&](std::uint64_t value) { return to > from ? value + (to - from) : value - (from - to); };
  if (node.version == Version::v2) {
    const Number high = node.files.high.valid() ? read_number(node.files.high.get()) : Number{.code = EBADF};
    const bool both = high.code == 0 && high.value < from;
    const bool wire = both && node.wire != 0 && high.value == node.wire;
    const std::uint64_t new_high = !both ? 0 : wire ? policy::early_mark(to) : plus(high.value);
    if (both && to < from)
      if (const int code = write_number(node.files.high.get(), new_high); code != 0) return {code, "memory.high"};
    if (const int code = write_number(node.files.limit.get(), to); code != 0) return {code, file};
    if (wire) node.wire = new_high;
    if (both && to > from)
      if (const int code = write_number(node.files.high.get(), new_high); code != 0) return {code, "memory.high"};
    return {};
  }
  // The kernel takes no limit above that of memory and swap: up, the sum goes first; down, it goes last.
  const Number sum = node.files.memsw.valid() ? read_number(node.files.memsw.get()) : Number{.code = EBADF};
  const bool both = sum.code == 0 && sum.value != sys::unlimited;
  const std::string_view sum_file = "memory.memsw.limit_in_bytes";
  if (both && to > from)
    if (const int code = write_number(node.files.memsw.get(), plus(sum.value)); code != 0) return {code, sum_file};
  if (const int code = write_number(node.files.limit.get(), to); code != 0) {
    if (both && to > from) (void)write_number(node.files.memsw.get(), sum.value);  // as it was; may be in use already
    return {code, file};
  }
  if (both && to < from)
    if (const int code = write_number(node.files.memsw.get(), plus(sum.value)); code != 0) return {code, sum_file};
  return {};
}

int disable_killer(const Node& node, bool disable) { return write_text(node.files.events.get(), disable ? "1" : "0"); }

int freeze(const Node& node, bool frozen) {
  if (!node.files.freezer.valid()) return ENOTSUP;
  if (node.freezer_version == Version::v2) return write_text(node.files.freezer.get(), frozen ? "1" : "0");
  return write_text(node.files.freezer.get(), frozen ? "FROZEN" : "THAWED");
}

bool is_frozen(const Node& node) {
  std::array<char, 32> buffer;
  const Text t = read_text(node.files.freezer.get(), buffer);
  return t.code == 0 && (node.freezer_version == Version::v2 ? t.text.starts_with('1') : !t.text.starts_with("THAWED"));
}

std::string_view limit_file(const Node& node, const Fill& fill) {
  return fill.with_swap ? "memory.memsw.limit_in_bytes" : limit_file(node);
}

std::string_view limit_file(const Node& node) {
  return node.version == Version::v2 ? "memory.max" : "memory.limit_in_bytes";
}

}  // namespace cgx::daemon::memory
