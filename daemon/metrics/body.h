// SPDX-License-Identifier: Apache-2.0
// Inside daemon/metrics/: the body of an answer, made while it is sent, packed with gzip where the client takes it.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "daemon/metrics/page.h"

namespace cgx::daemon {

class Body {
 public:
  Body(Page page, bool gzip);
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;
  ~Body();

  // Fills a part of `into`, at least one byte of it. 0: that was the end. -1: it cannot go on.
  [[nodiscard]] long read(std::span<char> into);

 private:
  struct Packer;
  long plain(std::span<char> into);
  long packed(std::span<char> into);

  Page page_;
  std::string piece_;
  std::size_t sent_ = 0;  // of the piece
  bool last_ = false;
  std::unique_ptr<Packer> packer_;
};

// A text in gzip's format; empty where there is no memory for it.
[[nodiscard]] std::string gzip(std::string_view text);

}  // namespace cgx::daemon
