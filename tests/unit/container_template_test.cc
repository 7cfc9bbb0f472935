// SPDX-License-Identifier: Apache-2.0
// Templates of --format: what Go's text/template prints of the same template and value.
#include <doctest/doctest.h>

#include "tools/container/template.h"

using cgx::launcher::Template;
using cgx::launcher::Value;

namespace {

constexpr std::string_view web = R"({"Name": "/web", "Id": "0123456789abcdef",
  "State": {"Status": "running", "Pid": 4711, "OOMKilled": false, "Error": ""},
  "Config": {"Labels": {"b.c": "2", "a": "1"}, "Cmd": ["httpd", "-f", "-p 80"], "Tty": true, "Nothing": null},
  "Big": 18446744073709551615, "Low": -9223372036854775808, "Half": 0.5, "Empty": [], "Mounts": [
  {"Source": "/a", "RW": true}, {"Source": "/b", "RW": false}]})";

Value value() {
  const auto tree = cgx::container::json::parse(web);
  REQUIRE(tree.has_value());
  return cgx::launcher::value_of(cgx::container::json::Value(*tree, 0));
}

// What it prints, or `error: WHAT`.
std::string made(std::string_view text) {
  const auto parsed = Template::parse(text);
  if (!parsed) return "refused: " + parsed.error().what;
  const auto out = parsed->run(value());
  return out ? *out : "error: " + out.error().what;
}

struct Row {
  std::string_view text, want;
};
constexpr Row good[] = {
    {"", ""},
    {"plain } }} text", "plain } }} text"},
    {"{{.Name}}", "/web"},
    {"{{ .State.Pid }}!", "4711!"},
    {"{{$.State.Status}} {{.State.OOMKilled}}", "running false"},
    {"{{.Big}} {{.Low}} {{.Half}}", "18446744073709551615 -9223372036854775808 0.5"},
    {"{{.Config.Cmd}}", "[httpd -f -p 80]"},
    {"{{.Config.Labels}}", "map[a:1 b.c:2]"},
    {"{{.Config.Nothing}}", "<no value>"},
    {"{{json .Config.Cmd}}", R"(["httpd","-f","-p 80"])"},
    {"{{json .State}}", R"({"Status":"running","Pid":4711,"OOMKilled":false,"Error":""})"},
    {"{{json .Big}} {{json .Half}}", "18446744073709551615 0.5"},
    {"{{.State | json}}", R"({"Status":"running","Pid":4711,"OOMKilled":false,"Error":""})"},
    {R"({{index .Config.Labels "b.c"}})", "2"},
    {R"({{index .Config.Labels "none"}}.)", "."},
    {"{{index .Config.Cmd 1}}", "-f"},
    {"{{(index .Mounts 1).Source}}", "/b"},
    {"{{index .Mounts 0 | json}}", R"({"Source":"/a","RW":true})"},
    {"{{len .Config.Cmd}} {{len .Config.Labels}} {{len .Name}}", "3 2 4"},
    {"{{range .Mounts}}{{.Source}}:{{.RW}} {{end}}", "/a:true /b:false "},
    {"{{range $i, $m := .Mounts}}{{$i}}={{$m.Source}},{{end}}", "0=/a,1=/b,"},
    {"{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}", "a=1;b.c=2;"},
    {"{{range .Empty}}x{{else}}none{{end}}", "none"},
    {"{{if .State.Error}}bad{{else if .Config.Tty}}tty{{else}}none{{end}}", "tty"},
    {"{{if and .Config.Tty (not .State.OOMKilled)}}yes{{end}}", "yes"},
    {"{{with .State}}{{.Pid}}{{end}}{{with .State.Error}}x{{else}}none{{end}}", "4711none"},
    {"{{$p := .State.Pid}}{{if gt $p 4000}}{{$p}}{{end}}", "4711"},
    {"{{$n := 1}}{{range .Mounts}}{{$n = 2}}{{end}}{{$n}}", "2"},
    {R"({{eq .State.Status "exited" "running"}} {{ne 1 2}} {{lt "a" "b"}} {{le 2 2}} {{ge 1 2}})",
     "true true true true false"},
    {R"({{or .State.Error "none"}} {{and 0 1}})", "none 0"},
    {R"({{upper .State.Status}} {{lower "ABC"}} {{title "a web site"}})", "RUNNING abc A Web Site"},
    {R"({{join .Config.Cmd ", "}})", "httpd, -f, -p 80"},
    {R"({{index (split .Name "/") 1}})", "web"},
    {R"({{slice .Id 0 12}} {{truncate .Name 3}} {{truncate .Name 99}})", "0123456789ab /we /web"},
    {"{{.ID}}", "0123456789abcdef"},
    {R"([{{pad .Name 1 2}}])", "[ /web  ]"},
    {R"({{printf "%-6s|%6s|%04d|%q|%%|%x|%v" "ab" "cd" 42 "e\"f" 255 true}})",
     R"(ab    |    cd|0042|"e\"f"|%|ff|true)"},
    {R"({{print 1 2 "a" 3}}{{println "x" 1}})", "1 2a3x 1\n"},
    {"{{`raw \\n`}}{{\"\\t\"}}", "raw \\n\t"},
    {"a \n {{- .Name -}} \n b", "a/webb"},
    {"{{/* nothing */}}x{{- /* nor here */ -}} y", "xy"},
    {"{{-3}} {{true}}", "-3 true"},
};

constexpr Row bad[] = {
    {"{{.Nosuch}}",
     "error: has .Nosuch, which is not a field (fields: .Name, .Id, .State, .Config, .Big, .Low, .Half, .Empty, "
     ".Mounts)"},
    {"{{.State.Nosuch}}", "error: has .State.Nosuch, which is not a field (fields: .Status, .Pid, .OOMKilled, .Error)"},
    {"{{.Name.First}}", "error: has .First of .Name, which is no object"},
    {"{{.Config.Nothing.X}}", "error: has .X of .Config.Nothing, which is not there"},
    {"{{.Name 1}}", "error: .Name takes no argument"},
    {"{{$x}}", "error: has no variable $x"},
    {"{{index .Config.Cmd 3}}", "error: index: 3 is outside of a list of 3"},
    {"{{lt 1 \"a\"}}", "error: lt: \"1\" and \"a\" cannot be compared"},
    {"{{json}}", "error: json: takes 1 argument, and not 0"},
    {"{{printf \"%y\" 1}}", "error: printf: \"%y\" has a verb that is none of %s %v %d %q %t %x %"},
    {"{{range .Name}}{{end}}", "error: ranges over /web, which is no list"},
    {"{{", "refused: has a command that is empty"},
    {"{{.Name", "refused: has {{ without }}"},
    {"{{.Name}", "refused: has \"}\", which is not understood"},
    {"{{}}", "refused: has a command that is empty"},
    {"{{end}}", "refused: has {{end}} without its beginning"},
    {"{{if .Name}}x", "refused: has a block without {{end}}"},
    {"{{html .Name}}", "refused: has the function \"html\", which is not supported"},
    {"{{define \"x\"}}{{end}}", "refused: has {{define}}, which is not supported"},
    {"{{(.Name}}", "refused: has ( without )"},
    {"{{\"abc}}", "refused: has a text without its closing quote"},
    {"{{99999999999999999999}}", "refused: has the number \"99999999999999999999\", which is none"},
    {"{{.Name)}}", "refused: has \")}}\" where }} is expected"},
    {"{{.Name | }}", "refused: has a command that is empty"},
    {"{{/* x}}", "refused: has a comment without its end"},
    {"{{#}}", "refused: has \"#}}\", which is not understood"},
};

}  // namespace

TEST_CASE("templates print what Go's do") {
  for (const Row& row : good) {
    CAPTURE(row.text);
    CHECK(made(row.text) == row.want);
  }
}

TEST_CASE("templates that are wrong say what is wrong") {
  for (const Row& row : bad) {
    CAPTURE(row.text);
    CHECK(made(row.text) == row.want);
  }
}

TEST_CASE("templates are bounded: nesting, size, steps, what they make") {
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "{{if true}}";
  CHECK(made(deep) == "refused: has blocks that are nested too deep");
  CHECK(made("{{" + std::string(100, '(')) == "refused: has parentheses that are nested too deep");
  CHECK(made(std::string(70'000, 'x')) == "refused: is longer than 65536 bytes");
  std::string doubled = R"({{$x := "0123456789"}})";
  for (int i = 0; i < 40; ++i) doubled += "{{$x = print $x $x}}";
  CHECK(made(doubled) == "error: print: makes a text that is too long");
}
