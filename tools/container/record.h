// SPDX-License-Identifier: Apache-2.0
// What is kept of a container of `cgx run`: ROOT/NAME holds what the OCI runtime keeps of every container (state.json,
// config.json, lock: cgx/container/state.h) and, beside it, run.json (how it was started), exit.json (how it ended),
// killer.json (which command of cgx is about to kill it: killer.h) and the socket `attach` of its monitor. What it
// writes is elsewhere, in DATA/containers/NAME: its layer, its log.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "cgx/container/state.h"

namespace cgx::launcher {

using container::Pairs;
using container::State;
using container::Status;
using container::Store;
using container::time_now;

enum class Restart : std::uint8_t { no, on_failure, always, unless_stopped };

// run.json
struct Record {
  std::string id;                    // its name
  std::string image;                 // as given
  std::vector<std::string> layers;   // directories, the lowest first
  std::vector<std::string> command;  // what is executed
  std::string created, started;      // RFC 3339, UTC; started: the last time, empty before the first
  std::string data;                  // DATA/containers/NAME
  std::string hex_id;                // 64 digits, of this container alone: a name is given again
  std::string network;               // none, host, container:NAME
  std::string network_of;            // hex_id of that container
  std::string pid = "private";       // private, host, container:NAME
  std::string pid_of;                // as network_of
  std::string uts = "private";       // as pid
  std::string uts_of;
  std::string ipc = "private";  // private, host, none
  std::string user;             // as given, or the image's
  bool remove = false;          // --rm
  bool terminal = false;
  bool interactive = false;
  Restart restart = Restart::no;
  std::uint64_t restart_most = 0;       // of on-failure; 0: no bound
  std::uint64_t restarts = 0;           // so far
  std::uint64_t log_size = 10U << 20U;  // of each of its two files; 0: it has no log
  int stop_signal = 15;
  std::int64_t stop_timeout = 10;  // seconds; -1: without a bound
  Pairs labels;
  Pairs limits;  // flag or file, text, as given
  pid_t monitor = 0;
  std::uint64_t monitor_start = 0;  // as State::pid_start
};

// exit.json: how its last run ended.
struct Ending {
  int status = 0;     // as `cgx run` ends: the exit status, or 128 and the signal
  int signal = 0;     // 0: it ended by itself
  std::string ended;  // RFC 3339
  std::string error;  // it could not be started, or nobody saw its end: why
  std::string why;    // one sentence on how it died
  // The memory limit that had it killed, and the group whose it is; empty: none did.
  std::uint64_t oom_kills = 0;
  std::string oom_group, oom_limit;
  std::string reached;             // which limits of memory were, or that none was; only in `why` later
  std::uint64_t pids_refused = 0;  // processes that it could not make, and the limit
  std::string pids_group, pids_limit;
  std::string policy;  // of cgxd, that killed it
  std::string killer;  // the command of cgx that did: "cgx container stop after 10 s"
};

// Where containers are kept: by root /run/cgx/containers and /var/lib/cgx, by others below $XDG_RUNTIME_DIR/cgx and
// $XDG_DATA_HOME/cgx (~/.local/share/cgx). $CGX_RUN and $CGX_DATA are in the place of both directories' tops.
[[nodiscard]] Result<std::string> run_root();
[[nodiscard]] Result<std::string> data_root();

// A container with all that is known of it.
struct Known {
  Store::Entry entry;
  Record record;
  State state;                   // ready == false: it is being made, or was ended while it was
  std::optional<Ending> ending;  // of its last run
  Status status = Status::stopped;
  bool monitored = false;  // its monitor is there
};
// ENOENT: `no such container`, with a hint at a name that is near. `name` is a whole name, or the first digits of
// the id of one container alone. What is damaged is EBADMSG and names the file.
[[nodiscard]] Result<Known> find(std::string_view name, Store::How how = Store::How::look);
// All. Those that are being made, or go meanwhile, are left out.
struct Listing {
  std::vector<Known> containers;  // in the order of their making
  std::vector<Error> damaged;     // why others cannot be shown
};
[[nodiscard]] Result<Listing> list_containers();

// Written beside it and renamed, as state.json is.
[[nodiscard]] Result<> write_record(const Store::Entry& entry, const Record& record);
[[nodiscard]] Result<> write_ending(const Store::Entry& entry, const Ending& ending);
[[nodiscard]] Result<Record> read_record(const Store::Entry& entry);
[[nodiscard]] Result<Ending> read_ending(const Store::Entry& entry);  // ENOENT: it has not ended yet
[[nodiscard]] std::string record_text(const Record& record);
[[nodiscard]] std::string ending_text(const Ending& ending);
[[nodiscard]] Result<Record> parse_record(std::string_view text);
[[nodiscard]] Result<Ending> parse_ending(std::string_view text);

// Microseconds since the epoch of such a text.
[[nodiscard]] Result<std::int64_t> parse_rfc3339(std::string_view text);

// "3 minutes", "2 hours"; the time since, as a person says it.
[[nodiscard]] std::string ago_text(std::int64_t usec);
// "Up 3 minutes", "Exited (137) 2 hours ago: killed by memory.max of cgx/web".
[[nodiscard]] std::string status_text(const Known& known, std::int64_t now_usec);

[[nodiscard]] std::string_view restart_word(Restart restart);
// Whether its policy starts it again after an end with that status.
[[nodiscard]] bool starts_again(const Record& record, int status);

}  // namespace cgx::launcher
