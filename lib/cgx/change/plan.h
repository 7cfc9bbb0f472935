// SPDX-License-Identifier: Apache-2.0
// Changes of groups as values: what is wanted, the ordered steps that lead there, and their application as a
// transaction. A Plan can be printed (that is --dry-run), compared and applied; nothing is written before apply().
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <sys/types.h>

#include "cgx/cgroupfs/cgroup.h"
#include "cgx/cgroupfs/lock.h"

namespace cgx {

// One limit that is wanted. `knob` nullptr: `text` goes to the kernel's `file` as it is.
struct Limit {
  const Knob* knob = nullptr;
  Value value;
  std::string given;  // as the user wrote it, for errors
  std::string file;
};

struct Owner {
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
};

enum class Existing : std::uint8_t {
  refuse,   // the group must be new
  allow,    // made where it is missing
  require,  // it must be there; made in hierarchies where a limit lives and it is missing
  follow,   // it must be there, and is never made in a hierarchy where it is missing
};

struct Desired {
  std::string group;
  std::vector<Limit> limits;
  Existing existing = Existing::require;
  std::optional<ControllerSet> only;  // make it in the hierarchies of these alone
  ControllerSet need;                 // v2: enable these besides what the limits need
  std::optional<Owner> owner;
  bool force = false;  // lower a memory limit though the kernel will kill for it
};

// A change of many groups at once. Limits of different groups may depend on each other (v1: no child has more CPUs or
// bandwidth than its parent); they are written in an order in which each is possible.
struct ChangeSet {
  std::vector<Desired> groups;  // parents before children
  // Groups that go, children before parents, with nothing below them but others that go. Their processes move to the
  // nearest group above that stays.
  std::vector<std::string> removals;
  // Groups that are wanted no more and stay, in any order. Like those that go, they give up what would forbid
  // a change of the groups above and beside them.
  std::vector<std::string> yielding;
};

enum class Verb : std::uint8_t { create, enable, write, own, remove };

struct Step {
  Verb verb = Verb::write;
  const Hierarchy* hierarchy = nullptr;
  std::string group;
  std::string file;  // create: empty
  std::string text;  // own: UID:GID
  const Knob* knob = nullptr;
  std::string given;              // the user's own words for the value, for errors
  std::vector<FileWrite> undo{};  // from the codec; else restore.h finds out
  bool fresh = false;             // the group is made by this plan: undoing the making undoes the write
  bool swappable = false;         // where the kernel says EINVAL, the next step may have to come first
  bool optional = false;          // makes room for other steps, which tell if there is none
  bool tolerant = false;          // somebody else may do the same at once: EEXIST is no error
};

class Capture;

class Plan {
 public:
  // The steps from what is there now to `desired`, in an order that the kernel accepts: parents before children,
  // controllers enabled top down, cpusets filled before tasks can come, bounds raised first and lowered last. Values
  // that are in force already make no step. Reads only. Errors name group, knob, value and reason.
  [[nodiscard]] static Result<Plan> make(const Hierarchies& hierarchies, const Desired& desired);

  // The two halves of make(): groups, controllers and owners; then values, of a group that is there.
  [[nodiscard]] static Result<Plan> make_structure(const Hierarchies& hierarchies, const Desired& desired);
  // `fresh`: hierarchies in which the group is new, so that nothing in force there is worth a look.
  [[nodiscard]] static Result<Plan> make_values(const Cgroup& group,
                                                const Desired& desired,
                                                const std::vector<const Hierarchy*>& fresh = {});

  // The same for many groups, with the removals last: what Transaction::apply(ChangeSet) does as far as it can be known
  // before. Groups that are made are planned as copies of the groups above them.
  [[nodiscard]] static Result<Plan> make(const Hierarchies& hierarchies, const ChangeSet& set);

  // `PATH <- VALUE` lines in order, `mkdir PATH` for groups, `chown UID:GID PATH` for owners, `rmdir PATH` for
  // groups that go.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] const std::vector<Step>& steps() const { return steps_; }

 private:
  friend class Transaction;
  std::vector<Step> steps_;
};

// Applies desired states and remembers how to go back. Not thread safe. The destructor undoes nothing: call undo().
// From the first apply() on, but for one that follows groups of v1, nobody else with this library makes or removes
// groups, until commit(), undo() or the destructor: blocks while somebody does. That holds for a second
// Transaction of the same process too, which would wait for ever: one at a time.
class Transaction {
 public:
  explicit Transaction(const Hierarchies& hierarchies);
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction() = default;

  // Makes it so. On a failure everything that this object has done so far, also in earlier calls, is undone, and the
  // error is the cause; where undoing fails too, the error's hint names what is still in force.
  [[nodiscard]] Result<> apply(const Desired& desired);
  // The same for many groups. `made`, where given, is called when all groups are there and before values are written,
  // but for the device rules of new v1 groups, which the kernel takes only while nothing is below. A removed group is
  // made again by undo(), as it was, and gets its processes back. Errors: as for one group, and EBUSY where a group
  // that is to go has groups below it that stay, or processes that the group above cannot hold (v2).
  [[nodiscard]] Result<> apply(const ChangeSet& set, const std::function<Result<>()>& made = {});
  // From now on apply() gives up as soon as it finds `flag` true, takes all back and answers EINTR.
  void stop_on(const std::atomic<bool>& flag) { stop_ = &flag; }
  // Whether a failed apply() or undo() left something that it could not take back.
  [[nodiscard]] bool left_behind() const { return left_behind_; }
  // Whether a failed apply() was one that lowers a memory limit of v2 below what is in use, without `force`.
  [[nodiscard]] bool would_kill() const { return would_kill_; }
  // Lets the others go on. They may come to rely on the controllers that were enabled: from now on undo() takes a
  // controller back only where no group is left below the one that gives it.
  void commit();
  // Takes all back, last first, but for the groups that `stays` names, which is asked under the lock. Answers what
  // could not be undone, a sentence each.
  std::vector<std::string> undo(const std::function<bool(const std::string& group)>& stays = {});
  // What the kernel made of values: "memory.limit_in_bytes: 5000 was rounded to 4096", and what a conversion loses.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  // Whether `group` is new: made since the last commit() or undo(), and in no hierarchy before.
  [[nodiscard]] bool made(std::string_view group);
  // Called from apply() when the first directory of a group is made, under the lock: who is killed afterwards has left
  // what `first` noted.
  void on_first(std::function<void(const std::string& group)> first) { first_ = std::move(first); }
  // The group with the directories that apply() has worked in. Who opens the rest (present()) before commit() can join
  // what was set, and not another group of that name made since.
  Cgroup& group(const std::string& name);

 private:
  // A group that was removed: what makes it again, and what was in it.
  struct Removed {
    Desired before;
    std::string subtree;  // v2: what it gave to its children
    struct Moved {
      const Hierarchy* hierarchy;
      pid_t pid;
    };
    std::vector<Moved> moved;
    std::string heir;  // where its processes are
  };
  struct Undo {
    Verb verb;
    const Hierarchy* hierarchy;
    std::string group;
    std::vector<FileWrite> writes;  // create: none; own: the entry and its UID:GID
    std::unique_ptr<Removed> removed{};
    bool shared = false;  // enable: was committed
  };
  [[nodiscard]] Result<> change(const Desired& desired);
  [[nodiscard]] Result<> change(const ChangeSet& set, const std::function<Result<>()>& made);
  [[nodiscard]] Result<> remove(const std::string& name, const std::string& heir, const Capture& capture);
  [[nodiscard]] Result<> move_out(const Cgroup& group, const std::string& heir, Removed& removed);
  void make_again(const std::string& name, const Removed& removed, std::vector<std::string>& left);
  [[nodiscard]] std::unexpected<Error> failed(Error cause);
  [[nodiscard]] Result<Plan> plan_values(const Desired& desired);
  void keep_open(Cgroup& known);
  void note_losses(const std::vector<Limit>& limits);
  [[nodiscard]] Result<Plan> plan_structure(const Desired& desired);
  [[nodiscard]] Result<> run(const Plan& plan, bool force);
  [[nodiscard]] Result<> write(const Step& step, bool force);
  [[nodiscard]] Result<> own(const Cgroup& group, const Step& step);
  [[nodiscard]] Result<> write_value(const Cgroup& group, const Step& step, bool force);
  void note_protection(const Step& step);
  void check_back(const Cgroup& group, const Step& step);
  void take_back(const Undo& undo, std::vector<std::string>& left);

  const Hierarchies* hierarchies_;
  std::size_t most_open_;      // of groups_, and of those that are used again
  std::deque<Cgroup> groups_;  // references to them are handed out
  std::unordered_map<std::string_view, std::size_t> index_;
  std::unordered_map<std::string, std::vector<const Hierarchy*>> made_;
  std::vector<Cgroup*> reopened_;
  std::vector<Undo> done_;
  std::function<void(const std::string&)> first_;
  const std::atomic<bool>* stop_ = nullptr;
  bool left_behind_ = false;
  bool would_kill_ = false;
  TreeLock lock_;
  std::vector<std::string> notes_;
};

}  // namespace cgx
