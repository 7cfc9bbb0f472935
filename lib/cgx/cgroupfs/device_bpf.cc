// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/device_bpf.h"

#include <array>
#include <cerrno>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include <linux/bpf.h>

#include <bpf/bpf.h>
#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx {
namespace {

constexpr const char* program_name = "cgx_devices";
constexpr std::size_t most_programs = 64;  // BPF_CGROUP_MAX_PROGS

bpf_insn insn(unsigned code, unsigned to, unsigned from, std::int16_t off, std::int32_t imm) {
  bpf_insn i{};
  i.code = static_cast<std::uint8_t>(code);
  i.dst_reg = static_cast<std::uint8_t>(to & 0xfU);
  i.src_reg = static_cast<std::uint8_t>(from & 0xfU);
  i.off = off;
  i.imm = imm;
  return i;
}

bpf_insn load_field(unsigned to, std::size_t offset) {
  return insn(BPF_LDX | BPF_MEM | BPF_W, to, BPF_REG_1, static_cast<std::int16_t>(offset), 0);
}

// Instructions, with jumps forward to a place that is only known later.
class Assembler {
 public:
  void add(bpf_insn i) { code_.push_back(i); }
  // Jumps where `reg` compares so with `imm`; the target is the next land_here() of this number.
  [[nodiscard]] std::size_t jump(unsigned op, unsigned reg, std::int32_t imm) {
    code_.push_back(insn(BPF_JMP | op | BPF_K, reg, 0, 0, imm));
    return code_.size() - 1;
  }
  // most_device_exceptions keeps every distance within 16 bits.
  void land_here(std::size_t jump) { code_[jump].off = static_cast<std::int16_t>(code_.size() - jump - 1); }
  void answer(bool allowed) {
    add(insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, allowed ? 1 : 0));
    add(insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  }
  [[nodiscard]] const std::vector<bpf_insn>& code() const { return code_; }

 private:
  std::vector<bpf_insn> code_;
};

// r1 is the context, r2 the access bits, r3 the type. The numbers are read from the context into r4 for each
// comparison: a register kept across rules would leave the verifier a different set of known values after each
// comparison, and its work would grow with the square of the rules.
void add_exception(Assembler& assembler, const DeviceRule& rule, bool allowed_by_default) {
  constexpr unsigned r4 = BPF_REG_4;
  constexpr unsigned largest = std::numeric_limits<std::int32_t>::max();
  // No device has such a number (12 and 20 bits), and the comparison with a signed 32-bit value could not hold it.
  if (rule.major.value_or(0) > largest || rule.minor.value_or(0) > largest) return;
  std::array<std::size_t, 3> next{};
  std::size_t jumps = 0;
  // From an allowing default, any bit in common denies; from a denying one, the exception must give all bits.
  const unsigned mask = allowed_by_default ? rule.access : device_rwm & ~rule.access;
  assembler.add(insn(BPF_ALU64 | BPF_MOV | BPF_X, r4, BPF_REG_2, 0, 0));
  assembler.add(insn(BPF_ALU64 | BPF_AND | BPF_K, r4, 0, 0, static_cast<std::int32_t>(mask)));
  next[jumps++] = assembler.jump(allowed_by_default ? BPF_JEQ : BPF_JNE, r4, 0);
  for (const auto& [number, offset] : {std::pair{rule.major, offsetof(bpf_cgroup_dev_ctx, major)},
                                       std::pair{rule.minor, offsetof(bpf_cgroup_dev_ctx, minor)}}) {
    if (!number) continue;
    assembler.add(load_field(r4, offset));
    next[jumps++] = assembler.jump(BPF_JNE, r4, static_cast<std::int32_t>(*number));
  }
  assembler.answer(!allowed_by_default);
  for (std::size_t i = 0; i < jumps; ++i) assembler.land_here(next.at(i));
}

std::vector<bpf_insn> assemble(const DeviceList& list) {
  Assembler assembler;
  assembler.add(load_field(BPF_REG_2, offsetof(bpf_cgroup_dev_ctx, access_type)));
  assembler.add(insn(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0));
  assembler.add(insn(BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_3, 0, 0, 0xffff));
  assembler.add(insn(BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_2, 0, 0, 16));
  for (const auto& [letter, type] : {std::pair{'c', BPF_DEVCG_DEV_CHAR}, std::pair{'b', BPF_DEVCG_DEV_BLOCK}}) {
    const std::size_t other_type = assembler.jump(BPF_JNE, BPF_REG_3, type);
    for (const DeviceRule& rule : list.exceptions())
      if (rule.type == letter) add_exception(assembler, rule, list.allows_by_default());
    assembler.answer(list.allows_by_default());
    assembler.land_here(other_type);
  }
  assembler.answer(list.allows_by_default());
  return assembler.code();
}

std::unexpected<Error> explain(int code, std::string_view doing) {
  const std::string start = std::string(doing) + ": ";
  auto error = fail(code, start + errno_text(code));
  std::string& what = error.error().what;
  std::string& hint = error.error().hint;
  switch (code) {
    case EPERM:
    case EACCES:
      what = start + "not permitted: it needs CAP_BPF and CAP_NET_ADMIN";
      hint =
          "run it as root outside of a user namespace; if it is, a device program without BPF_F_ALLOW_MULTI above or "
          "in the group, or (before kernel 5.11) RLIMIT_MEMLOCK, is in the way";
      break;
    case ENOSYS:
      what = start + "this kernel has no bpf(2)";
      hint = "device rules on cgroup v2 need a kernel built with CONFIG_CGROUP_BPF";
      break;
    case EINVAL:
      what =
          start + "this kernel knows no device programs for cgroups (CONFIG_CGROUP_BPF, kernel 4.15; replacing: 5.6)";
      break;
    case EBADF:
      what = start + "the group is not in a cgroup v2 hierarchy";
      break;
    case E2BIG:
      what = start + "the group has as many programs as the kernel takes (64)";
      break;
    default:
      break;
  }
  return error;
}

Result<sys::Fd> load(const DeviceList& list) {
  CGX_CHECK(sys::mutation("bpf", "load"));
  if (list.exceptions().size() > most_device_exceptions)
    return fail(E2BIG, "more than " + std::to_string(most_device_exceptions) + " device rules");
  const std::vector<bpf_insn> code = assemble(list);
  // With a buffer and no level, libbpf loads without the log and asks for it only after a failure.
  std::string log(std::size_t{1} << 16U, '\0');
  bpf_prog_load_opts options{};
  options.sz = sizeof options;
  options.expected_attach_type = BPF_CGROUP_DEVICE;
  options.log_buf = log.data();
  options.log_size = static_cast<std::uint32_t>(log.size());
  sys::Fd fd(
      bpf_prog_load(BPF_PROG_TYPE_CGROUP_DEVICE, program_name, "Apache-2.0", code.data(), code.size(), &options));
  if (fd.valid()) return fd;
  const int error = errno;
  log.resize(log.find('\0') == std::string::npos ? log.size() : log.find('\0'));
  // A log means that the program reached the verifier: then it is the program that is wrong, whatever the errno.
  if (log.empty()) return explain(error, "loading the device program");
  const auto said = sys::lines(log);
  std::string last = said.empty() ? std::string() : std::string(said.back());
  if (last.starts_with("processed ") && said.size() > 1) last = std::string(said[said.size() - 2]);
  return fail(error, "the kernel's verifier refused the device program: " + last);
}

std::string hex(std::span<const unsigned char> bytes) {
  std::string text;
  for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

Result<bpf_prog_info> info_of(const sys::Fd& program) {
  bpf_prog_info info{};
  std::uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(program.get(), &info, &size) != 0) return explain(errno, "looking at a device program");
  return info;
}

// One program on a group, held.
struct Held {
  AttachedProgram program;
  sys::Fd fd;
};

Result<std::vector<Held>> attached(int cgroup) {
  std::array<std::uint32_t, most_programs> ids{};
  auto count = static_cast<std::uint32_t>(ids.size());
  std::uint32_t flags = 0;
  if (bpf_prog_query(cgroup, BPF_CGROUP_DEVICE, 0, &flags, ids.data(), &count) != 0)
    return explain(errno, "asking for the group's device programs");
  std::vector<Held> found;
  for (std::uint32_t i = 0; i < count; ++i) {
    sys::Fd fd(bpf_prog_get_fd_by_id(ids.at(i)));
    if (!fd.valid()) {
      if (errno == ENOENT) continue;  // detached and gone since
      return explain(errno, "looking at a device program");
    }
    const bpf_prog_info info = CGX_TRY(info_of(fd));
    const std::string_view name(static_cast<const char*>(info.name));
    found.push_back({{.id = info.id, .name = std::string(name), .tag = hex(info.tag), .ours = name == program_name},
                     std::move(fd)});
  }
  return found;
}

Result<std::vector<Held>> ours(int cgroup) {
  std::vector<Held> all = CGX_TRY(attached(cgroup));
  std::erase_if(all, [](const Held& held) { return !held.program.ours; });
  return all;
}

// Being off already is success.
Result<> detach(int cgroup, int program) {
  CGX_CHECK(sys::mutation("bpf", "detach"));
  if (bpf_prog_detach2(program, cgroup, BPF_CGROUP_DEVICE) != 0 && errno != ENOENT)
    return explain(errno, "detaching the device program");
  return {};
}

Result<> attach(int cgroup, int program, std::optional<int> instead_of) {
  CGX_CHECK(sys::mutation("bpf", "attach"));
  struct bpf_prog_attach_opts options{};  // a function has the same name
  options.sz = sizeof options;
  options.flags = BPF_F_ALLOW_MULTI;
  if (instead_of) {
    options.flags |= BPF_F_REPLACE;
    options.replace_prog_fd = *instead_of;
  }
  if (bpf_prog_attach_opts(program, cgroup, BPF_CGROUP_DEVICE, &options) == 0) return {};
  // The program to replace is gone: the caller looks again.
  if (errno == ENOENT && instead_of) return fail(ENOENT, "the device program changed meanwhile");
  return explain(errno, "attaching the device program");
}

// Makes `program` the only one of cgx's on the group and answers the one before.
Result<DeviceProgram> put(int cgroup, int program, std::uint32_t id) {
  // Each turn that fails means that another process changed the group in between; it cannot go on for ever.
  for (int turn = 0; turn < 16; ++turn) {
    std::vector<Held> mine = CGX_TRY(ours(cgroup));
    DeviceProgram before;
    if (!mine.empty()) {
      before = DeviceProgram{std::move(mine.back().fd), mine.back().program.id, mine.back().program.tag};
      if (before.id == id) return before;  // attaching it again is EINVAL
      const auto replaced = attach(cgroup, program, before.fd.get());
      if (!replaced && replaced.error().code == ENOENT) continue;
      CGX_CHECK(replaced);
    } else {
      CGX_CHECK(attach(cgroup, program, {}));
    }
    // Two processes that both found none have attached one each. Both keep the last of the kernel's list, so that they
    // agree without a lock, and there is no moment without a program.
    mine = CGX_TRY(ours(cgroup));
    for (std::size_t i = 0; i + 1 < mine.size(); ++i) CGX_CHECK(detach(cgroup, mine[i].fd.get()));
    return before;
  }
  return fail(EAGAIN, "the device program of the group was changed by others again and again");
}

}  // namespace

Result<std::vector<AttachedProgram>> device_programs(int cgroup) {
  std::vector<AttachedProgram> programs;
  for (Held& held : CGX_TRY(attached(cgroup))) programs.push_back(std::move(held.program));
  return programs;
}

Result<DeviceProgram> attach_devices(int cgroup, const DeviceList& list) {
  if (list == DeviceList()) return detach_devices(cgroup);
  return attach_devices(cgroup, CGX_TRY(load_devices(list)));
}

Result<DeviceProgram> load_devices(const DeviceList& list) {
  DeviceProgram program{.fd = CGX_TRY(load(list))};
  const bpf_prog_info info = CGX_TRY(info_of(program.fd));
  program.id = info.id;
  program.tag = hex(info.tag);
  return program;
}

Result<DeviceProgram> attach_devices(int cgroup, const DeviceProgram& program) {
  return put(cgroup, program.fd.get(), program.id);
}

Result<DeviceProgram> detach_devices(int cgroup) {
  DeviceProgram before;
  for (Held& held : CGX_TRY(ours(cgroup))) {
    CGX_CHECK(detach(cgroup, held.fd.get()));
    before = DeviceProgram{std::move(held.fd), held.program.id, held.program.tag};
  }
  return before;
}

Result<> restore_devices(int cgroup, const DeviceProgram& previous) {
  if (!previous.fd.valid()) {
    (void)CGX_TRY(detach_devices(cgroup));
    return {};
  }
  (void)CGX_TRY(put(cgroup, previous.fd.get(), previous.id));
  return {};
}

Result<> probe_device_bpf() {
  (void)CGX_TRY(load(DeviceList::nothing()));
  return {};
}

}  // namespace cgx
