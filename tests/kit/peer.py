"""Both ends of the test network: `listen PORT...` echoes, `attack` sends probes and tells their fate.

No probe waits for a time limit. All packets of a test pass one queue of one CPU in order, so a
second packet from an address that nobody bans (the marker) tells when the fate of the first is
settled: by the time the marker's echo is here, so is everything that the probe has brought about.
"""
import errno
import os
import select
import socket
import struct
import sys

MARKER_PORT = 9
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def say(text):
    print(text, flush=True)


def listen(ports):
    def bound(kind, port):
        s = socket.socket(socket.AF_INET6, kind)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("::", port))
        s.setblocking(False)
        return s

    def echo(udp):
        try:
            while True:
                udp.sendto(*udp.recvfrom(2048))
        except OSError:
            pass

    marker = bound(socket.SOCK_DGRAM, MARKER_PORT)
    udp = [bound(socket.SOCK_DGRAM, port) for port in ports]
    tcp = [bound(socket.SOCK_STREAM, port) for port in ports]
    for s in tcp:
        s.listen(64)
    say("ready")
    while True:
        select.select([marker, *udp], [], [])
        try:
            data, peer = marker.recvfrom(2048)
        except BlockingIOError:
            data = None
        for s in udp:
            echo(s)
        if data is not None:
            marker.sendto(data, peer)


def sums(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


class Udp:
    def __init__(self, family, source, own, target, port):
        self.s = socket.socket(family, socket.SOCK_DGRAM)
        self.s.setblocking(False)
        self.s.bind((source, own))
        self.s.connect((target, port))
        self.s.send(b"probe")

    def fate(self):
        try:
            self.s.recv(64)
            return "arrived"
        except ConnectionRefusedError:
            return "refused"
        except BlockingIOError:
            return "dropped"


class Tcp:
    def __init__(self, family, source, own, target, port):
        self.s = socket.socket(family, socket.SOCK_STREAM)
        self.s.setblocking(False)
        # Reset when it is closed, so that the next one may come from the same port.
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.s.bind((source, own))
        self.s.connect_ex((target, port))

    def fate(self):
        if not select.select([], [self.s], [], 0)[1]:
            return "dropped"
        error = self.s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return {0: "arrived", errno.ECONNREFUSED: "refused"}[error]


class Ping:
    def __init__(self, family, source, _own, target, _port):
        v6 = family == socket.AF_INET6
        protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
        self.answer, self.header = (129, 0) if v6 else (0, 20)
        self.s = socket.socket(family, socket.SOCK_RAW, protocol)
        self.s.setblocking(False)
        self.s.bind((source, 0))
        packet = struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, 7, 7)
        if not v6:  # in IPv6 the kernel sums up
            packet = struct.pack("!BBHHH", 8, 0, sums(packet), 7, 7)
        self.s.sendto(packet, (target, 0))

    def fate(self):
        try:
            while True:
                kind = self.s.recv(2048)[self.header]
                if kind == self.answer:
                    return "arrived"
        except BlockingIOError:
            return "dropped"


def attack(marker_source, marker_target):
    marker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    marker.bind((marker_source, 0))
    marker.connect((marker_target, MARKER_PORT))
    marker.settimeout(10)
    kinds = {"udp": Udp, "tcp": Tcp, "ping": Ping}
    say("ready")
    for number, line in enumerate(sys.stdin):
        kind, source, own, target, port = line.split()
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        probe = kinds[kind](family, source, int(own), target, int(port))
        marker.send(b"%d" % number)
        while marker.recv(64) != b"%d" % number:
            pass
        say(probe.fate())
        probe.s.close()


if sys.argv[1] == "listen":
    listen([int(port) for port in sys.argv[2:]])
else:
    attack(*sys.argv[2:])
