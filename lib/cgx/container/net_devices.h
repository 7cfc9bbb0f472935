// SPDX-License-Identifier: Apache-2.0
// Inside container/: network interfaces of the host that become the container's (linux.netDevices of the runtime
// specification): moved and renamed by rtnetlink(7), with their permanent addresses of global scope, which
// the kernel drops at a move, and up.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <net/if.h>
#include <sys/types.h>

#include "cgx/sys/fd.h"

namespace cgx::container {

class NetDevices {
 public:
  NetDevices() = default;
  NetDevices(const NetDevices&) = delete;
  NetDevices& operator=(const NetDevices&) = delete;
  // Moves back what keep() was not called for, under the old name, with its addresses, up where it was.
  ~NetDevices();

  // Into the network namespace of the process that is `pid` in `proc`. `devices`: names here and there. Errors name the
  // interface: ENODEV, it is not there; EEXIST, the other name is taken; EPERM. The caller has no other threads: it is
  // in the other namespace for a moment.
  [[nodiscard]] Result<> move(int proc, pid_t pid, const std::vector<std::pair<std::string, std::string>>& devices);
  void keep() { moved_.clear(); }

 private:
  struct Address {
    std::uint8_t family = 0, prefix = 0;
    std::uint32_t flags = 0;
    std::string attributes;  // as the kernel has told them: local, peer and broadcast address
  };
  struct Device {
    std::string here, there;
    bool up = false;
    std::vector<Address> addresses;
  };
  class Socket;

  [[nodiscard]] static Result<> arrive(Socket& at, const std::string& name, const Device& device, bool up);
  [[nodiscard]] Result<> move_one(Socket& here, Socket& there, Device device);

  sys::Fd own_, other_;
  std::vector<Device> moved_;
};

}  // namespace cgx::container
