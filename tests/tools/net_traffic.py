# SPDX-License-Identifier: Apache-2.0
"""Traffic and a look at the kernel for net.test.
serve PORT            takes one TCP connection, prints the kbit/s of payload between its first and its last byte
send ADDRESS PORT N   connects (the server may be late) and sends N bytes
programs DIR          prints how many eBPF egress programs sit on the cgroup v2 directory DIR
"""
import ctypes
import os
import socket
import struct
import sys
import time


def serve(port):
    with socket.create_server(("0.0.0.0", port)) as server:
        server.settimeout(60)
        peer, _ = server.accept()
        peer.settimeout(60)
        first = peer.recv(1 << 16)
        start, got = time.monotonic(), 0
        while first:
            first = peer.recv(1 << 16)
            got += len(first)
        print(int(got * 8 / 1000 / (time.monotonic() - start)))


def send(address, port, size):
    for _ in range(200):
        try:
            peer = socket.create_connection((address, port), timeout=60)
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    else:
        sys.exit("no server")
    peer.sendall(b"x" * size)
    peer.close()


def programs(directory):
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    ids = (ctypes.c_uint32 * 64)()
    # union bpf_attr of BPF_PROG_QUERY: target, type BPF_CGROUP_INET_EGRESS, flags, attach flags, ids, count.
    attr = ctypes.create_string_buffer(struct.pack("IIIIQI", fd, 1, 0, 0, ctypes.addressof(ids), 64), 128)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(321, 16, attr, 128) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    print(struct.unpack_from("I", attr, 24)[0])


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
elif sys.argv[1] == "send":
    send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
else:
    programs(sys.argv[2])
