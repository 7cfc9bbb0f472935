// SPDX-License-Identifier: Apache-2.0
// What a container uses, in the shape that `events --stats` has in the field. Numbers that this kernel does not count
// are left out, or 0 where the shape has a number.
#include "stats.h"

#include <fmt/format.h>

#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

namespace cgx::oci {
namespace {

class Statistics {
 public:
  explicit Statistics(const Cgroup& group) : group_(group) {}

  std::string data() {
    json_.open_object();
    cpu();
    cpuset();
    memory();
    pids();
    blkio();
    hugetlb();
    json_.key("intel_rdt").open_object().close_object().key("network_interfaces").null().close_object();
    return json_.take();
  }

 private:
  [[nodiscard]] bool v1(Controller c) const {
    const Hierarchy* h = group_.hierarchies().of(c);
    return h != nullptr && h->version() == Version::v1;
  }
  [[nodiscard]] std::string text(Controller c, std::string_view file) const {
    auto read = group_.read(c, file);
    return read ? std::move(*read) : std::string();
  }
  [[nodiscard]] std::uint64_t number(Controller c, std::string_view file) const { return number(text(c, file)); }
  static std::uint64_t number(std::string_view value) {
    value = sys::trim(value);
    if (value == "max") return sys::unlimited;
    return sys::parse_u64(value).value_or(0);
  }
  static std::uint64_t field(std::string_view file, std::string_view key) {
    return sys::keyed_u64(file, key).value_or(0);
  }

  void cpu() {
    using enum Controller;
    std::uint64_t total = 0, kernel = 0, user = 0;
    std::vector<std::uint64_t> by_cpu;
    const std::string stat = text(Controller::cpu, "cpu.stat");
    const bool own_v1 = v1(Controller::cpu);
    if (v1(cpuacct)) {
      total = number(cpuacct, "cpuacct.usage");
      kernel = number(cpuacct, "cpuacct.usage_sys");
      user = number(cpuacct, "cpuacct.usage_user");
      const std::string all = text(cpuacct, "cpuacct.usage_percpu");
      for (const std::string_view n : sys::words(sys::trim(all))) by_cpu.push_back(number(n));
    } else {
      // The controller need not be enabled: the core counts time of every group.
      const std::string core_stat = stat.empty() ? text(core, "cpu.stat") : stat;
      total = field(core_stat, "usage_usec") * 1000;
      kernel = field(core_stat, "system_usec") * 1000;
      user = field(core_stat, "user_usec") * 1000;
    }
    json_.key("cpu").open_object().key("usage").open_object().key("total").number(total);
    if (!by_cpu.empty()) {
      json_.key("percpu").open_array();
      for (const std::uint64_t n : by_cpu) json_.number(n);
      json_.close_array();
    }
    json_.key("kernel").number(kernel).key("user").number(user).close_object().key("throttling").open_object();
    json_.key("periods").number(field(stat, "nr_periods")).key("throttledPeriods").number(field(stat, "nr_throttled"));
    json_.key("throttledTime").number(own_v1 ? field(stat, "throttled_time") : field(stat, "throttled_usec") * 1000);
    json_.close_object().close_object();
  }

  void cpuset() {
    const Controller c = Controller::cpuset;
    json_.key("cpuset").open_object();
    const auto list = [&](std::string_view key, std::string_view file) {
      const std::string ids = text(c, file);
      const auto set = sys::IdSet::parse(sys::trim(ids));
      if (!set || set->empty()) return;
      json_.key(key).open_array();
      for (const unsigned id : set->ids()) json_.number(id);
      json_.close_array();
    };
    list("cpus", v1(c) ? "cpuset.cpus" : "cpuset.cpus.effective");
    if (v1(c)) json_.key("cpu_exclusive").number(number(c, "cpuset.cpu_exclusive"));
    list("mems", v1(c) ? "cpuset.mems" : "cpuset.mems.effective");
    if (v1(c))
      for (const std::string_view name : {"mem_hardwall",
                                          "mem_exclusive",
                                          "memory_migrate",
                                          "memory_spread_page",
                                          "memory_spread_slab",
                                          "memory_pressure",
                                          "sched_load_balance"})
        json_.key(name).number(number(c, fmt::format("cpuset.{}", name)));
    if (v1(c)) {
      const std::string level = text(c, "cpuset.sched_relax_domain_level");
      json_.key("sched_relax_domain_level").integer(sys::parse_i64(sys::trim(level), -1, 64).value_or(-1));
    }
    json_.close_object();
  }

  void entry(std::string_view key, std::uint64_t limit, std::uint64_t usage, std::uint64_t most, std::uint64_t failed) {
    json_.key(key).open_object().key("limit").number(limit).key("usage").number(usage).key("max").number(most);
    json_.key("failcnt").number(failed).close_object();
  }
  void entry_v1(std::string_view key, std::string_view what) {
    const auto of = [&](std::string_view file) { return number(Controller::memory, fmt::format("{}{}", what, file)); };
    entry(key, of("limit_in_bytes"), of("usage_in_bytes"), of("max_usage_in_bytes"), of("failcnt"));
  }

  void memory() {
    const Controller c = Controller::memory;
    const std::string stat = text(c, "memory.stat");
    const bool old = v1(c);
    json_.key("memory").open_object().key("cache").number(field(stat, old ? "total_cache" : "file"));
    if (old) {
      entry_v1("usage", "memory.");
      entry_v1("swap", "memory.memsw.");
      entry_v1("kernel", "memory.kmem.");
      entry_v1("kernelTCP", "memory.kmem.tcp.");
    } else {
      const std::string events = text(c, "memory.events");
      const std::uint64_t usage = number(c, "memory.current");
      const std::uint64_t limit = number(c, "memory.max");
      entry("usage", limit, usage, number(c, "memory.peak"), field(events, "max"));
      // The shape's swap is memory and swap together.
      const std::uint64_t swap_limit = number(c, "memory.swap.max");
      const bool unlimited = limit == sys::unlimited || swap_limit == sys::unlimited;
      entry("swap", unlimited ? sys::unlimited : limit + swap_limit, usage + number(c, "memory.swap.current"), 0, 0);
      entry("kernel", 0, field(stat, "kernel"), 0, 0);
      entry("kernelTCP", 0, field(stat, "sock"), 0, 0);
    }
    json_.key("raw").open_object();
    for (const std::string_view line : sys::lines(stat)) {
      const auto parts = sys::words(line);
      if (parts.size() == 2) json_.key(parts[0]).number(number(parts[1]));
    }
    json_.close_object().close_object();
  }

  void pids() {
    const std::uint64_t limit = number(Controller::pids, "pids.max");
    json_.key("pids").open_object().key("current").number(number(Controller::pids, "pids.current"));
    if (limit != sys::unlimited) json_.key("limit").number(limit);
    json_.close_object();
  }

  void device(std::string_view number_text, std::string_view op, std::uint64_t value) {
    const auto dev = sys::parse_dev_number(number_text);
    if (!dev) return;
    json_.open_object().key("major").number(dev->major).key("minor").number(dev->minor).key("op").string(op);
    json_.key("value").number(value).close_object();
  }

  void blkio() {
    const Controller c = Controller::io;
    json_.key("blkio").open_object();
    if (v1(c)) {
      const auto list = [&](std::string_view key, std::string_view file) {
        std::string table = text(c, fmt::format("blkio.bfq.{}_recursive", file));
        if (table.empty()) table = text(c, fmt::format("blkio.throttle.{}_recursive", file));
        json_.key(key).open_array();
        for (const std::string_view line : sys::lines(table)) {
          const auto parts = sys::words(line);
          if (parts.size() == 3) device(parts[0], parts[1], number(parts[2]));
        }
        json_.close_array();
      };
      list("ioServiceBytesRecursive", "io_service_bytes");
      list("ioServicedRecursive", "io_serviced");
    } else {
      const std::string table = text(c, "io.stat");
      const auto list = [&](std::string_view key, std::string_view read_key, std::string_view write_key) {
        json_.key(key).open_array();
        for (const std::string_view line : sys::lines(table)) {
          const auto parts = sys::words(line);
          for (std::size_t i = 1; i < parts.size(); ++i) {
            const auto pair = sys::parse_pair(parts[i]);
            if (pair && (pair->first == read_key || pair->first == write_key))
              device(parts[0], pair->first == read_key ? "Read" : "Write", number(pair->second));
          }
        }
        json_.close_array();
      };
      list("ioServiceBytesRecursive", "rbytes", "wbytes");
      list("ioServicedRecursive", "rios", "wios");
    }
    json_.close_object();
  }

  void hugetlb() {
    const Controller c = Controller::hugetlb;
    json_.key("hugetlb").open_object();
    const Hierarchy* h = group_.hierarchies().of(c);
    const auto dir = h != nullptr ? group_.dir(*h) : Result<int>(fail(ENOENT, ""));
    const auto names = dir ? sys::list_dir(*dir, "", sys::Entries::files) : Result<std::vector<std::string>>();
    const bool old = v1(c);
    const std::string_view tail = old ? ".usage_in_bytes" : ".current";
    if (names)
      for (const std::string& name : *names) {
        if (!name.starts_with("hugetlb.") || !name.ends_with(tail)) continue;
        const std::string size = name.substr(8, name.size() - 8 - tail.size());
        if (size.find('.') != std::string::npos) continue;
        json_.key(size).open_object().key("usage").number(number(c, name));
        json_.key("max").number(old ? number(c, fmt::format("hugetlb.{}.max_usage_in_bytes", size)) : 0);
        json_.key("failcnt").number(old ? number(c, fmt::format("hugetlb.{}.failcnt", size))
                                        : field(text(c, fmt::format("hugetlb.{}.events", size)), "max"));
        json_.close_object();
      }
    json_.close_object();
  }

  const Cgroup& group_;
  sys::JsonWriter json_;
};

}  // namespace

std::string stats_json(const Cgroup& group) { return Statistics(group).data(); }

}  // namespace cgx::oci
