// SPDX-License-Identifier: Apache-2.0
#include "cgx/model/device_list.h"

#include <algorithm>
#include <cerrno>
#include <tuple>
#include <utility>

#include "cgx/sys/text.h"

namespace cgx {
namespace {

bool same_key(const DeviceRule& a, const DeviceRule& b) {
  return a.type == b.type && a.major == b.major && a.minor == b.minor;
}

unsigned access_of(std::span<const DeviceRule> rules, const DeviceRule& key) {
  const auto at = std::ranges::find_if(rules, [&](const DeviceRule& rule) { return same_key(rule, key); });
  return at == rules.end() ? 0 : at->access;
}

// The kernel's match_exception: one exception holds the whole of `rule`, which may have wildcards itself.
bool holds_all(const DeviceRule& exception, const DeviceRule& rule) {
  return exception.type == rule.type && (!exception.major || exception.major == rule.major) &&
         (!exception.minor || exception.minor == rule.minor) && (rule.access & ~exception.access) == 0;
}

// The kernel's match_exception_partial: some device and some access is in both.
bool overlaps(const DeviceRule& exception, const DeviceRule& rule) {
  const auto meet = [](const std::optional<unsigned>& a, const std::optional<unsigned>& b) {
    return !a || !b || a == b;
  };
  return exception.type == rule.type && meet(exception.major, rule.major) && meet(exception.minor, rule.minor) &&
         (exception.access & rule.access) != 0;
}

std::vector<DeviceRule> sorted(std::span<const DeviceRule> rules) {
  std::vector<DeviceRule> copy(rules.begin(), rules.end());
  std::ranges::sort(copy, [](const DeviceRule& a, const DeviceRule& b) {
    return std::tie(a.type, a.major, a.minor) < std::tie(b.type, b.major, b.minor);
  });
  return copy;
}

}  // namespace

DeviceList DeviceList::nothing() {
  DeviceList list;
  list.allow_ = false;
  return list;
}

Result<DeviceList> DeviceList::parse_kernel(std::string_view text) {
  DeviceList list = nothing();
  for (const std::string_view line : sys::lines(text)) {
    DeviceRule rule = CGX_TRY(parse_devices_line(line));
    list.apply(rule);
  }
  return list;
}

Result<DeviceList> DeviceList::parse(std::string_view text) {
  DeviceList list;
  for (std::string_view line : sys::lines(text)) {
    const std::string_view whole = line;
    const bool allow = line.starts_with("allow ");
    if (!allow && !line.starts_with("deny "))
      return fail(EINVAL, "is not a list of device rules: " + std::string(whole));
    line.remove_prefix(line.find(' '));
    DeviceRule rule = CGX_TRY(parse_devices_line(line));
    rule.allow = allow;
    list.apply(rule);
  }
  return list;
}

void DeviceList::apply(const DeviceRule& rule, const DeviceList* parent) {
  if (rule.type == 'a') {
    exceptions_.clear();
    allow_ = rule.allow;
    if (allow_ && parent != nullptr && parent->allow_) exceptions_ = parent->exceptions_;
    return;
  }
  const auto at = std::ranges::find_if(exceptions_, [&](const DeviceRule& e) { return same_key(e, rule); });
  if (rule.allow == allow_) {
    // What the default says anyway only takes bits from the exception of the very same numbers.
    if (at == exceptions_.end()) return;
    at->access &= ~rule.access;
    if (at->access == 0) exceptions_.erase(at);
  } else if (at != exceptions_.end()) {
    at->access |= rule.access;
  } else {
    exceptions_.push_back(rule);
  }
}

std::optional<DeviceRule> DeviceList::in_the_way_of(const DeviceRule& rule) const {
  if (rule.type == 'a' || rule.allow != allow_) return {};
  for (const DeviceRule& exception : exceptions_)
    if (overlaps(exception, rule) && !same_key(exception, rule)) return exception;
  return {};
}

bool DeviceList::permits(char type, unsigned major, unsigned minor, unsigned access) const {
  const DeviceRule asked{.allow = true, .type = type, .major = major, .minor = minor, .access = access};
  if (allow_) return std::ranges::none_of(exceptions_, [&](const DeviceRule& e) { return overlaps(e, asked); });
  return std::ranges::any_of(exceptions_, [&](const DeviceRule& e) { return holds_all(e, asked); });
}

std::string DeviceList::text() const {
  std::string text = DeviceRule{.allow = allow_, .major = {}, .minor = {}}.text() + '\n';
  for (const DeviceRule& exception : exceptions_) text += exception.text() + '\n';
  return text;
}

std::string DeviceList::kernel_text() const {
  if (allow_) return "a *:* rwm\n";
  std::string text;
  for (const DeviceRule& exception : exceptions_) text += exception.kernel_text() + '\n';
  return text;
}

bool DeviceList::operator==(const DeviceList& other) const {
  return allow_ == other.allow_ && exceptions_.size() == other.exceptions_.size() &&
         sorted(exceptions_) == sorted(other.exceptions_);
}

Result<DeviceList> with_rules(DeviceList start, std::span<const DeviceRule> rules, const DeviceList* parent) {
  for (const DeviceRule& rule : rules) {
    if (const auto wider = start.in_the_way_of(rule)) {
      auto error = bad_value(
          rule.text(), "has no effect beside `" + wider->text() + "`: the kernel makes no exception from an exception");
      error.error().hint = rule.allow ? "start with `deny a` and allow what is wanted, or deny single devices"
                                      : "allow single devices instead of the wider rule";
      return error;
    }
    start.apply(rule, parent);
    if (start.exceptions().size() > most_device_exceptions)
      return bad_value(rule.text(), "is one rule too many: at most " + std::to_string(most_device_exceptions));
  }
  return start;
}

Result<DeviceList> current_devices(std::string_view devices_list, std::optional<std::string_view> stored) {
  DeviceList shown = CGX_TRY(DeviceList::parse_kernel(devices_list));
  if (!stored || !shown.allows_by_default()) return shown;
  const auto kept = DeviceList::parse(*stored);
  // A record that does not fit is stale: someone else wrote the files since.
  return kept && kept->allows_by_default() ? *kept : shown;
}

std::vector<DeviceWrite> device_writes(const DeviceList& from, const DeviceList& to, const DeviceList* parent) {
  std::vector<DeviceWrite> writes;
  DeviceList base = from;
  const bool allow = to.allows_by_default();
  if (from.allows_by_default() != allow) {
    writes.push_back({DeviceRule{.allow = allow, .major = {}, .minor = {}}});
    base.apply(writes.back().rule, parent);
  }
  const auto difference = [&](std::span<const DeviceRule> wanted, std::span<const DeviceRule> there, bool verdict) {
    for (DeviceRule rule : wanted) {
      rule.access &= ~access_of(there, rule);
      rule.allow = verdict;
      if (rule.access != 0) writes.push_back({rule});
    }
  };
  difference(to.exceptions(), base.exceptions(), !allow);
  difference(base.exceptions(), to.exceptions(), allow);
  return writes;
}

bool parent_takes(const DeviceList& parent, const DeviceRule& rule) {
  if (rule.type == 'a') return !rule.allow || parent.allows_by_default();
  if (!rule.allow) return true;
  // An exception of the parent must not be given back, not even in part; what it does not give cannot be had.
  if (parent.allows_by_default())
    return std::ranges::none_of(parent.exceptions(), [&](const DeviceRule& e) { return overlaps(e, rule); });
  return std::ranges::any_of(parent.exceptions(), [&](const DeviceRule& e) { return holds_all(e, rule); });
}

Error explain_refusal(Error error, const DeviceRule& rule) {
  error.knob = DeviceWrite{rule}.file();
  error.value = rule.kernel_text();
  if (error.code == EINVAL && rule.type == 'a') {
    error.what = "cannot change the default of a group that has children";
    error.hint = "set the devices of a group before making groups below it, or allow and deny single devices";
  } else if (error.code == EPERM && rule.allow) {
    error.what = "was refused: the parent group does not allow it, or CAP_SYS_ADMIN is missing";
    error.hint = "allow it in the parent first: a group never has more devices than its parent";
  } else if (error.code == EPERM) {
    error.what = "was refused: changing device rules needs CAP_SYS_ADMIN";
  }
  return error;
}

}  // namespace cgx
