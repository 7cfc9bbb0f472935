// SPDX-License-Identifier: Apache-2.0
// cgx-net: network control of one group. A program of its own, which cgx executes when a network flag is used and
// when a group that has network control is deleted, so that cgx itself needs no libnl. See `usage` below.
//
// The descriptor N of --group-fd is inherited: of the group's directory in the v1 net_cls hierarchy where that is
// mounted, else in cgroup v2. Any kind will do, O_PATH too.
//
// Output: `set`, `restore` and `release` print one line of JSON on stdout,
//   {"key":"v2-4711","now":R,"replaced":R,"elsewhere":["eth1"],"undo":"..."}
//   R = {"class":"10:8000"|null,"allocated":true,"classifier":"cgroup_skb","rates":{"eth0":8000000},"prios":{"eth1":5}}
// and `restore` takes such a line on stdin to make the group as in its "replaced". `elsewhere` names interfaces of
// other network namespaces, whose classes were not touched. Errors: one line on stderr, where there is something to
// do about it a second one `hint: ...`; exit status 1 the system refused and all is as before, 2 wrong usage.
//
// All of it is idempotent. Concurrent calls wait for each other (lock /run/cgx/net.lock).
#include <cerrno>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/net/report.h"
#include "cgx/net/shaper.h"
#include "cgx/sys/json.h"
#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

namespace {

using cgx::Result;
namespace net = cgx::net;

constexpr const char* usage = R"(usage: cgx-net set --group-fd N [--class MAJ:MIN] [--rate IF=RATE]... [--prio IF=N]...
                   [--classifier cls_cgroup|cls_bpf|cgroup_skb|nft] [--dry-run]
       cgx-net restore --group-fd N        (the line that an earlier call printed on stdin)
       cgx-net release --group-fd N | --key KEY
       cgx-net show [--json]
       cgx-net sweep

Network control of a group, for cgx: its traffic class, its rate on interfaces, its priorities.

  set      sets what is given and keeps the rest. A rate without a class allocates one (MAJ:8000 and up, MAJ that
           of the interface's HTB, else 10). IF=max takes a rate away, IF=0 a priority
  restore  puts back what an earlier call replaced
  release  takes all away: classes, an HTB that cgx made once no class is left in it, filters, programs
  show     what is in force, a line (or with --json an object) for each group
  sweep    releases what belongs to groups that were removed by others

  --group-fd N   an open directory of the group (v1 net_cls or cgroup v2)
  --key KEY      a removed group, as named by "key" in the output: v2- or v1- and its inode number
  --state DIR    where records are kept (default /run/cgx)

Example: cgx-net set --group-fd 3 --rate eth0=10mbit 3</sys/fs/cgroup/web
)";

struct Options {
  std::string_view command;
  std::optional<int> group_fd;
  std::string key;
  std::string state = "/run/cgx";
  net::Request request;
  bool json = false;
  bool dry_run = false;
  bool writes_flags = false;  // an option that only `set` takes
};

std::unexpected<cgx::Error> wrong(std::string text) {
  auto error = cgx::fail(EINVAL, std::move(text));
  error.error().fault = cgx::Fault::usage;
  return error;
}

Result<> take(Options& options, std::string_view name, std::string_view value) {
  net::Request& request = options.request;
  if (name == "--group-fd") {
    options.group_fd = static_cast<int>(CGX_TRY(cgx::sys::parse_u64(value, 0, 1U << 20U)));
  } else if (name == "--key") {
    options.key = value;
  } else if (name == "--state") {
    if (!value.starts_with('/')) return cgx::bad_value(value, "is not an absolute path");
    options.state = value;
  } else {
    options.writes_flags = true;
    if (name == "--class")
      request.id = CGX_TRY(net::parse_class(value));
    else if (name == "--rate")
      request.rates.push_back(CGX_TRY(net::parse_rate_flag(value)));
    else if (name == "--prio")
      request.priorities.push_back(CGX_TRY(net::parse_prio_flag(value)));
    else if (name == "--classifier")
      request.classifier = CGX_TRY(net::parse_classifier(value));
    else
      return wrong(fmt::format("unknown option {}", name));
  }
  return {};
}

Result<> check(const Options& o) {
  const bool set = o.command == "set";
  const bool group = set || o.command == "restore" || o.command == "release";
  if (!group && o.command != "show" && o.command != "sweep")
    return wrong(o.command.empty() ? "no command given" : fmt::format("unknown command \"{}\"", o.command));
  if (!set && (o.writes_flags || o.dry_run))
    return wrong("only set takes --class, --rate, --prio, --classifier, --dry-run");
  if (o.command != "show" && o.json) return wrong("only show takes --json");
  if (!o.key.empty() && o.command != "release") return wrong("only release takes --key");
  if (group && o.group_fd.has_value() == !o.key.empty()) return wrong("needs --group-fd");
  if (!group && o.group_fd) return wrong("takes no --group-fd");
  if (set && !o.request.id && o.request.rates.empty() && o.request.priorities.empty())
    return wrong("needs --class, --rate or --prio");
  return {};
}

Result<Options> parse(std::span<char* const> args) {
  Options options;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string_view arg = args[i];
    if (arg == "--json") {
      options.json = true;
    } else if (arg == "--dry-run") {
      options.dry_run = true;
    } else if (!arg.starts_with("--")) {
      if (!options.command.empty()) return wrong(fmt::format("unexpected argument \"{}\"", arg));
      options.command = arg;
    } else if (const std::size_t equals = arg.find('='); equals != std::string_view::npos) {
      CGX_CHECK(take(options, arg.substr(0, equals), arg.substr(equals + 1)));
    } else {
      if (i + 1 == args.size()) return wrong(fmt::format("{} needs a value", arg));
      CGX_CHECK(take(options, arg, args[++i]));
    }
  }
  CGX_CHECK(check(options));
  return options;
}

Result<> print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    return cgx::fail_errno(errno, "write to stdout");
  return {};
}

Result<> show(const Options& options) {
  const net::Store store = net::Store::unlocked(options.state);
  cgx::sys::JsonWriter json;
  std::string text;
  json.open_array();
  for (const net::KeyedRecord& r : CGX_TRY(store.all())) {
    json.open_object().key("key").string(r.key).key("now");
    net::write_record(json, r.record);
    json.close_object();
    text += fmt::format("{} {}\n", r.key, r.record.text());
  }
  json.close_array();
  return print(options.json ? json.take() + "\n" : text);
}

Result<> sweep(const net::Store& store) {
  for (const net::KeyedRecord& r : CGX_TRY(store.all())) {
    if (net::life_of(r.key) != net::Life::gone) continue;
    const net::Change change = CGX_TRY(net::release_key(store, r.key));
    CGX_CHECK(print(net::change_json(change) + "\n"));
  }
  return {};
}

Result<> run(const Options& options) {
  if (options.command == "show") return show(options);
  std::optional<net::Record> wanted;
  if (options.command == "restore")  // before the lock: stdin may take its time
    wanted = CGX_TRY(net::parse_undo(CGX_TRY(cgx::sys::read_all(STDIN_FILENO))));
  std::optional<net::Group> group;
  if (options.group_fd) group.emplace(CGX_TRY(net::Group::open(*options.group_fd)));
  const net::Store store = CGX_TRY(net::Store::open(options.state));
  if (options.command == "sweep") return sweep(store);
  net::Change change;
  if (wanted)
    change = CGX_TRY(net::restore(store, *group, *wanted));
  else if (options.command == "release")
    change = CGX_TRY(group ? net::release(store, *group) : net::release_key(store, options.key));
  else
    change =
        CGX_TRY(net::set(store, *group, options.request, options.dry_run ? net::Write::dry_run : net::Write::real));
  if (!options.dry_run) return print(net::change_json(change) + "\n");
  std::string text;
  for (const std::string& step : change.steps) text += step + "\n";
  return print(text);
}

}  // namespace

int main(int argc, char** argv) {
  cgx::sys::wait_for_children();
  const std::span<char* const> args(argv, static_cast<std::size_t>(argc));
  for (const std::string_view arg : args.subspan(args.empty() ? 0 : 1)) {
    if (arg != "--help" && arg != "--version") continue;
    std::fputs(arg == "--help" ? usage : "cgx-net " CGX_VERSION "\n", stdout);
    return std::fflush(stdout) == 0 ? 0 : 1;
  }
  const Result<Options> options = parse(args.subspan(args.empty() ? 0 : 1));
  Result<> done = options ? run(*options) : std::unexpected(options.error());
  if (done) return 0;
  const cgx::Error& error = done.error();
  std::string text =
      fmt::format("cgx-net: {}{}{}\n", options ? options->command : "", options ? ": " : "", error.text());
  if (!error.hint.empty()) text += fmt::format("hint: {}\n", error.hint);
  std::fputs(text.c_str(), stderr);
  return error.fault == cgx::Fault::usage ? 2 : 1;
}
