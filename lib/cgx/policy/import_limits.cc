// SPDX-License-Identifier: Apache-2.0
// Parameters of cgconfig.conf are files of the kernel and what is written to them. The rows of knobs know those files
// of both versions: each parameter goes to its row, and the row's decoder makes the value, as if it had been read from
// a group. What no row is for stays the file that it is, in `raw`.
#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/policy/import_parts.h"
#include "cgx/policy/read.h"
#include "cgx/sys/text.h"

namespace cgx::policy {
namespace {

// What the kernel has in files of which a value was given for one and not for its neighbour.
constexpr std::pair<std::string_view, std::string_view> defaults[] = {
    {"cpu.cfs_quota_us", "-1"},
    {"cpu.cfs_period_us", "100000"},
    {"cpu.rt_runtime_us", "0"},
    {"cpu.rt_period_us", "1000000"},
    {"blkio.throttle.read_bps_device", ""},
    {"blkio.throttle.write_bps_device", ""},
    {"blkio.throttle.read_iops_device", ""},
    {"blkio.throttle.write_iops_device", ""},
};

class ParamView final : public View {
 public:
  explicit ParamView(const std::vector<ConfigParam>& params) : params_(params) {}
  [[nodiscard]] Result<std::string> read(Controller /*controller*/, std::string_view file) const override {
    const auto at = std::ranges::find(params_, file, &ConfigParam::name);
    if (at != params_.end()) return at->value;
    for (const auto& [name, text] : defaults)
      if (name == file) return std::string(text);
    return fail(ENOENT, "is not given");
  }
  [[nodiscard]] std::vector<std::string> files(Controller controller) const override {
    std::vector<std::string> names;
    for (const ConfigParam& p : params_)
      if (controller_of_file(p.name) == controller) names.push_back(p.name);
    return names;
  }
  [[nodiscard]] const Value* wanted(std::string_view /*knob*/) const override { return nullptr; }

 private:
  const std::vector<ConfigParam>& params_;
};

// What people write where the kernel itself would answer a plain number: `512M`, `0x100001`.
std::string as_read(const Knob& knob, const ConfigParam& param) {
  std::string text(sys::trim(param.value));
  if (knob.format == Format::size || knob.format == Format::hugetlb)
    if (const auto n = sys::parse_size(text)) return *n == sys::unlimited ? "max" : std::to_string(*n);
  if (knob.format == Format::classid)
    if (const auto n = sys::parse_any_base(text, UINT32_MAX)) return std::to_string(*n);
  return text;
}

bool holds_number(Format format) {
  return format == Format::size || format == Format::count || format == Format::number || format == Format::usec ||
         format == Format::flag || format == Format::classid;
}

// The value once more as a file of policies is read, which checks its range; so the policy is sure to load.
std::optional<Value> checked(const Knob& knob, const Value& value, std::string& why) {
  if (holds_number(knob.format) != std::holds_alternative<std::uint64_t>(value)) {
    why = "is no number";
    return {};
  }
  std::optional<Value> whole;
  const std::string text = exact(knob, value);
  for (const std::string_view line : sys::lines(text)) {
    const auto part = parse_value(knob, line, {});
    const auto merged = !part   ? Result<>(std::unexpected(part.error()))
                        : whole ? merge_value(*whole, *part)
                                : Result<>();
    if (!merged) {
      why = merged.error().what;
      return {};
    }
    if (!whole) whole = *part;
  }
  if (!whole) why = "is empty";
  return whole;
}

class Limits {
 public:
  Limits(const std::vector<ConfigParam>& params, GroupPolicy& group, Told& told)
      : group_(group), told_(told), path_("group " + group.name + ": ") {
    for (const ConfigParam& p : params) take(p);
  }

  void run() {
    devices();
    for (std::size_t i = 0; i < params_.size(); ++i)
      if (!used_[i]) one(i);
    take_pause();
    // A file of the other version that is set beside the one which a limit was made of.
    std::vector<std::string> twice;
    for (const PolicyLimit& raw : group_.limits) {
      const auto sets_it = [&](const PolicyLimit& l) { return l.limit.knob != nullptr && same_file(raw, l); };
      if (raw.limit.knob != nullptr) continue;
      const auto other = std::ranges::find_if(group_.limits, sets_it);
      if (other == group_.limits.end()) continue;
      told_.missing(
          raw.place.line, path_ + raw.limit.file, fmt::format("left out, since {} sets the same", other->key));
      twice.push_back(raw.key);
    }
    std::erase_if(group_.limits, [&](const PolicyLimit& l) { return std::ranges::find(twice, l.key) != twice.end(); });
  }

 private:
  // A file that is written twice has the second value; rules of devices add up.
  static bool adds_up(std::string_view file) { return file == "devices.allow" || file == "devices.deny"; }

  void take(const ConfigParam& p) {
    const auto same = std::ranges::find(params_, p.name, &ConfigParam::name);
    if (same == params_.end() || adds_up(p.name)) {
      params_.push_back(p);
      used_.push_back(false);
      return;
    }
    told_.missing(same->line, path_ + p.name, fmt::format("line {} sets it again", p.line));
    *same = p;
  }

  void devices() {
    const Knob* knob = find_knob("--device");
    std::optional<Value> rules;
    unsigned line = 0;
    for (std::size_t i = 0; i < params_.size(); ++i) {
      const ConfigParam& p = params_[i];
      if (knob == nullptr || !adds_up(p.name)) continue;
      used_[i] = true;
      line = p.line;
      for (const std::string_view text : sys::lines(p.value)) {
        std::string rule(sys::trim(text));
        if (rule.empty()) continue;
        if (rule == "a *:* rwm") rule = "a";
        auto value = parse_value(*knob, p.name.substr(8) + ' ' + rule, {});
        const auto merged = !value  ? Result<>(std::unexpected(value.error()))
                            : rules ? merge_value(*rules, *value)
                                    : Result<>();
        if (!merged)
          told_.wrong(p.line, path_ + p.name, fmt::format("\"{}\" {}", rule, merged.error().what));
        else if (!rules)
          rules = *std::move(value);
      }
    }
    if (rules) add(*knob, *std::move(rules), line);
  }

  void one(std::size_t at) {
    const ConfigParam p = params_[at];
    used_[at] = true;
    if (special(p)) return;
    const Knob* knob = nullptr;
    Version version = Version::v1;
    for (const Version v : {Version::v1, Version::v2})
      if (const Knob* k = knob_of_file(p.name, v); k != nullptr && knob == nullptr) {
        knob = k;
        version = v;
      }
    if (knob != nullptr && !knob->key.empty() && backing(*knob, version).decode != nullptr)
      return decode(*knob, version, at);
    raw(p, knob);
  }

  // Files whose text is another one when written than when read.
  bool special(const ConfigParam& p) {
    const std::string_view value = sys::trim(p.value);
    if (p.name == "memory.oom_control" && (value == "0" || value == "1")) {
      oom(value == "1" ? "pause" : "kill", p.line);
      return true;
    }
    if (p.name == "memory.oom.group" && (value == "0" || value == "1")) {
      if (value == "1") oom("group", p.line);
      return true;
    }
    if (p.name == "memory.use_hierarchy" && value == "1") return true;  // the only way that kernels still have
    if (p.name.starts_with("memory.kmem.")) {
      told_.missing(p.line, path_ + p.name, "the kernel takes it and does nothing with it");
      return true;
    }
    return false;
  }

  void oom(std::string word, unsigned line) {
    if (const Knob* knob = find_knob("--oom")) add(*knob, Value(std::move(word)), line);
  }

  // As the reader of policies has it: `pause` is the daemon's, and no limit.
  void take_pause() {
    const auto limit = std::ranges::find(group_.limits, "memory.oom", &PolicyLimit::key);
    if (limit == group_.limits.end()) return;
    const auto* word = std::get_if<std::string>(&limit->limit.value);
    if (word == nullptr) return;
    group_.oom = *word == "pause" ? OomMode::pause : *word == "group" ? OomMode::group : OomMode::kernel;
    if (group_.oom == OomMode::pause) group_.limits.erase(limit);
  }

  void decode(const Knob& knob, Version version, std::size_t first) {
    std::vector<ConfigParam> own;
    std::vector<ConfigParam> given;
    for (std::size_t i = 0; i < params_.size(); ++i) {
      if (knob_of_file(params_[i].name, version) != &knob || (used_[i] && i != first)) continue;
      used_[i] = true;
      given.push_back(params_[i]);
      own.push_back(params_[i]);
      own.back().value = as_read(knob, params_[i]);
    }
    const ParamView view(own);
    const auto value = backing(knob, version).decode(knob, backing(knob, version), view);
    std::string why = value ? "is no value of it" : value.error().what;
    if (value && *value)
      if (auto good = checked(knob, **value, why)) return add(knob, *std::move(good), given.front().line);
    for (const ConfigParam& p : given) {
      told_.missing(p.line, path_ + p.name, fmt::format("\"{}\" {}; it stays as it is, in raw", p.value, why));
      raw(p, &knob);
    }
  }

  // What `raw` of policies takes; all else is told.
  void raw(const ConfigParam& p, const Knob* knob) {
    const auto refuse = [&](std::string_view why) {
      told_.missing(p.line, path_ + p.name, fmt::format("{} ({})", why, p.value));
    };
    const std::string_view value = sys::trim(p.value);
    if (const auto good = check_raw(p.name, value); !good) return refuse(good.error().what);
    if (value.empty()) return refuse("has no value");
    if (knob == nullptr) told_.missing(p.line, path_ + p.name, "is not known to cgx: it stays as it is, in raw");
    PolicyLimit limit;
    limit.limit = {nullptr, std::string(), std::string(value), p.name};
    limit.key = "raw." + p.name;
    limit.place.line = p.line;
    group_.limits.push_back(std::move(limit));
  }

  // Files of both versions may lead to one limit, which a policy has once: the second one counts, as with one file.
  void add(const Knob& knob, Value value, unsigned line) {
    const auto same = std::ranges::find(group_.limits, knob.key, &PolicyLimit::key);
    if (same != group_.limits.end()) {
      told_.missing(same->place.line, path_ + same->key, fmt::format("line {} sets it again", line));
      group_.limits.erase(same);
    }
    PolicyLimit limit;
    limit.limit = {&knob, std::move(value), {}, {}};
    limit.key = knob.key;
    limit.place.line = line;
    group_.limits.push_back(std::move(limit));
  }

  GroupPolicy& group_;
  Told& told_;
  std::string path_;
  std::vector<ConfigParam> params_;
  std::vector<bool> used_;
};

}  // namespace

void import_limits(const std::vector<ConfigParam>& params, GroupPolicy& group, Told& told) {
  Limits(params, group, told).run();
}

}  // namespace cgx::policy
