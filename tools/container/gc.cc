// SPDX-License-Identifier: Apache-2.0
// gc: what a killed monitor has left.
#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/json.h"
#include "cgx/sys/own_dir.h"
#include "cgx/sys/program.h"
#include "cgx/sys/text.h"

#include "commands.h"
#include "ended.h"
#include "gc_exec.h"
#include "id_ranges.h"
#include "layer.h"
#include "making.h"
#include "remove.h"

namespace cgx::launcher {
namespace {

class Collector {
 public:
  explicit Collector(const Call& call) : call_(call) {}

  Result<int> run() {
    run_root_ = CGX_TRY(run_root());
    data_root_ = CGX_TRY(data_root());
    Store store = CGX_TRY(Store::open(run_root_));
    for (const std::string& id : CGX_TRY(store.ids())) look_at(store, id);
    layers_without_record(store);
    unpacked_by_half();
    if (!call_.dry_run) (void)remove_left_group({});
    if (!call_.dry_run) forget_endings(run_root_);
    if (!call_.dry_run) release_ids();
    groups_of_exec();
    if (call_.json) {
      sys::JsonWriter json;
      json.open_object().key("removed").open_array();
      for (const std::string& line : removed_) json.string(line);
      tool::print(json.close_array().close_object().take() + "\n");
    }
    return status_;
  }

 private:
  [[nodiscard]] Layer layer(const std::string& name) const {
    return {.run_root = run_root_, .data_root = data_root_, .name = name};
  }
  void tell(const std::string& what) {
    removed_.push_back(what);
    if (!call_.json) tool::print(what + "\n");
  }
  void check(const Result<>& done, const std::string& id) {
    if (!done && done.error().code != ENOENT)
      status_ = tool::report(located(Result<>(done), id).error(), "gc", call_.json);
  }

  void look_at(Store& store, const std::string& id) {
    // Who makes or removes one has its lock, and is not disturbed.
    if (auto seen = store.find(id, Store::How::look); !seen)
      return check(std::unexpected(seen.error()), id);
    else if (seen->locked_by_another())
      return;
    auto known = find(id, Store::How::change);
    if (!known) {
      if (known.error().code == ENOENT || known.error().code == EBADMSG)
        return remove_unknown(store, id, known.error());
      return check(std::unexpected(known.error()), id);
    }
    if (known->record.id != id || known->monitored) return;
    const auto runs = container::init_lives(known->state);
    if (!runs) return check(std::unexpected(runs.error()), id);
    if (*runs && known->state.ready) return;  // by itself: its end will be nobody's, but it is no rubbish
    const auto group = has_group(known->state);
    if (!group) return check(std::unexpected(group.error()), id);
    // As it should be, unless it never started.
    if (known->ending && known->state.ready && !known->record.remove && !*group) return;
    if (!known->record.remove && known->state.ready) {
      tell(fmt::format("{}group of container {}", would(), id));
      if (call_.dry_run) return;
      if (!known->ending) {
        Ending ending{.status = 137, .ended = time_now(), .error = "its monitor was killed: nobody saw its end"};
        check(write_ending(known->entry, ending), id);
      }
      check(oci::remove_groups(known->state), id);
      return;
    }
    tell(fmt::format("{}container {}", would(), id));
    if (!call_.dry_run) check(remove_container(std::move(*known)), id);
  }

  // A kill before run.json was written, or a file that no cgx has written.
  void remove_unknown(Store& store, const std::string& id, const Error& why) {
    auto entry = store.find(id, Store::How::change);
    if (!entry) return check(std::unexpected(entry.error()), id);
    // Its maker may have been quicker to lock it than this process, and have written its record meanwhile.
    const auto record = read_record(*entry);
    if (why.code == ENOENT && (record || record.error().code != ENOENT)) return;
    if (why.code == EBADMSG) {
      Error e = why;
      e.hint = hint_at_damaged(id);
      status_ = tool::report(e, "gc", call_.json);
      return;
    }
    auto state = entry->read();
    if (!state && state.error().code != ENOENT) return check(std::unexpected(state.error()), id);
    tell(fmt::format("{}container {}, which was never made", would(), id));
    if (call_.dry_run) return;
    if (state) {
      check(oci::end_processes(*state), id);
      check(oci::remove_groups(*state), id);
    }
    if (const auto done = remove_layer(layer(id)); !done && done.error().code != EBUSY) check(done, id);
    check(entry->remove(), id);
  }

  static Result<bool> has_group(const State& state) {
    if (state.group.empty()) return false;
    const Hierarchies hierarchies = CGX_TRY(container::hierarchies_of(state));
    return is_there(Cgroup(hierarchies, state.group));
  }

  void layers_without_record(Store& store) {
    const std::string path = data_root_ + "/containers";
    const auto dir = sys::find_own_dir(path);
    if (!dir) return check(std::unexpected(dir.error()), path);
    const auto names = sys::list_dir(dir->get(), "", sys::Entries::directories);
    if (!names) return check(std::unexpected(names.error()), path);
    for (const std::string& name : *names) {
      if (!Store::check_id(name)) continue;
      if (const auto entry = store.find(name, Store::How::look); entry || entry.error().code != ENOENT) continue;
      // One of another directory of records is left alone.
      const auto done = call_.dry_run ? check_unused(layer(name)) : remove_layer(layer(name));
      if (!done && done.error().code == EBUSY) continue;
      check(done, name);
      if (done) tell(fmt::format("{}layer {}/{}", would(), path, name));
    }
  }

  void groups_of_exec() {
    const auto left = left_by_exec(call_.dry_run);
    if (!left) {
      status_ = tool::report(left.error(), "gc", call_.json);
      return;
    }
    for (const std::string& name : left->removed) tell(fmt::format("{}group {}", would(), name));
    for (const Error& error : left->failures) status_ = tool::report(error, "gc", call_.json);
    if (call_.json) return;
    for (const std::string& name : left->kept)
      fmt::print(stderr, "cgx: gc: note: group {0} stays: nothing on it says who made it (cgx delete {0})\n", name);
  }

  void unpacked_by_half() {
    const auto helper = sys::helper_path("cgx-image");
    if (!helper || call_.dry_run) return;
    const auto text = sys::run_program(*helper, std::vector<std::string>{"clean", data_root_}, -1);
    if (!text) return check(std::unexpected(text.error()), *helper);
    for (const std::string_view line : sys::lines(*text)) tell(std::string(line));
  }

  [[nodiscard]] std::string_view would() const { return call_.dry_run ? "would remove " : "removed "; }

  const Call& call_;
  std::string run_root_, data_root_;
  std::vector<std::string> removed_;
  int status_ = 0;
};

}  // namespace

Result<int> gc(const Call& call) { return Collector(call).run(); }

}  // namespace cgx::launcher
