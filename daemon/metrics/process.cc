// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics/process.h"

#include <array>
#include <ctime>
#include <optional>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

namespace cgx::daemon {
namespace {

enum Which : std::uint8_t { cpu, resident, virtual_memory, open_fds, max_fds, start_time };

// clang-format off
constexpr std::array all_process_rows{
    ProcessRow{"process_cpu_seconds_total", MetricType::counter, "seconds", "CPU time that cgxd has used."},
    ProcessRow{"process_resident_memory_bytes", MetricType::gauge, "bytes", "Memory of cgxd that is in RAM."},
    ProcessRow{"process_virtual_memory_bytes", MetricType::gauge, "bytes", "Address space of cgxd."},
    ProcessRow{"process_open_fds", MetricType::gauge, "", "Descriptors that cgxd has open."},
    ProcessRow{"process_max_fds", MetricType::gauge, "", "Descriptors that cgxd may have open."},
    ProcessRow{"process_start_time_seconds", MetricType::gauge, "seconds", "When cgxd started, in seconds since 1970."},
};
// clang-format on

void put(std::string& out, Format format, Which row, std::optional<std::uint64_t> n, Scale scale = Scale::one) {
  if (!n) return;
  const ProcessRow& r = all_process_rows[row];
  text::append_header(out, r.name, r.type, r.unit, r.help, format);
  out.append(r.name).push_back(' ');
  text::append(out, *n, scale);
  out.push_back('\n');
}

std::optional<std::uint64_t> cpu_time() {
  rusage use{};
  if (getrusage(RUSAGE_SELF, &use) != 0) return std::nullopt;
  const auto usec = [](const timeval& t) {
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(t.tv_usec);
  };
  return usec(use.ru_utime) + usec(use.ru_stime);
}

// Since Linux 6.2 the directory's size is the number of its entries; counting 10,000 of them takes milliseconds.
std::optional<std::uint64_t> descriptors() {
  struct stat st{};
  if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0) return static_cast<std::uint64_t>(st.st_size);
  const auto dir = sys::open_path("/proc/self/fd", O_RDONLY | O_DIRECTORY);
  if (!dir) return std::nullopt;
  const auto list = sys::list_dir(dir->get(), "", sys::Entries::files);
  return list ? std::optional<std::uint64_t>(list->size()) : std::nullopt;
}

std::optional<std::uint64_t> started() {
  const auto stat_text = sys::read_path("/proc/self/stat");
  const auto boot_text = sys::read_path("/proc/stat");
  const long hz = sysconf(_SC_CLK_TCK);
  if (!stat_text || !boot_text || hz <= 0) return std::nullopt;
  const auto stat = sys::parse_stat(*stat_text);
  const auto boot = sys::keyed_u64(*boot_text, "btime");
  if (!stat || !boot) return std::nullopt;
  return *boot * 1'000'000 + stat->start * 1'000'000 / static_cast<std::uint64_t>(hz);
}

}  // namespace

std::span<const ProcessRow> process_rows() { return all_process_rows; }

void append_process_metrics(std::string& out, Format format) {
  put(out, format, Which::cpu, cpu_time(), Scale::micro);
  if (const auto statm = sys::read_path("/proc/self/statm")) {
    const auto fields = sys::words(*statm);
    const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    const auto bytes = [&](std::size_t i) -> std::optional<std::uint64_t> {
      const auto pages = i < fields.size() ? sys::parse_u64(fields[i]) : Result<std::uint64_t>(fail(0, {}));
      return pages ? std::optional<std::uint64_t>(*pages * page) : std::nullopt;
    };
    put(out, format, Which::resident, bytes(1));
    put(out, format, Which::virtual_memory, bytes(0));
  }
  put(out, format, Which::open_fds, descriptors());
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) put(out, format, Which::max_fds, limit.rlim_cur);
  static const std::optional<std::uint64_t> start = started();
  put(out, format, Which::start_time, start, Scale::micro);
}

}  // namespace cgx::daemon
