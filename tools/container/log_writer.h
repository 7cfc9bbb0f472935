// SPDX-License-Identifier: Apache-2.0
// The log of a container, DATA/containers/NAME/log: a line an entry, as the CRI has it. The older half is log.1.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "cgx/sys/fd.h"

namespace cgx::launcher {

class LogWriter {
 public:
  // Nothing is made before there is something to write.
  // `most`: bytes of a file; 0: nothing is written.
  LogWriter(std::string path, std::uint64_t most) : path_(std::move(path)), most_(most) {}
  enum class Stream : std::uint8_t { out, err };
  // Whole lines are written at once; the rest waits for its end, up to 16 KiB. A disk that is full costs the entries,
  // not the container.
  void add(Stream stream, std::string_view bytes);
  void finish();  // what waits

 private:
  void put(Stream stream, bool full, std::string_view text);
  void open_file();
  void rotate();
  void flush();
  void write_entries(std::string_view entries);

  std::string path_;
  std::uint64_t most_;
  std::array<std::string, 2> rest_;
  std::string pending_;
  sys::Fd file_;
  std::size_t size_ = 0;
  bool cut_ = false;
};

}  // namespace cgx::launcher
