// SPDX-License-Identifier: Apache-2.0
// Inside container/: what a launcher and the process that it starts say to each other until the program is executed:
// short messages over a SEQPACKET socket pair, and a page that both see, which says how far the process is. The end of
// the socket means that the program has been executed, or that the process has ended: the page tells which.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/socket.h>
#include <sys/types.h>

#include "cgx/sys/fd.h"

namespace cgx::container {

// In the order in which a process goes through them.
enum class Stage : std::uint8_t {
  unborn,  // has not run one instruction
  cgroup,
  namespaces,
  identity,  // ids of the user namespace
  cgroup_namespace,
  network,
  mounts,
  hooks,
  pivot_root,
  terminal,
  protect,
  hostname,
  sysctl,
  limits,
  label,
  seccomp,
  capabilities,
  user,
  cwd,
  program,
  ready,
  start,
  exec,
};
[[nodiscard]] std::string_view stage_name(Stage stage);

enum class Notice : std::uint8_t {
  failed,    // child: `value` is an errno, `text` the reason
  warning,   // child: `text`
  trace,     // child: it begins with `stage`
  terminal,  // child: the master as a descriptor
  devices,   // child: it is in its network namespace; waits for `go`
  hooks,     // child: its namespaces are made; waits for `go`
  limits,    // child: wants its rlimits; waits for `go`
  listener,  // child: `value` is its descriptor of the seccomp listener; waits for `go`
  ready,     // child: nothing but executing is left; waits for `go`
  go,        // parent
};

struct Message {
  Notice word = Notice::failed;
  Stage stage = Stage::unborn;
  int value = 0;
  std::string text;
  sys::Fd fd;
};

// sendmsg(2), again where it was interrupted, and some times more where the kernel lacks memory for the moment: what
// cannot be told by this socket cannot be told at all.
[[nodiscard]] ssize_t send_message(int socket, const msghdr& message, int flags);

class Channel {
 public:
  [[nodiscard]] static Result<std::pair<Channel, Channel>> make();
  [[nodiscard]] Result<> send(Notice word, Stage stage, int value = 0, std::string_view text = {}, int fd = -1) const;
  // No message: the other side is gone.
  [[nodiscard]] Result<std::optional<Message>> receive() const;
  // Sends without text, by write(2) alone, and waits for the answer by read(2). EPIPE: the other side is gone.
  [[nodiscard]] Result<> tell_plainly(Notice word, Stage stage, int value) const;
  [[nodiscard]] Result<> ask_plainly(Notice word, Stage stage, int value) const;
  // Whether the other side is gone already; does not wait.
  [[nodiscard]] bool ended() const;
  void close() { fd_.reset(-1); }
  [[nodiscard]] int descriptor() const { return fd_.get(); }

 private:
  sys::Fd fd_;
};

// Sends `text` and one descriptor over a connected socket of any kind.
[[nodiscard]] Result<> send_descriptor(int socket, std::string_view text, int fd);
// A connection to the AF_UNIX socket at `path`, also where that is longer than sun_path.
[[nodiscard]] Result<sys::Fd> connect_unix(const std::string& path);

// The page. Written by the child alone, read by the parent after the end of the socket. It takes no system call: what
// fails when the program's filter is loaded is said here.
struct Progress {
  static constexpr std::size_t most_text = 1000;
  volatile Stage stage;
  volatile pid_t pid;  // of the process that an intermediate one has made, in the caller's pid namespace
  volatile bool failed;
  volatile int code;  // errno
  std::array<char, most_text + 1> text;
  void fail(int with_code, std::string_view reason);
};
class SharedProgress {
 public:
  SharedProgress();
  SharedProgress(const SharedProgress&) = delete;
  SharedProgress& operator=(const SharedProgress&) = delete;
  ~SharedProgress();
  [[nodiscard]] Progress* get() const { return page_; }  // nullptr: no memory

 private:
  Progress* page_;
};

}  // namespace cgx::container
