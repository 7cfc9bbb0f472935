// SPDX-License-Identifier: Apache-2.0
// Codecs of keyed knobs: block devices, huge page sizes, interfaces, device rules.
#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/model/codec.h"
#include "cgx/model/device_list.h"

namespace cgx::codec {
namespace {

using Writes = Result<std::vector<FileWrite>>;
using Read = Result<std::optional<Value>>;

constexpr std::array<std::string_view, 4> io_keys{"rbps", "wbps", "riops", "wiops"};

std::string v2_number(std::uint64_t n) { return n == sys::unlimited ? "max" : std::to_string(n); }

// EOPNOTSUPP: the file of a policy or a scheduler that is not in use.
Result<bool> has_file(const Backing& b, const View& view, std::string_view name) {
  const auto text = view.read(b.controller, name);
  if (text) return true;
  if (text.error().code == ENOENT || text.error().code == EOPNOTSUPP) return false;
  return std::unexpected(text.error());
}

std::uint64_t number_or(std::string_view text, std::uint64_t otherwise) {
  if (text == "max") return sys::unlimited;
  return sys::parse_u64(text).value_or(otherwise);
}

// io.weight, io.bfq.weight on v2, blkio.weight, blkio.bfq.weight on v1: whichever the kernel has.
Result<std::string_view> weight_file(const Backing& b, const View& view) {
  for (const std::string_view file : {b.files[0], b.files[1]})
    if (CGX_TRY(has_file(b, view, file))) return file;
  return fail(ENOENT, fmt::format("this kernel has neither {} nor {}", b.files[0], b.files[1]));
}

}  // namespace

Writes put_table(const Knob& k, const Backing& b, const Value& v, const View& /*view*/) {
  std::vector<FileWrite> writes;
  for (const TableRow& r : std::get<Table>(v)) {
    std::string line = r.key;
    for (const auto& [name, n] : r.fields) {
      if (k.format == Format::io_latency)
        line += fmt::format(" target={}", n);
      else if (name.empty())
        line += ' ' + v2_number(n);
      else
        line += fmt::format(" {}={}", name, v2_number(n));
    }
    writes.push_back({std::string(b.files[0]), std::move(line)});
  }
  return writes;
}

Read get_table(const Knob& k, const Backing& b, const View& view) {
  const std::string text = CGX_TRY(view.read(b.controller, b.files[0]));
  Table table;
  for (const std::string_view line : sys::lines(text)) {
    const auto parts = sys::words(line);
    if (parts.size() < 2) continue;
    TableRow r{std::string(parts[0]), {}};
    for (std::size_t i = 1; i < parts.size(); ++i) {
      const std::size_t eq = parts[i].find('=');
      if (eq == std::string_view::npos)
        r.fields.emplace_back("", number_or(parts[i], 0));
      else
        r.fields.emplace_back(k.format == Format::io_latency ? "" : parts[i].substr(0, eq),
                              number_or(parts[i].substr(eq + 1), 0));
    }
    // Every interface stands in ifpriomap; 0 is none.
    if (k.format == Format::if_count && r.fields[0].second == 0) continue;
    table.push_back(std::move(r));
  }
  return Value(std::move(table));
}

Writes put_io_max_v1(const Knob& /*k*/, const Backing& b, const Value& v, const View& /*view*/) {
  std::vector<FileWrite> writes;
  for (const TableRow& r : std::get<Table>(v))
    for (const auto& [name, n] : r.fields)
      for (std::size_t i = 0; i < io_keys.size(); ++i)
        if (io_keys[i] == name)  // v1 writes 0 for no limit
          writes.push_back({std::string(b.files[i]), fmt::format("{} {}", r.key, n == sys::unlimited ? 0 : n)});
  return writes;
}

Read get_io_max_v1(const Knob& /*k*/, const Backing& b, const View& view) {
  Table table;
  for (std::size_t i = 0; i < io_keys.size(); ++i) {
    const std::string text = CGX_TRY(view.read(b.controller, b.files[i]));
    for (const std::string_view line : sys::lines(text)) {
      const auto parts = sys::words(line);
      if (parts.size() != 2) continue;
      const auto same = [&](const TableRow& r) { return r.key == parts[0]; };
      auto at = std::ranges::find_if(table, same);
      if (at == table.end()) at = table.insert(table.end(), TableRow{std::string(parts[0]), {}});
      at->fields.emplace_back(io_keys[i], number_or(parts[1], 0));
    }
  }
  return Value(std::move(table));
}

Writes put_io_weight(const Knob& /*k*/, const Backing& b, const Value& v, const View& view) {
  const std::string_view file = CGX_TRY(weight_file(b, view));
  const bool bfq = file.find("bfq") != std::string_view::npos;
  const bool v1 = file.starts_with("blkio.");
  const std::uint64_t low = v1 && !bfq ? 10 : 1;
  const std::uint64_t high = v1 || bfq ? 1000 : 10000;
  std::vector<FileWrite> writes;
  for (const TableRow& r : std::get<Table>(v)) {
    const std::uint64_t n = r.fields[0].second;
    if (n < low || n > high) return fail(ERANGE, fmt::format("is outside {} to {} of {}", low, high, file));
    if (r.key == "default")
      writes.push_back({std::string(file), std::to_string(n)});
    else
      writes.push_back({v1 ? fmt::format("{}_device", file) : std::string(file), fmt::format("{} {}", r.key, n)});
  }
  return writes;
}

Read get_io_weight(const Knob& /*k*/, const Backing& b, const View& view) {
  const auto file = weight_file(b, view);
  if (!file && file.error().code == ENOENT) return std::optional<Value>{};
  if (!file) return std::unexpected(file.error());
  Table table;
  const auto take = [&](const std::string& text) {
    for (const std::string_view line : sys::lines(text)) {
      const auto parts = sys::words(line);
      if (parts.size() == 1)
        table.push_back({"default", {{"", number_or(parts[0], 0)}}});
      else if (parts.size() == 2)
        table.push_back({std::string(parts[0]), {{"", number_or(parts[1], 0)}}});
    }
  };
  take(CGX_TRY(view.read(b.controller, *file)));
  // blkio.bfq.weight_device repeats the default as `default N`.
  const auto devices = view.read(b.controller, fmt::format("{}_device", *file));
  if (!devices && devices.error().code != ENOENT) return std::unexpected(devices.error());
  if (devices)
    for (const std::string_view line : sys::lines(*devices))
      if (!line.starts_with("default")) take(std::string(line));
  return Value(std::move(table));
}

Writes put_hugetlb(const Knob& /*k*/, const Backing& b, const Value& v, const View& view) {
  std::vector<FileWrite> writes;
  const std::size_t star = b.files[0].find('*');
  const bool v1 = b.files[0].ends_with("_in_bytes");
  for (const TableRow& r : std::get<Table>(v)) {
    std::string file(b.files[0]);
    file.replace(star, 1, r.key);
    if (!CGX_TRY(has_file(b, view, file))) {
      std::string sizes;
      for (const std::string& name : view.files(b.controller))
        if (name.ends_with(b.files[0].substr(star + 1)) && name.find("rsvd") == std::string::npos)
          sizes += (sizes.empty() ? "" : ", ") + name.substr(star, name.size() - b.files[0].size() + 1);
      return fail(
          ENOENT,
          fmt::format("this machine has no huge pages of {} (it has {})", r.key, sizes.empty() ? "none" : sizes));
    }
    const std::uint64_t n = r.fields[0].second;
    const std::string text = v1 && n == sys::unlimited ? "-1" : v2_number(n);
    // With the limit on reservations alone (kernel 5.7) too much is refused by mmap(2); without it a page that is
    // touched ends the program with SIGBUS.
    std::string reserved = file;
    reserved.insert(star + r.key.size(), ".rsvd");
    const bool reserves = file.find(".rsvd.") == std::string::npos && CGX_TRY(has_file(b, view, reserved));
    writes.push_back({std::move(file), text});
    if (reserves) writes.push_back({std::move(reserved), text});
  }
  return writes;
}

Read get_hugetlb(const Knob& /*k*/, const Backing& b, const View& view) {
  const std::size_t star = b.files[0].find('*');
  const std::string_view head = b.files[0].substr(0, star);
  const std::string_view tail = b.files[0].substr(star + 1);
  Table table;
  errno = 0;
  const std::vector<std::string> names = view.files(b.controller);
  // Each group has files: a list without any is one that could not be read, for the reason that errno has.
  if (names.empty()) return fail_errno(errno != 0 ? errno : EIO, "the files of the group cannot be listed");
  for (const std::string& name : names) {
    if (!name.starts_with(head) || !name.ends_with(tail) || name.size() <= head.size() + tail.size()) continue;
    const std::string size = name.substr(star, name.size() - head.size() - tail.size());
    if (size.find('.') != std::string::npos) continue;  // hugetlb.2MB.rsvd.max is another knob
    const std::string text = CGX_TRY(view.read(b.controller, name));
    std::uint64_t n = number_or(sys::trim(text), 0);
    // v1's "no limit" is the largest whole number of these pages; nothing real comes near it.
    if (n > (std::uint64_t{1} << 62U)) n = sys::unlimited;
    table.push_back({size, {{"", n}}});
  }
  std::ranges::sort(table, {}, &TableRow::key);
  return Value(std::move(table));
}

namespace {

// Empty where there is no such note. A read that failed is an error: an empty list of devices allows nothing, so that a
// denying rule would have nothing to write.
Result<std::string> note_text(const View& view, const Backing& b, std::string_view note) {
  auto text = view.read(b.controller, note);
  if (!text && (text.error().code == ENODATA || text.error().code == ENOENT)) return std::string();
  return text;
}

}  // namespace

Writes put_devices(const Knob& k, const Backing& b, const Value& v, const View& view) {
  std::vector<DeviceRule> rules;
  for (const std::string_view line : sys::lines(std::get<std::string>(v)))
    rules.push_back(CGX_TRY(parse_device_rule(line, {})));
  std::vector<FileWrite> writes;
  if (b.files[0].starts_with('@')) {
    const auto text = note_text(view, b, b.files[0]);
    if (!text && text.error().code == ESTALE) {
      // Rules that are not known can be replaced, but not added to; nor can they be put back.
      if (rules.empty() || rules.front().type != 'a') {
        auto error = text.error();
        error.hint = "give all of the rules, beginning with `deny a` or `allow a`";
        return std::unexpected(std::move(error));
      }
      const std::string all = CGX_TRY(with_rules({}, rules)).text();
      writes.push_back({std::string(b.files[0]), all, {{std::string(b.files[0]), all, {}}}});
      return writes;
    }
    const DeviceList now = CGX_TRY(DeviceList::parse(CGX_TRY(text)));
    const DeviceList wanted = CGX_TRY(with_rules(now, rules));
    if (!(wanted == now)) writes.push_back({std::string(b.files[0]), wanted.text()});
    return writes;
  }
  const std::string note = fmt::format("@note.{}", k.name);
  const std::string stored = CGX_TRY(note_text(view, b, note));
  const std::string list = CGX_TRY(view.read(b.controller, b.files[2]));
  // The kernel hides exceptions while it allows by default; they are kept with the group as they were set.
  DeviceList now =
      CGX_TRY(current_devices(list, stored.empty() ? std::nullopt : std::optional<std::string_view>(stored)));
  const DeviceList wanted = CGX_TRY(with_rules(now, rules));
  for (const DeviceWrite& w : device_writes(now, wanted)) {
    DeviceList next = now;
    next.apply(w.rule);
    FileWrite write{std::string(w.file()), w.value(), {}};
    for (const DeviceWrite& back : device_writes(next, now))
      write.undo.push_back({std::string(back.file()), back.value(), {}});
    now = std::move(next);
    writes.push_back(std::move(write));
  }
  if (!writes.empty()) writes.push_back({note, wanted.text()});
  return writes;
}

Read get_devices(const Knob& k, const Backing& b, const View& view) {
  if (b.files[0].starts_with('@')) {
    const auto noted = note_text(view, b, b.files[0]);
    if (!noted && noted.error().code == ESTALE) return std::optional<Value>();  // known to nobody
    const std::string text = CGX_TRY(noted);
    return Value(text.empty() ? std::string("allow a") : std::string(sys::trim(text)));
  }
  const std::string list = CGX_TRY(view.read(b.controller, b.files[2]));
  const std::string stored = CGX_TRY(note_text(view, b, fmt::format("@note.{}", k.name)));
  const auto now = current_devices(list, stored.empty() ? std::nullopt : std::optional<std::string_view>(stored));
  return Value(std::string(sys::trim(now ? now->text() : list)));
}

}  // namespace cgx::codec
