// SPDX-License-Identifier: Apache-2.0
#include "cgx/net/shaper.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "cgx/net/transition.h"
#include "cgx/sys/text.h"

namespace cgx::net {

namespace {

// A class number that no record and no interface of `on` uses, with the major that those interfaces demand.
Result<ClassId> allocate(const Tc& tc, const std::vector<KeyedRecord>& records, const std::vector<Interface>& on) {
  std::uint32_t major = 0;
  std::string major_from;
  std::vector<bool> taken(last_allocated_minor + 1, false);
  std::vector<ClassId> present;
  for (const Interface& interface : on) {
    const RootQdisc root = CGX_TRY(tc.root(interface.index));
    if (root.major == 0 || root.kind != "htb") continue;
    if (major != 0 && major != root.major)
      return fail(EBUSY,
                  fmt::format("interfaces \"{}\" (htb {:x}:) and \"{}\" (htb {:x}:) cannot share a class",
                              major_from,
                              major,
                              interface.name,
                              root.major));
    major = root.major;
    major_from = interface.name;
    const std::vector<ClassId> classes = CGX_TRY(tc.classes(interface.index));
    present.insert(present.end(), classes.begin(), classes.end());
  }
  if (major == 0) major = default_major;
  for (const KeyedRecord& r : records) {
    present.push_back(r.record.id);
    for (const Shape& s : r.record.shapes) present.push_back(s.id);
  }
  for (const ClassId id : present)
    if (id.major() == major && id.minor() <= last_allocated_minor) taken[id.minor()] = true;
  for (std::uint32_t minor = first_allocated_minor; minor <= last_allocated_minor; ++minor)
    if (!taken[minor]) return ClassId{major << 16U | minor};
  return fail(ENOSPC,
              fmt::format("no class number is free between {0:x}:{1:x} and {0:x}:{2:x}",
                          major,
                          first_allocated_minor,
                          last_allocated_minor));
}

// The class that a v1 group has of its own: one that differs from what it copied of its parent at mkdir.
Result<ClassId> own_class(const Group& group) {
  if (group.version() != Group::Version::v1) return ClassId{};
  const ClassId here = CGX_TRY(group.class_id());
  const ClassId above = CGX_TRY(group.parent_class_id());
  return here == above ? ClassId{} : here;
}

void set_rate(Record& record, const Interface& on, std::uint64_t netns, std::uint64_t bits) {
  const auto same = [&on, netns](const Shape& s) { return s.index == on.index && s.netns == netns; };
  const auto found = std::ranges::find_if(record.shapes, same);
  if (bits == sys::unlimited) {
    if (found != record.shapes.end()) record.shapes.erase(found);
    return;
  }
  Shape shape{.interface = on.name, .index = on.index, .netns = netns, .id = {}, .bits = bits, .made_root = false};
  if (found == record.shapes.end()) {
    record.shapes.push_back(std::move(shape));
    return;
  }
  found->interface = on.name;
  found->bits = bits;
}

void set_priority(Record& record, const Interface& on, std::uint64_t netns, std::uint32_t value) {
  const auto same = [&on, netns](const Priority& p) { return p.index == on.index && p.netns == netns; };
  std::erase_if(record.priorities, same);
  if (value != 0) record.priorities.push_back({on.name, on.index, netns, value});
}

// An interface that was removed took its class along; one of another namespace is not this process's to judge.
void drop_vanished(Record& record, std::uint64_t netns) {
  std::erase_if(record.shapes, [netns](const Shape& s) { return s.netns == netns && !interface_exists(s.index); });
  std::erase_if(record.priorities,
                [netns](const Priority& p) { return p.netns == netns && !interface_exists(p.index); });
}

// The record of a group, empty if the one in the store belonged to an earlier group of that id.
Result<Record> load(const Store& store, const Group& group) {
  if (!CGX_TRY(group.marked())) return Record{};
  return store.load(group.key());
}

}  // namespace

Result<Change> set(const Store& store, const Group& group, const Request& request, Write write) {
  Transition t = CGX_TRY(Transition::open(store, &group, group.key()));
  const Record before = CGX_TRY(load(store, group));
  Record wanted = before;
  const bool v1 = group.version() == Group::Version::v1;
  if (v1 && before.empty()) wanted.prior = CGX_TRY(group.class_id());
  if (v1 && !request.priorities.empty()) return bad_value("--prio", "is for cgroup v2; on v1 write net_prio.ifpriomap");

  drop_vanished(wanted, t.netns());
  std::vector<Interface> limited;
  for (const RateFlag& rate : request.rates) {
    Interface on = CGX_TRY(find_interface(rate.interface));
    set_rate(wanted, on, t.netns(), rate.bits);
    if (rate.bits != sys::unlimited) limited.push_back(std::move(on));
  }
  for (const PrioFlag& priority : request.priorities)
    set_priority(wanted, CGX_TRY(find_interface(priority.interface)), t.netns(), priority.priority);

  if (request.id) {
    wanted.id = *request.id;
    wanted.allocated = false;
  } else if (wanted.id.value == 0 && !limited.empty()) {
    wanted.id = CGX_TRY(own_class(group));
    wanted.allocated = wanted.id.value == 0;
    if (wanted.allocated) wanted.id = CGX_TRY(allocate(t.tc(), t.others(), limited));
  } else if (wanted.allocated && wanted.shapes.empty()) {
    wanted.id = {};  // the number was only there for the rates
    wanted.allocated = false;
  }
  // All classes of a group have one number. After a change that was cut short the record may name an interface
  // twice, under the old and the new number: the first is the one wanted.
  std::vector<Shape> shapes;
  for (Shape& s : wanted.shapes) {
    s.id = wanted.id;
    const auto same = [&s](const Shape& other) { return other.same_interface(s); };
    if (std::ranges::none_of(shapes, same)) shapes.push_back(std::move(s));
  }
  wanted.shapes = std::move(shapes);
  if (wanted.empty()) wanted = Record{};
  // One that was chosen before stays: another may be there as well, but the two would both act for a moment.
  const Classifier force = request.classifier == Classifier::none ? before.classifier : request.classifier;
  return t.run(before, std::move(wanted), force, write);
}

Result<Change> restore(const Store& store, const Group& group, const Record& wanted) {
  Transition t = CGX_TRY(Transition::open(store, &group, group.key()));
  Record target = wanted;
  drop_vanished(target, t.netns());
  if (target.empty()) target = Record{};
  return t.run(CGX_TRY(load(store, group)), std::move(target), wanted.classifier, Write::real);
}

Result<Change> release(const Store& store, const Group& group) {
  Transition t = CGX_TRY(Transition::open(store, &group, group.key()));
  return t.run(CGX_TRY(load(store, group)), Record{}, Classifier::none, Write::real);
}

Result<Change> release_key(const Store& store, const std::string& key) {
  Transition t = CGX_TRY(Transition::open(store, nullptr, key));
  return t.run(CGX_TRY(store.load(key)), Record{}, Classifier::none, Write::real);
}

}  // namespace cgx::net
