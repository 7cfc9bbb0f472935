// SPDX-License-Identifier: Apache-2.0
#include "cgx/image/store.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/json_tree.h"
#include "cgx/image/tar.h"
#include "cgx/sys/count.h"
#include "cgx/sys/json.h"
#include "cgx/sys/own_dir.h"
#include "cgx/sys/remove_tree.h"

namespace cgx::image {
namespace {

namespace json = container::json;

constexpr const char* record_name = "layer.json";
constexpr const char* store_lock = "store";

Result<sys::Fd> store_directory(int parent, const std::string& name, mode_t mode) {
  if (mkdirat(parent, name.c_str(), mode) != 0 && errno != EEXIST) return fail_errno(errno, "cannot make " + name);
  sys::Fd fd(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return fail_errno(errno, "cannot open " + name);
  return fd;
}

std::string record_text(const Digest& diff_id, const Descriptor& descriptor, Opaque opaque, const TreeReport& report) {
  sys::JsonWriter out;
  out.open_object().key("diff_id").string(diff_id.text()).key("blob").string(descriptor.digest.text());
  out.key("entries").number(report.entries).key("root_opaque").boolean(report.root_opaque);
  out.key("opaque").string(report.opaque == 0 ? "none" : opaque == Opaque::trusted ? "trusted" : "user");
  out.key("warnings").open_array();
  if (report.devices != 0)
    out.string(fmt::format("layer {}: {} not made: this user may not",
                           diff_id.text(),
                           sys::counted(report.devices, "device node was", "device nodes were")));
  if (report.sockets != 0)
    out.string(fmt::format(
        "layer {}: {} left out", diff_id.text(), sys::counted(report.sockets, "socket was", "sockets were")));
  if (report.xattrs != 0)
    out.string(fmt::format("layer {}: {} left out, the first one is {}",
                           diff_id.text(),
                           sys::counted(report.xattrs, "extended attribute was", "extended attributes were"),
                           report.xattr));
  out.close_array().close_object();
  return out.take() + "\n";
}

Result<> write_record(int dir, const std::string& text) {
  const sys::Fd file(openat(dir, record_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.valid()) return fail_errno(errno, "cannot make layer.json");
  return sys::write_fd(file.get(), text);
}

// `unpack: layer sha256:...: "ENTRY" REASON`.
template <class T>
Result<T> of_layer(Result<T> result, const Digest& diff_id, const Descriptor& descriptor) {
  if (result) return result;
  result.error().group = "unpack";
  result.error().knob = "layer " + (descriptor.digest.empty() ? diff_id : descriptor.digest).text();
  return result;
}

}  // namespace

Result<TreeReport> unpack_layer(
    int root, int blob, const Descriptor& descriptor, const Digest& diff_id, const UnpackOptions& options) {
  const auto stream = CGX_TRY(LayerStream::open(blob, descriptor, diff_id, options.limits, options.stop));
  LayerTree tree(root, {.opaque = options.opaque, .devices = options.devices, .entries = options.limits.entries});
  const auto unpacked = [&]() -> Result<> {
    const auto ahead = CGX_TRY(Ahead::start(*stream));
    CGX_CHECK(unpack_tar(*ahead, tree));
    // What follows the end of the archive is hashed too.
    while (!CGX_TRY(ahead->next()).empty()) {
    }
    return {};
  }();
  if (!unpacked) {
    // Where it cannot be read because it is not what it should be, that is the better answer.
    if (unpacked.error().code == EBADMSG) CGX_CHECK(stream->check_blob());
    return std::unexpected(unpacked.error());
  }
  CGX_CHECK(stream->finish());
  return tree.report();
}

Result<Store> Store::open(const std::string& path) {
  auto own = sys::open_own_dir(path);
  if (!own) return located(Result<Store>(std::unexpected(own.error())), "store");
  Store store;
  char* real = realpath(path.c_str(), nullptr);
  if (real == nullptr) return located(Result<Store>(fail_errno(errno, path)), "store");
  store.path_ = std::string(real) + "/layers";
  free(real);  // NOLINT: of realpath(3)
  const auto opened = [&]() -> Result<> {
    store.layers_ = CGX_TRY(store_directory(own->get(), "layers", 0700));
    struct stat st{};
    if (fstat(store.layers_.get(), &st) != 0) return fail_errno(errno, "layers");
    // Files of layers are reachable by nobody but through a container (CVE-2021-41091).
    if ((st.st_mode & 077U) != 0 && fchmod(store.layers_.get(), 0700) != 0)
      return fail_errno(errno, "cannot make layers 0700");
    store.ready_ = CGX_TRY(store_directory(store.layers_.get(), "sha256", 0700));
    store.temporary_ = CGX_TRY(store_directory(store.layers_.get(), "tmp", 0700));
    store.locks_ = CGX_TRY(store_directory(store.layers_.get(), "lock", 0700));
    return {};
  }();
  if (!opened) return located(Result<Store>(std::unexpected(opened.error())), "store", {}, path);
  return store;
}

// The lock goes with the descriptor, and with the process. A file that clean() has unlinked meanwhile locks nothing, so
// it is looked whether it is still the one of that name.
Result<sys::Fd> Store::lock(const std::string& name, short type, bool wait) const {
  while (true) {
    sys::Fd file(openat(locks_.get(), name.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file.valid()) return fail_errno(errno, "cannot make the lock " + name);
    struct flock how{};
    how.l_type = type;
    how.l_whence = SEEK_SET;
    int status = -1;
    do status = fcntl(file.get(), wait ? F_OFD_SETLKW : F_OFD_SETLK, &how);
    while (status != 0 && errno == EINTR && wait);
    if (status != 0) return fail_errno(errno, "cannot lock " + name);
    struct stat mine{};
    struct stat there{};
    if (fstat(file.get(), &mine) != 0) return fail_errno(errno, "cannot lock " + name);
    if (fstatat(locks_.get(), name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_ino == mine.st_ino)
      return file;
  }
}

Result<sys::Fd> Store::share() const { return lock(store_lock, F_RDLCK, true); }

// ENOENT: it is not there.
Result<Layer> Store::find(const Digest& diff_id, const UnpackOptions& options) const {
  const std::string text = CGX_TRY(sys::read_file(ready_.get(), diff_id.hex() + "/" + record_name));
  Layer layer{.diff_id = diff_id, .path = path_ + "/sha256/" + diff_id.hex() + "/fs"};
  const json::Tree tree = CGX_TRY(json::parse(text));
  const json::Value root(tree, 0);
  CGX_CHECK(json::fill(layer.root_opaque, root["root_opaque"]));
  CGX_CHECK(json::fill(layer.warnings, root["warnings"]));
  std::string opaque;
  CGX_CHECK(json::fill(opaque, root["opaque"]));
  const std::string_view wanted = options.opaque == Opaque::trusted ? "trusted" : "user";
  if (opaque != "none" && opaque != wanted)
    return fail(EINVAL,
                fmt::format("was unpacked {} --userxattr, and is wanted {} it: use another store",
                            opaque == "user" ? "with" : "without",
                            wanted == "user" ? "with" : "without"));
  return layer;
}

Result<> Store::unpack(const Layout& layout,
                       const Descriptor& descriptor,
                       const Digest& diff_id,
                       const UnpackOptions& options) const {
  const std::string hex = diff_id.hex();
  const sys::Fd blob = CGX_TRY(layout.open_blob(descriptor));
  CGX_CHECK(sys::remove_tree(temporary_.get(), hex));  // of one who was killed
  const auto make = [&]() -> Result<> {
    const sys::Fd dir = CGX_TRY(store_directory(temporary_.get(), hex, 0700));
    const sys::Fd root = CGX_TRY(store_directory(dir.get(), "fs", 0755));
    if (fchmod(root.get(), 0755) != 0) return fail_errno(errno, "cannot make fs");
    const TreeReport report = CGX_TRY(unpack_layer(root.get(), blob.get(), descriptor, diff_id, options));
    CGX_CHECK(write_record(dir.get(), record_text(diff_id, descriptor, options.opaque, report)));
    // One syncfs(2), not an fsync(2) for each file: a layer is thousands of files. Without it ext4 may commit the
    // rename before the files have their blocks, and a power cut would leave a layer of empty files that is never made
    // again.
    if (options.sync && syncfs(dir.get()) != 0) return fail_errno(errno, "cannot be written to the disk");
    if (renameat2(temporary_.get(), hex.c_str(), ready_.get(), hex.c_str(), RENAME_NOREPLACE) != 0)
      return fail_errno(errno, "cannot be moved to its place");
    return {};
  };
  auto made = make();
  if (!made) (void)sys::remove_tree(temporary_.get(), hex);  // the first error counts; clean() tries again
  return made;
}

Result<Layer> Store::layer(const Layout& layout,
                           const Descriptor& descriptor,
                           const Digest& diff_id,
                           const UnpackOptions& options) {
  auto there = find(diff_id, options);
  if (there || there.error().code != ENOENT) return of_layer(std::move(there), diff_id, descriptor);
  const auto work = [&]() -> Result<Layer> {
    const sys::Fd held = CGX_TRY(lock(diff_id.hex(), F_WRLCK, true));
    // Somebody may have made it while this one waited.
    Result<Layer> made = find(diff_id, options);
    if (!made && made.error().code == ENOENT) {
      const auto unpacked = unpack(layout, descriptor, diff_id, options);
      made = unpacked ? find(diff_id, options) : std::unexpected(unpacked.error());
      if (made) made->unpacked = true;
    }
    (void)unlinkat(locks_.get(), diff_id.hex().c_str(), 0);  // those who wait on it see that, and take a new one
    return made;
  };
  return of_layer(work(), diff_id, descriptor);
}

Result<std::vector<std::string>> Store::clean() {
  std::vector<std::string> removed;
  // What is neither a lock nor a layer in the making has no name that is a digest: nobody else makes such.
  for (const auto& [dir, part] : {std::pair{temporary_.get(), "tmp/"}, {locks_.get(), "lock/"}}) {
    auto names = CGX_TRY(sys::list_dir(dir, ".", sys::Entries::directories));
    const auto files = CGX_TRY(sys::list_dir(dir, ".", sys::Entries::files));
    names.insert(names.end(), files.begin(), files.end());
    std::ranges::sort(names);
    for (const std::string& name : names) {
      const bool is_lock = dir == locks_.get();
      if (is_lock && name == store_lock) continue;
      const auto held = lock(name, F_WRLCK, false);
      if (!held && (held.error().code == EAGAIN || held.error().code == EACCES)) continue;  // somebody is at work
      if (!held) return std::unexpected(held.error());
      if (auto gone = sys::remove_tree(dir, name); !gone)
        return located(
            Result<std::vector<std::string>>(std::unexpected(gone.error())), "clean", {}, path_ + "/" + part + name);
      if (!is_lock) (void)unlinkat(locks_.get(), name.c_str(), 0);  // made by this look
      removed.push_back(path_ + "/" + part + name);
    }
  }
  return removed;
}

Result<std::vector<Digest>> Store::prune(const std::vector<Digest>& keep) {
  const sys::Fd alone = CGX_TRY(lock(store_lock, F_WRLCK, true));
  std::vector<Digest> removed;
  auto names = CGX_TRY(sys::list_dir(ready_.get(), ".", sys::Entries::directories));
  std::ranges::sort(names);
  for (const std::string& name : names) {
    const auto diff_id = Digest::parse_hex(name);
    if (!diff_id || std::ranges::find(keep, *diff_id) != keep.end()) continue;
    const sys::Fd held = CGX_TRY(lock(name, F_WRLCK, true));
    CGX_CHECK(sys::remove_tree(temporary_.get(), name));
    if (renameat(ready_.get(), name.c_str(), temporary_.get(), name.c_str()) != 0) {
      if (errno == ENOENT) continue;
      return located(Result<std::vector<Digest>>(fail_errno(errno, "cannot be removed")), "prune", {}, diff_id->text());
    }
    auto gone = sys::remove_tree(temporary_.get(), name);
    (void)unlinkat(locks_.get(), name.c_str(), 0);
    if (!gone) return located(Result<std::vector<Digest>>(std::unexpected(gone.error())), "prune", {}, diff_id->text());
    removed.push_back(*diff_id);
  }
  return removed;
}

}  // namespace cgx::image
