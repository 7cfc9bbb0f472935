// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "cgx/image/stream.h"

namespace cgx::image {

struct Ahead::State {
  struct Piece {
    std::vector<std::byte> bytes;
    std::optional<Error> error;
  };
  Source* from = nullptr;
  std::mutex mutex;
  std::condition_variable changed;
  std::array<Piece, 4> ring;
  std::size_t made = 0, taken = 0;  // pieces; the one at `taken` is in use until the next call
  bool in_use = false;
  bool over = false;   // the reader wants no more
  bool ended = false;  // the last piece was handed out
  std::thread thread;

  void run() {
    for (bool last = false; !last;) {
      std::size_t slot = 0;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return over || made - taken < ring.size(); });
        if (over) return;
        slot = made % ring.size();
      }
      Piece& piece = ring[slot];
      auto bytes = from->next();
      if (bytes)
        piece.bytes.assign(bytes->begin(), bytes->end());
      else
        piece.error = std::move(bytes).error();
      last = piece.error || piece.bytes.empty();
      {
        const std::lock_guard lock(mutex);
        ++made;
      }
      changed.notify_all();
    }
  }
};

Ahead::Ahead() : state_(std::make_unique<State>()) {}

Ahead::~Ahead() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->over = true;
  }
  state_->changed.notify_all();
  if (state_->thread.joinable()) state_->thread.join();
}

Result<std::unique_ptr<Ahead>> Ahead::start(Source& from) {
  std::unique_ptr<Ahead> ahead(new Ahead());
  State* state = ahead->state_.get();
  state->from = &from;
  try {
    state->thread = std::thread([state] { state->run(); });
  } catch (const std::system_error& error) {
    return fail_errno(error.code().value(), "cannot make a thread");
  }
  return ahead;
}

Result<std::span<const std::byte>> Ahead::next() {
  State& state = *state_;
  if (state.ended) return std::span<const std::byte>{};
  std::unique_lock lock(state.mutex);
  if (state.in_use) {
    ++state.taken;
    state.changed.notify_all();
  }
  state.changed.wait(lock, [&state] { return state.made != state.taken; });
  state.in_use = true;
  State::Piece& piece = state.ring[state.taken % state.ring.size()];
  if (piece.error || piece.bytes.empty()) state.ended = true;
  if (piece.error) return std::unexpected(*piece.error);
  return std::span<const std::byte>(piece.bytes);
}

}  // namespace cgx::image
