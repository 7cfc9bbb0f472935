// SPDX-License-Identifier: Apache-2.0
// The file: a line an entry, fields apart by tabs, a first line with the version and a last one with a checksum.
//   cgx managed 1
//   boot ID
//   unfinished SOURCE
//   group NAME SOURCE named|implied MADE INODE OWNER OWNER_BEFORE
//   adopted HIERARCHY INODE                           where that group of somebody else was found
//   limit KEY KNOB knob|raw WANTED BEFORE READS       of the group above
//   end CHECKSUM
#include "cgx/policy/record.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/boot.h"
#include "cgx/sys/file_lock.h"
#include "cgx/sys/own_dir.h"
#include "cgx/sys/text.h"

namespace cgx::policy {
namespace {

constexpr std::string_view first_line = "cgx managed 1";
constexpr std::string_view file_name = "managed";

// Fields hold neither tabs nor newlines, and an absent one is not an empty one.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out;
}
std::string optional_field(const std::optional<std::string>& text) {
  return text ? escaped(*text) : std::string("\\-");
}

std::optional<std::string> unescaped(std::string_view field) {
  if (field == "\\-") return {};
  std::string out;
  for (std::size_t i = 0; i < field.size(); ++i) {
    if (field[i] != '\\' || i + 1 == field.size()) {
      out += field[i];
      continue;
    }
    const char c = field[++i];
    out += c == 't' ? '\t' : c == 'n' ? '\n' : c;
  }
  return out;
}

// FNV-1a: whether the text is whole, not who wrote it.
std::uint64_t checksum(std::string_view text) {
  std::uint64_t sum = 0xcbf29ce484222325U;
  for (const char c : text) {
    sum ^= static_cast<unsigned char>(c);
    sum *= 0x100000001b3U;
  }
  return sum;
}

std::unexpected<Error> corrupt(std::size_t line, std::string_view what) {
  return fail(EBADMSG, fmt::format("line {} of the record {}", line, what));
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), lines_(sys::lines(text)) {}

  Result<Record> run() {
    if (lines_.empty() || lines_[0] != first_line) {
      if (!lines_.empty() && lines_[0].starts_with("cgx managed "))
        return fail(EBADMSG,
                    fmt::format("is of version {}, and this cgx knows version {}",
                                lines_[0].substr(lines_[0].rfind(' ') + 1),
                                first_line.substr(first_line.rfind(' ') + 1)));
      return fail(EBADMSG, "is no record of cgx");
    }
    const std::size_t end = text_.rfind("end\t");
    if (end == std::string_view::npos || end == 0 || text_[end - 1] != '\n' ||
        sys::trim(text_.substr(end + 4)) != fmt::format("{:016x}", checksum(text_.substr(0, end))))
      return fail(EBADMSG, "is cut or was changed: its checksum is another one");
    for (std::size_t i = 1; i + 1 < lines_.size(); ++i) {
      CGX_CHECK(take(i + 1, sys::split(lines_[i], '\t')));
      if (stale_) return Record{};
    }
    return std::move(record_);
  }

 private:
  Result<> take(std::size_t number, const std::vector<std::string_view>& f) {
    // Only the values of limits may be none.
    const std::size_t texts = f[0] == "limit" ? std::min<std::size_t>(f.size(), 5) : f.size();
    for (std::size_t i = 1; i < texts; ++i)
      if (!unescaped(f[i])) return corrupt(number, "has no text in a field");
    const auto field = [&](std::size_t i) { return *unescaped(f[i]); };
    if (f[0] == "boot" && f.size() == 2) {
      // Nothing of what was made then is left.
      stale_ = f[1] != CGX_TRY(sys::boot_id());
    } else if (f[0] == "unfinished" && f.size() == 2) {
      record_.unfinished.push_back(field(1));
    } else if (f[0] == "group" && f.size() == 8) {
      const auto inode = sys::parse_u64(f[5]);
      if (!inode || f[1].empty() || (f[3] != "named" && f[3] != "implied")) return corrupt(number, "is no group");
      record_.groups.push_back({field(1), field(2), f[3] == "named", field(4), *inode, field(6), field(7), {}, {}});
    } else if (f[0] == "adopted" && f.size() == 3 && !record_.groups.empty()) {
      const auto inode = sys::parse_u64(f[2]);
      if (!inode || f[1].empty()) return corrupt(number, "is not a hierarchy and an inode number");
      record_.groups.back().adopted.push_back({field(1), *inode});
    } else if (f[0] == "limit" && f.size() == 7 && !record_.groups.empty()) {
      if (f[3] != "knob" && f[3] != "raw") return corrupt(number, "is no limit");
      record_.groups.back().limits.push_back(
          {field(1), field(2), f[3] == "raw", field(4), unescaped(f[5]), unescaped(f[6])});
    } else {
      return corrupt(number, "is nothing that this cgx knows");
    }
    return {};
  }

  std::string_view text_;
  std::vector<std::string_view> lines_;
  Record record_;
  bool stale_ = false;
};

std::string path_of(const std::string& dir) { return fmt::format("{}/{}", dir, file_name); }

std::unexpected<Error> cannot(std::string_view what, const std::string& path, int code) {
  auto error = fail_errno(code, fmt::format("{} {}", what, path));
  if (code == EACCES || code == EROFS) error.error().hint = "--state DIR keeps the record in another directory";
  return error;
}

// Beneath the directory that was looked at: by its path it may be another one by now.
Result<Record> read_in(int dir, const std::string& path) {
  const auto text = sys::read_file(dir, file_name);
  if (!text) return text.error().code == ENOENT ? Result<Record>(Record{}) : cannot("read", path, text.error().code);
  auto record = Record::parse(*text);
  if (!record && record.error().code == EBADMSG) {
    Error& e = record.error();
    e.what = fmt::format("{} {}", path, e.what);
    e.hint = "once it is removed, cgx manages nothing of what is there, and takes over what a policy names";
  }
  return record;
}

}  // namespace

const ManagedLimit* ManagedGroup::find(std::string_view knob) const {
  const auto at = std::ranges::find(limits, knob, &ManagedLimit::knob);
  return at == limits.end() ? nullptr : &*at;
}

const ManagedGroup* Record::find(std::string_view name) const {
  const auto at = std::ranges::lower_bound(groups, name, {}, &ManagedGroup::name);
  return at == groups.end() || at->name != name ? nullptr : &*at;
}

Result<std::string> Record::text() const {
  std::string out = fmt::format("{}\nboot\t{}\n", first_line, CGX_TRY(sys::boot_id()));
  for (const std::string& source : unfinished) out += fmt::format("unfinished\t{}\n", escaped(source));
  for (const ManagedGroup& g : groups) {
    out += fmt::format("group\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n",
                       escaped(g.name),
                       escaped(g.source),
                       g.named ? "named" : "implied",
                       escaped(g.made),
                       g.inode,
                       g.owner,
                       g.owner_before);
    for (const AdoptedIn& at : g.adopted) out += fmt::format("adopted\t{}\t{}\n", escaped(at.hierarchy), at.inode);
    for (const ManagedLimit& l : g.limits)
      out += fmt::format("limit\t{}\t{}\t{}\t{}\t{}\t{}\n",
                         escaped(l.key),
                         escaped(l.knob),
                         l.raw ? "raw" : "knob",
                         escaped(l.wanted),
                         optional_field(l.before),
                         optional_field(l.reads));
  }
  out += fmt::format("end\t{:016x}\n", checksum(out));
  return out;
}

Result<Record> Record::parse(std::string_view text) { return Parser(text).run(); }

Result<Record> read_record(const std::string& state_dir) {
  const std::string path = path_of(state_dir);
  const auto dir = sys::find_trusted_dir(state_dir);
  if (dir) return read_in(dir->get(), path);
  if (dir.error().code == EPERM) return std::unexpected(dir.error());
  return dir.error().code == ENOENT ? Result<Record>(Record{}) : cannot("read", path, dir.error().code);
}

Result<RecordFile> RecordFile::open(const std::string& state_dir) {
  auto dir = sys::open_own_dir(state_dir, 0755);
  if (!dir) {
    const int code = dir.error().code;
    if (code != EPERM && code != EACCES) return cannot("make", state_dir, code);
    Error e = code == EPERM ? dir.error() : cannot("make", state_dir, code).error();
    e.hint = "name a directory of your own: --state DIR (an absolute path), or XDG_RUNTIME_DIR";
    return std::unexpected(std::move(e));
  }
  const std::string path = path_of(state_dir);
  auto lock = sys::open_lock_file(dir->get(), std::string(file_name) + ".lock");
  if (!lock) return cannot("open", path + ".lock", lock.error().code);
  if (auto locked = sys::lock_file(lock->get(), LOCK_EX, "applying policies"); !locked) {
    if (locked.error().code != ETIMEDOUT) return cannot("lock", path + ".lock", locked.error().code);
    return std::unexpected(std::move(locked).error());
  }
  return RecordFile(path, *std::move(dir), *std::move(lock));
}

Result<Record> RecordFile::read() const { return read_in(dir_.get(), path_); }

Result<> RecordFile::write(const Record& record) const {
  const std::string text = CGX_TRY(record.text());
  CGX_CHECK(sys::mutation("record", path_));
  const std::string name(file_name);
  const auto done = sys::replace_file(dir_.get(), name, text, {.mode = 0644, .aside = name + ".new", .synced = true});
  if (!done) return cannot("write", path_, done.error().code);
  return {};
}

}  // namespace cgx::policy
