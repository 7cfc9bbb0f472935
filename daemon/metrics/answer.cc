// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics/answer.h"

#include <array>
#include <exception>
#include <memory>

#include <microhttpd.h>
#include <sys/random.h>

#include "daemon/metrics/body.h"

namespace cgx::daemon {
namespace {

constexpr std::size_t block = 65536;

struct Answer {
  unsigned status = MHD_HTTP_OK;
  std::string type = "text/plain; charset=utf-8";
  std::string text{};
  std::unique_ptr<Body> body{};  // instead of the text
  std::string policy = "default-src 'none'; frame-ancestors 'none'";
};

ssize_t read_body(void* body, std::uint64_t /*position*/, char* into, std::size_t size) noexcept {
  try {
    const long n = static_cast<Body*>(body)->read({into, size});
    return n > 0 ? n : n == 0 ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
  } catch (const std::exception&) {
    return MHD_CONTENT_READER_END_WITH_ERROR;  // no memory: the client sees an answer that is cut off
  }
}
void free_body(void* body) noexcept { delete static_cast<Body*>(body); }
// The headers of a page that is not made, for HEAD.
ssize_t no_body(void* /*body*/, std::uint64_t /*position*/, char* /*into*/, std::size_t /*size*/) noexcept {
  return MHD_CONTENT_READER_END_OF_STREAM;
}

std::string random_word() {
  std::array<unsigned char, 16> bytes{};
  (void)getrandom(bytes.data(), bytes.size(), 0);  // never short for so few
  std::string word;
  for (const unsigned char b : bytes) word.append({"0123456789abcdef"[b >> 4U], "0123456789abcdef"[b & 15U]});
  return word;
}

Answer plain(unsigned status, std::string text) { return {.status = status, .text = std::move(text)}; }

Answer page(const Request& request, Metrics& metrics, Page::Names names) {
  Answer a{.type = std::string(content_type(request.format))};
  if (request.method != "HEAD") a.body = std::make_unique<Body>(metrics.pages(request.format, names), request.gzip);
  return a;
}

Answer make(const Request& request, Metrics& metrics) {
  if (request.path == "/metrics") return page(request, metrics, Page::Names::group);
  if (request.path == "/metrics/cadvisor" && metrics.options().cadvisor)
    return page(request, metrics, Page::Names::container);
  if (request.path == "/-/healthy") return plain(MHD_HTTP_OK, "cgxd is healthy.\n");
  if (request.path == "/-/ready")
    return metrics.ready() ? plain(MHD_HTTP_OK, "cgxd is ready.\n")
                           : plain(MHD_HTTP_SERVICE_UNAVAILABLE,
                                   "No policies are in force: cgxd is starting, or has refused them.\n");
  if (request.path == "/status.json") return {.type = "application/json", .text = metrics.json()};
  if (request.path == "/") {
    const std::string word = random_word();
    return {.type = "text/html; charset=utf-8",
            .text = metrics.html(word),
            .policy = "default-src 'none'; style-src 'nonce-" + word + "'; script-src 'nonce-" + word +
                      "'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"};
  }
  std::string there = "There is no such page. There are /, /metrics, /status.json, /-/healthy and /-/ready";
  if (request.path == "/metrics/cadvisor") there += "; /metrics/cadvisor is not switched on";
  return plain(MHD_HTTP_NOT_FOUND, there + ".\n");
}

}  // namespace

bool answer(MHD_Connection* connection, const Request& request, Metrics& metrics) {
  const bool known = request.method == "GET" || request.method == "HEAD";
  Answer a = known ? make(request, metrics) : plain(MHD_HTTP_METHOD_NOT_ALLOWED, "Only GET and HEAD are served.\n");
  const bool streamed = a.body != nullptr || (a.text.empty() && known);
  bool packed = request.gzip && streamed;
  if (request.gzip && a.text.size() > 1400) {
    std::string smaller = gzip(a.text);
    packed = !smaller.empty();
    if (packed) a.text = std::move(smaller);
  }
  MHD_Response* response = nullptr;
  if (a.body != nullptr) {
    response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, block, &read_body, a.body.get(), &free_body);
    if (response != nullptr) (void)a.body.release();  // the response owns it
  } else if (streamed) {
    response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, block, &no_body, nullptr, nullptr);
  } else {
    response = MHD_create_response_from_buffer(a.text.size(), a.text.data(), MHD_RESPMEM_MUST_COPY);
  }
  if (response == nullptr) return false;
  const auto add = [response](const char* name, const std::string& value) {
    (void)MHD_add_response_header(response, name, value.c_str());  // fails for want of memory only
  };
  add(MHD_HTTP_HEADER_CONTENT_TYPE, a.type);
  add(MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
  add(MHD_HTTP_HEADER_VARY, "Accept, Accept-Encoding");
  add("X-Content-Type-Options", "nosniff");
  add("Referrer-Policy", "no-referrer");
  add("Content-Security-Policy", a.policy);
  if (packed) add(MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
  if (a.status == MHD_HTTP_METHOD_NOT_ALLOWED) add(MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
  const MHD_Result queued = MHD_queue_response(connection, a.status, response);
  MHD_destroy_response(response);
  return queued == MHD_YES;
}

}  // namespace cgx::daemon
