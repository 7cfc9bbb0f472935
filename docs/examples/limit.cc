// SPDX-License-Identifier: Apache-2.0
// Makes a group with a memory limit, reads the limit back, and removes the group:
//   g++ -std=c++23 limit.cc $(pkg-config --cflags --libs cgx) -o limit && ./limit jobs/7 512M
#include <iostream>

#include <cgx/cgroupfs/tasks.h>
#include <cgx/change/plan.h>

cgx::Result<> limit(const std::string& name, const std::string& size) {
  const cgx::Hierarchies hierarchies = CGX_TRY(cgx::Hierarchies::discover());
  const cgx::Knob* mem = cgx::find_knob("mem");  // memory.max on v2, memory.limit_in_bytes on v1
  cgx::Desired desired;
  desired.group = CGX_TRY(cgx::parse_group_name(name));
  desired.existing = cgx::Existing::refuse;
  desired.limits = {{mem, CGX_TRY(cgx::parse_value(*mem, size, {})), size, ""}};

  cgx::Transaction transaction(hierarchies);
  CGX_CHECK(transaction.apply(desired));  // on a failure it has undone everything already
  transaction.commit();                   // other programs with this library may go on
  const auto value = CGX_TRY(cgx::read_knob(cgx::Cgroup(hierarchies, desired.group), *mem));
  if (value) std::cout << desired.group << " may use " << cgx::display(*mem, *value) << "\n";
  return cgx::remove_group(cgx::Cgroup(hierarchies, desired.group), cgx::Below::keep);
}

int main(int argc, char** argv) {
  const auto done = limit(argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : "");
  if (!done) std::cerr << "limit: " << done.error().text() << "\n";
  return done ? 0 : 1;
}
