// SPDX-License-Identifier: Apache-2.0
#include "cgx/net/bpf.h"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

namespace cgx::net {

namespace {

int bpf(bpf_cmd command, bpf_attr& attr) { return static_cast<int>(syscall(SYS_bpf, command, &attr, sizeof attr)); }

bpf_insn insn(unsigned code, unsigned dst, unsigned src, std::int16_t off, std::int32_t imm) {
  bpf_insn i = {};
  i.code = static_cast<std::uint8_t>(code);
  i.dst_reg = dst & 0xfU;
  i.src_reg = src & 0xfU;
  i.off = off;
  i.imm = imm;
  return i;
}

constexpr unsigned load_word = BPF_LDX | BPF_MEM | BPF_W;
constexpr unsigned store_word = BPF_STX | BPF_MEM | BPF_W;
constexpr unsigned move_number = BPF_ALU | BPF_MOV | BPF_K;  // 32 bits, the upper half becomes 0
constexpr unsigned jump_if_equal = BPF_JMP32 | BPF_JEQ | BPF_K;
constexpr unsigned jump_if_not_equal = BPF_JMP32 | BPF_JNE | BPF_K;
constexpr unsigned jump_if_greater = BPF_JMP32 | BPF_JGT | BPF_K;
constexpr unsigned jump = BPF_JMP | BPF_JA;
constexpr unsigned leave = BPF_JMP | BPF_EXIT;
constexpr unsigned call = BPF_JMP | BPF_CALL;

constexpr auto priority_field = static_cast<std::int16_t>(offsetof(__sk_buff, priority));
constexpr auto interface_field = static_cast<std::int16_t>(offsetof(__sk_buff, ifindex));

std::int32_t imm(std::uint32_t number) {
  return static_cast<std::int32_t>(number);  // the instruction holds the bits, whatever the sign
}

Result<sys::Fd> load(std::span<const bpf_insn> code, bpf_prog_type type, bpf_attach_type expected) {
  bpf_attr attr = {};
  attr.prog_type = type;
  attr.expected_attach_type = expected;
  attr.insns = reinterpret_cast<std::uintptr_t>(code.data());
  attr.insn_cnt = static_cast<std::uint32_t>(code.size());
  attr.license = reinterpret_cast<std::uintptr_t>("Apache-2.0");  // no GPL-only helper is called
  std::memcpy(static_cast<void*>(attr.prog_name), program_name, std::strlen(program_name));
  sys::Fd fd(bpf(BPF_PROG_LOAD, attr));
  if (fd.valid()) return fd;
  auto error = fail_errno(errno, "load an eBPF program");
  if (errno == EPERM) error.error().hint = "eBPF needs CAP_BPF and CAP_NET_ADMIN";
  return error;
}

// cgx's program on the group itself (not one inherited), or no descriptor.
Result<sys::Fd> find_mark(int group_fd) {
  std::array<std::uint32_t, 64> ids{};  // the kernel's limit for one hook of one group
  bpf_attr query = {};
  query.query.target_fd = static_cast<std::uint32_t>(group_fd);
  query.query.attach_type = BPF_CGROUP_INET_EGRESS;
  query.query.prog_ids = reinterpret_cast<std::uintptr_t>(ids.data());
  query.query.prog_cnt = static_cast<std::uint32_t>(ids.size());
  if (bpf(BPF_PROG_QUERY, query) != 0) return fail_errno(errno, "list the eBPF programs of the group");
  for (std::uint32_t i = 0; i < query.query.prog_cnt && i < ids.size(); ++i) {
    bpf_attr open = {};
    open.prog_id = ids[i];
    sys::Fd fd(bpf(BPF_PROG_GET_FD_BY_ID, open));
    if (!fd.valid()) continue;  // removed meanwhile
    bpf_prog_info info = {};
    bpf_attr ask = {};
    ask.info.bpf_fd = static_cast<std::uint32_t>(fd.get());
    ask.info.info_len = sizeof info;
    ask.info.info = reinterpret_cast<std::uintptr_t>(&info);
    if (bpf(BPF_OBJ_GET_INFO_BY_FD, ask) != 0) return fail_errno(errno, "ask for an eBPF program's name");
    const char* name = static_cast<const char*>(info.name);
    if (std::string_view(name, strnlen(name, sizeof info.name)) == program_name) return fd;
  }
  return sys::Fd();
}

}  // namespace

std::vector<bpf_insn> mark_program(const Mark& mark) {
  // r1 packet, r2 its priority, r3 its interface, r4 what to write.
  std::vector<bpf_insn> code = {
      insn(load_word, BPF_REG_2, BPF_REG_1, priority_field, 0),
      insn(load_word, BPF_REG_3, BPF_REG_1, interface_field, 0),
      insn(jump_if_greater, BPF_REG_2, 0, 0, 0xffff),
  };
  std::vector<std::size_t> to_end = {2};
  std::vector<std::size_t> to_class;
  std::vector<std::size_t> to_store;
  if (mark.id.value != 0) {
    for (const unsigned index : mark.shaped) {
      to_class.push_back(code.size());
      code.push_back(insn(jump_if_equal, BPF_REG_3, 0, 0, imm(index)));
    }
  }
  for (const Mark::OnInterface& entry : mark.priorities) {
    code.push_back(insn(jump_if_not_equal, BPF_REG_3, 0, 3, imm(entry.index)));
    to_end.push_back(code.size());
    code.push_back(insn(jump_if_not_equal, BPF_REG_2, 0, 0, 0));
    code.push_back(insn(move_number, BPF_REG_4, 0, 0, imm(entry.priority)));
    to_store.push_back(code.size());
    code.push_back(insn(jump, 0, 0, 0, 0));
  }
  const std::size_t set_class = code.size();
  if (mark.id.value != 0) {
    code.push_back(insn(move_number, BPF_REG_4, 0, 0, imm(mark.id.value)));
  } else {
    to_end.push_back(code.size());
    code.push_back(insn(jump, 0, 0, 0, 0));
  }
  const std::size_t store = code.size();
  code.push_back(insn(store_word, BPF_REG_1, BPF_REG_4, priority_field, 0));
  const std::size_t end = code.size();
  code.push_back(insn(move_number, BPF_REG_0, 0, 0, 1));  // 1: let the packet pass
  code.push_back(insn(leave, 0, 0, 0, 0));
  const auto aim = [&code](const std::vector<std::size_t>& jumps, std::size_t target) {
    for (const std::size_t from : jumps) code[from].off = static_cast<std::int16_t>(target - from - 1);
  };
  aim(to_class, set_class);
  aim(to_store, store);
  aim(to_end, end);
  return code;
}

Result<> attach_mark(int group_fd, const Mark& mark) {
  // Jumps reach 32767 instructions, four of which an interface takes.
  constexpr std::size_t most = 4000;
  if (mark.shaped.size() + mark.priorities.size() > most) return fail(E2BIG, "too many interfaces for one group");
  const sys::Fd old = CGX_TRY(find_mark(group_fd));
  const sys::Fd program = CGX_TRY(load(mark_program(mark), BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS));
  CGX_CHECK(sys::mutation("attach", program_name));
  bpf_attr attach = {};
  attach.target_fd = static_cast<std::uint32_t>(group_fd);
  attach.attach_bpf_fd = static_cast<std::uint32_t>(program.get());
  attach.attach_type = BPF_CGROUP_INET_EGRESS;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  if (old.valid()) {  // without it the kernel would stack a second program on the first
    attach.attach_flags |= BPF_F_REPLACE;
    attach.replace_bpf_fd = static_cast<std::uint32_t>(old.get());
  }
  if (bpf(BPF_PROG_ATTACH, attach) == 0) return {};
  const int code = errno;
  auto error = fail_errno(code, "attach an eBPF program to the group");
  if (code == EPERM)
    error.error().hint =
        "an egress program that allows no second one sits on this group or above (bpftool cgroup tree)";
  return error;
}

Result<bool> detach_mark(int group_fd) {
  const sys::Fd old = CGX_TRY(find_mark(group_fd));
  if (!old.valid()) return false;
  CGX_CHECK(sys::mutation("detach", program_name));
  bpf_attr detach = {};
  detach.target_fd = static_cast<std::uint32_t>(group_fd);
  detach.attach_bpf_fd = static_cast<std::uint32_t>(old.get());
  detach.attach_type = BPF_CGROUP_INET_EGRESS;
  if (bpf(BPF_PROG_DETACH, detach) != 0) return fail_errno(errno, "detach the eBPF program of the group");
  return true;
}

Result<sys::Fd> load_classid_program() {
  // r1 is the packet already, and the answer of the helper is the answer of the program: 0 is no match.
  const std::array<bpf_insn, 2> code = {
      insn(call, 0, 0, 0, BPF_FUNC_get_cgroup_classid),
      insn(leave, 0, 0, 0, 0),
  };
  return load(code, BPF_PROG_TYPE_SCHED_CLS, bpf_attach_type{});
}

}  // namespace cgx::net
