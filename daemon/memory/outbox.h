// SPDX-License-Identifier: Apache-2.0
// Inside daemon/memory/: the way of decisions from a thread to the main loop, and texts of fixed size.
#pragma once

#include <charconv>

#include <unistd.h>

#include "daemon/decision.h"
#include "daemon/memory/io.h"

namespace cgx::daemon::memory {

// Of one thread. Nothing waits here: what finds no room is counted as lost.
struct Outbox {
  Outbox(std::size_t size, int notify) : ring(size), wake(notify) {}
  Ring<Decision> ring;
  int wake;  // an eventfd that the main loop polls
  std::atomic<std::uint64_t> lost{0};

  void send(const Decision& decision) {
    if (Decision* slot = ring.claim(); slot != nullptr) {
      *slot = decision;
      ring.publish();
    } else {
      lost.fetch_add(1, std::memory_order_relaxed);
    }
    constexpr std::uint64_t one = 1;
    (void)!write(wake, &one, sizeof one);  // can only fail where it is readable already
  }
};

// Appends to a text of fixed size; what does not fit is cut.
template <std::size_t N>
class Words {
 public:
  explicit Words(FixedText<N>& text) : text_(&text) { text.length = 0; }
  Words& operator<<(std::string_view word) {
    const std::size_t n = std::min(word.size(), N - text_->length);
    std::copy_n(word.data(), n, text_->bytes.data() + text_->length);
    text_->length = static_cast<std::uint16_t>(text_->length + n);
    return *this;
  }
  Words& operator<<(std::uint64_t number) {
    std::array<char, 24> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    return *this << std::string_view(digits.data(), static_cast<std::size_t>(end - digits.data()));
  }
  // Exact where a unit makes it whole, as limits mostly are: 64M, 20484K.
  Words& size(std::uint64_t bytes) {
    constexpr std::array<std::string_view, 4> units{"G", "M", "K", ""};
    for (std::size_t i = 0; i < units.size(); ++i) {
      const std::uint64_t unit = std::uint64_t{1} << (30 - 10 * i);
      if (bytes % unit == 0 && (bytes != 0 || unit == 1)) return *this << bytes / unit << units[i];
    }
    return *this;
  }

 private:
  FixedText<N>* text_;
};

}  // namespace cgx::daemon::memory
