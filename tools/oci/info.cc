// SPDX-License-Identifier: Apache-2.0
// features, spec, help, and what is not there.
#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/container/spec.h"
#include "cgx/sys/fd.h"

#include "oci.h"

namespace cgx::oci {

Result<int> run_features(const Invocation& /*call*/) {
  std::string text = container::features_json();
  if (text.find('\n') == std::string::npos) text = pretty_json(text);
  if (!text.ends_with('\n')) text += '\n';
  print(text);
  return 0;
}

Result<int> run_spec(const Invocation& call) {
  const std::string bundle(call.get("bundle"));
  const std::string name(call.get("file", "config.json"));
  const std::string file = bundle.empty() || name.starts_with('/') ? name : fmt::format("{}/{}", bundle, name);
  const bool rootless = call.on("rootless");
  // As other runtimes have it: none where there are v1 hierarchies. A user's container keeps it: it may have no group
  // of its own, and without the namespace there is nothing of the hierarchies for it to see then.
  const auto hierarchies = Hierarchies::discover();
  const bool unified = hierarchies && std::ranges::all_of(hierarchies->all(), [](const Hierarchy& h) {
                         return h.version() == Version::v2;
                       });
  const std::string text = container::default_spec_json(rootless, unified || rootless, geteuid(), getegid());
  const sys::Fd fd(open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!fd.valid()) {
    if (errno == EEXIST) return fail(EEXIST, fmt::format("File {} exists. Remove it first", name));
    return fail(errno, fmt::format("open {}: {}", file, errno_text(errno)));
  }
  if (write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) return fail_errno(errno, file);
  return 0;
}

Result<int> run_help(const Invocation& call) {
  Invocation about = call;
  about.command = nullptr;
  if (!call.words.empty()) {
    for (const Command& c : commands())
      if (c.name == call.words[0]) about.command = &c;
    if (about.command == nullptr) return fail(EINVAL, fmt::format("No help topic for '{}'", call.words[0]));
  }
  print(help_text(about));
  return 0;
}

Result<int> run_unsupported(const Invocation& call) {
  return fail(ENOTSUP, fmt::format("{} is not supported", call.command->name));
}

}  // namespace cgx::oci
