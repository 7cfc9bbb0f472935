// SPDX-License-Identifier: Apache-2.0
// Pressure stall information. Only cgroup2 has it, without any controller: on a hybrid host it comes from there.
#include <array>

#include "cgx/model/stats/tables.h"

namespace cgx::stats {
namespace {

consteval Stat total(
    std::string_view name, std::string_view metric, std::string_view file, std::string_view key, std::string_view doc) {
  return {.name = name,
          .metric = metric,
          .unit = StatUnit::usec,
          .v2 = {.file = file, .key = key, .format = StatFormat::pressure},
          .doc = doc};
}
consteval Stat average(std::string_view name, std::string_view file, std::string_view key, std::string_view doc) {
  return {.name = name,
          .kind = StatKind::gauge,
          .unit = StatUnit::centipercent,
          .v2 = {.file = file, .key = key, .format = StatFormat::pressure},
          .doc = doc};
}

// clang-format off
constexpr std::array pressure_rows{
    total("pressure.cpu.some_usec", "pressure_cpu_waiting_seconds_total", "cpu.pressure", "some total", "time in which some task waited for a CPU"),
    average("pressure.cpu.some_avg10", "cpu.pressure", "some avg10", "share of the last 10 seconds in which some task waited for a CPU"),
    total("pressure.cpu.full_usec", "pressure_cpu_stalled_seconds_total", "cpu.pressure", "full total", "time in which all tasks waited for a CPU"),
    average("pressure.cpu.full_avg10", "cpu.pressure", "full avg10", "share of the last 10 seconds in which all tasks waited for a CPU"),
    total("pressure.memory.some_usec", "pressure_memory_waiting_seconds_total", "memory.pressure", "some total", "time in which some task waited for memory"),
    average("pressure.memory.some_avg10", "memory.pressure", "some avg10", "share of the last 10 seconds in which some task waited for memory"),
    total("pressure.memory.full_usec", "pressure_memory_stalled_seconds_total", "memory.pressure", "full total", "time in which all tasks waited for memory"),
    average("pressure.memory.full_avg10", "memory.pressure", "full avg10", "share of the last 10 seconds in which all tasks waited for memory"),
    total("pressure.io.some_usec", "pressure_io_waiting_seconds_total", "io.pressure", "some total", "time in which some task waited for IO"),
    average("pressure.io.some_avg10", "io.pressure", "some avg10", "share of the last 10 seconds in which some task waited for IO"),
    total("pressure.io.full_usec", "pressure_io_stalled_seconds_total", "io.pressure", "full total", "time in which all tasks waited for IO"),
    average("pressure.io.full_avg10", "io.pressure", "full avg10", "share of the last 10 seconds in which all tasks waited for IO"),
    total("pressure.irq.full_usec", "pressure_irq_stalled_seconds_total", "irq.pressure", "full total", "time that interrupts took from the tasks"),
    average("pressure.irq.full_avg10", "irq.pressure", "full avg10", "share of the last 10 seconds that interrupts took"),
};
// clang-format on
static_assert(well_formed(pressure_rows));

}  // namespace
std::span<const Stat> pressure() { return pressure_rows; }
}  // namespace cgx::stats
