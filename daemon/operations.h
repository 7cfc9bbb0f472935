// SPDX-License-Identifier: Apache-2.0
// What cgxd does when it is asked to, by D-Bus today. All of it is called on the main thread and may block for as long
// as the change of the groups takes. The daemon implements it; tests have one of their own.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <sys/types.h>

#include "cgx/sys/result.h"

#include "daemon/decision.h"

namespace cgx::daemon {

using Answer = std::variant<bool, std::uint64_t, std::int64_t, double, std::string, std::vector<std::string>>;
using Answers = std::vector<std::pair<std::string, Answer>>;  // keys in order
using LimitTexts =
    std::vector<std::pair<std::string, std::string>>;  // flag ("mem") or kernel file, value as on the command line

class Operations {
 public:
  Operations() = default;
  Operations(const Operations&) = delete;
  Operations& operator=(const Operations&) = delete;
  virtual ~Operations() = default;

  [[nodiscard]] virtual Result<std::vector<std::string>> list_groups() = 0;
  [[nodiscard]] virtual Result<Answers> get_group(const std::string& group) = 0;
  // With missing parents. `owner` -1: root. Else the owner of the delegated subtree that the group will be in asked for
  // it, and the group is given to that user (as `cgx create --owner` does).
  [[nodiscard]] virtual Result<> create_group(const std::string& group, const LimitTexts& limits, uid_t owner) = 0;
  // `owner` as above: where a user asks for it who owns the group, it is made in no hierarchy.
  [[nodiscard]] virtual Result<> set_limits(const std::string& group, const LimitTexts& limits, uid_t owner) = 0;
  [[nodiscard]] virtual Result<> delete_group(const std::string& group) = 0;
  [[nodiscard]] virtual Result<> attach_process(const std::string& group, pid_t pid) = 0;
  [[nodiscard]] virtual Result<> freeze(const std::string& group) = 0;
  [[nodiscard]] virtual Result<> thaw(const std::string& group) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> kill(const std::string& group, int signal) = 0;
  // The text of a policy. apply(): its changes, a line each; plan(): the same without doing it.
  [[nodiscard]] virtual Result<std::vector<std::string>> apply(const std::string& yaml) = 0;
  [[nodiscard]] virtual Result<std::vector<std::string>> plan(const std::string& yaml) = 0;
  [[nodiscard]] virtual Result<> reload() = 0;
  // The newest last; at most `most`.
  [[nodiscard]] virtual std::vector<Decision> history(std::size_t most) = 0;
  // What would be done about an OOM in the group, a line a step.
  [[nodiscard]] virtual Result<std::vector<std::string>> explain(const std::string& group) = 0;
  [[nodiscard]] virtual Answers status() = 0;
  // For the properties of the interface.
  [[nodiscard]] virtual bool policy_valid() = 0;
  [[nodiscard]] virtual std::chrono::system_clock::time_point last_reload() = 0;
  // Whether the directories that a change of `group` needs belong to `user`, in each hierarchy that it touches. A
  // directory of the same name in another hierarchy may be root's.
  enum class Part : std::uint8_t {
    itself,  // the group, where it is; where it is nowhere, the nearest above it in all hierarchies
    above,   // the group above it in those hierarchies, which is to have one more or one less
    fresh,   // the nearest one above it in all hierarchies, which it is to be made in
  };
  [[nodiscard]] virtual bool owns(uid_t user, const std::string& group, Part part) = 0;
};

}  // namespace cgx::daemon
