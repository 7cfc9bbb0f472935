// SPDX-License-Identifier: Apache-2.0
// cgx-top, the live view: `cgx top` checks the words and starts it as
//   cgx-top GROUP COLUMN INTERVAL_USEC DEPTH
// It leaves the terminal as it found it, also when a signal ends it.
#include <algorithm>
#include <array>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cwchar>

#include <ncurses.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

#include "top_model.h"

namespace cgx::tool {
namespace {

using Clock = std::chrono::steady_clock;

// Owns the terminal's state.
class Screen {
 public:
  Screen() : screen_(newterm(nullptr, stdout, stdin)) {
    if (screen_ == nullptr) return;
    set_term(screen_);
    cbreak();
    noecho();
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE);
    (void)curs_set(0);  // a terminal that cannot hide its cursor still works
    const char* no_color = std::getenv("NO_COLOR");
    colours_ = has_colors() && (no_color == nullptr || *no_color == '\0') && start_color() == OK;
    if (colours_) {
      use_default_colors();
      init_pair(1, COLOR_YELLOW, -1);
      init_pair(2, COLOR_RED, -1);
    }
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen() {
    if (screen_ == nullptr) return;
    endwin();
    delscreen(screen_);
  }
  [[nodiscard]] bool valid() const { return screen_ != nullptr; }
  // 0 usual, 1 much, 2 very much.
  [[nodiscard]] attr_t level(int n) const {
    return colours_ && n > 0 ? static_cast<attr_t>(COLOR_PAIR(n)) : static_cast<attr_t>(A_NORMAL);
  }

 private:
  SCREEN* screen_;
  bool colours_ = false;
};

// The last characters of `text` that fit into `width` cells, with dots for what is cut: the end of a group's path tells
// more than its beginning. Bytes that are no text in this locale, and control characters, become '?'.
std::string fit_end(std::string_view text, int width) {
  struct Character {
    std::string bytes;
    int cells;
  };
  std::vector<Character> all;
  std::mbstate_t state{};
  int total = 0;
  while (!text.empty()) {
    wchar_t wide = 0;
    std::size_t n = std::mbrtowc(&wide, text.data(), text.size(), &state);
    int cells = n == 0 || n > text.size() ? -1 : wcwidth(wide);
    if (n == 0 || n > text.size()) {
      n = 1;
      state = {};
    }
    all.push_back({cells < 0 ? "?" : std::string(text.substr(0, n)), cells < 0 ? 1 : cells});
    total += all.back().cells;
    text.remove_prefix(n);
  }
  std::string shown_text;
  if (total <= width) {
    for (const Character& c : all) shown_text += c.bytes;
    return shown_text;
  }
  if (width < 4) return std::string(static_cast<std::size_t>(std::max(width, 0)), '.');
  std::size_t from = all.size();
  for (int room = width - 3; from > 0 && all[from - 1].cells <= room; --from) room -= all[from - 1].cells;
  shown_text = "...";
  for (; from < all.size(); ++from) shown_text += all[from].bytes;
  return shown_text;
}

int level_of(const TopRow& row, TopColumn column) {
  const std::optional<double> n = column == TopColumn::cpu        ? row.cpu
                                  : column == TopColumn::pressure ? row.pressure
                                                                  : std::nullopt;
  const double much = column == TopColumn::cpu ? 50 : 10;
  const double very_much = column == TopColumn::cpu ? 90 : 50;
  return !n || *n < much ? 0 : *n < very_much ? 1 : 2;
}

class View {
 public:
  View(std::string group, TopColumn sort, std::chrono::microseconds interval)
      : group_(std::move(group)), interval_(interval), sort_(sort) {}

  void take(std::vector<TopRow> rows) {
    rows_ = std::move(rows);
    sort_rows(rows_, sort_, order_);
  }

  // Answers false for the key that ends the program.
  bool key(int key) {
    const int page = std::max(1, LINES - 3);
    switch (key) {
      case 'q':
      case 'Q':
        return false;
      case 'r':
        order_ = order_ == TopOrder::usual ? TopOrder::turned : TopOrder::usual;
        break;
      case KEY_UP:
      case 'k':
        top_ -= 1;
        break;
      case KEY_DOWN:
      case 'j':
        top_ += 1;
        break;
      case KEY_PPAGE:
        top_ -= page;
        break;
      case KEY_NPAGE:
      case ' ':
        top_ += page;
        break;
      case KEY_HOME:
      case 'g':
        top_ = 0;
        break;
      case KEY_END:
      case 'G':
        top_ = static_cast<int>(rows_.size());
        break;
      default:
        for (const TopColumnRow& c : top_columns())
          if (c.key == key) {
            sort_ = c.id;
            order_ = TopOrder::usual;
            top_ = 0;
          }
    }
    sort_rows(rows_, sort_, order_);
    return true;
  }

  void draw(const Screen& screen) {
    erase();
    const int page = std::max(0, LINES - 3);
    top_ = std::clamp(top_, 0, std::max(0, static_cast<int>(rows_.size()) - page));
    const std::string range =
        rows_.empty() ? "0"
                      : fmt::format("{}-{} of {}",
                                    top_ + 1,
                                    std::min<std::size_t>(static_cast<std::size_t>(top_ + page), rows_.size()),
                                    rows_.size());
    put(0,
        0,
        fmt::format("cgx top {}  groups {}  every {}",
                    shown(group_),
                    range,
                    sys::format_time(static_cast<std::uint64_t>(interval_.count()))),
        A_BOLD);
    attron(A_REVERSE);
    mvhline(1, 0, ' ', COLS);
    attroff(A_REVERSE);
    line(
        1,
        [](const TopColumnRow& c) { return std::string(c.heading); },
        [&](const TopColumnRow& c) {
          return static_cast<attr_t>(c.id == sort_ ? A_REVERSE | A_BOLD | A_UNDERLINE : A_REVERSE);
        });
    const int shown_rows = std::min(page, static_cast<int>(rows_.size()) - top_);
    for (int y = 0; y < shown_rows; ++y) {
      const TopRow& row = *(rows_.begin() + top_ + y);
      line(
          y + 2,
          [&](const TopColumnRow& c) { return cell(row, c.id); },
          [&](const TopColumnRow& c) { return screen.level(level_of(row, c.id)); });
    }
    put(LINES - 1, 0, "c CPU  m memory  i IO  p pids  s pressure  n name  r turn  q quit", A_DIM);
    refresh();
  }

 private:
  static void put(int y, int x, const std::string& text, attr_t attributes) {
    if (y < 0 || y >= LINES || x >= COLS) return;
    attron(attributes);
    // ncurses cuts at the right edge, and says ERR for the last cell of the last line: nothing to do about either.
    (void)mvaddnstr(y, x, text.c_str(), static_cast<int>(text.size()));
    attroff(attributes);
  }

  // Numbers first, as many columns as leave room for a name; the one that is sorted by always.
  template <class Text, class Attributes>
  void line(int y, const Text& text, const Attributes& attributes) {
    constexpr int least_name = 16;
    const auto width_of = [](TopColumn id) { return top_columns()[static_cast<std::size_t>(id)].width + 1; };
    int room = COLS - least_name - (sort_ == TopColumn::name ? 0 : width_of(sort_));
    int x = 0;
    for (const TopColumnRow& c : top_columns()) {
      if (c.width == 0) {
        put(y, x + 1, fit_end(text(c), COLS - x - 1), attributes(c));
        continue;
      }
      if (c.id != sort_) {
        if (room < c.width + 1) continue;
        room -= c.width + 1;
      }
      put(y, x, fmt::format("{:>{}}", text(c), c.width), attributes(c));
      x += c.width + 1;
    }
  }

  std::string group_;
  std::chrono::microseconds interval_;
  TopColumn sort_;
  TopOrder order_ = TopOrder::usual;
  int top_ = 0;
  std::vector<TopRow> rows_;
};

struct Ended {
  int signal = 0;  // that ends the program; 0: the user's wish
};

// Draws until the end. Waits for keys and signals, never longer than to the next reading.
Result<Ended> watch(
    TopReader& reader, View& view, const Screen& screen, int signals, std::chrono::microseconds interval) {
  // What is in use is known at once, rates after a moment, not after the whole interval.
  view.take(CGX_TRY(reader.read()));
  view.draw(screen);
  Clock::time_point next = Clock::now() + std::min<std::chrono::microseconds>(interval, std::chrono::milliseconds(200));
  while (true) {
    if (Clock::now() >= next) {
      view.take(CGX_TRY(reader.read()));
      view.draw(screen);
      next = Clock::now() + interval;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next - Clock::now()).count();
    std::array<pollfd, 2> wait{pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{signals, POLLIN, 0}};
    const int n = poll(wait.data(), wait.size(), static_cast<int>(std::max<long>(0, left) + 1));
    if (n < 0 && errno != EINTR) return fail_errno(errno, "poll");
    if (n > 0 && (wait[1].revents & POLLIN) != 0) {
      signalfd_siginfo info{};
      if (read(signals, &info, sizeof info) == sizeof info) return Ended{static_cast<int>(info.ssi_signo)};
    }
    if (n > 0 && (wait[0].revents & (POLLHUP | POLLERR)) != 0) return Ended{SIGHUP};  // the terminal is gone
    // Also after EINTR: a change of the window's size is a key to ncurses.
    bool pressed = false;
    for (int key = getch(); key != ERR; key = getch()) {
      if (key != KEY_RESIZE && !view.key(key)) return Ended{};
      pressed = true;
    }
    if (pressed) view.draw(screen);
  }
}

Result<Ended> run(std::string_view group,
                  std::string_view column,
                  std::string_view interval_text,
                  std::string_view depth_text) {
  const std::string name = CGX_TRY(parse_group_name(group));
  const auto chosen = std::ranges::find(top_columns(), column, &TopColumnRow::name);
  if (chosen == top_columns().end()) return bad_value(column, "is not a column");
  const std::chrono::microseconds interval(CGX_TRY(sys::parse_u64(interval_text, 50'000, 3'600'000'000)));
  const auto depth = static_cast<unsigned>(CGX_TRY(sys::parse_u64(depth_text, 0, 0xffffffff)));
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  TopReader reader = CGX_TRY(TopReader::create(hierarchies, name, depth));
  View view(name, chosen->id, interval);

  sigset_t ending;
  sigemptyset(&ending);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) sigaddset(&ending, signal);
  sigprocmask(SIG_BLOCK, &ending, nullptr);
  const sys::Fd signals(signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.valid()) return fail_errno(errno, "signalfd");

  const Screen screen;
  if (!screen.valid()) {
    const char* term = std::getenv("TERM");
    return fail(ENOTTY, fmt::format("the terminal type \"{}\" is not known", term == nullptr ? "" : term));
  }
  return watch(reader, view, screen, signals.get(), interval);
}

}  // namespace
}  // namespace cgx::tool

int main(int argc, char** argv) {
  cgx::sys::wait_for_children();
  // The locale decides which bytes are characters, for names of groups.
  (void)std::setlocale(LC_ALL, "");
  if (argc != 5) {
    (void)std::fputs("cgx-top is started by cgx top\n", stderr);
    return 2;
  }
  const auto ended = cgx::tool::run(argv[1], argv[2], argv[3], argv[4]);
  if (!ended) {
    (void)std::fputs(fmt::format("cgx: top: {}\n", ended.error().text()).c_str(), stderr);
    return ended.error().fault == cgx::Fault::usage ? 2 : 1;
  }
  if (ended->signal != 0) {
    // The terminal is restored by now: die of the signal, as whoever sent it expects.
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, ended->signal);
    (void)std::signal(ended->signal, SIG_DFL);
    (void)raise(ended->signal);
    sigprocmask(SIG_UNBLOCK, &one, nullptr);
  }
  return 0;
}
