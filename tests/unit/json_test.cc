// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/json.h"

#include <limits>
#include <string>

#include <doctest/doctest.h>

namespace json_test {

using cgx::sys::JsonWriter;

TEST_CASE("json: commas, nesting and empty containers") {
  JsonWriter json;
  json.open_object().key("a").number(1).key("b").open_array().close_array().key("c").open_object().close_object();
  json.key("d").open_array().string("x").null().boolean(true).boolean(false).integer(-5).limit(7);
  json.limit(std::numeric_limits<std::uint64_t>::max()).open_object().key("e").string("").close_object().close_array();
  json.close_object();
  CHECK(json.text() == R"({"a":1,"b":[],"c":{},"d":["x",null,true,false,-5,7,"max",{"e":""}]})");
  CHECK(json.take().size() > 10);
  CHECK(json.text().empty());
  json.open_array().number(std::numeric_limits<std::uint64_t>::max()).close_array();
  CHECK(json.text() == "[18446744073709551615]");
}

TEST_CASE("json: text is escaped, and what is no UTF-8 is replaced") {
  const auto text = [](std::string_view s) {
    JsonWriter json;
    json.string(s);
    return json.take();
  };
  CHECK(text("a\"b\\c/d") == R"("a\"b\\c/d")");
  CHECK(text("\n\t\r\b\x01\x1f") == R"("\n\t\u000d\u0008\u0001\u001f")");
  CHECK(text(std::string_view("\0", 1)) == "\"\\u0000\"");
  CHECK(text("h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80") == "\"h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
  const std::string bad = "\xef\xbf\xbd";
  CHECK(text("\xff") == "\"" + bad + "\"");
  CHECK(text("a\xc3") == "\"a" + bad + "\"");
  CHECK(text("\xc0\x80") == "\"" + bad + bad + "\"");                      // overlong
  CHECK(text("\xed\xa0\x80") == "\"" + bad + bad + bad + "\"");            // a surrogate
  CHECK(text("\xf4\x90\x80\x80") == "\"" + bad + bad + bad + bad + "\"");  // over U+10FFFF
  CHECK(text("\xe2\x82x") == "\"" + bad + bad + "x\"");
}

TEST_CASE("json: keys are escaped too") {
  JsonWriter json;
  json.open_object().key("a\"b\n").number(1).close_object();
  CHECK(json.text() == R"({"a\"b\n":1})");
}

TEST_CASE("json: reals") {
  const auto text = [](double d) {
    JsonWriter json;
    json.real(d);
    return json.take();
  };
  CHECK(text(0) == "0.0");
  CHECK(text(1.5) == "1.5");
  CHECK(text(-0.25) == "-0.25");
  CHECK(text(1e-9) == "0.0");
  CHECK(text(100) == "100.0");
  CHECK(text(std::numeric_limits<double>::infinity()) == "null");
  CHECK(text(std::numeric_limits<double>::quiet_NaN()) == "null");
}

}  // namespace json_test
