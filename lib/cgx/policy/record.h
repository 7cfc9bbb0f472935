// SPDX-License-Identifier: Apache-2.0
// What policies manage on this host: which groups and limits, made by which source, and what was there before. A file
// in a directory that a reboot empties, so that it never says more than is true. Knows no YAML and changes no group.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/sys/fd.h"
#include "cgx/sys/result.h"

namespace cgx::policy {

struct ManagedLimit {
  std::string key;   // "memory.max"; "raw.cpu.uclamp.min"
  std::string knob;  // the row's name; of a raw limit the file's
  bool raw = false;  // `wanted` and so on are texts of the file, else exact texts of the value
  std::string wanted;
  std::optional<std::string> before;  // what was there before it was managed; none: what a new group has
  std::optional<std::string> reads;   // what the kernel made of `wanted`, where that is another text
  bool operator==(const ManagedLimit&) const = default;
};

// A directory of an adopted group, so that another one of that name is not taken for it.
struct AdoptedIn {
  std::string hierarchy;  // its label
  std::uint64_t inode = 0;
  bool operator==(const AdoptedIn&) const = default;
};

struct ManagedGroup {
  std::string name;
  std::string source;        // the absolute path of the FILE or DIR that was applied, "-" for stdin
  bool named = true;         // false: it is there for the sake of a group below it
  std::string made = "-";    // the hierarchies in which it was made, by label, apart by blanks; "*" all, "-" none
  std::uint64_t inode = 0;   // of its directory, in cgroup2 or the first hierarchy; 0: not known yet
  std::string owner;         // UID:GID that is managed; empty: none
  std::string owner_before;  // UID:GID
  std::vector<ManagedLimit> limits;
  std::vector<AdoptedIn> adopted;  // where it was found; empty: not adopted
  [[nodiscard]] const ManagedLimit* find(std::string_view knob) const;
  bool operator==(const ManagedGroup&) const = default;
};

struct Record {
  std::vector<ManagedGroup> groups;     // sorted by name, each once
  std::vector<std::string> unfinished;  // sources of an apply that is under way, or was ended by force
  [[nodiscard]] const ManagedGroup* find(std::string_view name) const;
  // Fails where it cannot say of which boot it is.
  [[nodiscard]] Result<std::string> text() const;
  // EBADMSG: `text` is no record, is cut, or is of another version. The error says where. Other errors: it could not be
  // found out whether it is of this boot.
  [[nodiscard]] static Result<Record> parse(std::string_view text);
  bool operator==(const Record&) const = default;
};

// The record of a state directory. No record, or one that was made before the last boot, is an empty one.
[[nodiscard]] Result<Record> read_record(const std::string& state_dir);

// The record with its lock, which other programs wait for.
class RecordFile {
 public:
  // Makes the directory where it is missing. Waits for the lock, 30 s at most (ETIMEDOUT names the holder).
  [[nodiscard]] static Result<RecordFile> open(const std::string& state_dir);
  [[nodiscard]] Result<Record> read() const;
  // Atomic: a reader, also after a crash, finds the old record or the new one.
  [[nodiscard]] Result<> write(const Record& record) const;

 private:
  RecordFile(std::string path, sys::Fd dir, sys::Fd lock)
      : path_(std::move(path)), dir_(std::move(dir)), lock_(std::move(lock)) {}
  std::string path_;  // of the record, for errors
  sys::Fd dir_;
  sys::Fd lock_;
};

}  // namespace cgx::policy
