// SPDX-License-Identifier: Apache-2.0
// cgx-image: makes the layers of an image layout on disk usable as lower directories of overlayfs, in a program of its
// own because of libarchive and libcrypto.
//   cgx-image unpack [FLAG...] STORE LAYOUT[:TAG][@DIGEST]   prints a JSON object
//   cgx-image show [FLAG...] LAYOUT[:TAG][@DIGEST]           the same without layers: nothing is unpacked
//   cgx-image clean STORE                                    prints the paths that it removed
//   cgx-image prune STORE [DIFFID...]                        removes all layers but these, prints their DiffIDs
#include <atomic>
#include <cerrno>
#include <csignal>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/image/image.h"
#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

#include "command.h"

namespace {

using cgx::Result;
using cgx::tool::print;

// The first signal ends the work and takes away what is not whole; a second one ends the program, and clean is for
// that.
std::atomic<bool> image_interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);
extern "C" void on_image_signal(int /*signal*/) { image_interrupted = true; }

struct ImageOptions {
  std::string command;
  std::vector<std::string> words;
  cgx::image::UnpackOptions unpack;
  cgx::image::Platform platform = cgx::image::host_platform();
  bool json = false;
};

constexpr std::string_view image_usage =
    "usage: cgx-image unpack [FLAG...] STORE LAYOUT[:TAG][@sha256:DIGEST]\n"
    "       cgx-image show [FLAG...] LAYOUT[:TAG][@sha256:DIGEST]\n"
    "       cgx-image clean STORE\n"
    "       cgx-image prune STORE [DIFFID...]\n"
    "\n"
    "  --userxattr         for overlayfs mounted with userxattr, which a user namespace can do\n"
    "  --platform OS/ARCHITECTURE[/VARIANT]   of an index, the image for that; default: this machine\n"
    "  --max-bytes SIZE    of one layer as it is unpacked; default: 64G\n"
    "  --max-ratio N       of a layer to its blob, where it is over 1G; default: 250\n"
    "  --max-entries N     of one layer; default: 1048576\n"
    "  --no-sync           not to wait for the disk: a power cut may leave layers that are not whole\n"
    "  --json              errors as JSON\n";

Result<> parse_value(ImageOptions& o, std::string_view flag, const std::string& value) {
  if (flag == "--platform")
    o.platform = CGX_TRY(cgx::located(cgx::image::parse_platform(value), "", flag));
  else if (flag == "--max-bytes")
    o.unpack.limits.bytes = CGX_TRY(cgx::located(cgx::sys::parse_size(value), "", flag));
  else if (flag == "--max-ratio")
    o.unpack.limits.ratio = CGX_TRY(cgx::located(cgx::sys::parse_u64(value, 1), "", flag));
  else if (flag == "--max-entries")
    o.unpack.limits.entries = CGX_TRY(cgx::located(cgx::sys::parse_u64(value, 1), "", flag));
  else
    return cgx::bad_value(flag, "is not a flag of cgx-image");
  return {};
}

Result<ImageOptions> parse_image(std::span<char* const> arguments) {
  ImageOptions o;
  bool dashes = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view word = arguments[i];
    if (dashes || !word.starts_with('-')) {
      if (o.command.empty())
        o.command = word;
      else
        o.words.emplace_back(word);
    } else if (word == "--") {
      dashes = true;
    } else if (word == "--help" || word == "-h") {
      o.command = "help";
      return o;
    } else if (word == "--json") {
      o.json = true;
    } else if (word == "--userxattr") {
      o.unpack.opaque = cgx::image::Opaque::user;
    } else if (word == "--no-sync") {
      o.unpack.sync = false;
    } else if (i + 1 < arguments.size()) {
      CGX_CHECK(parse_value(o, word, arguments[++i]));
    } else {
      return cgx::bad_value(word, "is not a flag of cgx-image, or lacks its value");
    }
  }
  return o;
}

Result<> expect_words(const ImageOptions& o, std::size_t least, std::size_t most) {
  if (o.words.size() >= least && o.words.size() <= most) return {};
  auto error = cgx::bad_value(o.command, "has too few or too many words");
  error.error().hint = "see cgx-image --help";
  return error;
}

Result<> unpack(const ImageOptions& o) {
  CGX_CHECK(expect_words(o, 2, 2));
  const auto reference = CGX_TRY(cgx::image::parse_reference(o.words[1]));
  const auto layout = CGX_TRY(cgx::image::Layout::open(reference.directory));
  auto store = CGX_TRY(cgx::image::Store::open(o.words[0]));
  const auto unpacked = CGX_TRY(cgx::image::unpack_image(store, layout, reference, o.platform, o.unpack));
  print(cgx::image::image_json(unpacked) + "\n");
  return {};
}

Result<> show(const ImageOptions& o) {
  CGX_CHECK(expect_words(o, 1, 1));
  const auto reference = CGX_TRY(cgx::image::parse_reference(o.words[0]));
  const auto layout = CGX_TRY(cgx::image::Layout::open(reference.directory));
  cgx::image::Unpacked shown;
  shown.image = CGX_TRY(layout.resolve(reference, o.platform));
  shown.foreign = cgx::image::platform_rank(shown.image.config.platform, o.platform) == 0;
  print(cgx::image::image_json(shown) + "\n");
  return {};
}

Result<> clean(const ImageOptions& o) {
  CGX_CHECK(expect_words(o, 1, 1));
  auto store = CGX_TRY(cgx::image::Store::open(o.words[0]));
  for (const std::string& path : CGX_TRY(store.clean())) print(path + "\n");
  return {};
}

Result<> prune(const ImageOptions& o) {
  CGX_CHECK(expect_words(o, 1, cgx::tool::any_number));
  std::vector<cgx::image::Digest> keep;
  for (const std::string& word : std::span(o.words).subspan(1))
    keep.push_back(CGX_TRY(cgx::image::Digest::parse_hex(word)));
  auto store = CGX_TRY(cgx::image::Store::open(o.words[0]));
  for (const auto& digest : CGX_TRY(store.prune(keep))) print(digest.text() + "\n");
  return {};
}

Result<> run_image(const ImageOptions& o) {
  if (o.command == "unpack") return unpack(o);
  if (o.command == "show") return show(o);
  if (o.command == "clean") return clean(o);
  if (o.command == "prune") return prune(o);
  if (o.command == "help") return print(image_usage), Result<>();
  auto error = cgx::bad_value(o.command, "is not a command of cgx-image");
  error.error().hint = "see cgx-image --help";
  return error;
}

}  // namespace

int main(int argc, char** argv) {
  cgx::sys::wait_for_children();
  // No setlocale(3): names of files are bytes, and libarchive leaves them alone in the C locale.
  auto options = parse_image(std::span(argv, static_cast<std::size_t>(argc)).subspan(argc > 0 ? 1 : 0));
  if (!options) return cgx::tool::report(options.error(), "image", false);
  struct sigaction action{};
  action.sa_handler = on_image_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) (void)sigaction(signal, &action, nullptr);
  options->unpack.stop = &image_interrupted;
  const auto done = run_image(*options);
  return done ? 0 : cgx::tool::report(done.error(), "image", options->json);
}
