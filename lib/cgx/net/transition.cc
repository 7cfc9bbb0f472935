// SPDX-License-Identifier: Apache-2.0
#include "cgx/net/transition.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx::net {

namespace {

Interface interface_of(const Shape& s) { return {s.interface, s.index}; }

bool has_place(const Record& record, const Shape& shape) {
  return std::ranges::any_of(record.shapes, [&shape](const Shape& s) { return s.same_place(shape); });
}

// All of `wanted`, and what only `before` has: what may be in force while one becomes the other.
Record both(const Record& before, const Record& wanted) {
  Record all = wanted;
  if (all.id.value == 0) all.id = before.id;
  for (const Shape& s : before.shapes)
    if (!has_place(wanted, s)) all.shapes.push_back(s);
  for (const Priority& p : before.priorities)
    if (std::ranges::find(all.priorities, p) == all.priorities.end()) all.priorities.push_back(p);
  if (all.classifier == Classifier::none) all.classifier = before.classifier;
  if (all.prior.value == 0) all.prior = before.prior;
  return all;
}

}  // namespace

Mark mark_of(const Record& record) {
  Mark mark;
  mark.id = record.id;
  for (const Shape& s : record.shapes) mark.shaped.push_back(s.index);
  for (const Priority& p : record.priorities) mark.priorities.push_back({p.index, p.value});
  return mark;
}

Result<Transition> Transition::open(const Store& store, const Group* group, std::string key) {
  std::vector<KeyedRecord> others = CGX_TRY(store.all());
  std::erase_if(others, [&key](const KeyedRecord& r) { return r.key == key; });
  Tc tc = CGX_TRY(Tc::open());
  const std::uint64_t netns = CGX_TRY(current_netns());
  return Transition(store, group, std::move(key), std::move(tc), netns, std::move(others));
}

Result<Change> Transition::run(const Record& before, Record wanted, Classifier force, Write write) {
  CGX_CHECK(check(before, wanted));
  Change change{.key = key_, .before = before, .after = {}, .elsewhere = {}, .steps = {}};
  if (write == Write::dry_run) {
    change.steps = describe(before, wanted);
    change.after = std::move(wanted);
    return change;
  }
  in_force_ = both(before, wanted);
  auto done = keep(in_force_);
  if (done) done = apply(before, wanted, force, change.elsewhere);
  if (done) done = keep(wanted);
  if (done) {
    change.after = std::move(wanted);
    return change;
  }
  // Back to where it was: the same steps, from all that may be in force. Both errors are told.
  const Record from = in_force_;
  Record back = before;
  std::vector<std::string> ignored;
  auto undone = apply(from, back, before.classifier, ignored);
  if (auto kept = keep(undone ? back : from); undone && !kept) undone = std::move(kept);
  if (!undone) done.error().what += fmt::format("; undoing it failed too: {}", undone.error().text());
  return std::unexpected(std::move(done).error());
}

// Everything that can be refused without a change is refused here; sets made_root where it will be true.
Result<> Transition::check(const Record& before, Record& wanted) const {
  for (Shape& s : wanted.shapes)
    if (s.netns == netns_) CGX_CHECK(check_shape(before, s));
  return {};
}

Result<> Transition::check_shape(const Record& before, Shape& shape) const {
  const RootQdisc root = CGX_TRY(tc_.root(shape.index));
  if (root.major == 0) {
    shape.made_root = true;
    return {};
  }
  if (root.kind != "htb") {
    auto error = fail(EBUSY,
                      fmt::format("interface \"{}\" has the queueing discipline {} {:x}: that another program set",
                                  shape.interface,
                                  root.kind,
                                  root.major));
    error.error().hint = fmt::format("remove it first: tc qdisc del dev {} root", shape.interface);
    return error;
  }
  if (root.major != shape.id.major()) {
    auto error = fail(EBUSY,
                      fmt::format("interface \"{}\" has htb {:x}: as its root, which cannot hold class {}",
                                  shape.interface,
                                  root.major,
                                  format_class(shape.id)));
    error.error().hint = fmt::format("use --net-class {:x}:MIN", root.major);
    return error;
  }
  bool known = has_place(before, shape);
  const auto ask = [&shape, &known](const Record& record) {
    for (const Shape& s : record.shapes) {
      if (s.same_interface(shape)) shape.made_root = shape.made_root || s.made_root;
      known = known || s.same_place(shape);
    }
  };
  ask(before);
  for (const KeyedRecord& other : others_) ask(other.record);
  if (known) return {};
  const std::vector<ClassId> present = CGX_TRY(tc_.classes(shape.index));
  if (std::ranges::find(present, shape.id) == present.end()) return {};
  auto error =
      fail(EEXIST,
           fmt::format(
               "interface \"{}\" has a class {} that another program made", shape.interface, format_class(shape.id)));
  error.error().hint = "use another --net-class";
  return error;
}

// Ends with `wanted` in force, given that at most `before` and `wanted` are.
Result<> Transition::apply(const Record& before,
                           Record& wanted,
                           Classifier force,
                           std::vector<std::string>& elsewhere) {
  for (const Shape& s : wanted.shapes)
    if (s.netns == netns_) CGX_CHECK(make_shape(s));
  if (group_ != nullptr) {
    if (group_->version() == Group::Version::v1)
      CGX_CHECK(classify_v1(wanted, force));
    else
      CGX_CHECK(classify_v2(wanted, force));
    if (group_->version() == Group::Version::v1) {
      const ClassId now = CGX_TRY(group_->class_id());
      const ClassId then = wanted.id.value != 0 ? wanted.id : wanted.empty() ? before.prior : wanted.prior;
      // A group without network control keeps a number that somebody else has written meanwhile.
      const bool ours = now == before.id || now == wanted.id || !wanted.empty();
      if (now != then && ours) CGX_CHECK(group_->write_class_id(then));
    }
  }
  CGX_CHECK(declassify(before, wanted));
  for (const Shape& s : before.shapes)
    if (!has_place(wanted, s)) CGX_CHECK(drop_shape(s, wanted, elsewhere));
  return {};
}

Result<> Transition::make_shape(const Shape& shape) const {
  const Interface on = interface_of(shape);
  const RootQdisc root = CGX_TRY(tc_.root(shape.index));
  if (root.major == 0) CGX_CHECK(tc_.add_root(on, shape.id.major()));
  return tc_.set_class(on, shape.id, shape.bits);
}

Result<> Transition::drop_shape(const Shape& shape, const Record& wanted, std::vector<std::string>& elsewhere) const {
  if (shape.netns != netns_) {
    elsewhere.push_back(shape.interface);
    return {};
  }
  if (!interface_exists(shape.index)) return {};
  const RootQdisc root = CGX_TRY(tc_.root(shape.index));
  if (root.kind != "htb" || root.major != shape.id.major()) return {};  // someone replaced it, with all classes
  bool shared_class = false;
  bool shared_root = false;
  const auto ask = [&](const Record& record) {
    for (const Shape& s : record.shapes) {
      shared_class = shared_class || s.same_place(shape);
      shared_root = shared_root || s.same_interface(shape);
    }
  };
  ask(wanted);
  for (const KeyedRecord& other : others_) ask(other.record);
  const Interface on = interface_of(shape);
  if (!shared_class) CGX_CHECK(tc_.remove_class(on, shape.id));
  if (shared_root) return {};
  // The root goes with the last class in it, whoever made that; a foreign root loses only the filter.
  if (shape.made_root && CGX_TRY(tc_.classes(shape.index)).empty()) return tc_.remove_root(on, root.major);
  return key_.starts_with("v1-") ? tc_.remove_filter(on, root.major) : Result<>{};
}

// The record says so before the table is there: a process that is killed in between must not leave a table that
// no release would look for. nft takes a script whole or not at all.
Result<> Transition::use_nft(const NftMatch& match, Record& wanted) {
  const Classifier earlier = std::exchange(in_force_.classifier, Classifier::nft);
  CGX_CHECK(keep(in_force_));
  auto set = nft_set(table(), match, mark_of(wanted));
  if (set)
    wanted.classifier = Classifier::nft;
  else
    in_force_.classifier = earlier;
  return set;
}

Result<> Transition::classify_v1(Record& wanted, Classifier force) {
  if (force == Classifier::cgroup_skb) return bad_value(classifier_name(force), "needs a cgroup v2 group");
  bool need_nft = force == Classifier::nft;
  for (const Shape& s : wanted.shapes) {
    if (need_nft || s.netns != netns_) continue;
    auto made = tc_.add_filter(interface_of(s), s.id.major(), force);
    if (made) wanted.classifier = *made;
    if (made || force != Classifier::none) {
      CGX_CHECK(made);
      continue;
    }
    if (made.error().code == EPERM) return std::unexpected(std::move(made).error());
    need_nft = true;
  }
  if (wanted.shapes.empty()) wanted.classifier = Classifier::none;  // a plain class needs none: the user has his own
  if (!need_nft || wanted.shapes.empty()) return {};
  return use_nft(nft_match_v1(wanted.id), wanted);
}

Result<> Transition::classify_v2(Record& wanted, Classifier force) {
  const Mark mark = mark_of(wanted);
  if (mark.empty()) return {};  // declassify() takes the program away
  if (force == Classifier::cls_cgroup || force == Classifier::cls_bpf)
    return bad_value(classifier_name(force), "needs a group of the v1 net_cls hierarchy");
  Result<> attached;
  if (force != Classifier::nft) {
    attached = attach_mark(group_->fd(), mark);
    if (attached) wanted.classifier = Classifier::cgroup_skb;
    if (attached || force == Classifier::cgroup_skb) return attached;
  }
  auto match = nft_match_v2(group_->fd());
  auto set = match ? use_nft(*match, wanted) : std::unexpected(std::move(match).error());
  if (set) return {};
  return attached ? set : attached;  // the first way's reason is the one worth knowing
}

// Takes away the classifier of `before` that `wanted` does not use.
Result<> Transition::declassify(const Record& before, const Record& wanted) const {
  const Classifier now = wanted.empty() ? Classifier::none : wanted.classifier;
  if (before.classifier == Classifier::nft && now != Classifier::nft) CGX_CHECK(nft_remove(table()));
  const bool v2 = group_ != nullptr && group_->version() == Group::Version::v2;
  if (v2 && now != Classifier::cgroup_skb) (void)CGX_TRY(detach_mark(group_->fd()));
  return {};
}

// The mark first: a record without the mark would be taken for that of an earlier group.
Result<> Transition::keep(const Record& record) const {
  if (group_ != nullptr && !record.empty()) CGX_CHECK(group_->set_marker(record.id));
  CGX_CHECK(store_.save(key_, record));
  if (group_ != nullptr && record.empty()) CGX_CHECK(group_->remove_marker());
  return {};
}

std::vector<std::string> Transition::describe(const Record& before, const Record& wanted) const {
  std::vector<std::string> steps;
  std::vector<unsigned> rooted;
  for (const Shape& s : wanted.shapes) {
    const auto root = tc_.root(s.index);
    if (root && root->major == 0 && std::ranges::find(rooted, s.index) == rooted.end()) {
      steps.push_back(fmt::format("tc:{}/root <- htb {:x}:", s.interface, s.id.major()));
      rooted.push_back(s.index);
    }
    if (std::ranges::find(before.shapes, s) == before.shapes.end())
      steps.push_back(fmt::format("tc:{}/{} <- htb rate {} ceil {}",
                                  s.interface,
                                  format_class(s.id),
                                  sys::format_rate(s.bits),
                                  sys::format_rate(s.bits)));
  }
  if (group_ != nullptr && group_->version() == Group::Version::v1) {
    if (wanted.id.value != 0 && wanted.id != before.id)
      steps.push_back(fmt::format("net_cls.classid <- {:#x}", wanted.id.value));
  } else if (wanted != before) {
    std::string text = wanted.id.value == 0 ? "" : " class " + format_class(wanted.id);
    for (const Priority& p : wanted.priorities) text += fmt::format(" {}={}", p.interface, p.value);
    steps.push_back(fmt::format("bpf:cgroup_inet_egress <- {}{}", program_name, wanted.empty() ? " removed" : text));
  }
  for (const Shape& s : before.shapes)
    if (!has_place(wanted, s)) steps.push_back(fmt::format("tc:{}/{} <- removed", s.interface, format_class(s.id)));
  return steps;
}

}  // namespace cgx::net
