// SPDX-License-Identifier: Apache-2.0
// A file is: magic, sizes, the text that the program was made of, the program, and the notes, one a line.
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <linux/filter.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/seccomp_compile.h"
#include "cgx/sys/own_dir.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

constexpr std::size_t most_file = 4U << 20U;
constexpr std::size_t most_files = 256;

struct Header {
  char magic[8];
  std::uint32_t flags;
  std::uint32_t notifies;
  std::uint64_t text, instructions, notes;  // bytes, numbers, bytes
};
constexpr char magic[8] = {'c', 'g', 'x', 's', 'e', 'c', '1', '\n'};

// FNV-1a: names only have to differ as a rule, for the text in the file is what counts.
std::string name_of(const std::string& text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return fmt::format("{:016x}.bpf", hash);
}

// The directory, where nobody but the caller can put anything.
sys::Fd open_own(const std::string& path) {
  sys::Fd dir(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat st = {};
  if (!dir.valid() || ::fstat(dir.get(), &st) != 0) return {};
  if (st.st_uid != ::geteuid() || (st.st_mode & 0777U) != 0700U) return {};
  return dir;
}

void forget_all(int dir) {
  const auto names = sys::list_dir(dir, ".", sys::Entries::files);
  if (!names || names->size() < most_files) return;
  for (const std::string& name : *names) (void)::unlinkat(dir, name.c_str(), 0);  // it is a cache
}

std::optional<SeccompProgram> parsed(std::string_view file, const std::string& text) {
  Header header;
  if (file.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, file.data(), sizeof header);
  file.remove_prefix(sizeof header);
  if (std::memcmp(header.magic, magic, sizeof magic) != 0) return std::nullopt;
  if (header.instructions == 0 || header.instructions > BPF_MAXINSNS || header.notifies > 1) return std::nullopt;
  const std::size_t code = header.instructions * sizeof(std::uint64_t);
  if (header.text != text.size() || header.notes > file.size() || file.size() != text.size() + code + header.notes)
    return std::nullopt;
  if (file.substr(0, text.size()) != text) return std::nullopt;
  file.remove_prefix(text.size());
  SeccompProgram program;
  program.flags = header.flags;
  program.notifies = header.notifies == 1;
  program.instructions.resize(header.instructions);
  std::memcpy(program.instructions.data(), file.data(), code);
  for (const std::string_view note : sys::lines(file.substr(code))) program.notes.emplace_back(note);
  return program;
}

}  // namespace

std::optional<SeccompProgram> find_program(const std::string& directory, const std::string& text) {
  const sys::Fd dir = open_own(directory);
  if (!dir.valid()) return std::nullopt;
  const std::string name = name_of(text);
  const sys::Fd file(::openat(dir.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat st = {};
  if (!file.valid() || ::fstat(file.get(), &st) != 0) return std::nullopt;
  if (!S_ISREG(st.st_mode) || st.st_uid != ::geteuid() || (st.st_mode & 022U) != 0) return std::nullopt;
  const auto content = sys::read_all(file.get(), most_file);
  return content ? parsed(*content, text) : std::nullopt;
}

void store_program(const std::string& directory, const std::string& text, const SeccompProgram& program) {
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return;
  const sys::Fd dir = open_own(directory);
  if (!dir.valid()) return;
  forget_all(dir.get());
  std::string notes;
  for (const std::string& note : program.notes) notes += note + '\n';
  Header header{.magic = {},
                .flags = program.flags,
                .notifies = program.notifies ? 1U : 0U,
                .text = text.size(),
                .instructions = program.instructions.size(),
                .notes = notes.size()};
  std::memcpy(header.magic, magic, sizeof magic);
  std::string content(reinterpret_cast<const char*>(&header), sizeof header);
  content += text;
  content.append(reinterpret_cast<const char*>(program.instructions.data()),
                 program.instructions.size() * sizeof(std::uint64_t));
  content += notes;
  if (content.size() > most_file) return;

  const std::string name = name_of(text);
  (void)sys::replace_file(dir.get(), name, content);  // it is a cache
}

}  // namespace cgx::container
