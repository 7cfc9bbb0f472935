// SPDX-License-Identifier: Apache-2.0
// The encode and decode functions that rows of knobs name. Pure: all they see is the row, the value and a View.
#pragma once

#include "cgx/model/knob.h"

namespace cgx::codec {

// One file, the value as one text. `max` is -1 in a v1 file and `max` in a v2 file.
Result<std::vector<FileWrite>> put_v1(const Knob&, const Backing&, const Value&, const View&);
Result<std::vector<FileWrite>> put_v2(const Knob&, const Backing&, const Value&, const View&);
Result<std::optional<Value>> get_plain(const Knob&, const Backing&, const View&);

// cpu.shares and cpu.weight, each kept in the other's file with the number that the user gave.
Result<std::vector<FileWrite>> put_shares_as_weight(const Knob&, const Backing&, const Value&, const View&);
Result<std::optional<Value>> get_shares_from_weight(const Knob&, const Backing&, const View&);
Result<std::vector<FileWrite>> put_weight_as_shares(const Knob&, const Backing&, const Value&, const View&);
Result<std::optional<Value>> get_weight_from_shares(const Knob&, const Backing&, const View&);

// Bandwidth: files {quota, period} on v1 (CFS and RT), `QUOTA PERIOD` on v2.
Result<std::vector<FileWrite>> put_quota_v1(const Knob&, const Backing&, const Value&, const View&);
Result<std::optional<Value>> get_quota_v1(const Knob&, const Backing&, const View&);
Result<std::vector<FileWrite>> put_quota_v2(const Knob&, const Backing&, const Value&, const View&);
Result<std::optional<Value>> get_quota_v2(const Knob&, const Backing&, const View&);

// memsw on v2 and swap on v1 need memory.max, wanted or in force.
Result<std::vector<FileWrite>> put_memsw_v2(const Knob&, const Backing&, const Value&, const View&);
Result<std::optional<Value>> get_memsw_v2(const Knob&, const Backing&, const View&);
Result<std::vector<FileWrite>> put_swap_v1(const Knob&, const Backing&, const Value&, const View&);
Result<std::optional<Value>> get_swap_v1(const Knob&, const Backing&, const View&);

// oom: kill, pause (v1), group (v2).
Result<std::vector<FileWrite>> put_oom_v1(const Knob&, const Backing&, const Value&, const View&);
Result<std::optional<Value>> get_oom_v1(const Knob&, const Backing&, const View&);
Result<std::vector<FileWrite>> put_oom_v2(const Knob&, const Backing&, const Value&, const View&);
Result<std::optional<Value>> get_oom_v2(const Knob&, const Backing&, const View&);

// Block devices. Files of io.max on v1: read_bps, write_bps, read_iops, write_iops. Files of io.weight: the plain
// one and the BFQ one, of which the kernel has either; then those for one device on v1.
Result<std::vector<FileWrite>> put_io_max_v1(const Knob&, const Backing&, const Value&, const View&);
Result<std::optional<Value>> get_io_max_v1(const Knob&, const Backing&, const View&);
Result<std::vector<FileWrite>> put_io_weight(const Knob&, const Backing&, const Value&, const View&);
Result<std::optional<Value>> get_io_weight(const Knob&, const Backing&, const View&);

// `KEY field=N field=N` lines (io.max, io.latency, rdma.max) or `KEY N` lines (misc.max, ifpriomap), a write a line.
Result<std::vector<FileWrite>> put_table(const Knob&, const Backing&, const Value&, const View&);
Result<std::optional<Value>> get_table(const Knob&, const Backing&, const View&);

// hugetlb: files[0] is a pattern with '*' for the page size.
Result<std::vector<FileWrite>> put_hugetlb(const Knob&, const Backing&, const Value&, const View&);
Result<std::optional<Value>> get_hugetlb(const Knob&, const Backing&, const View&);

// devices.allow and devices.deny; on v2 the pseudo-file "@devices" with one rule a line.
Result<std::vector<FileWrite>> put_devices(const Knob&, const Backing&, const Value&, const View&);
Result<std::optional<Value>> get_devices(const Knob&, const Backing&, const View&);

}  // namespace cgx::codec
