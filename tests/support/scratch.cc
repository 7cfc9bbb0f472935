// SPDX-License-Identifier: Apache-2.0
#include "scratch.h"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <fcntl.h>
#include <unistd.h>

namespace cgx::test {

std::string unique_name() {
  static std::atomic<unsigned> count = 0;
  return "cgx-test-" + std::to_string(getpid()) + "-" + std::to_string(++count);
}

std::string helper(std::string_view name) {
  const char* build = std::getenv("CGX_BUILD");
  const auto dir = build != nullptr ? std::filesystem::path(build) / "tests"
                                    : std::filesystem::read_symlink("/proc/self/exe").parent_path();
  return dir / name;
}

ScratchDir::ScratchDir() : path_("/tmp/" + unique_name()) {
  std::filesystem::create_directory(path_);
  auto opened = sys::open_path(path_, O_PATH | O_DIRECTORY);
  if (!opened) throw std::runtime_error(opened.error().text());
  fd_ = *std::move(opened);
}

ScratchDir::~ScratchDir() {
  std::error_code ignored;  // tests/run reports what is left
  std::filesystem::remove_all(path_, ignored);
}

void ScratchDir::file(std::string_view name, std::string_view content) const {
  std::ofstream out(path_ + "/" + std::string(name), std::ios::binary);
  out << content;
  if (!out.flush()) throw std::runtime_error("cannot write " + std::string(name));
}

void ScratchDir::dir(std::string_view name) const {
  std::filesystem::create_directory(path_ + "/" + std::string(name));
}

void ScratchDir::link(std::string_view name, std::string_view target) const {
  std::filesystem::create_symlink(target, path_ + "/" + std::string(name));
}

std::string content(const std::string& path) {
  const auto text = sys::read_path(path);
  return text ? *text : "<" + text.error().text() + ">";
}

}  // namespace cgx::test
