// SPDX-License-Identifier: Apache-2.0
// Packets over sockets, of which the other side goes without having read all: the kernel reports that before what it
// has sent.
#include <array>
#include <string>

#include <sys/socket.h>

#include <doctest/doctest.h>

#include "cgx/container/channel.h"

#include "tools/container/relay.h"

namespace container_channel_test {

using namespace cgx;

TEST_CASE("container channel: what was sent before the end is received, though the other side left something unread") {
  using namespace cgx::container;
  auto ends = Channel::make();
  REQUIRE(ends);
  REQUIRE(ends->first.send(Notice::go, Stage::unborn));
  REQUIRE(ends->second.send(Notice::failed, Stage::mounts, 5, "why"));
  ends->second.close();
  const auto told = ends->first.receive();
  REQUIRE(told);
  REQUIRE(*told);
  CHECK((*told)->word == Notice::failed);
  CHECK((*told)->text == "why");
  const auto end = ends->first.receive();
  REQUIRE(end);
  CHECK_FALSE(*end);
}

TEST_CASE("container relay: the status is received, though the monitor left the end of the input unread") {
  using namespace cgx::launcher;
  std::array<int, 2> pair{};
  REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) == 0);
  const sys::Fd command(pair[0]);
  sys::Fd monitor(pair[1]);
  REQUIRE(send_packet(command.get(), Word::in_end));
  REQUIRE(send_packet(monitor.get(), Word::last, number_data(7)));
  monitor.reset(-1);
  const auto packet = receive_packet(command.get());
  REQUIRE(packet);
  REQUIRE(*packet);
  CHECK((*packet)->word == Word::last);
  CHECK(data_number((*packet)->data) == 7);
  const auto end = receive_packet(command.get());
  REQUIRE(end);
  CHECK_FALSE(*end);
}

}  // namespace container_channel_test
