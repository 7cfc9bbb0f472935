// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics/server.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <exception>
#include <vector>

#include <fcntl.h>
#include <microhttpd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/metrics/accept.h"
#include "daemon/metrics/answer.h"
#include "daemon/metrics/deadlines.h"

namespace cgx::daemon {

struct MetricsServer::Impl {
  Metrics* metrics = nullptr;
  ServerLimits limits;
  Deadlines deadlines;
  std::vector<MHD_Daemon*> daemons;
  std::string address;
  std::string path;  // of the socket that was made

  static MHD_Result handle(void* self,
                           MHD_Connection* connection,
                           const char* url,
                           const char* method,
                           const char* version,
                           const char* upload,
                           std::size_t* upload_size,
                           void** request) noexcept;
  static void connected(void* self,
                        MHD_Connection* connection,
                        void** context,
                        MHD_ConnectionNotificationCode what) noexcept;
  static void completed(void* self, MHD_Connection* connection, void** request, MHD_RequestTerminationCode) noexcept;
  static void log(void* /*self*/, const char* /*format*/, va_list) noexcept {}
  Result<> serve(sys::Fd fd);
};

namespace {

Deadlines::Connection* deadline_of(MHD_Connection* connection) {
  const MHD_ConnectionInfo* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return info == nullptr ? nullptr : static_cast<Deadlines::Connection*>(info->socket_context);
}

unsigned whole_seconds(std::chrono::milliseconds time) {
  return static_cast<unsigned>(std::max<long>(1, std::chrono::ceil<std::chrono::seconds>(time).count()));
}

// How long the client may take nothing and send nothing.
void set_timeout(MHD_Connection* connection, std::chrono::milliseconds time) {
  // Never fails for a connection that is open.
  (void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, whole_seconds(time));
}

std::string_view header(MHD_Connection* connection, const char* name) {
  const char* value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

}  // namespace

// The first call comes when the headers are there; the second one when there is no more body, which nobody needs here.
MHD_Result MetricsServer::Impl::handle(void* self,
                                       MHD_Connection* connection,
                                       const char* url,
                                       const char* method,
                                       const char* /*version*/,
                                       const char* /*upload*/,
                                       std::size_t* upload_size,
                                       void** request) noexcept {
  static char seen;
  auto* impl = static_cast<Impl*>(self);
  if (*request == nullptr) {
    *request = &seen;
    if (auto* deadline = deadline_of(connection)) impl->deadlines.set(deadline, impl->limits.answer);
    set_timeout(connection, impl->limits.stalled);
    return MHD_YES;
  }
  *upload_size = 0;
  try {
    const Request asked{.method = method,
                        .path = url,
                        .format = accepted_format(header(connection, MHD_HTTP_HEADER_ACCEPT)),
                        .gzip = accepts_gzip(header(connection, MHD_HTTP_HEADER_ACCEPT_ENCODING))};
    return answer(connection, asked, *impl->metrics) ? MHD_YES : MHD_NO;
  } catch (const std::exception&) {
    return MHD_NO;  // no memory: this connection ends, the next one may have more luck
  }
}

void MetricsServer::Impl::connected(void* self,
                                    MHD_Connection* connection,
                                    void** context,
                                    MHD_ConnectionNotificationCode what) noexcept {
  auto* impl = static_cast<Impl*>(self);
  if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
    if (*context != nullptr) impl->deadlines.remove(static_cast<Deadlines::Connection*>(*context));
    *context = nullptr;
    return;
  }
  const MHD_ConnectionInfo* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  *context = info == nullptr ? nullptr : impl->deadlines.add(info->connect_fd, impl->limits.header);
}

void MetricsServer::Impl::completed(void* self,
                                    MHD_Connection* connection,
                                    void** /*request*/,
                                    MHD_RequestTerminationCode /*why*/) noexcept {
  auto* impl = static_cast<Impl*>(self);
  if (auto* deadline = deadline_of(connection)) impl->deadlines.set(deadline, impl->limits.idle);
  set_timeout(connection, impl->limits.idle);
}

Result<> MetricsServer::Impl::serve(sys::Fd fd) {
  const std::string where = CGX_TRY(listener_address(fd.get()));
  const int flags = fcntl(fd.get(), F_GETFL);
  if (flags < 0 || fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0)
    return fail_errno(errno, where);
  // The threads inherit this: no signal of the process is handled on one of them.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  constexpr std::size_t stack = std::size_t{512} * 1024;
  MHD_Daemon* daemon = MHD_start_daemon(
      MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL | MHD_USE_ERROR_LOG,
      0,
      nullptr,
      nullptr,
      &Impl::handle,
      this,
      MHD_OPTION_EXTERNAL_LOGGER,
      &Impl::log,
      nullptr,
      MHD_OPTION_LISTEN_SOCKET,
      fd.get(),
      MHD_OPTION_CONNECTION_LIMIT,
      limits.connections,
      MHD_OPTION_CONNECTION_TIMEOUT,
      whole_seconds(limits.idle),
      MHD_OPTION_THREAD_STACK_SIZE,
      stack,
      MHD_OPTION_NOTIFY_CONNECTION,
      &Impl::connected,
      this,
      MHD_OPTION_NOTIFY_COMPLETED,
      &Impl::completed,
      this,
      MHD_OPTION_END);
  const int code = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (daemon == nullptr) return fail_errno(code, "cannot serve on " + where);
  (void)fd.release();  // MHD_stop_daemon() closes it
  daemons.push_back(daemon);
  address += (address.empty() ? "" : " ") + where;
  return {};
}

MetricsServer::MetricsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

MetricsServer::~MetricsServer() {
  for (MHD_Daemon* daemon : impl_->daemons) MHD_stop_daemon(daemon);
  if (!impl_->path.empty()) (void)unlink(impl_->path.c_str());  // somebody else may have removed it
}

std::string MetricsServer::address() const { return impl_->address; }

Result<std::unique_ptr<MetricsServer>> MetricsServer::start(const Listen& listen,
                                                            Metrics& metrics,
                                                            const ServerLimits& limits) {
  auto impl = std::make_unique<Impl>();
  impl->metrics = &metrics;
  impl->limits = limits;
  std::unique_ptr<MetricsServer> server(new MetricsServer(std::move(impl)));
  if (listen.inherited.empty()) {
    sys::Fd fd = CGX_TRY(open_listener(listen));
    server->impl_->path = listen.path;
    CGX_CHECK(server->impl_->serve(std::move(fd)));
  }
  for (const int fd : listen.inherited) CGX_CHECK(server->impl_->serve(sys::Fd(fd)));
  return server;
}

Result<std::unique_ptr<MetricsServer>> MetricsServer::start(std::string_view listen, Metrics& metrics) {
  return start(CGX_TRY(Listen::parse(listen)), metrics);
}

}  // namespace cgx::daemon
