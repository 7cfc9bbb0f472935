// SPDX-License-Identifier: Apache-2.0
// The last resort of classification: an nftables table for one group that writes meta priority, for kernels with
// neither a tc classifier nor eBPF for the group. Runs the program nft(8) and waits for it.
#pragma once

#include <string>
#include <string_view>

#include "cgx/net/bpf.h"
#include "cgx/sys/result.h"

namespace cgx::net {

// How nft recognises a packet of the group: on v1 `meta cgroup CLASS`, on v2 `socket cgroupv2 level N "PATH"`.
struct NftMatch {
  std::string text;
  unsigned level = 0;  // the depth of the group; a deeper one's rules run later and win
};
[[nodiscard]] NftMatch nft_match_v1(ClassId id);
// From an open v2 group. nft resolves paths below /sys/fs/cgroup alone: ENOTSUP for a group that is not there.
[[nodiscard]] Result<NftMatch> nft_match_v2(int group_fd);

// The script that makes the table `table`, replacing one of that name. Pure, for tests.
[[nodiscard]] std::string nft_script(std::string_view table, const NftMatch& match, const Mark& mark);
// Errors: ENOENT without the program nft, EOPNOTSUPP with nft's own words where it refuses.
[[nodiscard]] Result<> nft_set(std::string_view table, const NftMatch& match, const Mark& mark);
[[nodiscard]] Result<> nft_remove(std::string_view table);  // no such table is no error

}  // namespace cgx::net
