// SPDX-License-Identifier: Apache-2.0
#include "dry_run.h"

#include <cerrno>

#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/change/plan.h"
#include "cgx/container/limits.h"
#include "cgx/container/resources.h"
#include "cgx/sys/program.h"

#include "check.h"
#include "cid_file.h"
#include "making.h"
#include "rootless.h"
#include "view.h"

namespace cgx::launcher {
namespace {

using container::Spec;

// Each step is one line, whatever is in the words.
std::string shown_word(std::string_view text) {
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    shown += byte < 0x20 || byte == 0x7f ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  return shown;
}

std::string spaced(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + shown_word(word);
  return text;
}

class DryRun {
 public:
  DryRun(const RunOptions& options, const std::string& data_root) : o_(options), data_root_(data_root) {}

  Result<std::string> text() {
    image_ = CGX_TRY(look_at_image(o_.image));
    // What the run would be refused for by the kernel at the latest.
    const ImageUser user = CGX_TRY(check_request(o_, image_));
    (void)CGX_TRY(command_of(o_, image_));
    if (!o_.cidfile.empty()) CGX_CHECK(CidFile::check(o_.cidfile));
    CGX_CHECK(fill_parts(user));
    spec_ = CGX_TRY(container::read_spec(CGX_TRY(config_text(parts_)), parts_.data));
    CGX_CHECK(container::check_labels(*spec_.process));
    if (spec_.linux_.seccomp) (void)CGX_TRY(container::compile_seccomp(*spec_.linux_.seccomp));
    files();
    CGX_CHECK(group());
    namespaces();
    mounts();
    process();
    return std::move(text_);
  }

 private:
  template <class... Args>
  void add(fmt::format_string<Args...> form, Args&&... args) {
    text_ += fmt::format(form, std::forward<Args>(args)...) + "\n";
  }

  Result<> fill_parts(const ImageUser& user) {
    if (!o_.name.empty() && find_exactly(o_.name, Store::How::look)) return std::unexpected(name_is_taken(o_.name));
    parts_.options = &o_;
    parts_.image = &image_;
    parts_.user = user;
    parts_.id = o_.name.empty() ? "NAME" : o_.name;
    parts_.data = fmt::format("{}/containers/{}", data_root_, parts_.id);
    parts_.root = fmt::format("{}/{}/rootfs", CGX_TRY(run_root()), parts_.id);
    parts_.nested = in_user_namespace() || geteuid() != 0;
    parts_.host_files = {"hosts", "hostname", "resolv.conf"};
    if (o_.init) parts_.init = CGX_TRY(sys::helper_path("cgx-init"));
    Record unwritten;
    parts_.shared = CGX_TRY(choose_shared(o_, CGX_TRY(run_root()), unwritten));
    parts_.host = CGX_TRY(host_name_of(o_, parts_.id, parts_.shared));
    if (o_.userns == "auto") {
      if (parts_.nested)
        return fail(EPERM, "--userns auto is for root: without it a container is in a user namespace anyway");
      parts_.maps.uids = parts_.maps.gids = {{.container_id = 0, .host_id = 524288, .size = 65536}};
    }
    return {};
  }

  void files() {
    const bool layout = o_.image.starts_with("oci:");
    add("image: {}{}",
        shown_word(o_.image),
        layout ? fmt::format(", its layers unpacked below {}/layers where they are missing", data_root_) : "");
    for (const std::string& what : left_out(o_, image_)) add("warning: {}", what);
    add("record: {}/run.json", parts_.root.substr(0, parts_.root.rfind('/')));
    add("layers: overlay of {} below {}/upper", layout ? "those" : spaced(image_.layers), parts_.data);
    if (!o_.cidfile.empty()) add("cidfile: {}", shown_word(o_.cidfile));
    for (const Bind& b : o_.binds) {
      struct stat st{};
      if (b.make_source && stat(b.source.c_str(), &st) != 0) add("volumes: mkdir {}", shown_word(b.source));
    }
  }

  Result<> group() {
    const std::string path = CGX_TRY(group_path(o_, parts_.id));
    if (path.empty() || (parts_.nested && o_.cgroup_parent.empty()))
      return add("cgroup: a group below this process' own, where there are the rights"), Result<>();
    if (const std::size_t colon = path.find(':'); colon != std::string::npos)
      return add("cgroup: the scope cgx-{}.scope of systemd, in {}", parts_.id, path.substr(0, colon)), Result<>();
    Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
    const container::Placement place = CGX_TRY(container::placements_of(path, parts_.id, hierarchies)).front();
    if (!place.bases.empty()) hierarchies = hierarchies.nested(place.bases);
    Desired desired;
    desired.group = place.group;
    desired.force = o_.force;
    desired.existing = Existing::refuse;
    if (spec_.linux_.resources && !parts_.nested)
      desired.limits = CGX_TRY(container::limits_of(*spec_.linux_.resources, hierarchies)).limits;
    desired.limits.insert(desired.limits.end(), o_.limits.begin(), o_.limits.end());
    for (const Controller c : {Controller::cpu, Controller::memory, Controller::io, Controller::pids})
      desired.need.add(c);
    text_ += "cgroup: " + std::string(CGX_TRY(Plan::make(hierarchies, desired)).text());
    for (const Hierarchy& h : hierarchies.named())
      if (h.mount().name == "systemd") add("mkdir {}", h.path(place.group));
    return {};
  }

  void namespaces() {
    std::string names;
    if (o_.pid == "private") names += "pid ";
    if (o_.ipc != "host") names += "ipc ";
    if (o_.uts == "private") names += "uts ";
    names += "mount";
    if (spec_.find(container::NamespaceType::cgroup) != nullptr) names += " cgroup";
    if (o_.network == "none") names += " network";
    if (o_.userns == "auto" || parts_.nested) names += " user";
    for (const auto& [what, mode] : {std::pair("network", &o_.network), {"processes", &o_.pid}, {"host name", &o_.uts}})
      if (mode->starts_with("container:")) names += fmt::format(", the {} of {}", what, mode->substr(10));
    add("namespaces: {}", names);
    if (o_.userns == "auto") add("ids: 0 to 65535 are a range of the host that no other container has");
    add("hostname: {}", shown_word(parts_.host));
    for (const auto& [name, value] : spec_.linux_.sysctl) add("sysctl: {} = {}", shown_word(name), shown_word(value));
  }

  void mounts() {
    for (const container::Mount& m : spec_.mounts) {
      const bool bind = m.type == "bind" || m.type == "none";
      add("mount: {} ({})", shown_word(m.destination), bind ? shown_word(m.source) : m.type);
    }
    for (const container::Device& d : spec_.linux_.devices)
      add("device: {} ({} {}:{})", shown_word(d.path), d.type, d.major, d.minor);
    add("pivot_root: into it{}", o_.readonly ? ", read-only" : "");
    if (!spec_.linux_.masked_paths.empty()) list("masked", spec_.linux_.masked_paths);
    if (!spec_.linux_.readonly_paths.empty()) list("read-only", spec_.linux_.readonly_paths);
  }
  void list(std::string_view name, const std::vector<std::string>& words) { add("{}: {}", name, spaced(words)); }

  void process() {
    const container::Process& p = *spec_.process;
    add("keyring: _ses.{}", parts_.id);
    for (const container::Rlimit& r : p.rlimits) add("limit: {} {}:{}", r.type, r.soft, r.hard);
    if (!p.apparmor_profile.empty()) add("apparmor: {}", shown_word(p.apparmor_profile));
    if (!p.selinux_label.empty()) add("label: {}", shown_word(p.selinux_label));
    std::string names;
    const std::uint64_t kept = capabilities_of(o_);
    for (int i = 0; !container::capability_name(i).empty(); ++i)
      if ((kept >> static_cast<unsigned>(i) & 1U) != 0) names += fmt::format(" {}", container::capability_name(i));
    add("capabilities:{}", names.empty() ? " none" : names);
    add("seccomp: {}", shown_word(o_.seccomp));
    if (p.no_new_privileges) add("no new privileges");
    const std::string wanted = o_.user.empty() ? image_.user : o_.user;
    const bool by_layers = image_.layers.size() != 1 && wanted.find_first_not_of("0123456789:") != std::string::npos;
    if (by_layers)
      add("user: {}, looked up in the image when it starts", shown_word(wanted));
    else
      add("user: {}:{}{}", p.user.uid, p.user.gid, groups_of(p.user));
    add("cwd: {}", shown_word(p.cwd));
    if (o_.restart != Restart::no) add("restart: {}", restart_word(o_.restart));
    text_ += fmt::format("exec: {}\n", spaced(p.args));
  }
  static std::string groups_of(const container::User& user) {
    std::string text;
    for (const std::uint32_t gid : user.additional_gids)
      text += fmt::format("{}{}", text.empty() ? ", groups " : ",", gid);
    return text;
  }

  const RunOptions& o_;
  const std::string& data_root_;
  Image image_;
  ConfigParts parts_;
  Spec spec_;
  std::string text_;
};

}  // namespace

Result<int> show_run(const Call& call, const RunOptions& options, const std::string& data_root) {
  tool::print_steps(call, CGX_TRY(DryRun(options, data_root).text()));
  return 0;
}

}  // namespace cgx::launcher
