"""What the kernel's nf_tables can do: `end` or `destroy`; the exit code says whether it can."""
import socket
import struct
import sys

NFNL_SUBSYS_NFTABLES = 10
BATCH_BEGIN, BATCH_END = 16, 17
NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE = 1, 4, 0x400
NEWTABLE, DESTROYTABLE = 0, 26
INET = 1


def message(kind, flags, number, family=0, resource=0, attributes=b""):
    body = struct.pack("BBH", family, 0, socket.htons(resource)) + attributes
    return struct.pack("IHHII", 16 + len(body), kind, flags | NLM_F_REQUEST, number, 0) + body


def attribute(kind, value):
    padded = value + bytes(-len(value) % 4)
    return struct.pack("HH", 4 + len(value), kind) + padded


def answers(number):
    """The error codes by message number; 0 is an acknowledgement."""
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    netlink.settimeout(2)
    netlink.send(b"".join(number))
    found = {}
    try:
        while True:
            data = netlink.recv(65536)
            while len(data) >= 20:
                length, kind, _, sequence, _ = struct.unpack_from("IHHII", data)
                if kind == 2:
                    found[sequence] = -struct.unpack_from("i", data, 16)[0]
                data = data[max(length + 3 & ~3, 16):]
    except TimeoutError:
        return found


def batch(inside, end_flags):
    begin = message(BATCH_BEGIN, 0, 1, resource=NFNL_SUBSYS_NFTABLES)
    end = message(BATCH_END, end_flags, 9, resource=NFNL_SUBSYS_NFTABLES)
    return answers([begin, *inside, end])


name = attribute(1, b"probe\0")
table = NFNL_SUBSYS_NFTABLES << 8
if sys.argv[1] == "end":
    found = batch([message(table | NEWTABLE, NLM_F_CREATE, 2, INET, 0, name)], NLM_F_ACK)
    sys.exit(found.get(9, 1))
found = batch([message(table | DESTROYTABLE, NLM_F_ACK, 2, INET, 0, attribute(1, b"none\0"))], 0)
sys.exit(found.get(2, 1))
