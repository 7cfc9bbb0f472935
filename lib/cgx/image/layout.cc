// SPDX-License-Identifier: Apache-2.0
#include "cgx/image/layout.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/count.h"

namespace cgx::image {
namespace {

constexpr std::string_view ref_name = "org.opencontainers.image.ref.name";
constexpr std::string_view containerd_name = "io.containerd.image.name";  // the whole name, where ref_name is the tag
constexpr int most_nested = 8;
constexpr std::size_t most_listed = 20;

template <class T>
Result<T> of_document(Result<T> result, std::string_view name) {
  if (!result && result.error().group.empty()) result.error().group = name;
  if (!result) result.error().fault = Fault::system;  // of the image, not of who named it
  return result;
}

std::string listed(std::vector<std::string> words) {
  std::ranges::sort(words);
  words.erase(std::unique(words.begin(), words.end()), words.end());
  std::string text;
  for (std::size_t i = 0; i < words.size() && i < most_listed; ++i) text += (i == 0 ? "" : ", ") + words[i];
  if (words.size() > most_listed) text += fmt::format(" and {} more", words.size() - most_listed);
  return text;
}

std::string blob_path(const Digest& digest) { return "blobs/sha256/" + digest.hex(); }

// Not opened where it is no file: opening some devices does something, a fifo would block.
Result<sys::Fd> open_file(int dir, const std::string& path) {
  sys::Fd file = CGX_TRY(sys::open_beneath(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  struct stat st{};
  if (fstat(file.get(), &st) != 0) return fail_errno(errno, path);
  if (!S_ISREG(st.st_mode)) return fail(EINVAL, "is no regular file");
  return file;
}

bool has_layout(const std::string& directory) {
  struct stat st{};
  return stat((directory + "/oci-layout").c_str(), &st) == 0;
}

bool named(const Descriptor& descriptor, std::string_view tag) {
  return descriptor.annotation(ref_name) == tag || descriptor.annotation(containerd_name) == tag;
}

std::string tags_of(const Index& index) {
  std::vector<std::string> tags;
  for (const Descriptor& d : index.manifests)
    if (const auto tag = d.annotation(ref_name); !tag.empty()) tags.emplace_back(tag);
  return tags.empty() ? "there are no tags" : "there are " + listed(std::move(tags));
}

}  // namespace

Result<Reference> parse_reference(std::string_view text) {
  Reference reference;
  if (const std::size_t at = text.rfind("@sha256:"); at != std::string_view::npos) {
    reference.digest = CGX_TRY(Digest::parse(text.substr(at + 1)));
    text = text.substr(0, at);
  }
  reference.directory = text;
  if (has_layout(reference.directory)) return reference;
  std::size_t last = std::string_view::npos;
  for (std::size_t colon = text.find(':'); colon != std::string_view::npos; colon = text.find(':', colon + 1)) {
    last = colon;
    const std::string directory(text.substr(0, colon));
    if (directory.empty() || !has_layout(directory)) continue;
    reference.directory = directory;
    reference.tag = text.substr(colon + 1);
    if (reference.tag.empty()) return bad_value(text, "has no tag after its colon");
    return reference;
  }
  // There is none. The error is to name what was meant.
  if (last != std::string_view::npos && text.find('/', last) == std::string_view::npos) {
    reference.directory = text.substr(0, last);
    reference.tag = text.substr(last + 1);
  }
  return reference;
}

Result<Descriptor> choose_platform(const std::vector<Descriptor>& from, const Platform& platform) {
  const Descriptor* best = nullptr;
  int rank = 0;
  std::vector<std::string> others;
  for (const Descriptor& d : from) {
    if (!document_of(d.media_type)) continue;
    // What says nothing of a platform may be for this one: its configuration decides.
    const int its = d.platform ? platform_rank(*d.platform, platform) * 2 : 1;
    if (its > rank) {
      rank = its;
      best = &d;
    }
    if (d.platform) others.push_back(d.platform->text());
  }
  if (best != nullptr) return *best;
  return fail(
      ENOENT,
      fmt::format("no image for {}: {}",
                  platform.text(),
                  others.empty() ? "there are none at all" : "there are those for " + listed(std::move(others))));
}

Result<Layout> Layout::open(const std::string& directory) {
  Layout layout;
  auto dir = sys::open_path(directory, O_RDONLY | O_DIRECTORY);
  const auto checked = [&]() -> Result<> {
    if (!dir) return std::unexpected(Error{.code = dir.error().code, .what = errno_text(dir.error().code)});
    const auto file = open_file(dir->get(), "oci-layout");
    if (!file) return fail(file.error().code, "is no OCI image layout: oci-layout: " + file.error().what);
    return of_document(check_layout_file(CGX_TRY(sys::read_all(file->get(), most_document))), "oci-layout");
  }();
  if (!checked) {
    Error error = checked.error();
    if (error.group.empty()) error.value = directory;
    return std::unexpected(std::move(error));
  }
  layout.dir_ = *std::move(dir);
  return layout;
}

Result<sys::Fd> Layout::open_blob(const Descriptor& descriptor) const {
  auto file = open_file(dir_.get(), blob_path(descriptor.digest));
  if (!file) return fail(file.error().code, fmt::format("blob {}: {}", descriptor.digest.text(), file.error().what));
  struct stat st{};
  if (fstat(file->get(), &st) != 0) return fail_errno(errno, blob_path(descriptor.digest));
  if (static_cast<std::uint64_t>(st.st_size) != descriptor.size)
    return fail(EBADMSG,
                fmt::format("blob {} has {}, not {}",
                            descriptor.digest.text(),
                            sys::counted(static_cast<std::uint64_t>(st.st_size), "byte"),
                            descriptor.size));
  return file;
}

Result<std::string> Layout::read_blob(const Descriptor& descriptor) const {
  if (descriptor.size > most_document)
    return fail(E2BIG, fmt::format("blob {} is no document: it is longer than 4 MiB", descriptor.digest.text()));
  const sys::Fd file = CGX_TRY(open_blob(descriptor));
  std::string text = CGX_TRY(sys::read_all(file.get(), most_document));
  const Digest digest = CGX_TRY(digest_of(text));
  if (digest != descriptor.digest || text.size() != descriptor.size)
    return fail(EBADMSG, fmt::format("blob {} has the digest {}", descriptor.digest.text(), digest.text()));
  return text;
}

// Whether an image is for this machine its configuration says too, where the index does not. One that cannot be read
// stays without a platform: who chooses it is told why.
std::vector<Descriptor> Layout::with_platforms(std::vector<Descriptor> descriptors) const {
  constexpr int most_looked_at = 64;  // an index may be long, and a document of 4 MiB
  int looked_at = 0;
  for (Descriptor& d : descriptors) {
    if (d.platform || document_of(d.media_type) != Document::manifest || looked_at++ >= most_looked_at) continue;
    const auto manifest = read_blob(d);
    const auto content = manifest ? parse_manifest(*manifest, d.media_type) : std::unexpected(manifest.error());
    const auto text = content ? read_blob(content->config) : std::unexpected(content.error());
    const auto config = text ? parse_config(*text) : std::unexpected(text.error());
    if (config && !config->platform.architecture.empty()) d.platform = config->platform;
  }
  return descriptors;
}

// Of an index the manifest, of that the same where it is an index again.
Result<Descriptor> Layout::narrowed(Descriptor descriptor, const Platform& platform) const {
  for (int depth = 0; depth < most_nested; ++depth) {
    const auto kind = document_of(descriptor.media_type);
    if (!kind)
      return fail(EINVAL,
                  fmt::format("{} is no image: its type is {}", descriptor.digest.text(), descriptor.media_type));
    if (*kind == Document::manifest) return descriptor;
    const std::string name = "index " + descriptor.digest.text();
    const std::string text = CGX_TRY(of_document(read_blob(descriptor), "index"));
    const Index index = CGX_TRY(of_document(parse_index(text, descriptor.media_type), name));
    descriptor = CGX_TRY(of_document(choose_platform(with_platforms(index.manifests), platform), name));
  }
  return fail(ELOOP, fmt::format("{} is an index in more than {} others", descriptor.digest.text(), most_nested));
}

Result<Descriptor> Layout::by_digest(const Index& index, const Digest& digest) const {
  for (const Descriptor& d : index.manifests)
    if (d.digest == digest) return d;
  // One that only another index speaks of, or nobody: its name says all that is needed.
  const auto file = open_file(dir_.get(), blob_path(digest));
  if (!file) return fail(file.error().code, fmt::format("blob {}: {}", digest.text(), file.error().what));
  struct stat st{};
  if (fstat(file->get(), &st) != 0) return fail_errno(errno, blob_path(digest));
  Descriptor descriptor{.digest = digest, .size = static_cast<std::uint64_t>(st.st_size)};
  const std::string text = CGX_TRY(read_blob(descriptor));
  descriptor.media_type = CGX_TRY(of_document(guess_media_type(text), "blob " + digest.text()));
  return descriptor;
}

Result<Descriptor> Layout::entry(const Index& index, const Reference& reference, const Platform& platform) const {
  if (reference.tag.empty() && !reference.digest.empty()) return by_digest(index, reference.digest);
  std::vector<Descriptor> found;
  std::string tag = reference.tag;
  if (tag.empty() && index.manifests.size() == 1) return index.manifests[0];
  if (tag.empty()) tag = "latest";
  for (const Descriptor& d : index.manifests)
    if (named(d, tag)) found.push_back(d);
  if (found.empty() && reference.tag.empty())
    return fail(ENOENT, "several images, and none is \"latest\": " + tags_of(index));
  if (found.empty()) return fail(ENOENT, "no tag \"" + tag + "\": " + tags_of(index));
  Descriptor chosen =
      found.size() == 1 ? found[0] : CGX_TRY(choose_platform(with_platforms(std::move(found)), platform));
  if (!reference.digest.empty() && chosen.digest != reference.digest)
    return fail(EBADMSG,
                fmt::format("the tag \"{}\" is {}, not {}", tag, chosen.digest.text(), reference.digest.text()));
  return chosen;
}

Result<Image> Layout::resolve(const Reference& reference, const Platform& platform) const {
  const auto text = [&]() -> Result<std::string> {
    const sys::Fd file = CGX_TRY(open_file(dir_.get(), "index.json"));
    return sys::read_all(file.get(), most_document);
  }();
  if (!text) return of_document(Result<Image>(std::unexpected(text.error())), "index.json");
  // Its type is that of an index, and of nothing else.
  const Index index = CGX_TRY(of_document(parse_index(*text, ""), "index.json"));
  Descriptor chosen = CGX_TRY(of_document(entry(index, reference, platform), "index.json"));
  Image image;
  image.tag = chosen.annotation(ref_name);
  image.manifest = CGX_TRY(of_document(narrowed(chosen, platform), "index.json"));
  const std::string manifest = CGX_TRY(of_document(read_blob(image.manifest), "manifest"));
  image.content = CGX_TRY(
      of_document(parse_manifest(manifest, image.manifest.media_type), "manifest " + image.manifest.digest.text()));
  const std::string config = CGX_TRY(of_document(read_blob(image.content.config), "config"));
  const std::string config_name = "config " + image.content.config.digest.text();
  image.config = CGX_TRY(of_document(parse_config(config), config_name));
  const std::size_t layers = image.content.layers.size();
  if (image.config.diff_ids.size() != layers)
    return of_document(Result<Image>(fail(EINVAL,
                                          fmt::format("has {}, the manifest has {}",
                                                      sys::counted(image.config.diff_ids.size(), "diff_id"),
                                                      sys::counted(layers, "layer")))),
                       config_name);
  if (image.config.platform.os != platform.os)
    return of_document(Result<Image>(fail(EINVAL, "the image is for " + image.config.platform.text())), config_name);
  return image;
}

}  // namespace cgx::image
