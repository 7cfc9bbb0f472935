// SPDX-License-Identifier: Apache-2.0
// Reading and writing of files that are open, for the memory thread: no allocation, plain errnos in place of sentences.
// And rings: queues of fixed size between two threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "cgx/policy/engine.h"
#include "cgx/sys/fd.h"

namespace cgx::daemon::memory {

using policy::Micros;
inline constexpr Micros ms = 1000;
inline constexpr Micros second = 1000 * ms;
using policy::never;

[[nodiscard]] Micros now_micros();

struct Text {
  int code = 0;  // an errno
  std::string_view text;
};
struct Number {
  int code = 0;
  std::uint64_t value = 0;
};

// A whole file from its start, into the caller's buffer. EFBIG where it does not fit.
[[nodiscard]] Text read_text(int fd, std::span<char> buffer);
// One number; `max`, and what v1 writes for no limit, is sys::unlimited.
[[nodiscard]] Number read_number(int fd);
// The number after `key` in a file of `key value` lines, 0 where there is none.
[[nodiscard]] std::uint64_t number_of(std::string_view file, std::string_view key);
// One write from the start of the file; 0 or an errno.
[[nodiscard]] int write_text(int fd, std::string_view text);
[[nodiscard]] int write_number(int fd, std::uint64_t value);  // sys::unlimited becomes `max`; not for v1
// The kernel's text of an errno; a literal.
[[nodiscard]] std::string_view reason(int code);

// One writer, one reader. The writer fills a slot in place: claim(), then publish(). claim() answers nullptr where the
// ring is full. The reader: front(), then pop().
template <class T>
class Ring {
 public:
  explicit Ring(std::size_t size) : size_(size), slots_(std::make_unique<T[]>(size)) {}
  [[nodiscard]] T* claim() {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_.load(std::memory_order_acquire) == size_) return nullptr;
    return &slots_[tail % size_];
  }
  void publish() { tail_.store(tail_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
  [[nodiscard]] T* front() {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    return head == tail_.load(std::memory_order_acquire) ? nullptr : &slots_[head % size_];
  }
  void pop() { head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

 private:
  std::size_t size_;
  std::unique_ptr<T[]> slots_;
  alignas(64) std::atomic<std::size_t> head_{0};
  alignas(64) std::atomic<std::size_t> tail_{0};
};

}  // namespace cgx::daemon::memory
