// SPDX-License-Identifier: Apache-2.0
#include "device_support.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cgx::test {
namespace {

constexpr std::array<std::pair<unsigned, unsigned>, 6> sample = {
    {{1, 3}, {1, 5}, {1, 9}, {240, 3}, {240, 9}, {4095, 1048575}}};
constexpr std::array<unsigned, 4> accesses = {device_read, device_write, device_read | device_write, device_mknod};

template <class Fn>
void each_probe(const Fn& fn) {
  for (const char type : {'b', 'c'})
    for (const auto& [major_number, minor_number] : sample)
      for (const unsigned access_bits : accesses) fn(type, major_number, minor_number, access_bits);
}

std::string node_name(char type, unsigned major_number, unsigned minor_number) {
  return std::string(1, type) + std::to_string(major_number) + "." + std::to_string(minor_number);
}

int make_node(const std::string& path, char type, unsigned major_number, unsigned minor_number) {
  return mknod(path.c_str(), (type == 'b' ? S_IFBLK : S_IFCHR) | 0600U, makedev(major_number, minor_number));
}

}  // namespace

Group::Group(const std::string& parent) {
  static int count = 0;
  path_ = parent + "/cgx-test-dev-" + std::to_string(getpid()) + "-" + std::to_string(count++);
  if (mkdir(path_.c_str(), 0755) == 0) fd_.reset(open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

Group::~Group() {
  // The last process may still be on its way out of the group after it was reaped.
  for (int i = 0; i < 200 && rmdir(path_.c_str()) != 0 && errno == EBUSY; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

std::optional<std::string> unified_root() {
  for (const char* path : {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"}) {
    struct statfs fs{};
    if (statfs(path, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC) return path;
  }
  return {};
}

std::optional<std::string> v1_devices_root() {
  if (access("/sys/fs/cgroup/devices/devices.list", F_OK) == 0) return "/sys/fs/cgroup/devices";
  return {};
}

std::string inside(const Group& group, const std::function<std::string()>& body, unsigned uid) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return "?";
  const pid_t child = fork();
  if (child == 0) {
    std::string answer = "?";
    const int procs = open((group.path() + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
    if (procs >= 0 && write(procs, "0", 1) == 1 && (uid == 0 || setuid(uid) == 0)) answer = body();
    const ssize_t written = write(ends[1], answer.data(), answer.size());
    _exit(written == static_cast<ssize_t>(answer.size()) ? 0 : 1);
  }
  close(ends[1]);
  const auto answer = sys::read_all(ends[0]);
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return answer && status == 0 ? *answer : "?";
}

Nodes::Nodes() {
  std::string name = "/tmp/cgx-test-nodes-XXXXXX";
  if (mkdtemp(name.data()) == nullptr) return;
  dir_ = name;
  usable_ = true;
  each_probe([&](char type, unsigned major_number, unsigned minor_number, unsigned access_bits) {
    if (access_bits != device_read) return;
    const std::string path = dir_ + "/" + node_name(type, major_number, minor_number);
    if (make_node(path, type, major_number, minor_number) != 0) usable_ = false;
  });
}

Nodes::~Nodes() {
  std::error_code ignored;
  if (!dir_.empty()) std::filesystem::remove_all(dir_, ignored);
}

std::string Nodes::allowed(const Group& group) const {
  return inside(group, [&] {
    std::string answers;
    each_probe([&](char type, unsigned major_number, unsigned minor_number, unsigned access_bits) {
      const std::string path = dir_ + "/" + node_name(type, major_number, minor_number);
      int result = 0;
      if (access_bits == device_mknod) {
        const std::string fresh = path + ".new";
        result = make_node(fresh, type, major_number, minor_number);
        if (result == 0) unlink(fresh.c_str());
      } else {
        // access(2) asks the device controllers as open(2) does, and leaves the driver alone.
        result = access(path.c_str(),
                        ((access_bits & device_read) != 0 ? R_OK : 0) | ((access_bits & device_write) != 0 ? W_OK : 0));
      }
      answers += result == 0 ? '1' : errno == EPERM ? '0' : '?';
    });
    return answers;
  });
}

std::string Nodes::expected(const DeviceList& list) {
  std::string answers;
  each_probe([&](char type, unsigned major_number, unsigned minor_number, unsigned access_bits) {
    answers += list.permits(type, major_number, minor_number, access_bits) ? '1' : '0';
  });
  return answers;
}

DeviceRule random_rule(std::mt19937& random) {
  const auto pick = [&](unsigned below) { return std::uniform_int_distribution<unsigned>(0, below - 1)(random); };
  DeviceRule rule{.allow = pick(2) == 0, .major = {}, .minor = {}};
  if (pick(12) == 0) return rule;
  rule.type = pick(4) == 0 ? 'b' : 'c';
  constexpr std::array<unsigned, 4> majors = {1, 1, 240, 4095};
  constexpr std::array<unsigned, 4> minors = {3, 5, 9, 1048575};
  if (pick(4) != 0) rule.major = majors.at(pick(4));
  if (pick(4) != 0) rule.minor = minors.at(pick(4));
  rule.access = 1 + pick(7);
  return rule;
}

}  // namespace cgx::test
