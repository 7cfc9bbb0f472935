// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/own_dir.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/sys/remove_tree.h"

#include "scratch.h"
#include "skip.h"

namespace own_dir_test {

using cgx::test::ScratchDir;
namespace sys = cgx::sys;

namespace {

template <class T>
int code_of(const cgx::Result<T>& result) {
  return result ? 0 : result.error().code;
}

}  // namespace

TEST_CASE(
    "own_dir: a directory in a place of others is believed only where nobody else has made it or can write to it") {
  if (geteuid() != 0) CGX_SKIP("needs root: directories of other owners are made");
  const ScratchDir top;
  const std::string own = top.path() + "/own";
  struct Row {
    const char* what;
    mode_t mode, above;  // of the directory, of the one that it is in
    uid_t uid, uid_above;
    bool believed;
    gid_t gid_above = 0;
  };
  constexpr Row rows[]{
      {"as it should be", 0700, 0755, 0, 0, true},
      {"others may look", 0755, 0755, 0, 0, true},
      {"above it others may write, but exchange nothing", 0700, 01777, 0, 0, true},
      {"of another user", 0700, 0755, 4711, 0, false},
      {"writable by the group", 0770, 0755, 0, 0, false},
      {"writable by all", 0777, 0755, 0, 0, false},
      {"sticky is not enough for itself", 01777, 0755, 0, 0, false},
      {"above it all may write", 0700, 0777, 0, 0, false},
      {"in a directory of another user", 0700, 0755, 0, 4711, false},
      {"above it a group may write", 0700, 0775, 0, 0, false, 4711},
      {"above it a group may write, but exchange nothing", 0700, 01775, 0, 0, true, 4711},
      {"above it root's group may write", 0700, 0775, 0, 0, true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    top.dir("own");
    top.dir("own/dir");
    REQUIRE(chown((own + "/dir").c_str(), row.uid, row.uid) == 0);
    REQUIRE(chmod((own + "/dir").c_str(), row.mode) == 0);
    REQUIRE(chown(own.c_str(), row.uid_above, row.gid_above) == 0);
    REQUIRE(chmod(own.c_str(), row.above) == 0);
    CHECK(code_of(sys::open_own_dir(own + "/dir")) == (row.believed ? 0 : EPERM));
    CHECK(code_of(sys::find_own_dir(own + "/dir")) == (row.believed ? 0 : EPERM));
    REQUIRE(sys::remove_tree(own));
  }
  top.dir("own");
  top.dir("real");
  top.file("own/file", "");
  CHECK(code_of(sys::open_own_dir(own + "/file")) == EPERM);
  top.link("own/mine", "../real");
  top.link("own/theirs", "../real");
  REQUIRE(lchown((own + "/theirs").c_str(), 4711, 4711) == 0);
  CHECK(code_of(sys::open_own_dir(own + "/mine")) == 0);
  CHECK(code_of(sys::open_own_dir(own + "/theirs")) == EPERM);
  CHECK(code_of(sys::open_own_dir(own + "/theirs/below")) == EPERM);
  CHECK(code_of(sys::find_own_dir(own + "/none")) == ENOENT);
  const mode_t mask = umask(0077);
  CHECK(code_of(sys::open_own_dir(own + "/new/one", 0755)) == 0);
  (void)umask(mask);
  struct stat st{};
  REQUIRE(stat((own + "/new/one").c_str(), &st) == 0);
  CHECK((st.st_mode & 07777U) == 0755);
}

TEST_CASE("own_dir: a file or directory to read is believed where nobody else can write or exchange it") {
  if (geteuid() != 0) CGX_SKIP("needs root: files of other owners are made");
  const ScratchDir top;
  const std::string dir = top.path() + "/dir";
  struct Row {
    const char* what;
    mode_t mode, above;  // of the file, of the directory that it is in
    uid_t uid, uid_above;
    gid_t gid, gid_above;
    bool file, directory;  // whether it is believed
  };
  constexpr Row rows[]{
      {"as it should be", 0644, 0755, 0, 0, 0, 0, true, true},
      {"root's group may write", 0664, 0775, 0, 0, 0, 0, true, true},
      {"another group may read", 0640, 0750, 0, 0, 4711, 4711, true, true},
      {"of another user", 0644, 0755, 4711, 0, 0, 0, false, true},
      {"another group may write", 0664, 0755, 0, 0, 4711, 0, false, true},
      {"all may write", 0666, 0755, 0, 0, 0, 0, false, true},
      {"in a directory of another user", 0644, 0755, 0, 4711, 0, 0, false, false},
      {"in a directory where another group may write", 0644, 0775, 0, 0, 0, 4711, false, false},
      {"in a directory where all may write", 0644, 0777, 0, 0, 0, 0, false, false},
      {"where all may write, but exchange nothing", 0644, 01777, 0, 0, 0, 0, true, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    top.dir("dir");
    top.file("dir/file", "x");
    REQUIRE(chown((dir + "/file").c_str(), row.uid, row.gid) == 0);
    REQUIRE(chmod((dir + "/file").c_str(), row.mode) == 0);
    REQUIRE(chown(dir.c_str(), row.uid_above, row.gid_above) == 0);
    REQUIRE(chmod(dir.c_str(), row.above) == 0);
    CHECK(code_of(sys::open_trusted(dir + "/file")) == (row.file ? 0 : EPERM));
    CHECK(code_of(sys::open_trusted(dir)) == (row.directory ? 0 : EPERM));
    REQUIRE(sys::remove_tree(dir));
  }
  top.dir("dir");
  top.file("dir/file", "text");
  const auto file = sys::open_trusted(dir + "/file");
  REQUIRE(file);
  CHECK(sys::read_all(file->get(), 100) == "text");
  CHECK(code_of(sys::open_trusted(dir + "/none")) == ENOENT);
  REQUIRE(mkfifo((dir + "/fifo").c_str(), 0600) == 0);
  CHECK(code_of(sys::open_trusted(dir + "/fifo")) == EPERM);
  // Links of root count, and so does all that they lead to.
  top.link("mine", "dir/file");
  CHECK(code_of(sys::open_trusted(top.path() + "/mine")) == 0);
  REQUIRE(lchown((top.path() + "/mine").c_str(), 4711, 4711) == 0);
  CHECK(code_of(sys::open_trusted(top.path() + "/mine")) == EPERM);
  top.link("to_theirs", "dir/file");
  REQUIRE(chmod((dir + "/file").c_str(), 0666) == 0);
  CHECK(code_of(sys::open_trusted(top.path() + "/to_theirs")) == EPERM);
}

TEST_CASE("own_dir: what an access control list lets others write is not believed, though the mode is root's") {
  if (geteuid() != 0) CGX_SKIP("needs root: lists for other users are made");
  const ScratchDir top;
  top.dir("dir");
  top.file("dir/file", "x");
  const std::string dir = top.path() + "/dir", file = dir + "/file";
  // linux/posix_acl_xattr.h: version 2, then tag, rights and id of each entry: the owner, uid 4711, the group, the
  // mask, others.
  const auto list = [](char of_user, char mask) {
    std::string bytes{2, 0, 0, 0};
    const auto entry = [&](char tag, char rights, std::string id) { bytes += std::string{tag, 0, rights, 0} + id; };
    const std::string none(4, '\xff');
    entry(0x01, 7, none);
    entry(0x02, of_user, std::string{0x67, 0x12, 0, 0});
    entry(0x04, 5, none);
    entry(0x10, mask, none);
    entry(0x20, 5, none);
    return bytes;
  };
  const auto give = [](const std::string& path, const char* name, const std::string& bytes) {
    return setxattr(path.c_str(), name, bytes.data(), bytes.size(), 0) == 0;
  };
  constexpr const char* access = "system.posix_acl_access";
  if (!give(file, access, list(7, 7)) && errno == EOPNOTSUPP) CGX_SKIP("this file system has no access control lists");
  struct stat st{};
  REQUIRE(stat(file.c_str(), &st) == 0);
  REQUIRE((st.st_mode & 0777U) == 0775);
  const auto refused = sys::open_trusted(file);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == EPERM);
  CHECK(refused.error().what == file + " can be written by those whom its access control list names");
  REQUIRE(give(file, access, list(7, 5)));  // the mask leaves the user no right to write
  CHECK(code_of(sys::open_trusted(file)) == 0);
  REQUIRE(removexattr(file.c_str(), access) == 0);
  REQUIRE(chmod(file.c_str(), 0664) == 0);
  CHECK(code_of(sys::open_trusted(file)) == 0);
  // The directory itself, and one above what is asked for.
  REQUIRE(give(dir, access, list(7, 7)));
  for (const std::string& path : {dir, file}) CHECK(code_of(sys::open_trusted(path)) == EPERM);
  top.dir("dir/below");
  CHECK(code_of(sys::open_own_dir(dir + "/below")) == EPERM);
  CHECK(code_of(sys::find_trusted_dir(dir + "/below")) == EPERM);
  REQUIRE(removexattr(dir.c_str(), access) == 0);
  // What new entries get is no right to this one.
  REQUIRE(chmod(dir.c_str(), 0775) == 0);
  REQUIRE(give(dir, "system.posix_acl_default", list(7, 7)));
  CHECK(code_of(sys::open_trusted(dir)) == 0);
  CHECK(code_of(sys::open_own_dir(dir + "/below")) == 0);
}

TEST_CASE("own_dir: a file is replaced whole or not at all, and nothing is left beside it") {
  const ScratchDir top;
  const sys::Fd dir = sys::open_path(top.path(), O_RDONLY | O_DIRECTORY).value();
  const auto names = [&] {
    auto all = sys::list_dir(dir.get(), "", sys::Entries::files).value();
    std::ranges::sort(all);
    return all;
  };
  using Names = std::vector<std::string>;
  struct stat st{};
  REQUIRE(sys::replace_file(dir.get(), "a", "one"));
  CHECK(sys::read_file(dir.get(), "a").value() == "one");
  REQUIRE(fstatat(dir.get(), "a", &st, 0) == 0);
  CHECK((st.st_mode & 07777) == 0600);
  const ino_t first = st.st_ino;
  const std::string large(3U << 20U, 'x');  // more than one write(2) need take
  REQUIRE(sys::replace_file(dir.get(), "a", large, {.mode = 0640, .aside = "a.new", .synced = true}));
  CHECK(sys::read_file(dir.get(), "a").value() == large);
  REQUIRE(fstatat(dir.get(), "a", &st, 0) == 0);
  CHECK((st.st_mode & 07777) == 0640);
  CHECK(st.st_ino != first);
  CHECK(names() == Names{"a"});
  // What a killed writer left is written over; a link is not followed.
  top.file("b.new", "the rest of a longer text");
  REQUIRE(sys::replace_file(dir.get(), "b", "two", {.aside = "b.new"}));
  CHECK(sys::read_file(dir.get(), "b").value() == "two");
  REQUIRE(symlinkat("a", dir.get(), "c.new") == 0);
  CHECK(code_of(sys::replace_file(dir.get(), "c", "three", {.aside = "c.new"})) == ELOOP);
  CHECK(sys::read_file(dir.get(), "a").value() == large);
  REQUIRE(unlinkat(dir.get(), "c.new", 0) == 0);
  // A failure before the rename and at it.
  rlimit old{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
  const auto before = signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 24, .rlim_max = old.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const int code = code_of(sys::replace_file(dir.get(), "b", large));
  REQUIRE(setrlimit(RLIMIT_FSIZE, &old) == 0);
  signal(SIGXFSZ, before);
  CHECK(code == EFBIG);
  CHECK(sys::read_file(dir.get(), "b").value() == "two");
  top.dir("d");
  CHECK(code_of(sys::replace_file(dir.get(), "d", "four")) == EISDIR);
  CHECK(names() == Names{"a", "b"});
}

}  // namespace own_dir_test
