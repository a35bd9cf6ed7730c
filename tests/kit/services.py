"""IAX2, AMI and HTTP for tests: `serve` is a PBX that answers as Asterisk 22 does, `play` are its clients and attackers.

Both read commands from standard input, a line each, and answer each with a line.
"""
import random
import re
import socket
import struct
import sys
import threading
import time

IAX, AMI, HTTP = 4569, 5038, 8088
REGREQ, REGAUTH, REGREJ = 13, 14, 16
USERNAME, CHALLENGE, MD5, CAUSE, CAUSE_CODE = 6, 15, 16, 22, 42


def say(text):
    print(text, flush=True)


# The PBX.


def element(name, value):
    return bytes([name, len(value)]) + value


def frame(source, destination, kind, elements=b""):
    return struct.pack(">HHIBBBB", 0x8000 | source, destination, 10, 0, 1, 6, kind) + elements


def elements(data):
    found, at = {}, 12
    while at + 2 <= len(data):
        found[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return found


def serve_iax(s):
    calls = {}  # by the host, its port and its number of the call, whatever number of ours it names
    while True:
        data, peer = s.recvfrom(2048)
        theirs = struct.unpack(">H", data[:2])[0] & 0x7FFF
        has = elements(data)
        if MD5 in has:
            ours = calls.get((peer, theirs), 1)
            refusal = element(CAUSE, b"Registration Refused") + element(CAUSE_CODE, b"\x1d")
            s.sendto(frame(ours, theirs, REGREJ, refusal), peer)
        else:
            ours = calls[(peer, theirs)] = random.randint(2, 32767)
            asked = element(CHALLENGE, b"178537653") + element(USERNAME, has[USERNAME])
            s.sendto(frame(ours, theirs, REGAUTH, asked), peer)


def serve_ami(s):
    s.sendall(b"Asterisk Call Manager/11.0.0\r\n")
    data, let_in = b"", False
    while more := s.recv(65536):
        *requests, data = (data + more).split(b"\r\n\r\n")
        for request in requests:
            fields = dict(line.partition(b": ")[::2] for line in request.split(b"\r\n"))
            action, own = fields.get(b"Action"), fields.get(b"ActionID")
            if let_in:
                kind, message = b"Success", b"Ping: Pong"
            elif action != b"Login":
                kind, message = b"Error", b"Message: Permission denied"
            elif fields.get(b"Secret") == b"right":
                kind, message, let_in = b"Success", b"Message: Authentication accepted", True
            else:
                kind, message = b"Error", b"Message: Authentication failed"
            echo = b"ActionID: " + own + b"\r\n" if own else b""
            s.sendall(b"Response: " + kind + b"\r\n" + echo + message + b"\r\n\r\n")
            if message == b"Message: Authentication failed":
                return


def serve_http(s):
    data = b""
    while more := s.recv(65536):
        *requests, data = (data + more).split(b"\r\n\r\n")
        for request in requests:
            line = request.split(b"\r\n")[0]
            if b"/ws" in line:
                s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
                while more := s.recv(65536):
                    s.sendall(b"\x81\x7e" + struct.pack(">H", len(more)))
                    s.sendall(more)
                return
            status, body = b"200 OK", b"[]"
            if b"/rawman" in line:
                own = re.search(rb"actionid=(\S*)", line)
                own = b"ActionID: " + own[1].replace(b"%0d%0a", b"\r\n") + b"\r\n" if own else b""
                good = b"secret=right" in line
                body = b"Response: " + (b"Success" if good else b"Error") + b"\r\n" + own
                body += b"Message: Authentication " + (b"accepted" if good else b"failed") + b"\r\n\r\n"
            elif b":right" not in line:
                status, body = b"401 Unauthorized", b'{"message":"Authentication required"}'
            s.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body)


def serve():
    def bound(kind, port):
        s = socket.socket(socket.AF_INET, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("", port))
        return s

    def accept(s, serve_one):
        def safely(connection):
            try:
                serve_one(connection)
            except OSError:  # it was banned
                pass
            connection.close()

        while True:
            connection, _ = s.accept()
            threading.Thread(target=safely, args=[connection], daemon=True).start()

    udp = bound(socket.SOCK_DGRAM, IAX)
    threading.Thread(target=serve_iax, args=[udp], daemon=True).start()
    for port, serve_one in [(AMI, serve_ami), (HTTP, serve_http)]:
        s = bound(socket.SOCK_STREAM, port)
        s.listen(64)
        threading.Thread(target=accept, args=[s, serve_one], daemon=True).start()
    say("ready")
    for _ in sys.stdin:
        say("")


# Its clients and attackers.


def connected(source, target, port, mss=None):
    s = socket.socket()
    s.settimeout(1)
    if mss:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, mss)
    s.bind((source, 0))
    s.connect((target, port))
    return s


def until(s, *ends):
    data = b""
    while not any(end in data for end in ends):
        more = s.recv(65536)
        if not more:
            raise ConnectionError
        data += more
    return data


def times(n, attempt):
    """How many of so many attempts, fifty a second, were answered, until one is not."""
    for done in range(int(n)):
        try:
            attempt(done)
            time.sleep(0.02)
        except OSError:
            return done
    return int(n)


def login(s, secret, own=b""):
    s.sendall(b"Action: Login\r\nUsername: guard\r\nSecret: " + secret + b"\r\nActionID: a" + own + b"\r\n\r\n")
    return until(s, b"\r\n\r\n")


def ami(source, target, what, n):
    def guess(done):
        s = connected(source, target, AMI, 88)
        until(s, b"\r\n")
        # Its ActionID says that it was let in.
        login(s, b"guess%d" % done, b"Response: Success\nMessage: Authentication accepted\n\n")

    def garbage(_):
        s = connected(source, target, AMI)
        until(s, b"\r\n")
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        until(s, b"\r\n\r\n")

    def connect(_):
        until(connected(source, target, AMI), b"\r\n")

    if what == "echo":  # whoever is logged in may say what it likes
        s = connected(source, target, AMI, 88)
        until(s, b"\r\n")
        login(s, b"right")

        def echo(_):
            s.sendall(b"Action: Ping\r\nActionID: x\nResponse: Error\nMessage: Authentication failed\n\n\r\n\r\n")
            until(s, b"Pong\r\n\r\n")

        return times(n, echo)
    return times(n, {"guess": guess, "garbage": garbage, "connect": connect}[what])


def http(source, target, what, n):
    lines = {
        "bare": b"GET /ari/channels HTTP/1.1\r\n\r\n",
        "keyed": b"GET /ari/channels?api_key=ariuser:no HTTP/1.1\r\n\r\n",
        "right": b"GET /ari/channels?api_key=ariuser:right HTTP/1.1\r\n\r\n",
        "manager": b"GET /rawman?action=login&username=guard&secret=no HTTP/1.1\r\n\r\n",
        "echo": b"GET /rawman?action=login&secret=right&actionid=x%0d%0aMessage:Authentication%20failed HTTP/1.1\r\n\r\n",
    }

    def ask(s):
        s.sendall(lines[what])
        until(s, b"[]", b"required", b"\r\n\r\nResponse: Error", b"accepted\r\n\r\n")

    if what in ("keyed", "manager"):
        return times(n, lambda _: ask(connected(source, target, HTTP)))
    s = connected(source, target, HTTP)
    if what == "websocket":
        s.sendall(b"GET /ws HTTP/1.1\r\n\r\n")
        until(s, b"\r\n\r\n")
        text = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"

        def echo(_):
            s.sendall(text)
            until(s, text)

        return times(n, echo)
    return times(n, lambda _: ask(s))


def iax(source, target, what, n):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(1)
    s.bind((source, 0))
    s.connect((target, IAX))

    def guess(done):
        user = element(USERNAME, b"1000")
        s.send(frame(done + 2, 0, REGREQ, user))
        ours = struct.unpack(">H", s.recv(2048)[:2])[0] & 0x7FFF
        # Whoever forges the sender's address does not see our number.
        s.send(frame(done + 2, 1 if what == "forged" else ours, REGREQ, user + element(MD5, b"0" * 32)))
        s.recv(2048)

    return times(n, guess)


def play():
    plays = {f.__name__: f for f in [ami, http, iax]}
    say("ready")
    for line in sys.stdin:
        what, *args = line.split()
        say(plays[what](*args))


{"serve": serve, "play": play}[sys.argv[1]]()
