// SPDX-License-Identifier: Apache-2.0
// For bench/rules: cgxd's Sorter by itself, with one rule. `rules-sorter COMM GROUP` prints "ready", and when its stdin
// ends what it has counted.
#include <cstdio>
#include <thread>

#include <unistd.h>

#include "daemon/rules/sorter.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto hierarchies = cgx::Hierarchies::discover();
  auto sorter = hierarchies ? cgx::daemon::Sorter::start(*hierarchies)
                            : cgx::Result<std::unique_ptr<cgx::daemon::Sorter>>(std::unexpected(hierarchies.error()));
  if (!sorter) {
    (void)std::fprintf(stderr, "rules-sorter: %s\n", sorter.error().text().c_str());
    return 1;
  }
  (*sorter)->set_rules({{.command = argv[1], .target = argv[2]}});
  while ((*sorter)->stats().rescans == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  (void)std::printf("ready\n");
  (void)std::fflush(stdout);
  char byte = 0;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  const auto stats = (*sorter)->stats();
  (void)std::printf("events %llu looked %llu moved %llu failed %llu lost %llu rescans %llu\n",
                    static_cast<unsigned long long>(stats.events),
                    static_cast<unsigned long long>(stats.looked),
                    static_cast<unsigned long long>(stats.moved),
                    static_cast<unsigned long long>(stats.failed),
                    static_cast<unsigned long long>(stats.lost),
                    static_cast<unsigned long long>(stats.rescans));
  for (const std::string& failure : (*sorter)->take_failures()) (void)std::fprintf(stderr, "%s\n", failure.c_str());
  return 0;
}
