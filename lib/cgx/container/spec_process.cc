// SPDX-License-Identifier: Apache-2.0
// The `process` object: config.md, "Process".
#include <algorithm>
#include <array>

#include <linux/ioprio.h>
#include <linux/sched.h>
#include <sys/resource.h>

#include <fmt/format.h>

#include "cgx/container/spec_fill.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

constexpr std::array<Word, 16> rlimit_words = {{{"RLIMIT_AS", RLIMIT_AS},
                                                {"RLIMIT_CORE", RLIMIT_CORE},
                                                {"RLIMIT_CPU", RLIMIT_CPU},
                                                {"RLIMIT_DATA", RLIMIT_DATA},
                                                {"RLIMIT_FSIZE", RLIMIT_FSIZE},
                                                {"RLIMIT_LOCKS", RLIMIT_LOCKS},
                                                {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
                                                {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
                                                {"RLIMIT_NICE", RLIMIT_NICE},
                                                {"RLIMIT_NOFILE", RLIMIT_NOFILE},
                                                {"RLIMIT_NPROC", RLIMIT_NPROC},
                                                {"RLIMIT_RSS", RLIMIT_RSS},
                                                {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
                                                {"RLIMIT_RTTIME", RLIMIT_RTTIME},
                                                {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
                                                {"RLIMIT_STACK", RLIMIT_STACK}}};

constexpr std::array<Word, 7> policy_words = {{{"SCHED_OTHER", SCHED_NORMAL},
                                               {"SCHED_FIFO", SCHED_FIFO},
                                               {"SCHED_RR", SCHED_RR},
                                               {"SCHED_BATCH", SCHED_BATCH},
                                               {"SCHED_ISO", 4},  // never made it into the kernel, which refuses it
                                               {"SCHED_IDLE", SCHED_IDLE},
                                               {"SCHED_DEADLINE", SCHED_DEADLINE}}};

constexpr std::array<Word, 7> scheduler_flag_words = {{{"SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK},
                                                       {"SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM},
                                                       {"SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN},
                                                       {"SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY},
                                                       {"SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS},
                                                       {"SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN},
                                                       {"SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX}}};

constexpr std::array<Word, 3> io_class_words = {{{"IOPRIO_CLASS_RT", IOPRIO_CLASS_RT},
                                                 {"IOPRIO_CLASS_BE", IOPRIO_CLASS_BE},
                                                 {"IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE}}};

Result<> fill(User& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  CGX_CHECK(json::fill(to.uid, from["uid"]));
  CGX_CHECK(json::fill(to.gid, from["gid"]));
  if (const json::Value umask = from["umask"]; umask.there())
    CGX_CHECK(json::fill_within(to.umask.emplace(), umask, 0U, 0777U));
  return json::fill(to.additional_gids, from["additionalGids"]);
}

Result<> fill_set(std::uint64_t& to, std::vector<std::string>& unknown, const json::Value& from) {
  std::vector<std::string> names;
  CGX_CHECK(json::fill(names, from));
  for (const std::string& name : names) {
    if (const int number = capability_number(name); number >= 0) {
      to |= std::uint64_t{1} << static_cast<unsigned>(number);
    } else if (std::ranges::find(unknown, name) == unknown.end()) {
      unknown.push_back(name);
    }
  }
  return {};
}

Result<> fill(Capabilities& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  CGX_CHECK(fill_set(to.bounding, to.unknown, from["bounding"]));
  CGX_CHECK(fill_set(to.effective, to.unknown, from["effective"]));
  CGX_CHECK(fill_set(to.inheritable, to.unknown, from["inheritable"]));
  CGX_CHECK(fill_set(to.permitted, to.unknown, from["permitted"]));
  return fill_set(to.ambient, to.unknown, from["ambient"]);
}

Result<> fill_rlimits(std::vector<Rlimit>& to, const json::Value& from) {
  if (!from.there()) return {};
  CGX_CHECK(from.expect(json::Kind::list));
  to.clear();
  for (const json::Value item : from) {
    Rlimit limit;
    CGX_CHECK(item.expect(json::Kind::object));
    const json::Value type = item["type"];
    CGX_CHECK(json::need(limit.type, type));
    limit.resource = static_cast<int>(CGX_TRY(word_value(rlimit_words, type)));
    if (std::ranges::find(to, limit.resource, &Rlimit::resource) != to.end()) return type.wrong("stands twice");
    CGX_CHECK(json::need(limit.hard, item["hard"]));
    CGX_CHECK(json::need(limit.soft, item["soft"]));
    if (limit.soft > limit.hard) return item["soft"].wrong(fmt::format("is above the hard limit {}", limit.hard));
    to.push_back(std::move(limit));
  }
  return {};
}

// The kernel takes each number with some policies only, and drops or refuses it with others: sched(7).
Result<> check_policy(const Scheduler& s, const json::Value& from) {
  const bool real_time = s.policy == SCHED_FIFO || s.policy == SCHED_RR;
  const bool deadline = s.policy == SCHED_DEADLINE;
  if (s.priority != 0 && !real_time) return from["priority"].wrong("is for SCHED_FIFO and SCHED_RR only");
  if (!deadline)
    for (const std::string_view key : {"runtime", "deadline", "period"})
      if (const json::Value v = from[key]; v.there() && CGX_TRY(v.natural(0, sys::unlimited)) != 0)
        return v.wrong("is for SCHED_DEADLINE only");
  return {};
}

Result<> fill(Scheduler& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  const json::Value policy = from["policy"];
  if (!policy.there()) return policy.missing();
  to.policy = CGX_TRY(word_value(policy_words, policy));
  CGX_CHECK(json::fill_within(to.nice, from["nice"], -20, 19));
  CGX_CHECK(json::fill(to.priority, from["priority"]));
  if (const json::Value flags = from["flags"]; flags.there()) {
    CGX_CHECK(flags.expect(json::Kind::list));
    for (const json::Value flag : flags) to.flags |= CGX_TRY(word_value(scheduler_flag_words, flag));
  }
  CGX_CHECK(json::fill(to.runtime, from["runtime"]));
  CGX_CHECK(json::fill(to.deadline, from["deadline"]));
  CGX_CHECK(json::fill(to.period, from["period"]));
  return check_policy(to, from);
}

Result<> fill(IoPriority& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  const json::Value klass = from["class"];
  if (!klass.there()) return klass.missing();
  to.klass = static_cast<int>(CGX_TRY(word_value(io_class_words, klass)));
  return json::fill_within(to.priority, from["priority"], 0, 7);
}

Result<> fill_console(std::optional<std::pair<std::uint16_t, std::uint16_t>>& to, const json::Value& from) {
  if (!from.there()) return {};
  CGX_CHECK(from.expect(json::Kind::object));
  to.emplace();
  CGX_CHECK(json::need(to->first, from["height"]));
  return json::need(to->second, from["width"]);
}

Result<> fill_env(std::vector<std::string>& to, const json::Value& from) {
  CGX_CHECK(json::fill(to, from));
  for (const json::Value item : from) {
    const std::size_t sign = CGX_TRY(item.text()).find('=');
    if (sign == std::string::npos || sign == 0) return item.wrong("is not NAME=VALUE");
  }
  return {};
}

}  // namespace

Result<> fill(CpuAffinity& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  for (auto [key, list] : {std::pair{"initial", &to.initial}, std::pair{"final", &to.final}}) {
    CGX_CHECK(json::fill(*list, from[key]));
    if (!sys::IdSet::parse(*list)) return from[key].wrong("is not a list of CPUs");
  }
  return {};
}

Result<> fill(Process& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  CGX_CHECK(json::fill(to.terminal, from["terminal"]));
  CGX_CHECK(fill_console(to.console_size, from["consoleSize"]));
  if (const json::Value user = from["user"]; user.there()) CGX_CHECK(fill(to.user, user));
  CGX_CHECK(json::need(to.args, from["args"]));
  if (to.args.empty()) return from["args"].wrong("must not be empty");
  CGX_CHECK(fill_env(to.env, from["env"]));
  const json::Value cwd = from["cwd"];
  if (!cwd.there()) return cwd.missing();
  CGX_CHECK(fill_path(to.cwd, cwd));
  if (const json::Value sets = from["capabilities"]; sets.there()) CGX_CHECK(fill(to.capabilities.emplace(), sets));
  CGX_CHECK(fill_rlimits(to.rlimits, from["rlimits"]));
  CGX_CHECK(json::fill(to.no_new_privileges, from["noNewPrivileges"]));
  CGX_CHECK(json::fill(to.apparmor_profile, from["apparmorProfile"]));
  CGX_CHECK(json::fill(to.selinux_label, from["selinuxLabel"]));
  if (const json::Value score = from["oomScoreAdj"]; score.there())
    CGX_CHECK(json::fill_within(to.oom_score_adj.emplace(), score, -1000, 1000));
  if (const json::Value s = from["scheduler"]; s.there()) CGX_CHECK(fill(to.scheduler.emplace(), s));
  if (const json::Value io = from["ioPriority"]; io.there()) CGX_CHECK(fill(to.io_priority.emplace(), io));
  if (const json::Value cpus = from["execCPUAffinity"]; cpus.there())
    CGX_CHECK(fill(to.exec_cpu_affinity.emplace(), cpus));
  return {};
}

Result<Process> read_process(std::string_view text, const Process* of) {
  const json::Tree tree = CGX_TRY(json::parse(text));
  Process process;
  if (of != nullptr) {
    process.capabilities = of->capabilities;
    process.no_new_privileges = of->no_new_privileges;
    process.rlimits = of->rlimits;
    process.oom_score_adj = of->oom_score_adj;
    process.apparmor_profile = of->apparmor_profile;
    process.selinux_label = of->selinux_label;
  }
  CGX_CHECK(fill(process, json::Value(tree, 0)));
  return process;
}

}  // namespace cgx::container
