// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cerrno>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/resources_parts.h"
#include "cgx/model/convert.h"
#include "cgx/model/device_list.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

bool has_on_v2(const Hierarchies& hierarchies, Controller controller) {
  const Hierarchy* h = hierarchies.of(controller);
  return h != nullptr && h->version() == Version::v2;
}

TableRow& row_of(Table& table, const std::string& key) {
  const auto at = std::ranges::find(table, key, &TableRow::key);
  return at != table.end() ? *at : table.emplace_back(TableRow{key, {}});
}

Result<> weights(Collected& all, const BlockIoLimits& io) {
  Table table;
  const bool v2 = has_on_v2(all.hierarchies, Controller::io);
  const auto number = [&](std::uint64_t weight) { return v2 ? blkio_to_io_weight(weight) : weight; };
  if (io.weight && *io.weight != 0) table.push_back({"default", {{"", number(*io.weight)}}});
  for (const WeightDevice& device : io.weight_device)
    if (device.weight && *device.weight != 0)
      table.push_back({fmt::format("{}:{}", device.major, device.minor), {{"", number(*device.weight)}}});
  for (const TableRow& row : table)
    if (row.fields[0].second < (v2 ? 1 : 10) || row.fields[0].second > (v2 ? 10000 : 1000))
      return refuse(EINVAL, "blockIO.weight", std::to_string(row.fields[0].second), "is outside 10 to 1000");
  const auto leaf = [](const WeightDevice& device) { return device.leaf_weight && *device.leaf_weight != 0; };
  if ((io.leaf_weight && *io.leaf_weight != 0) || std::ranges::any_of(io.weight_device, leaf))
    all.note("blockIO.leafWeight", "kernels of today have no weight of the group's own processes");
  if (table.empty()) return {};
  const std::string given = table[0].key == "default" ? std::to_string(*io.weight) : table[0].key;
  return all.add("io.weight", "blockIO.weight", Value(std::move(table)), given);
}

Result<> throttles(Collected& all, const BlockIoLimits& io) {
  Table table;
  const auto take = [&](const std::vector<ThrottleDevice>& devices, const char* field) {
    for (const ThrottleDevice& device : devices)
      row_of(table, fmt::format("{}:{}", device.major, device.minor))
          .fields.emplace_back(field, device.rate == 0 ? sys::unlimited : device.rate);
  };
  take(io.read_bps, "rbps");
  take(io.write_bps, "wbps");
  take(io.read_iops, "riops");
  take(io.write_iops, "wiops");
  if (table.empty()) return {};
  const std::string given = table[0].key;
  return all.add("io.max", "blockIO.throttle", Value(std::move(table)), given);
}

// Whether the kernel has pages of this size at all: /sys/kernel/mm/hugepages/hugepages-2048kB.
bool has_huge_pages(std::string_view size) {
  const auto bytes = sys::parse_size(size);
  return bytes && access(fmt::format("/sys/kernel/mm/hugepages/hugepages-{}kB", *bytes / 1024).c_str(), F_OK) == 0;
}

Result<> huge_pages(Collected& all, const std::vector<HugepageLimit>& limits) {
  Table table;
  for (const HugepageLimit& limit : limits) {
    if (!has_huge_pages(limit.page_size)) {
      all.note("hugepageLimits", fmt::format("this machine has no huge pages of {}", limit.page_size));
      continue;
    }
    row_of(table, limit.page_size).fields = {{"", limit.limit}};
  }
  if (table.empty()) return {};
  const std::string given = fmt::format("{}={}", table[0].key, table[0].fields[0].second);
  return all.add("hugetlb.*.max", "hugepageLimits", Value(std::move(table)), given);
}

Result<> rdma(Collected& all, const std::vector<RdmaLimit>& limits) {
  Table table;
  for (const RdmaLimit& limit : limits) {
    TableRow& row = row_of(table, limit.device);
    if (limit.handles) row.fields.emplace_back("hca_handle", *limit.handles);
    if (limit.objects) row.fields.emplace_back("hca_object", *limit.objects);
    if (row.fields.empty()) table.pop_back();
  }
  if (table.empty()) return {};
  const std::string given = table[0].key;
  return all.add("rdma.max", "rdma", Value(std::move(table)), given);
}

Result<> network(Collected& all, const Resources& resources) {
  if (resources.net_class_id && *resources.net_class_id != 0)
    CGX_CHECK(all.number("net_cls.classid", "network.classID", *resources.net_class_id));
  Table table;
  for (const auto& [interface, priority] : resources.net_priorities) row_of(table, interface).fields = {{"", priority}};
  if (table.empty()) return {};
  const std::string given = table[0].key;
  return all.add("net_prio.ifpriomap", "network.priorities", Value(std::move(table)), given);
}

// The text of one file, for the decoder of its row.
class OneFile final : public View {
 public:
  OneFile(std::string_view file, std::string_view text) : file_(file), text_(text) {}
  [[nodiscard]] Result<std::string> read(Controller /*controller*/, std::string_view file) const override {
    if (file != file_) return fail(ENOENT, errno_text(ENOENT));
    return std::string(text_);
  }
  [[nodiscard]] std::vector<std::string> files(Controller /*controller*/) const override {
    return {std::string(file_)};
  }
  [[nodiscard]] const Value* wanted(std::string_view /*knob*/) const override { return nullptr; }

 private:
  std::string_view file_, text_;
};

// What every container may use: the devices that the runtime makes, terminals, and mknod, which gives no access.
constexpr std::array<std::string_view, 10> default_devices{"allow c *:* m",
                                                           "allow b *:* m",
                                                           "allow c 1:3 rwm",
                                                           "allow c 1:8 rwm",
                                                           "allow c 1:7 rwm",
                                                           "allow c 5:0 rwm",
                                                           "allow c 1:5 rwm",
                                                           "allow c 1:9 rwm",
                                                           "allow c 136:* rwm",
                                                           "allow c 5:2 rwm"};

Result<std::string> rule_text(const DeviceRule& rule, std::size_t i) {
  const std::string field = fmt::format("devices[{}]", i);
  for (const char c : rule.access)
    if (c != 'r' && c != 'w' && c != 'm' && c != 'a')  // `a` stands in configurations, and means nothing to runc
      return refuse(EINVAL, field + ".access", rule.access, "is no list of r, w and m");
  const auto number = [](const std::optional<std::int64_t>& n) {
    return n && *n >= 0 ? std::to_string(*n) : std::string("*");
  };
  std::string access;
  for (const char c : {'r', 'w', 'm'})
    if (rule.access.empty() || rule.access.find(c) != std::string::npos) access += c;
  if (access.empty()) return refuse(EINVAL, field + ".access", rule.access, "is no list of r, w and m");
  const char* word = rule.allow ? "allow" : "deny";
  const std::string numbers = fmt::format("{}:{}", number(rule.major), number(rule.minor));
  if (rule.type == 'a') {
    if (numbers == "*:*" && access == "rwm") return fmt::format("{} a", word);
    // The kernel takes `a` for all of everything only.
    return fmt::format("{0} b {1} {2}\n{0} c {1} {2}", word, numbers, access);
  }
  const char type = rule.type == 'u' ? 'c' : rule.type;
  if (type != 'b' && type != 'c')
    return refuse(EINVAL, field + ".type", std::string(1, rule.type), "is none of a, b and c");
  return fmt::format("{} {} {} {}", word, type, numbers, access);
}

}  // namespace

Result<std::string> device_rules_text(const std::vector<DeviceRule>& rules) {
  std::string text = "deny a";
  bool all = false;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const std::string rule = CGX_TRY(rule_text(rules[i], i));
    if (rules[i].type == 'a' && rule.ends_with(" a")) all = rules[i].allow;
    text += '\n' + rule;
  }
  for (const std::string_view rule : default_devices) {
    // Where all is allowed but for some, these are allowed too: unless denied by their own numbers, since the runtime
    // makes them. The kernel makes no exception from a wider exception.
    const auto denied = [&](const DeviceRule& r) {
      const auto number = [](const std::optional<std::int64_t>& n) { return n.value_or(-1); };
      return !r.allow && (r.type == 'c' || r.type == 'u') &&
             rule == fmt::format("allow c {}:{} rwm", number(r.major), number(r.minor));
    };
    if (!all || std::ranges::any_of(rules, denied)) text += fmt::format("\n{}", rule);
  }
  return text;
}

Result<> take_tables(Collected& all, const Resources& resources) {
  if (resources.block_io) {
    CGX_CHECK(weights(all, *resources.block_io));
    CGX_CHECK(throttles(all, *resources.block_io));
  }
  CGX_CHECK(huge_pages(all, resources.hugepages));
  CGX_CHECK(rdma(all, resources.rdma));
  return network(all, resources);
}

Result<> take_unified(Collected& all, const Pairs& unified) {
  for (const auto& [file, text] : unified) {
    const std::string field = fmt::format("unified[{}]", file);
    if (file.find('/') != std::string::npos || file.empty() || file.starts_with('@'))
      return refuse(EINVAL, field, text, "the key must be a file name (no slashes)");
    const auto controller = controller_of_file(file);
    if (!controller) return refuse(EINVAL, field, text, "is no file of a controller");
    // These say who is in the group and what it is; the launcher does.
    if (file.starts_with("cgroup.") && !file.starts_with("cgroup.max.") && file != "cgroup.pressure")
      return refuse(EINVAL, field, text, "is not for a container to set");
    const Hierarchy* h = all.hierarchies.of(*controller);
    if (h != nullptr && h->version() == Version::v2) {
      all.result.limits.push_back({nullptr, std::string(), text, file});
      continue;
    }
    const Knob* knob = knob_of_file(file, Version::v2);
    if (h == nullptr || knob == nullptr || !knob->v2.present() || knob->v2.decode == nullptr)
      return refuse(ENOTSUP,
                    field,
                    text,
                    h == nullptr ? "no hierarchy here has its controller"
                                 : "is an invalid configuration: cgroup v1 has its controller here, and no such file");
    if (const auto home = home_of(all.hierarchies, *knob); !home)
      return refuse(ENOTSUP, field, text, fmt::format("is an invalid configuration: {}", home.error().what));
    const auto value = knob->v2.decode(*knob, knob->v2, OneFile(file, text));
    if (!value || !*value) return refuse(EINVAL, field, text, value ? "is no value of it" : value.error().what);
    CGX_CHECK(all.add(knob->name, field, **value, text));
  }
  return {};
}

}  // namespace cgx::container
