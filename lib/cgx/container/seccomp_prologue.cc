// SPDX-License-Identifier: Apache-2.0
// Programs of classic BPF over struct seccomp_data: Documentation/userspace-api/seccomp_filter.rst.
#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstddef>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "cgx/container/seccomp_compile.h"

namespace cgx::container {
namespace {

constexpr std::uint32_t x32_bit = 0x40000000;

class Assembler {
 public:
  void load(std::size_t offset) { add(BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<std::uint32_t>(offset)); }
  void answer(std::uint32_t action) { add(BPF_RET | BPF_K, 0, 0, action); }
  // Goes over the next `steps` instructions unless the comparison is true.
  void unless(unsigned comparison, std::uint32_t value, std::uint8_t steps) {
    add(static_cast<std::uint16_t>(BPF_JMP | comparison | BPF_K), 0, steps, value);
  }
  void when(unsigned comparison, std::uint32_t value, std::uint8_t steps) {
    add(static_cast<std::uint16_t>(BPF_JMP | comparison | BPF_K), steps, 0, value);
  }
  // A jump over all that is appended from here on until land(): its distance may be longer than a byte.
  std::size_t jump() {
    add(BPF_JMP | BPF_JA, 0, 0, 0);
    return code_.size() - 1;
  }
  void land(std::size_t jump) { code_[jump].k = static_cast<std::uint32_t>(code_.size() - jump - 1); }

  [[nodiscard]] std::vector<std::uint64_t> words() const {
    std::vector<std::uint64_t> words;
    words.reserve(code_.size());
    for (const sock_filter& f : code_) words.push_back(std::bit_cast<std::uint64_t>(f));
    return words;
  }

 private:
  void add(unsigned code, std::uint8_t yes, std::uint8_t no, std::uint32_t k) {
    code_.push_back({.code = static_cast<std::uint16_t>(code), .jt = yes, .jf = no, .k = k});
  }
  std::vector<sock_filter> code_;
};

struct NewCall {
  std::string_view name;
  int number;
};
// include/uapi/asm-generic/unistd.h, 6.17. Sorted by their numbers.
constexpr std::array<NewCall, 20> new_calls = {
    {{"cachestat", 451},         {"fchmodat2", 452},         {"map_shadow_stack", 453}, {"futex_wake", 454},
     {"futex_wait", 455},        {"futex_requeue", 456},     {"statmount", 457},        {"listmount", 458},
     {"lsm_get_self_attr", 459}, {"lsm_set_self_attr", 460}, {"lsm_list_modules", 461}, {"mseal", 462},
     {"setxattrat", 463},        {"getxattrat", 464},        {"listxattrat", 465},      {"removexattrat", 466},
     {"open_tree_attr", 467},    {"file_getattr", 468},      {"file_setattr", 469},     {"listns", 470}}};

void section(Assembler& code, const Prologue::Section& part) {
  for (const auto& [number, action] : part.calls) {
    code.unless(BPF_JEQ, part.x32 ? number | x32_bit : number, 1);
    code.answer(action);
  }
  if (part.last < 0) return;
  const auto last = static_cast<std::uint32_t>(part.last);
  code.unless(BPF_JGT, part.x32 ? last | x32_bit : last, 1);
  code.answer(SECCOMP_RET_ERRNO | ENOSYS);
}

}  // namespace

std::vector<std::uint64_t> assemble(const Prologue& prologue) {
  Assembler code;
  std::vector<std::size_t> ends;
  for (const Prologue::Section& part : prologue.sections) {
    if (part.x32) continue;  // with x86-64, below
    const auto x32 = std::ranges::find_if(prologue.sections, [&](const Prologue::Section& other) {
      return other.x32 && other.architecture == part.architecture;
    });
    code.load(offsetof(seccomp_data, arch));
    code.when(BPF_JEQ, part.architecture, 1);
    const std::size_t next = code.jump();
    code.load(offsetof(seccomp_data, nr));
    if (part.architecture == 0xc000003e) {  // AUDIT_ARCH_X86_64: calls with the bit are x32's, or nobody's
      code.unless(BPF_JGE, x32_bit, 1);
      const std::size_t other = code.jump();
      section(code, part);
      ends.push_back(code.jump());
      code.land(other);
      if (x32 != prologue.sections.end()) section(code, *x32);
    } else {
      section(code, part);
    }
    ends.push_back(code.jump());
    code.land(next);
  }
  for (const std::size_t end : ends) code.land(end);
  return code.words();
}

int new_syscall(std::string_view name) {
  const auto found = std::ranges::find(new_calls, name, &NewCall::name);
  return found == new_calls.end() ? -1 : found->number;
}

}  // namespace cgx::container
