// SPDX-License-Identifier: Apache-2.0
// By libseccomp 2.5 and later: seccomp_init(3), seccomp_rule_add(3).
#include "cgx/container/seccomp_compile.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/seccomp_words.h"

namespace cgx::container {
namespace {

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

Result<std::uint32_t> known(std::span<const Word> words, const std::string& word, std::string_view place) {
  if (const Word* found = find_word(words, word)) return found->value;
  return json::wrong_at(std::string(place), word, "is not known");
}

Result<std::uint32_t> action_of(const std::string& word, std::optional<std::uint32_t> number, std::string_view place) {
  const std::uint32_t action = CGX_TRY(known(seccomp_actions(), word, fmt::format("{}.action", place)));
  if (!takes_errno(word)) {
    if (number) return json::wrong_at(fmt::format("{}.errnoRet", place), word, "takes no errno");
    return action;
  }
  return action | (number.value_or(EPERM) & SECCOMP_RET_DATA);
}

// What the words of the rules are, all looked up.
struct Compiler {
  const Seccomp& rules;
  SeccompProgram& program;
  std::uint32_t default_action = 0;
  Filter filter{nullptr, &seccomp_release};
  std::vector<std::uint32_t> architectures;  // of libseccomp, the native one first
  std::vector<int> highest = {};             // number of a call that a rule names, by architecture
  std::vector<std::pair<std::uint32_t, std::uint32_t>> by_number = {};

  Result<> start();
  Result<> add(const SeccompSyscall& rule, const std::string& place);
  Result<> add_name(const std::string& name,
                    std::uint32_t action,
                    const std::vector<std::vector<scmp_arg_cmp>>& cases,
                    const std::string& place);
  Result<std::vector<std::uint64_t>> finish() const;
};

Result<> Compiler::start() {
  default_action = CGX_TRY(action_of(rules.default_action, rules.default_errno_ret, "linux.seccomp.default"));
  if (default_action == SECCOMP_RET_USER_NOTIF)
    return json::wrong_at("linux.seccomp.defaultAction",
                          rules.default_action,
                          "cannot be asked for all calls: the agent's socket needs some");
  filter.reset(seccomp_init(default_action));
  if (!filter)
    return json::wrong_at("linux.seccomp.defaultAction", rules.default_action, "is not supported by libseccomp");
  // The launcher decides about no_new_privs, and a kernel that lacks an action is told of when it is loaded.
  (void)seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_NNP, 0);
  architectures = {seccomp_arch_native()};
  for (std::size_t i = 0; i < rules.architectures.size(); ++i) {
    const std::string place = fmt::format("linux.seccomp.architectures[{}]", i);
    const std::uint32_t token = CGX_TRY(known(seccomp_architectures(), rules.architectures[i], place));
    if (std::ranges::find(architectures, token) != architectures.end()) continue;
    if (const int error = seccomp_arch_add(filter.get(), token); error != 0)
      return json::wrong_at(
          place,
          rules.architectures[i],
          "cannot be in one program with " +
              std::string(error == -EDOM || error == -EINVAL ? "this machine's byte order" : "the others"));
    architectures.push_back(token);
  }
  highest.assign(architectures.size(), -1);
  return {};
}

Result<scmp_arg_cmp> comparison(const SeccompArg& arg, const std::string& place) {
  constexpr unsigned most = 5;
  if (arg.index > most)
    return json::wrong_at(place + ".index", std::to_string(arg.index), "is no argument of a system call");
  const auto op = static_cast<scmp_compare>(CGX_TRY(known(seccomp_operators(), arg.op, place + ".op")));
  return scmp_arg_cmp{.arg = arg.index, .op = op, .datum_a = arg.value, .datum_b = arg.value_two};
}

Result<> Compiler::add(const SeccompSyscall& rule, const std::string& place) {
  const std::uint32_t action = CGX_TRY(action_of(rule.action, rule.errno_ret, place));
  if (rule.names.empty()) return json::wrong_at(place + ".names", {}, "must not be empty");
  if (action == SECCOMP_RET_USER_NOTIF) {
    program.notifies = true;
    if (rules.listener_path.empty()) return json::wrong_at(place + ".action", rule.action, "needs a listenerPath");
    // The launcher tells by write that it has handed the listener over.
    if (std::ranges::find(rule.names, "write") != rule.names.end())
      return json::wrong_at(
          place + ".names",
          "write",
          "needs another action: SCMP_ACT_NOTIFY cannot be used for the write syscall, which the launcher makes");
  }
  std::vector<std::vector<scmp_arg_cmp>> cases(1);
  unsigned seen = 0;
  bool twice = false;
  for (std::size_t i = 0; i < rule.args.size(); ++i) {
    cases[0].push_back(CGX_TRY(comparison(rule.args[i], fmt::format("{}.args[{}]", place, i))));
    twice = twice || (seen & 1U << rule.args[i].index) != 0;
    seen |= 1U << rule.args[i].index;
  }
  // libseccomp compares an argument once in a rule. The field's engines rely on it that several comparisons of one
  // argument then are rules of their own, any of which is enough.
  if (twice) {
    const std::vector<scmp_arg_cmp> all = std::move(cases[0]);
    cases.clear();
    for (const scmp_arg_cmp& one : all) cases.push_back({one});
  }
  for (const std::string& name : rule.names) CGX_CHECK(add_name(name, action, cases, place));
  return {};
}

Result<> Compiler::add_name(const std::string& name,
                            std::uint32_t action,
                            const std::vector<std::vector<scmp_arg_cmp>>& cases,
                            const std::string& place) {
  const int number = seccomp_syscall_resolve_name(name.c_str());
  if (number == __NR_SCMP_ERROR) {
    const int added = new_syscall(name);
    if (added >= 0 && cases[0].empty()) {
      by_number.emplace_back(static_cast<std::uint32_t>(added), action);
    } else {
      program.notes.push_back(name);
    }
    return {};
  }
  for (std::size_t i = 0; i < architectures.size(); ++i)
    highest[i] = std::max(highest[i], seccomp_syscall_resolve_name_arch(architectures[i], name.c_str()));
  if (action == default_action) return {};  // libseccomp refuses what changes nothing
  for (const auto& comparisons : cases) {
    const int error = seccomp_rule_add_array(filter.get(),
                                             action,
                                             number,
                                             static_cast<unsigned>(comparisons.size()),
                                             comparisons.empty() ? nullptr : comparisons.data());
    if (error == -EEXIST) continue;  // said before
    if (error != 0) return json::wrong_at(place, name, "cannot be a rule: " + errno_text(-error));
  }
  return {};
}

// Whether calls of the architecture have the generic numbers where they are new.
bool generic_numbers(std::uint32_t architecture) {
  constexpr std::array<std::uint32_t, 8> own = {SCMP_ARCH_MIPS,
                                                SCMP_ARCH_MIPS64,
                                                SCMP_ARCH_MIPS64N32,
                                                SCMP_ARCH_MIPSEL,
                                                SCMP_ARCH_MIPSEL64,
                                                SCMP_ARCH_MIPSEL64N32,
                                                SCMP_ARCH_PARISC,
                                                SCMP_ARCH_PARISC64};
  return std::ranges::find(own, architecture) == own.end();
}

Result<std::vector<std::uint64_t>> exported(scmp_filter_ctx filter) {
  const sys::Fd file(memfd_create("cgx-seccomp", MFD_CLOEXEC));
  if (!file.valid()) return fail_errno(errno, "memfd_create");
  if (const int error = seccomp_export_bpf(filter, file.get()); error != 0)
    return fail_errno(-error, "libseccomp makes no program of these rules");
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "the program of libseccomp");
  const auto text = sys::read_all(file.get());
  if (!text) return fail_errno(text.error().code, "the program of libseccomp");
  if (text->empty() || text->size() % sizeof(sock_filter) != 0) return fail(EIO, "libseccomp wrote no whole program");
  std::vector<std::uint64_t> words(text->size() / sizeof(sock_filter));
  std::memcpy(words.data(), text->data(), text->size());
  return words;
}

Result<std::vector<std::uint64_t>> Compiler::finish() const {
  constexpr std::uint32_t nosys = SECCOMP_RET_ERRNO | ENOSYS;
  // Where all is allowed or answered so, nothing has to be told apart.
  const bool strict =
      default_action != nosys && default_action != SECCOMP_RET_ALLOW && default_action != SECCOMP_RET_LOG;
  Prologue prologue;
  for (std::size_t i = 0; i < architectures.size(); ++i) {
    Prologue::Section part;
    part.x32 = architectures[i] == SCMP_ARCH_X32;
    part.architecture = part.x32 ? std::uint32_t{SCMP_ARCH_X86_64} : architectures[i];
    if (generic_numbers(architectures[i])) part.calls = by_number;
    int last = highest[i];
    for (const auto& [number, action] : part.calls) last = std::max(last, static_cast<int>(number));
    // x32's calls have a bit in their numbers here, as libseccomp resolves them.
    if (strict && last >= 0) part.last = part.x32 ? last & ~0x40000000 : last;
    if (part.last >= 0 || !part.calls.empty()) prologue.sections.push_back(std::move(part));
  }
  std::vector<std::uint64_t> words = assemble(prologue);
  const std::vector<std::uint64_t> body = CGX_TRY(exported(filter.get()));
  words.insert(words.end(), body.begin(), body.end());
  if (words.size() > BPF_MAXINSNS)
    return json::wrong_at("linux.seccomp",
                          std::to_string(words.size()),
                          fmt::format("instructions are more than the kernel's {}", BPF_MAXINSNS));
  return words;
}

Result<unsigned> flags_of(const Seccomp& rules, SeccompProgram& program) {
  unsigned flags = 0;
  for (std::size_t i = 0; i < rules.flags.size(); ++i) {
    const std::string place = fmt::format("linux.seccomp.flags[{}]", i);
    const std::uint32_t flag = CGX_TRY(known(seccomp_flags(), rules.flags[i], place));
    if (!kernel_knows_seccomp_flag(flag)) {
      auto error = json::wrong_at(place, rules.flags[i], "is not supported by this kernel");
      error.error().code = ENOTSUP;
      return error;
    }
    flags |= flag;
  }
  if (!program.notifies && (flags & wait_killable_recv) != 0) {
    flags &= ~wait_killable_recv;  // the kernel refuses it without a listener
    program.notes.emplace_back("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV");
  }
  // With a listener the kernel can only answer that another thread could not be synchronised by an errno.
  if (program.notifies && (flags & SECCOMP_FILTER_FLAG_TSYNC) != 0) flags |= SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
  return flags;
}

}  // namespace

Result<SeccompProgram> compile_seccomp(const Seccomp& rules, const std::string& cache) {
  const std::string text = cache.empty() ? std::string() : canonical(rules);
  if (!cache.empty())
    if (auto found = find_program(cache, text)) return *std::move(found);
  SeccompProgram program;
  Compiler compiler{.rules = rules, .program = program, .architectures = {}};
  CGX_CHECK(compiler.start());
  for (std::size_t i = 0; i < rules.syscalls.size(); ++i)
    CGX_CHECK(compiler.add(rules.syscalls[i], fmt::format("linux.seccomp.syscalls[{}]", i)));
  program.instructions = CGX_TRY(compiler.finish());
  program.flags = CGX_TRY(flags_of(rules, program));
  if (!cache.empty()) store_program(cache, text, program);
  return program;
}

std::string canonical(const Seccomp& rules) {
  const scmp_version* version = seccomp_version();
  // The number is raised when the same rules make another program here.
  std::string text =
      fmt::format("1 {}.{}.{} {:x}", version->major, version->minor, version->micro, seccomp_arch_native());
  // By hand, since this is all that a start with a kept program has to make.
  const auto count = [&](std::uint64_t n) { text.append(1, ' ').append(std::to_string(n)); };
  const auto word = [&](std::string_view s) {
    count(s.size());
    text.append(1, ':').append(s);
  };
  const auto list = [&](const std::vector<std::string>& words) {
    text += '\n';
    count(words.size());
    for (const std::string& s : words) word(s);
  };
  const auto number = [&](std::optional<std::uint32_t> n) { n ? count(*n) : void(text += " -"); };
  word(rules.default_action);
  number(rules.default_errno_ret);
  text += rules.listener_path.empty() ? " -" : " listens";  // where is no matter to the program
  list(rules.architectures);
  list(rules.flags);
  for (const SeccompSyscall& call : rules.syscalls) {
    list(call.names);
    word(call.action);
    number(call.errno_ret);
    for (const SeccompArg& arg : call.args) {
      for (const std::uint64_t n : {std::uint64_t{arg.index}, arg.value, arg.value_two}) count(n);
      word(arg.op);
    }
  }
  return text;
}

}  // namespace cgx::container
