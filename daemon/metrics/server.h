// SPDX-License-Identifier: Apache-2.0
// Serves the metrics over HTTP on threads of its own, a few connections at a time: a client that is slow, or does not
// read, is cut off and holds up nobody.
//   /                   a page for people           /metrics            for Prometheus, in the format that it asks for
//   /status.json        what that page polls        /metrics/cadvisor   names of cAdvisor, where asked for
//   /-/healthy          200 while the process runs  /-/ready            200 once set_ready(true) was called, else 503
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "daemon/metrics/listen.h"
#include "daemon/metrics/metrics.h"

namespace cgx::daemon {

struct ServerLimits {
  unsigned connections = 64;                  // each has a thread; further ones are closed
  std::chrono::milliseconds header{5000};     // from the connection to the end of the request's headers
  std::chrono::milliseconds answer{60'000};   // from there to the end of the answer
  std::chrono::milliseconds idle{20'000};     // between two requests of a connection
  std::chrono::milliseconds stalled{10'000};  // a client that does not take what is sent
};

class MetricsServer {
 public:
  // Listens, and answers when it does. `metrics` must outlive it. Errors: those of open_listener(), with the address.
  [[nodiscard]] static Result<std::unique_ptr<MetricsServer>> start(const Listen& listen,
                                                                    Metrics& metrics,
                                                                    const ServerLimits& limits = {});
  // The same for a place as text, see Listen::parse().
  [[nodiscard]] static Result<std::unique_ptr<MetricsServer>> start(std::string_view listen, Metrics& metrics);
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;
  // Ends the connections and the threads; removes the socket from the file system where it made it.
  ~MetricsServer();

  // Where it listens: "127.0.0.1:9753"; several with blanks between.
  [[nodiscard]] std::string address() const;

 private:
  struct Impl;
  explicit MetricsServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cgx::daemon
