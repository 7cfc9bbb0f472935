// SPDX-License-Identifier: Apache-2.0
#include "cgx/net/record.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <optional>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/file_lock.h"
#include "cgx/sys/own_dir.h"
#include "cgx/sys/text.h"

namespace cgx::net {

namespace {

struct ClassifierName {
  Classifier classifier;
  std::string_view name;
};
constexpr std::array<ClassifierName, 5> classifier_names = {{
    {Classifier::none, "none"},
    {Classifier::cls_cgroup, "cls_cgroup"},
    {Classifier::cls_bpf, "cls_bpf"},
    {Classifier::cgroup_skb, "cgroup_skb"},
    {Classifier::nft, "nft"},
}};

constexpr std::uint64_t max_u32 = 0xffffffffU;

// A name may hold bytes that are no ASCII, and no UTF-8 either: they are written as %XX, so that the text goes
// through JSON and comes back as it was.
std::string encode_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c > ' ' && c < 0x7f && c != '%')
      out += c;
    else
      out += fmt::format("%{:02x}", static_cast<unsigned char>(c));
  }
  return out;
}

Result<std::string> decode_name(std::string_view text) {
  std::string name;
  while (!text.empty()) {
    unsigned byte = static_cast<unsigned char>(text.front());
    std::size_t used = 1;
    if (text.front() == '%') {
      if (text.size() < 3) return bad_value(text, "is not an encoded byte");
      const auto [stop, error] = std::from_chars(text.data() + 1, text.data() + 3, byte, 16);
      if (error != std::errc{} || stop != text.data() + 3) return bad_value(text, "is not an encoded byte");
      used = 3;
    }
    name += static_cast<char>(byte);
    text.remove_prefix(used);
  }
  CGX_CHECK(check_interface_name(name));
  return name;
}

// Fields of one entry stand between ':', which no interface name holds.
Result<Shape> parse_shape(std::string_view text) {
  const std::vector<std::string_view> f = sys::split(text, ':');
  if (f.size() != 7) return bad_value(text, "is not a shape of a record");
  Shape s;
  s.interface = CGX_TRY(decode_name(f[0]));
  s.index = static_cast<unsigned>(CGX_TRY(sys::parse_u64(f[1], 1, max_u32)));
  s.netns = CGX_TRY(sys::parse_u64(f[2]));
  s.id = CGX_TRY(parse_class(fmt::format("{}:{}", f[3], f[4])));
  s.bits = CGX_TRY(sys::parse_u64(f[5], 8));
  s.made_root = CGX_TRY(sys::parse_u64(f[6], 0, 1)) == 1;
  return s;
}

Result<Priority> parse_priority(std::string_view text) {
  const std::vector<std::string_view> f = sys::split(text, ':');
  if (f.size() != 4) return bad_value(text, "is not a priority of a record");
  Priority p;
  p.interface = CGX_TRY(decode_name(f[0]));
  p.index = static_cast<unsigned>(CGX_TRY(sys::parse_u64(f[1], 1, max_u32)));
  p.netns = CGX_TRY(sys::parse_u64(f[2]));
  p.value = static_cast<std::uint32_t>(CGX_TRY(sys::parse_u64(f[3], 1, 0xffff)));
  return p;
}

std::unexpected<Error> file_error(std::string_view what, const std::string& path) {
  return fail_errno(errno, fmt::format("{} {}", what, path));
}

Result<> make_dir(const std::string& path) {
  CGX_CHECK(sys::mutation("mkdir", path));
  if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return file_error("make", path);
  return {};
}

}  // namespace

std::string_view classifier_name(Classifier c) {
  for (const ClassifierName& entry : classifier_names)
    if (entry.classifier == c) return entry.name;
  return "none";
}

Result<Classifier> parse_classifier(std::string_view text) {
  for (const ClassifierName& entry : classifier_names)
    if (entry.name == text) return entry.classifier;
  return bad_value(text, "is not a classifier (cls_cgroup, cls_bpf, cgroup_skb, nft)");
}

std::string Record::text() const {
  std::string line = fmt::format("classifier={}", classifier_name(classifier));
  if (id.value != 0) line += fmt::format(" class={}", format_class(id));
  if (allocated) line += " allocated=1";
  if (prior.value != 0) line += fmt::format(" prior={}", prior.value);
  for (const Shape& s : shapes)
    line += fmt::format(" shape={}:{}:{}:{}:{}:{}",
                        encode_name(s.interface),
                        s.index,
                        s.netns,
                        format_class(s.id),
                        s.bits,
                        s.made_root ? 1 : 0);
  for (const Priority& p : priorities)
    line += fmt::format(" prio={}:{}:{}:{}", encode_name(p.interface), p.index, p.netns, p.value);
  return line;
}

Result<Record> Record::parse(std::string_view text) {
  Record record;
  for (const std::string_view word : sys::words(sys::trim(text))) {
    const auto [key, value] = CGX_TRY(sys::parse_pair(word));
    if (key == "classifier")
      record.classifier = CGX_TRY(parse_classifier(value));
    else if (key == "class")
      record.id = CGX_TRY(parse_class(value));
    else if (key == "allocated")
      record.allocated = CGX_TRY(sys::parse_u64(value, 0, 1)) == 1;
    else if (key == "prior")
      record.prior.value = static_cast<std::uint32_t>(CGX_TRY(sys::parse_u64(value, 0, max_u32)));
    else if (key == "shape")
      record.shapes.push_back(CGX_TRY(parse_shape(value)));
    else if (key == "prio")
      record.priorities.push_back(CGX_TRY(parse_priority(value)));
    else
      return bad_value(key, "is not a word of a record");
  }
  return record;
}

Result<Store> Store::open(const std::string& dir) {
  const sys::Fd own = CGX_TRY(sys::open_own_dir(dir, 0755));
  const std::string path = dir + "/net.lock";
  auto lock = sys::open_lock_file(own.get(), "net.lock");
  if (!lock) return fail_errno(lock.error().code, "open " + path);
  if (auto locked = sys::lock_file(lock->get(), LOCK_EX, "changing networks"); !locked) {
    locked.error().what = fmt::format("lock {}: {}", path, locked.error().what);
    return std::unexpected(std::move(locked).error());
  }
  return Store(dir, *std::move(lock));
}

Result<std::vector<KeyedRecord>> Store::all() const {
  std::vector<KeyedRecord> found;
  auto dir = sys::open_path(records_, O_RDONLY | O_DIRECTORY);
  if (!dir && dir.error().code == ENOENT) return found;
  if (!dir) return std::unexpected(std::move(dir).error());
  for (const std::string& name : CGX_TRY(sys::list_dir(dir->get(), ".", sys::Entries::files))) {
    if (name.starts_with('.')) continue;  // half written by a process that was killed
    Record record = CGX_TRY(load(name));
    if (!record.empty()) found.push_back({name, std::move(record)});  // empty: gone since list_dir()
  }
  return found;
}

Result<Record> Store::load(std::string_view key) const {
  const std::string path = fmt::format("{}/{}", records_, key);
  auto text = sys::read_path(path);
  if (!text && text.error().code == ENOENT) return Record{};
  if (!text) return fail_errno(text.error().code, "read " + path);
  auto record = Record::parse(*text);
  if (!record) return fail(EIO, fmt::format("{} is damaged: {}", path, record.error().text()));
  return record;
}

Result<> Store::save(std::string_view key, const Record& record) const {
  const std::string path = fmt::format("{}/{}", records_, key);
  if (record.empty()) {
    CGX_CHECK(sys::mutation("unlink", path));
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return file_error("remove", path);
    (void)rmdir(records_.c_str());  // ENOTEMPTY is the answer while other records are left
    return {};
  }
  CGX_CHECK(make_dir(records_));
  const sys::Fd dir = CGX_TRY(sys::open_path(records_, O_RDONLY | O_DIRECTORY));
  const std::string aside = fmt::format(".{}", key);
  const auto done =
      sys::replace_file(dir.get(), std::string(key), record.text() + "\n", {.mode = 0644, .aside = aside});
  if (!done) return fail_errno(done.error().code, "write " + path);
  return {};
}

}  // namespace cgx::net
