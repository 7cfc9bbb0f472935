// SPDX-License-Identifier: Apache-2.0
#include "image.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include <fcntl.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "cgx/container/json_tree.h"
#include "cgx/sys/own_dir.h"
#include "cgx/sys/program.h"

#include "root.h"
#include "rootless.h"

namespace cgx::launcher {
namespace {

std::unexpected<Error> no_image(std::string_view name, int code, std::string what, std::string hint = {}) {
  Error e{.code = code, .what = std::move(what), .value = std::string(name), .hint = std::move(hint)};
  e.fault = code == EINVAL ? Fault::usage : Fault::system;
  return std::unexpected(std::move(e));
}

bool has(const std::string& directory, std::string_view name) {
  struct stat st{};
  return stat(fmt::format("{}/{}", directory, name).c_str(), &st) == 0;
}
bool is_layout(const std::string& directory) { return has(directory, "oci-layout"); }

Result<Image> directory_image(const std::string& name, const std::string& path) {
  std::array<char, PATH_MAX> real{};
  if (path.empty()) return no_image(name, EINVAL, "names no directory");
  if (realpath(path.c_str(), real.data()) == nullptr) return no_image(name, errno, errno_text(errno));
  struct stat st{};
  if (stat(real.data(), &st) != 0) return no_image(name, errno, errno_text(errno));
  if (!S_ISDIR(st.st_mode)) return no_image(name, ENOTDIR, "is no directory");
  if (is_layout(real.data()) && has(real.data(), "index.json") && has(real.data(), "blobs") &&
      !has(real.data(), "bin") && !has(real.data(), "usr"))
    return no_image(name, EINVAL, "is an image layout, and no root file system", fmt::format("oci:{}", path));
  Image image{.name = name};
  image.layers.emplace_back(real.data());
  return image;
}

Result<Image> parse_unpacked(const std::string& name, const std::string& text) {
  using container::json::fill;
  const auto tree = CGX_TRY(container::json::parse(text));
  const container::json::Value top(tree, 0);
  Image image{.name = name};
  CGX_CHECK(container::json::need(image.layers, top["layers"]));
  bool foreign = false;
  std::string architecture, variant;
  CGX_CHECK(fill(foreign, top["foreign"]));
  CGX_CHECK(fill(architecture, top["architecture"]));
  CGX_CHECK(fill(variant, top["variant"]));
  if (!variant.empty()) architecture += "/" + variant;
  if (foreign) image.warning = fmt::format("the image is for {}, which this host is not", architecture);
  const auto config = top["config"];
  CGX_CHECK(fill(image.env, config["Env"]));
  CGX_CHECK(fill(image.entrypoint, config["Entrypoint"]));
  CGX_CHECK(fill(image.command, config["Cmd"]));
  CGX_CHECK(fill(image.workdir, config["WorkingDir"]));
  CGX_CHECK(fill(image.user, config["User"]));
  CGX_CHECK(fill(image.stop_signal, config["StopSignal"]));
  for (const auto volume : config["Volumes"]) {
    std::string path(volume.key());
    while (path.ends_with('/')) path.pop_back();
    if (!path.empty()) image.volumes.push_back(std::move(path));
  }
  std::vector<std::string> health_check;
  const bool list = fill(health_check, config["Healthcheck"]["Test"]).has_value();  // of another form: there is one
  image.has_health_check = !list || (!health_check.empty() && health_check.front() != "NONE");
  return image;
}

// As cgx-image has it: who removes layers wants this lock alone.
Result<sys::Fd> share_store(const std::string& data) {
  const std::string lock = data + "/layers/lock";
  (void)CGX_TRY(sys::open_own_dir(data));
  (void)CGX_TRY(sys::open_own_dir(lock));
  sys::Fd file(open((lock + "/store").c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return fail_errno(errno, lock + "/store");
  struct flock shared{};
  shared.l_type = F_RDLCK;
  shared.l_whence = SEEK_SET;
  while (fcntl(file.get(), F_OFD_SETLKW, &shared) != 0)
    if (errno != EINTR) return fail_errno(errno, lock + "/store");
  return file;
}

// For hints.
bool is_of_kind(const std::string& path, mode_t kind) {
  struct stat st{};
  return stat(path.c_str(), &st) == 0 && (st.st_mode & S_IFMT) == kind;
}

// By its name: no image of a registry ends so.
bool is_archive(std::string_view name) {
  constexpr std::array<std::string_view, 6> ends{".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst"};
  return std::ranges::any_of(ends, [name](std::string_view end) { return name.ends_with(end); });
}

// The word for a directory: what it is by what it holds.
std::string word_for(const std::string& directory) {
  return fmt::format("{}:{}", is_layout(directory) ? "oci" : "dir", directory);
}

// What is in the place of a layout, `PATH[:TAG]`, and what to do then; empty: nothing that is known.
std::string in_place_of_layout(std::string path) {
  if (is_of_kind(path, S_IFREG))
    return fmt::format("skopeo copy oci-archive:{} oci:LAYOUT:TAG, then run oci:LAYOUT:TAG", path);
  while (!is_of_kind(path, S_IFDIR)) {
    const std::size_t colon = path.rfind(':');
    if (colon == std::string::npos) return {};
    path.resize(colon);
  }
  if (is_layout(path)) return {};
  if (has(path, "manifest.json"))
    return "it holds an image in the form of docker save: podman save --format oci-dir -o LAYOUT IMAGE, then run "
           "oci:LAYOUT";
  const bool root = has(path, "bin") || has(path, "usr") || has(path, "etc");
  return root ? fmt::format("a root file system is dir:{}", path) : std::string();
}

void explain_layout(Error& error, const std::string& path) {
  if (std::string hint = in_place_of_layout(path); !hint.empty()) error.hint = std::move(hint);
}

// What cgx-image prints.
Result<Image> ask_helper(const std::string& name, const std::vector<std::string>& words) {
  auto text = sys::run_program(CGX_TRY(sys::helper_path("cgx-image")), words, -1);
  if (!text) {
    // It begins its line as every part of cgx does.
    Error e = std::move(text).error();
    for (const std::string_view start : {"cgx: ", "image", ": ", " "})
      if (e.what.starts_with(start)) e.what.erase(0, start.size());
    e.value = name;
    return std::unexpected(std::move(e));
  }
  return located(parse_unpacked(name, *text), "", {}, name);
}

Result<Image> layout_image(const std::string& name, const std::string& layout, const std::string& data) {
  sys::Fd in_use = CGX_TRY(share_store(data));
  std::vector<std::string> words{"unpack"};
  if (in_user_namespace()) words.emplace_back("--userxattr");
  words.insert(words.end(), {data, layout});
  Image image = CGX_TRY(ask_helper(name, words));
  image.in_use = std::move(in_use);
  return image;
}

}  // namespace

Result<Image> open_image(const std::string& name, const std::string& data) {
  if (name.starts_with("dir:")) {
    auto image = directory_image(name, name.substr(4));
    if (!image && is_of_kind(name.substr(4), S_IFREG))
      image.error().hint = fmt::format("mkdir DIR && tar -xf {} -C DIR, then run dir:DIR", name.substr(4));
    return image;
  }
  if (name.starts_with("oci:")) {
    auto image = layout_image(name, name.substr(4), data);
    if (!image) explain_layout(image.error(), name.substr(4));
    return image;
  }
  for (const std::string_view kind : {"oci-archive:", "docker-archive:", "docker:"})
    if (name.starts_with(kind))
      return no_image(name,
                      ENOTSUP,
                      "is not supported: an image is dir:PATH or oci:LAYOUT[:TAG]",
                      fmt::format("skopeo copy {} oci:LAYOUT:TAG, then run oci:LAYOUT:TAG", name));
  if (is_archive(name)) {
    const bool there = is_of_kind(name, S_IFREG);
    return no_image(
        name,
        there ? ENOTSUP : ENOENT,
        there ? "is a file, and an image is dir:PATH or oci:LAYOUT[:TAG]" : errno_text(ENOENT),
        there ? fmt::format("skopeo copy docker-archive:{0} oci:LAYOUT:TAG, then run oci:LAYOUT:TAG; of files "
                            "alone: mkdir DIR && tar -xf {0} -C DIR, then run dir:DIR",
                            name)
              : "an image is dir:PATH or oci:LAYOUT[:TAG]");
  }
  // A bare word is the name of an image, whatever lies beside the caller.
  if (name.find('/') != std::string::npos && is_of_kind(name, S_IFDIR))
    return no_image(name, ENOENT, "is a directory, without the word for one", word_for(name));
  return no_image(
      name,
      ENOTSUP,
      "is the name of an image; pulling images is not supported yet",
      fmt::format("skopeo copy docker://{} oci:LAYOUT:TAG, then run oci:LAYOUT:TAG; a directory is dir:PATH", name));
}

Result<Image> look_at_image(const std::string& name) {
  if (!name.starts_with("oci:")) return open_image(name, "");
  auto image = ask_helper(name, {"show", name.substr(4)});
  if (!image) explain_layout(image.error(), name.substr(4));
  return image;
}

}  // namespace cgx::launcher
