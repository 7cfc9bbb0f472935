// SPDX-License-Identifier: Apache-2.0
#include "cid_file.h"

#include <cerrno>
#include <cstdlib>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

namespace cgx::launcher {
namespace {

std::unexpected<Error> no_cidfile(const std::string& path, int code, std::string what, std::string hint = {}) {
  return std::unexpected(
      Error{.code = code, .what = std::move(what), .knob = "--cidfile", .value = path, .hint = std::move(hint)});
}

std::unexpected<Error> is_there(const std::string& path) {
  return no_cidfile(path, EEXIST, "is there already", "rm " + path + " where its container is no more");
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

}  // namespace

CidFile::CidFile(std::string path, sys::Fd file, std::string other) noexcept
    : path_(std::move(path)), file_(std::move(file)), other_(std::move(other)) {}
CidFile::CidFile(CidFile&& other) noexcept
    : path_(std::move(other.path_)), file_(std::move(other.file_)), other_(std::exchange(other.other_, {})) {}
CidFile::~CidFile() {
  if (!other_.empty()) (void)unlink(other_.c_str());  // nothing can be done about it
}

Result<> CidFile::check(const std::string& path) {
  struct stat st{};
  if (lstat(path.c_str(), &st) == 0) return is_there(path);
  if (faccessat(AT_FDCWD, directory_of(path).c_str(), W_OK | X_OK, AT_EACCESS) == 0) return {};
  return no_cidfile(path, errno, errno_text(errno));
}

Result<CidFile> CidFile::open(const std::string& path, std::string_view id) {
  CGX_CHECK(check(path));
  const std::string directory = directory_of(path);
  std::string other;
  sys::Fd file(::open(directory.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644));
  if (!file.valid() && (errno == EOPNOTSUPP || errno == EISDIR)) {  // not every file system has files without names
    other = path + ".XXXXXX";
    file.reset(mkostemp(other.data(), O_CLOEXEC));
    if (!file.valid()) return no_cidfile(path, errno, errno_text(errno));
    (void)fchmod(file.get(), 0644);
  }
  if (!file.valid()) return no_cidfile(path, errno, errno_text(errno));
  CidFile made(path, std::move(file), std::move(other));
  const ssize_t n = write(made.file_.get(), id.data(), id.size());
  if (n != static_cast<ssize_t>(id.size())) return no_cidfile(path, n < 0 ? errno : ENOSPC, "cannot be written");
  return made;
}

Result<> CidFile::publish() const {
  const std::string from = other_.empty() ? fmt::format("/proc/self/fd/{}", file_.get()) : other_;
  if (linkat(AT_FDCWD, from.c_str(), AT_FDCWD, path_.c_str(), AT_SYMLINK_FOLLOW) == 0) return {};
  if (errno == EEXIST) return is_there(path_);
  return no_cidfile(path_, errno, errno_text(errno));
}

}  // namespace cgx::launcher
