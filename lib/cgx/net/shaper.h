// SPDX-License-Identifier: Apache-2.0
// Network control of a group as one transaction: from the record of what is in force to the record of what is
// wanted, through tc, net_cls.classid or the eBPF program. What a change replaced is the record before it, so
// that undoing a change is making the same kind of change to that record.
//
// Order, so that a process killed anywhere leaves nothing that a later release would not find: everything that can
// be checked is checked first; then the record is written, with all that is or may be in force; then the kernel is
// changed; then the record of what is in force now takes its place.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cgx/net/group.h"
#include "cgx/net/names.h"
#include "cgx/net/record.h"
#include "cgx/sys/result.h"

namespace cgx::net {

// Numbers that cgx gives out by itself: from MAJ:8000 up, away from those that people choose. MAJ is that of the HTB
// which the interface has already, else 10.
inline constexpr std::uint32_t default_major = 0x10;
inline constexpr std::uint32_t first_allocated_minor = 0x8000;
inline constexpr std::uint32_t last_allocated_minor = 0xfffe;

struct Request {
  std::optional<ClassId> id;                 // else the group's own one, else for a rate a free one
  std::vector<RateFlag> rates;               // added to those in force; sys::unlimited takes one away
  std::vector<PrioFlag> priorities;          // v2 only; 0 takes one away
  Classifier classifier = Classifier::none;  // none: the first that works
};

struct Change {
  std::string key;
  Record before;
  Record after;
  std::vector<std::string> elsewhere;  // interfaces of other network namespaces, whose classes were left alone
  std::vector<std::string> steps;      // with Write::dry_run: what would be written, `PATH <- VALUE`
};

enum class Write : std::uint8_t { real, dry_run };

// Sets what `request` says and keeps the rest. On failure everything is as before; where that fails too, the error
// says so. ENODEV for an unknown interface, EBUSY for a foreign queueing discipline, EEXIST for a class that
// another program made, ENOSPC without a free class number.
[[nodiscard]] Result<Change> set(const Store& store, const Group& group, const Request& request, Write write);

// Makes the group be as in `wanted`, the `before` of an earlier change.
[[nodiscard]] Result<Change> restore(const Store& store, const Group& group, const Record& wanted);

// Takes all network control of the group away. No record is no error.
[[nodiscard]] Result<Change> release(const Store& store, const Group& group);
// The same for a group that is removed already.
[[nodiscard]] Result<Change> release_key(const Store& store, const std::string& key);

}  // namespace cgx::net
