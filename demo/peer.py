"""The two ends of the demo's wire.

    peer.py pbx             answers on UDP and TCP port 5060, as a PBX would
    peer.py knock HOST...   knocks there as each HOST, over UDP and TCP, and says who was answered

No knock waits for a time limit. All packets pass one queue in order, and the last HOST is one that
nobody bans: when it has its answer, the fate of those before it is settled.
"""
import os
import select
import signal
import socket
import sys

PBX = ("203.0.113.16", 5060)


def pbx():
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    udp.bind(PBX)
    tcp.bind(PBX)
    tcp.listen()
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([udp, tcp], [], [])
        if udp in ready:
            udp.sendto(*udp.recvfrom(2048))
        if tcp in ready:
            tcp.accept()[0].close()


def knock(kind, host):
    s = socket.socket(socket.AF_INET, kind)
    s.setblocking(False)
    s.bind((host, 0))
    s.connect_ex(PBX)
    if kind == socket.SOCK_DGRAM:
        s.send(b"OPTIONS sip:203.0.113.16 SIP/2.0\r\n\r\n")
    return s


def answered(kind, s, patience):
    waiting = ([s], [], []) if kind == socket.SOCK_DGRAM else ([], [s], [])
    return any(select.select(*waiting, patience))


def knock_as(hosts):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for name, kind in ("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM):
        knocks = [(host, knock(kind, host)) for host in hosts]
        if not answered(kind, knocks[-1][1], 10):
            sys.exit(f"{hosts[-1]} is not answered over {name}: the demo's wire is broken")
        for host, s in knocks:
            print(host, name, "answered" if answered(kind, s, 0) else "silence")
            s.close()


signal.signal(signal.SIGINT, signal.SIG_DFL)
if sys.argv[1] == "pbx":
    pbx()
else:
    knock_as(sys.argv[2:])
