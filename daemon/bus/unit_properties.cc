// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/unit_properties.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/change/slice.h"
#include "cgx/model/convert.h"
#include "cgx/model/device_list.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

namespace cgx::daemon {
namespace {

using ByDevice = std::vector<std::pair<std::string, std::uint64_t>>;
using Rules = std::vector<std::pair<std::string, std::string>>;

constexpr std::uint64_t infinity = sys::unlimited;  // UINT64_MAX, as systemd has it too

Error no_form(const Limit& limit, std::string what, std::string hint = {}) {
  return Error{.code = ENOTSUP,
               .what = std::move(what),
               .knob = std::string(limit.knob->name),
               .value = limit.given,
               .hint = std::move(hint)};
}

// systemd names devices by nodes; /dev/block/MAJ:MIN is udev's, and need not be there.
Result<std::string> node_of(const std::string& number) {
  const auto text = sys::read_path(fmt::format("/sys/dev/block/{}/uevent", number));
  if (text)
    for (const std::string_view line : sys::lines(*text))
      if (line.starts_with("DEVNAME=")) return fmt::format("/dev/{}", line.substr(8));
  return bad_value(number, "is no disk of this host");
}

// systemd names all devices of a driver by its name in /proc/devices. Empty: the kernel has no driver of that number,
// so that there are no such devices.
std::string driver_of(std::string_view type, std::uint32_t major) {
  const auto text = sys::read_path("/proc/devices");
  if (!text) return {};
  bool here = false;
  for (const std::string_view line : sys::lines(*text)) {
    if (line.ends_with(':')) here = line.starts_with(type == "char" ? "Character" : "Block");
    const auto words = sys::words(line);
    if (here && words.size() == 2 && words[0] == std::to_string(major)) return std::string(words[1]);
  }
  return {};
}

std::vector<std::uint8_t> mask_of(const sys::IdSet& set) {
  std::vector<std::uint8_t> mask;
  for (const unsigned id : set.ids()) {
    if (mask.size() <= id / 8) mask.resize(id / 8 + 1);
    mask[id / 8] = static_cast<std::uint8_t>(mask[id / 8] | 1U << (id % 8));
  }
  return mask;
}

class Divider {
 public:
  Divider(const Hierarchies& hierarchies, std::span<const Limit> limits) : hierarchies_(hierarchies), limits_(limits) {}

  Result<Divided> run() {
    for (const Limit& limit : limits_) {
      const Knob* knob = limit.knob;
      if (knob == nullptr) {
        CGX_CHECK(raw(limit));
        continue;
      }
      const Home home = CGX_TRY(located(home_of(hierarchies_, *knob), "", "", limit.given));
      const Version version = home.hierarchy->version();
      if (systemd_sets(*knob, version))
        CGX_CHECK(set(limit, version));
      else
        done_.files.push_back(limit);
    }
    return std::move(done_);
  }

 private:
  Result<> raw(const Limit& limit) {
    for (const Version version : {Version::v2, Version::v1}) {
      const Knob* knob = knob_of_file(limit.file, version);
      if (knob == nullptr) continue;
      const auto home = home_of(hierarchies_, *knob);
      if (!home || home->hierarchy->version() != version || !systemd_sets(*knob, version)) continue;
      Error e{.code = EPERM, .what = "is written by systemd here", .knob = limit.file, .value = limit.given};
      e.hint = fmt::format("--{} asks systemd for it", knob->flag);
      return std::unexpected(std::move(e));
    }
    done_.files.push_back(limit);
    return {};
  }

  template <class T>
  Result<T> value(const Limit& limit) const {
    if (const T* v = std::get_if<T>(&limit.value)) return *v;
    return std::unexpected(no_form(limit, "has no value that systemd could take"));
  }
  void add(std::string name, PropertyValue value) { done_.properties.push_back({std::move(name), std::move(value)}); }

  Result<> set(const Limit& limit, Version version) {
    const std::string_view flag = limit.knob->flag;
    struct Plain {
      std::string_view flag, property;
    };
    constexpr std::array plain{Plain{"mem", "MemoryMax"},
                               Plain{"mem-high", "MemoryHigh"},
                               Plain{"mem-low", "MemoryLow"},
                               Plain{"mem-soft", "MemoryLow"},
                               Plain{"mem-min", "MemoryMin"},
                               Plain{"swap", "MemorySwapMax"},
                               Plain{"pids", "TasksMax"}};
    for (const Plain& p : plain)
      if (p.flag == flag) {
        add(std::string(p.property), CGX_TRY(value<std::uint64_t>(limit)));
        return {};
      }
    if (flag == "memsw") return set_memsw(limit);
    if (flag == "cpu-shares" || flag == "cpu-weight") return set_weight(limit, version);
    if (flag == "cpu-quota") return set_quota(limit);
    if (flag == "cpus" || flag == "mems") {
      const auto set = CGX_TRY(sys::IdSet::parse(CGX_TRY(value<std::string>(limit))));
      add(flag == "cpus" ? "AllowedCPUs" : "AllowedMemoryNodes", mask_of(set));
      return {};
    }
    if (flag == "io-weight") return set_io_weight(limit);
    if (flag == "io-max") return set_io_max(limit);
    if (flag == "io-latency") {
      ByDevice all;
      for (const TableRow& row : CGX_TRY(value<Table>(limit)))
        for (const auto& [field, n] : row.fields) all.emplace_back(CGX_TRY(node_of(row.key)), n);
      add("IODeviceLatencyTargetUSec", std::move(all));
      return {};
    }
    if (flag == "device") return set_devices(limit);
    return std::unexpected(no_form(limit, "has no form for systemd"));
  }

  Result<> set_memsw(const Limit& limit) {
    const auto both = CGX_TRY(value<std::uint64_t>(limit));
    const auto mem =
        std::ranges::find_if(limits_, [](const Limit& l) { return l.knob != nullptr && l.knob->flag == "mem"; });
    if (both == infinity) {
      add("MemorySwapMax", infinity);
      return {};
    }
    const std::uint64_t* bytes = mem == limits_.end() ? nullptr : std::get_if<std::uint64_t>(&mem->value);
    if (bytes == nullptr || *bytes > both)
      return std::unexpected(no_form(limit, "needs a memory limit that is not above it", "--mem SIZE, or --swap SIZE"));
    add("MemorySwapMax", both - *bytes);
    return {};
  }

  // CPUShares= is for cpu.shares alone: CPUWeight= would be converted by another formula there.
  Result<> set_weight(const Limit& limit, Version version) {
    const auto n = CGX_TRY(value<std::uint64_t>(limit));
    const bool shares = limit.knob->flag == "cpu-shares";
    if (version == Version::v1)
      add("CPUShares", shares ? n : weight_to_shares(n));
    else
      add("CPUWeight", shares ? shares_to_weight(n) : n);
    return {};
  }

  Result<> set_quota(const Limit& limit) {
    const auto quota = CGX_TRY(value<sys::Quota>(limit));
    constexpr std::uint64_t usual = 100'000;
    const std::uint64_t period = quota.period == 0 ? usual : quota.period;
    add("CPUQuotaPerSecUSec",
        quota.quota == infinity ? infinity
                                : quota.quota / period * 1'000'000 + quota.quota % period * 1'000'000 / period);
    add("CPUQuotaPeriodUSec", quota.period == 0 ? infinity : quota.period);
    return {};
  }

  Result<> set_io_weight(const Limit& limit) {
    ByDevice all;
    for (const TableRow& row : CGX_TRY(value<Table>(limit)))
      for (const auto& [field, n] : row.fields) {
        if (row.key == "default")
          add("IOWeight", n);
        else
          all.emplace_back(CGX_TRY(node_of(row.key)), n);
      }
    if (!all.empty()) add("IODeviceWeight", std::move(all));
    return {};
  }

  Result<> set_io_max(const Limit& limit) {
    struct Key {
      std::string_view key;
      const char* property;
    };
    constexpr std::array keys{Key{"rbps", "IOReadBandwidthMax"},
                              Key{"wbps", "IOWriteBandwidthMax"},
                              Key{"riops", "IOReadIOPSMax"},
                              Key{"wiops", "IOWriteIOPSMax"}};
    const auto table = CGX_TRY(value<Table>(limit));
    for (const Key& k : keys) {
      ByDevice all;
      for (const TableRow& row : table)
        for (const auto& [field, n] : row.fields)
          if (field == k.key && n != infinity) all.emplace_back(CGX_TRY(node_of(row.key)), n);
      if (!all.empty()) add(k.property, std::move(all));
    }
    return {};
  }

  // v1: systemd writes devices.allow and devices.deny anew whenever it likes, so the rules have to be its own.
  Result<> set_devices(const Limit& limit) {
    const DeviceList list = CGX_TRY(DeviceList::parse(CGX_TRY(value<std::string>(limit))));
    if (list.allows_by_default()) {
      if (list.exceptions().empty()) return {};
      return std::unexpected(
          no_form(limit, "denies single devices, and systemd can only allow them", "begin with: deny a"));
    }
    Rules rules;
    for (const DeviceRule& rule : list.exceptions()) {
      if (!rule.major && rule.minor)
        return std::unexpected(no_form(limit, "allows a minor number of every driver, which systemd has no form for"));
      const std::string_view type = rule.type == 'b' ? "block" : "char";
      if (rule.minor)
        rules.emplace_back(fmt::format("/dev/{}/{}:{}", type, *rule.major, *rule.minor), access_text(rule.access));
      else if (const std::string name = rule.major ? driver_of(type, *rule.major) : "*"; !name.empty())
        rules.emplace_back(fmt::format("{}-{}", type, name), access_text(rule.access));
    }
    add("DevicePolicy", std::string("strict"));
    if (!rules.empty()) add("DeviceAllow", std::move(rules));
    return {};
  }

  const Hierarchies& hierarchies_;
  std::span<const Limit> limits_;
  Divided done_;
};

bool on_v2(const Hierarchies& hierarchies, Controller controller) {
  const Hierarchy* h = hierarchies.of(controller);
  return h != nullptr && h->version() == Version::v2;
}

}  // namespace

Result<Divided> divide(const Hierarchies& hierarchies, std::span<const Limit> limits) {
  return Divider(hierarchies, limits).run();
}

std::vector<UnitProperty> with_defaults(const Hierarchies& hierarchies, std::vector<UnitProperty> given) {
  std::vector<UnitProperty> all{{"MemoryMax", infinity},
                                {"TasksMax", infinity},
                                {"CPUQuotaPerSecUSec", infinity},
                                {"CPUQuotaPeriodUSec", infinity}};
  if (on_v2(hierarchies, Controller::memory))
    for (const auto& [name, value] : {std::pair("MemoryHigh", infinity),
                                      std::pair("MemoryLow", std::uint64_t{0}),
                                      std::pair("MemoryMin", std::uint64_t{0}),
                                      std::pair("MemorySwapMax", infinity)})
      all.push_back({name, value});
  all.push_back({on_v2(hierarchies, Controller::cpu) ? "CPUWeight" : "CPUShares", infinity});
  if (on_v2(hierarchies, Controller::cpuset)) {
    all.push_back({"AllowedCPUs", std::vector<std::uint8_t>{}});
    all.push_back({"AllowedMemoryNodes", std::vector<std::uint8_t>{}});
  }
  if (on_v2(hierarchies, Controller::io)) {
    all.push_back({"IOWeight", infinity});
    all.push_back({"IODeviceWeight", ByDevice{}});
    all.push_back({"IODeviceLatencyTargetUSec", ByDevice{}});
  }
  // An assignment to a list adds to it, and an empty one clears it: so the empty ones stay, before those with values.
  for (const char* name : {"IOReadBandwidthMax", "IOWriteBandwidthMax", "IOReadIOPSMax", "IOWriteIOPSMax"})
    all.push_back({name, ByDevice{}});
  if (!on_v2(hierarchies, Controller::devices)) {
    all.push_back({"DevicePolicy", std::string("auto")});
    all.push_back({"DeviceAllow", Rules{}});
  }
  for (UnitProperty& property : given) {
    const auto same = std::ranges::find(all, property.name, &UnitProperty::name);
    const bool list = std::holds_alternative<ByDevice>(property.value) || std::holds_alternative<Rules>(property.value);
    if (same != all.end() && !list)
      *same = std::move(property);
    else
      all.push_back(std::move(property));
  }
  return all;
}

int append_properties(sd_bus_message* m, std::span<const UnitProperty> properties) {
  int r = sd_bus_message_open_container(m, 'a', "(sv)");
  const auto begin = [&](const char* type) { return r < 0 ? r : sd_bus_message_open_container(m, 'v', type); };
  const auto pairs = [&](const auto& list, const char* type) {
    r = begin(fmt::format("a({})", type).c_str());
    if (r >= 0) r = sd_bus_message_open_container(m, 'a', fmt::format("({})", type).c_str());
    for (const auto& [key, value] : list) {
      if (r < 0) return;
      if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::uint64_t>)
        r = sd_bus_message_append(m, "(st)", key.c_str(), value);
      else
        r = sd_bus_message_append(m, "(ss)", key.c_str(), value.c_str());
    }
    if (r >= 0) r = sd_bus_message_close_container(m);
    if (r >= 0) r = sd_bus_message_close_container(m);
  };
  for (const UnitProperty& p : properties) {
    if (r >= 0) r = sd_bus_message_open_container(m, 'r', "sv");
    if (r >= 0) r = sd_bus_message_append(m, "s", p.name.c_str());
    if (r < 0) return r;
    if (const auto* number = std::get_if<std::uint64_t>(&p.value)) r = sd_bus_message_append(m, "v", "t", *number);
    if (const auto* text = std::get_if<std::string>(&p.value)) r = sd_bus_message_append(m, "v", "s", text->c_str());
    if (const auto* yes = std::get_if<bool>(&p.value)) r = sd_bus_message_append(m, "v", "b", static_cast<int>(*yes));
    if (const auto* devices = std::get_if<ByDevice>(&p.value)) pairs(*devices, "st");
    if (const auto* rules = std::get_if<Rules>(&p.value)) pairs(*rules, "ss");
    if (const auto* mask = std::get_if<std::vector<std::uint8_t>>(&p.value)) {
      r = begin("ay");
      if (r >= 0) r = sd_bus_message_append_array(m, 'y', mask->data(), mask->size());
      if (r >= 0) r = sd_bus_message_close_container(m);
    }
    if (const auto* pids = std::get_if<std::vector<std::uint32_t>>(&p.value)) {
      r = begin("au");
      if (r >= 0) r = sd_bus_message_append_array(m, 'u', pids->data(), pids->size() * sizeof(std::uint32_t));
      if (r >= 0) r = sd_bus_message_close_container(m);
    }
    if (r >= 0) r = sd_bus_message_close_container(m);
  }
  return r < 0 ? r : sd_bus_message_close_container(m);
}

}  // namespace cgx::daemon
