// SPDX-License-Identifier: Apache-2.0
// Users and groups of this host by name, as the name service knows them (getpwnam(3) and its kind: files, LDAP, ...).
// What was asked is kept for a while, since rules ask for the same few names over and over.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <string>

#include "cgx/policy/match.h"

namespace cgx::policy {

// Not thread safe: one for each thread. Blocks for as long as the name service does, where the answer is not kept.
// Every answer is kept for `keep`, also that there is none; when the name service itself fails, the old answer goes on
// to count.
class HostNames final : public Names {
 public:
  explicit HostNames(std::chrono::seconds keep = std::chrono::seconds(60)) : keep_(keep) {}
  [[nodiscard]] std::optional<std::string> user_name(uid_t uid) override;
  [[nodiscard]] std::optional<std::string> group_name(gid_t gid) override;
  [[nodiscard]] std::optional<uid_t> user_id(const std::string& name) override;
  [[nodiscard]] std::optional<gid_t> group_id(const std::string& name) override;
  void forget();

 private:
  template <class Value>
  struct Kept {
    std::optional<Value> value;
    std::chrono::steady_clock::time_point until;
  };
  template <class Key, class Value, class Ask>
  std::optional<Value> kept(std::map<Key, Kept<Value>>& all, const Key& key, const Ask& ask);

  std::chrono::seconds keep_;
  std::map<uid_t, Kept<std::string>> user_names_;
  std::map<gid_t, Kept<std::string>> group_names_;
  std::map<std::string, Kept<uid_t>> user_ids_;
  std::map<std::string, Kept<gid_t>> group_ids_;
};

}  // namespace cgx::policy
