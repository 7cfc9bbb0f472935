// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/users.h"

#include <cerrno>
#include <vector>

#include <grp.h>
#include <pwd.h>

namespace cgx::policy {
namespace {

constexpr std::size_t most_kept = 4096;  // of each kind: users can be made to come and go

// What the reentrant functions of the C library answer: an entry, none, or a failure of the name service.
struct Looked {
  bool failed = false;
  bool found = false;
};

// `call(entry, buffer, size, result)`; the buffer grows until the entry fits (groups of thousands of members).
template <class Entry, class Call>
Looked look_up(Entry& entry, std::vector<char>& buffer, const Call& call) {
  constexpr std::size_t most = 16U << 20U;
  buffer.resize(4096);
  while (true) {
    Entry* result = nullptr;
    const int rc = call(&entry, buffer.data(), buffer.size(), &result);
    if (rc == ERANGE && buffer.size() < most) {
      buffer.resize(buffer.size() * 4);
      continue;
    }
    if (rc == EINTR) continue;
    // "Not found" has many faces: see the notes of getpwnam(3).
    const bool absent = rc == 0 || rc == ENOENT || rc == ESRCH || rc == EBADF || rc == EPERM;
    return {.failed = !absent, .found = result != nullptr};
  }
}

}  // namespace

template <class Key, class Value, class Ask>
std::optional<Value> HostNames::kept(std::map<Key, Kept<Value>>& all, const Key& key, const Ask& ask) {
  const auto now = std::chrono::steady_clock::now();
  const auto at = all.find(key);
  if (at != all.end() && now < at->second.until) return at->second.value;
  std::optional<Value> value;
  const Looked looked = ask(value);
  if (looked.failed && at != all.end()) value = at->second.value;
  if (all.size() >= most_kept) all.clear();
  // A name that is not there yet may be about to be made.
  const auto keep = value && !looked.failed ? keep_ : std::min(keep_, std::chrono::seconds(5));
  all[key] = {value, now + keep};
  return value;
}

std::optional<std::string> HostNames::user_name(uid_t uid) {
  return kept(user_names_, uid, [uid](std::optional<std::string>& value) {
    passwd entry{};
    std::vector<char> buffer;
    const Looked looked = look_up(entry, buffer, [uid](auto... rest) { return getpwuid_r(uid, rest...); });
    if (looked.found) value = entry.pw_name;
    return looked;
  });
}

std::optional<std::string> HostNames::group_name(gid_t gid) {
  return kept(group_names_, gid, [gid](std::optional<std::string>& value) {
    ::group entry{};
    std::vector<char> buffer;
    const Looked looked = look_up(entry, buffer, [gid](auto... rest) { return getgrgid_r(gid, rest...); });
    if (looked.found) value = entry.gr_name;
    return looked;
  });
}

std::optional<uid_t> HostNames::user_id(const std::string& name) {
  return kept(user_ids_, name, [&name](std::optional<uid_t>& value) {
    passwd entry{};
    std::vector<char> buffer;
    const Looked looked = look_up(entry, buffer, [&name](auto... rest) { return getpwnam_r(name.c_str(), rest...); });
    if (looked.found) value = entry.pw_uid;
    return looked;
  });
}

std::optional<gid_t> HostNames::group_id(const std::string& name) {
  return kept(group_ids_, name, [&name](std::optional<gid_t>& value) {
    ::group entry{};
    std::vector<char> buffer;
    const Looked looked = look_up(entry, buffer, [&name](auto... rest) { return getgrnam_r(name.c_str(), rest...); });
    if (looked.found) value = entry.gr_gid;
    return looked;
  });
}

void HostNames::forget() {
  user_names_.clear();
  group_names_.clear();
  user_ids_.clear();
  group_ids_.clear();
}

}  // namespace cgx::policy
