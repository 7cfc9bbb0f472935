// SPDX-License-Identifier: Apache-2.0
// The main program of the doctest executables. Prints one line a test case, the protocol that tests/run reads:
//   PASS name
//   FAIL name: file:line what      (further failures of the same test case follow, indented)
//   SKIP name: why
// Options are doctest's (`-tc=PATTERN` picks test cases, `-ltc` lists them).
#define DOCTEST_CONFIG_IMPLEMENT
#include <cstdio>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "skip.h"

namespace {

// Filled by cgx::test::skip(), emptied at the start of each test case. A function-local static, because doctest
// makes the reporter itself and hands out no pointer to it.
std::vector<std::string>& skip_reasons() {
  static std::vector<std::string> reasons;
  return reasons;
}

// The protocol is one line a test case: text from values and exceptions may hold newlines.
std::string one_line(std::string_view text) {
  std::string line;
  bool blank = false;
  for (const char c : text) {
    const bool space = c == '\n' || c == '\t' || c == '\r' || c == ' ';
    if (!space) line += static_cast<unsigned char>(c) < ' ' ? '?' : c;
    if (space && !blank && !line.empty()) line += ' ';
    blank = space;
  }
  if (line.ends_with(' ')) line.pop_back();
  return line;
}

class LineReporter : public doctest::IReporter {
 public:
  explicit LineReporter(const doctest::ContextOptions& options) : out_(*options.cout) {}

  void test_case_start(const doctest::TestCaseData& test) override {
    name_ = one_line(test.m_name);
    failures_.clear();
    subcases_.clear();
    skip_reasons().clear();
  }
  void test_case_reenter(const doctest::TestCaseData&) override { subcases_.clear(); }
  void subcase_start(const doctest::SubcaseSignature& subcase) override {
    subcases_.emplace_back(subcase.m_name.c_str());
  }
  void subcase_end() override {
    if (!subcases_.empty()) subcases_.pop_back();
  }

  void log_assert(const doctest::AssertData& check) override {
    if (!check.m_failed) return;
    std::ostringstream what;
    what << doctest::assertString(check.m_at) << "( " << check.m_expr << " )";
    if (check.m_threw)
      what << " threw " << check.m_exception.c_str();
    else if (check.m_decomp.size() > 0)
      what << " is " << check.m_decomp.c_str();
    else if ((check.m_at & doctest::assertType::is_throws) != 0)
      what << " did not throw";
    note(check.m_file, check.m_line, what.str());
  }

  void log_message(const doctest::MessageData& message) override {
    if (message.m_severity == doctest::assertType::is_warn) {
      out_ << "  note: " << one_line(message.m_string.c_str()) << '\n';
      return;
    }
    note(message.m_file, message.m_line, message.m_string.c_str());
  }

  void test_case_exception(const doctest::TestCaseException& exception) override {
    failures_.push_back(
        one_line(std::string(exception.is_crash ? "crashed: " : "threw: ") + exception.error_string.c_str() + where()));
  }

  void test_case_end(const doctest::CurrentTestCaseStats& stats) override {
    const std::vector<std::string>& reasons = skip_reasons();
    if (failures_.empty() && !stats.testCaseSuccess) failures_.emplace_back("failed without a message");
    // A test case that can only pass is a mistake in it.
    if (failures_.empty() && reasons.empty() && stats.numAssertsCurrentTest == 0)
      failures_.emplace_back("checked nothing and skipped nothing");
    if (!failures_.empty()) {
      any_failed_ = true;
      out_ << "FAIL " << name_ << ": " << failures_.front() << '\n';
      for (std::size_t i = 1; i < failures_.size(); ++i) out_ << "  also " << failures_[i] << '\n';
    } else if (!reasons.empty()) {
      out_ << "SKIP " << name_ << ": " << one_line(reasons.front()) << '\n';
    } else {
      out_ << "PASS " << name_ << '\n';
    }
    out_.flush();  // a crash later, or a fork in the next test case, must neither lose nor repeat the line
  }

  void report_query(const doctest::QueryData& query) override {
    for (unsigned i = 0; i < query.num_data; ++i) out_ << query.data[i]->m_name << '\n';
  }
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}

  // Whether a test case failed that doctest itself takes for passed.
  static bool any_failed() { return any_failed_; }

 private:
  void note(std::string_view file, int line, std::string_view what) {
    while (file.starts_with("../")) file.remove_prefix(3);  // the compiler is called from the build directory
    failures_.push_back(one_line(std::string(file) + ':' + std::to_string(line) + ' ' + std::string(what) + where()));
  }

  // The subcases entered and the INFO() and CAPTURE() notes in force.
  [[nodiscard]] std::string where() const {
    std::string text;
    for (const std::string& subcase : subcases_) text += " [in " + subcase + "]";
    const doctest::IContextScope* const* scopes = get_active_contexts();
    for (int i = 0; i < get_num_active_contexts(); ++i) {
      std::ostringstream scope;
      scopes[i]->stringify(&scope);
      text += " [" + scope.str() + "]";
    }
    return text;
  }

  inline static bool any_failed_ = false;
  std::ostream& out_;
  std::string name_;
  std::vector<std::string> failures_;
  std::vector<std::string> subcases_;
};

DOCTEST_REGISTER_REPORTER("lines", 0, LineReporter);

}  // namespace

void cgx::test::skip(std::string why) { skip_reasons().push_back(std::move(why)); }

int main(int argc, char** argv) {
  doctest::Context context;
  context.setOption("reporters", "lines");
  context.setOption("no-intro", true);
  context.applyCommandLine(argc, argv);
  const int status = context.run();
  if (context.shouldExit()) return status;
  return status != 0 || LineReporter::any_failed() ? 1 : 0;
}
