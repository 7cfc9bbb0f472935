// SPDX-License-Identifier: Apache-2.0
// What was done for one group, kept as one line of text in /run/cgx/net/KEY, and the store of these lines. The
// store is how a class number is allocated only once, how a deleted group's classes are found, and how the last
// user of a queueing discipline is known. KEY is `v1-ID` or `v2-ID`, ID the group's cgroup id (its inode).
//
// The directory /run/cgx/net exists only while there is a record: without it no group is shaped and a caller need
// not look further. A group that has a record carries the extended attribute `trusted.cgx.net`; a record whose
// group lacks it belongs to a dead group of the same id (v1 ids start again when the hierarchy is mounted anew).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/net/names.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/result.h"

namespace cgx::net {

// What tells HTB the class of a packet.
enum class Classifier : std::uint8_t {
  none,
  cls_cgroup,  // v1: the tc filter `cgroup`, which takes net_cls.classid
  cls_bpf,     // v1: a tc filter whose eBPF program returns net_cls.classid, where cls_cgroup is not built
  cgroup_skb,  // v2: an eBPF program on the group that writes skb->priority
  nft,         // both: an nftables rule that writes skb->priority
};
[[nodiscard]] std::string_view classifier_name(Classifier c);
[[nodiscard]] Result<Classifier> parse_classifier(std::string_view text);

// One HTB class on one interface.
struct Shape {
  std::string interface;
  unsigned index = 0;       // of the interface, in `netns`
  std::uint64_t netns = 0;  // inode of the network namespace
  ClassId id;
  std::uint64_t bits = 0;  // a second
  bool made_root = false;  // the interface's root qdisc is cgx's own
  // The same class of the same interface, whatever its rate.
  [[nodiscard]] bool same_place(const Shape& o) const { return same_interface(o) && id == o.id; }
  [[nodiscard]] bool same_interface(const Shape& o) const { return index == o.index && netns == o.netns; }
  bool operator==(const Shape&) const = default;
};

struct Priority {
  std::string interface;
  unsigned index = 0;
  std::uint64_t netns = 0;
  std::uint32_t value = 0;
  bool operator==(const Priority&) const = default;
};

struct Record {
  ClassId id;              // value 0: none
  bool allocated = false;  // cgx chose the number
  ClassId prior;           // v1: net_cls.classid as it was found
  Classifier classifier = Classifier::none;
  std::vector<Shape> shapes;
  std::vector<Priority> priorities;

  [[nodiscard]] bool empty() const { return id.value == 0 && shapes.empty() && priorities.empty(); }
  [[nodiscard]] std::string text() const;  // one line without its newline; parse() reads it back
  [[nodiscard]] static Result<Record> parse(std::string_view text);
  bool operator==(const Record&) const = default;
};

struct KeyedRecord {
  std::string key;
  Record record;
};

// The records, locked against every other process from open() until it is destroyed.
class Store {
 public:
  // Makes `dir` (its parent must exist) and waits for the lock `dir`/net.lock.
  [[nodiscard]] static Result<Store> open(const std::string& dir);
  // Every record; an unreadable one is an error that names its file. Order unspecified.
  [[nodiscard]] Result<std::vector<KeyedRecord>> all() const;
  [[nodiscard]] Result<Record> load(std::string_view key) const;  // an empty record where there is none
  // Replaces the record whole; an empty one is removed, the last one with the directory.
  [[nodiscard]] Result<> save(std::string_view key, const Record& record) const;
  // Reads without the lock, for show: a record is replaced by rename, so each is whole.
  [[nodiscard]] static Store unlocked(const std::string& dir) { return {dir, sys::Fd()}; }

 private:
  Store(const std::string& dir, sys::Fd lock) : records_(dir + "/net"), lock_(std::move(lock)) {}

  std::string records_;
  sys::Fd lock_;
};

}  // namespace cgx::net
