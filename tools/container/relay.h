// SPDX-License-Identifier: Apache-2.0
// How commands talk to the monitor of a container: packets over a SEQPACKET socket, a letter and what belongs to it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cgx/container/state.h"
#include "cgx/sys/fd.h"

namespace cgx::launcher {

enum class Word : char {
  // of the monitor
  out = 'o',       // bytes of standard output, or of the terminal
  err = 'e',       // bytes of standard error
  started = 's',   // the container runs
  failed = 'f',    // it could not be started: an error
  ended = 'x',     // a status, four bytes; it is started again
  last = 'l',      // the same, and nothing more follows: what was to be removed is gone
  stopping = 'y',  // the answer to `stop`: nothing is started from here on
  warning = 'n',   // a text: what the monitor could not do
  reason = 'r',    // a text: the limit that has killed the container, before `ended` or `last`
  // of a command
  in = 'i',      // bytes for standard input
  in_end = 'c',  // its end
  size = 'w',    // of the terminal: a struct winsize
  signal = 'k',  // four bytes: for the first process
  stop = 'q',    // it is not to be started again
  watch = 'a',   // wants out and err too, not only started and ended
};

inline constexpr std::size_t most_packet = 32U << 10U;

struct Packet {
  Word word = Word::out;
  std::string data;
};

// Blocks unless the socket or `flags` (of sendmsg) says otherwise. EAGAIN; EPIPE where the other side is gone. One
// packet is whole or not there.
[[nodiscard]] Result<> send_packet(int socket, Word word, std::string_view data = {}, int flags = 0);
// No packet: the other side is gone. EAGAIN where nothing is there and the socket does not block.
[[nodiscard]] Result<std::optional<Packet>> receive_packet(int socket);

[[nodiscard]] std::string number_data(std::int32_t number);
[[nodiscard]] std::int32_t data_number(std::string_view data);
// An error with all its parts, there and back.
[[nodiscard]] std::string error_data(const Error& error);
[[nodiscard]] Error data_error(std::string_view data);

// The socket `attach` in the container's directory.
[[nodiscard]] Result<sys::Fd> listen_in(int directory);
// ECONNREFUSED or ENOENT: there is no monitor.
[[nodiscard]] Result<sys::Fd> connect_in(int directory);

// The foreground of a container: hands on standard input (where `input`), signals and the size of the terminal, prints
// what comes, until the monitor is gone or the keys to leave were typed. Answers the last status; -1: it was left
// running. `directory`: of the container (signals go by another connection).
inline constexpr std::string_view usual_detach_keys = "\x10\x11";  // ctrl-p ctrl-q
struct Foreground {
  int socket = -1;
  bool input = false, terminal = false;
  std::string directory;                      // ROOT/NAME
  std::string shown;                          // in messages: "run NAME"
  bool out = true, err = true;                // which of its streams are printed
  bool signals = true;                        // are handed on; false: they end this command, and the container goes on
  std::string_view keys = usual_detach_keys;  // typed at a terminal
};
// The bytes of `ctrl-p,ctrl-q`, `ctrl-a,d`; empty text: the usual ones.
[[nodiscard]] Result<std::string> parse_detach_keys(std::string_view text);
[[nodiscard]] Result<int> stay(const Foreground& foreground);
// ENOTTY: what is typed goes to a container's terminal, and standard input is none. A terminal has no end of its input,
// so that a program which reads up to the end of a file or a pipe would wait forever.
[[nodiscard]] Result<> check_input(bool input, bool terminal);

}  // namespace cgx::launcher
