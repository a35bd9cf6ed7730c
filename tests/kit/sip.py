"""SIP for tests: `serve` is a PBX that answers as chan_pjsip does, `play` are its phones and attackers.

Both read commands from standard input, a line each, and answer each with a line.
"""
import re
import socket
import struct
import sys
import threading
import time

PORT = 5060
WEB = 5061  # a WebSocket with the sub-protocol `echo`, as Asterisk's HTTP server has it
SO_RCVBUFFORCE = 33  # which Python has no name for


def say(text):
    print(text, flush=True)


def at(address, port):
    return (address, port, 0, 0) if ":" in address else (address, port)


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


# The PBX.

passwords = 0  # that reached it and were wrong
nonces = 0  # that were sent


def header(request, name):
    for line in request.split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() in name:
            return value.strip()
    return ""


def answers(request):
    """Knows one password: `right`; `old` is the right one with an old nonce."""
    global passwords, nonces
    method = request.split(" ", 1)[0]
    same = "".join(
        f"{name}: {header(request, keys)}\r\n"
        for name, keys in [
            ("Via", ["via", "v"]),
            ("Call-ID", ["call-id", "i"]),
            ("From", ["from", "f"]),
            ("To", ["to", "t"]),
            ("CSeq", ["cseq"]),
        ]
    )

    def answer(status, more=""):
        return f"SIP/2.0 {status}\r\n{same}{more}Server: Asterisk PBX 22.10.0\r\nContent-Length:  0\r\n\r\n"

    password = "".join(re.findall('response="(.*?)"', header(request, ["authorization"])))
    if method in ("ACK", "CANCEL"):
        return ""
    if password != "right":
        passwords += password not in ("", "old")
        nonces += 1
        stale = ",stale=true" if password == "old" else ""
        challenge = f'WWW-Authenticate: Digest realm="asterisk",nonce="1/{nonces}"{stale},algorithm=MD5,qop="auth"\r\n'
        return answer("401 Unauthorized", challenge)
    if method == "INVITE":
        return answer("100 Trying") + "|" + answer("180 Ringing") + "|" + answer("487 Request Terminated")
    missing = method == "SUBSCRIBE" and "<sip:9" in header(request, ["to", "t"])
    return answer("404 Not Found" if missing else "200 OK")


def serve_udp(s):
    while True:
        data, peer = s.recvfrom(65536)
        for answer in filter(None, answers(data.decode("latin-1")).split("|")):
            s.sendto(answer.encode("latin-1"), peer)


def serve_connection(s):
    data = b""
    try:
        while more := s.recv(65536):
            *requests, data = (data + more).split(b"\r\n\r\n")
            replies = [answers(request.decode("latin-1")).replace("|", "") for request in requests]
            s.sendall("".join(replies).encode("latin-1"))
    except OSError:  # it was banned
        pass
    s.close()


def serve_web(s):
    s.recv(65536)
    s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: echo\r\n\r\n")
    try:
        while data := s.recv(65536):
            s.sendall(b"\x81\x7e" + struct.pack("!H", len(data)))
            s.sendall(data)
    except OSError:  # it was banned
        pass
    s.close()


def serve_tcp(s, serve_one):
    while True:
        connection, _ = s.accept()
        threading.Thread(target=serve_one, args=[connection], daemon=True).start()


def serve():
    def bound(kind, port=PORT):
        s = socket.socket(socket.AF_INET6, kind)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        s.bind(("::", port))
        return s

    udp, tcp, web = bound(socket.SOCK_DGRAM), bound(socket.SOCK_STREAM), bound(socket.SOCK_STREAM, WEB)
    for target, *args in [(serve_udp, udp), (serve_tcp, tcp, serve_connection), (serve_tcp, web, serve_web)]:
        if target is serve_tcp:
            args[0].listen(64)
        threading.Thread(target=target, args=args, daemon=True).start()
    say("ready")
    for _ in sys.stdin:
        say(passwords)


# Phones and attackers.


def request(method, n, call, who="1000", to=None, password="", nonce="none"):
    digest = f'Digest username="{who}",realm="asterisk",nonce="{nonce}",response="{password}"'
    authorization = f"Authorization: {digest}\r\n" if password else ""
    return (
        f"{method} sip:pbx SIP/2.0\r\nVia: SIP/2.0/UDP pbx:5060;branch=z9hG4bK{call}{method}{n}\r\n"
        f"Call-ID: {call}\r\nFrom: <sip:{who}@pbx>;tag=a\r\nTo: <sip:{to or who}@pbx>\r\n"
        f"CSeq: {n} {method}\r\n{authorization}Content-Length: 0\r\n\r\n"
    ).encode()


class Line:
    """A way to the PBX: sends requests and awaits as many answers."""

    def __init__(self, transport, source, target):
        kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
        self.s = socket.socket(family(source), kind)
        self.s.settimeout(1)
        self.s.bind(at(source, 0))
        self.s.connect(at(target, PORT))
        self.heard = 0
        self.nonce = "none"  # the last that was heard

    def send(self, *requests):
        for one in requests:
            self.s.sendall(one)

    def hear(self, answers):
        """How many of so many answers there are."""
        while self.heard < answers:
            try:
                data = self.s.recv(1 << 20)
            except OSError:
                break
            if not data:
                break
            self.heard += data.count(b"SIP/2.0 ")
            for nonce in re.findall(rb'nonce="(.*?)"', data):
                self.nonce = nonce.decode()
        heard, self.heard = self.heard, 0
        return heard

    def asks(self, *args, answers=1, **more):
        try:
            self.send(request(*args, nonce=self.nonce, **more))
        except ConnectionError:  # it was destroyed
            return 0
        return self.hear(answers)


def crack(transport, source, target, guesses):
    """One Call-ID, fifty passwords a second (as svcrack does), until nobody answers: how many
    answers there were."""
    line, answered = Line(transport, source, target), 0
    for n in range(int(guesses) + 1):
        if not line.asks("REGISTER", n + 1, f"crack{source}", password=f"guess{n}" if n else ""):
            break
        answered += 1
        time.sleep(0.02)
    return answered


def burst(source, target, guesses):
    """Passwords over one connection, whether or not anybody answers, until it is over: how it ended."""
    line = Line("tcp", source, target)
    try:
        for n in range(int(guesses)):
            line.send(request("REGISTER", n + 1, f"burst{source}", password=f"guess{n}"))
        while line.s.recv(1 << 20):
            pass
        return "closed"
    except TimeoutError:
        return "silent"
    except OSError as error:
        return type(error).__name__


def echo(source, target, victim, times):
    """Has a WebSocket say that it refused a victim, and that it let us in, with what makes a request of it."""
    s = socket.socket(family(source), socket.SOCK_STREAM)
    s.settimeout(1)
    s.bind(at(source, 0))
    s.connect(at(target, WEB))
    s.sendall(b"GET /ws HTTP/1.1\r\n\r\n")
    s.recv(65536)
    for n in range(int(times)):
        answer = (
            "SIP/2.0 {} X\r\nVia: SIP/2.0/WS h;received={};branch=z9hG4bKecho{}\r\nCall-ID: echo\r\n"
            "From: <sip:1000@h>;tag=a\r\nTo: <sip:1000@h>;tag=b\r\nCSeq: {} REGISTER\r\nContent-Length: 0\r\n\r\n"
        )
        login = request("REGISTER", n, "echo", password="right").decode()
        refused = answer.format(401, victim, n, n)
        text = f"x\r\n\r\n{login}{answer.format(200, source, n, n)}{refused}"
        # Also where a segment begins with it.
        for part in (text, refused, login, answer.format(200, source, n, n)):
            s.sendall(part.encode())
            heard = 0
            while heard < len(part) + 4:
                heard += len(s.recv(65536))
    return "done"


hidden_lines = {}  # connections whose content nobody is to read, by their ports


def hidden(source, target, port, answers):
    """Has the PBX send so many segments on a connection from this port (0: another); which one it is, or how it ended."""
    if port not in hidden_lines:
        s = socket.socket(family(source), socket.SOCK_STREAM)
        s.settimeout(1)
        s.bind(at(source, 0))
        s.connect(at(target, WEB))
        s.sendall(b"GET /ws HTTP/1.1\r\n\r\n")
        port = str(s.getsockname()[1])
        hidden_lines[port] = s
    s = hidden_lines[port]
    try:
        for _ in range(int(answers)):
            s.sendall(b"x")
            if not s.recv(65536):
                return "closed"
    except OSError as error:
        return type(error).__name__
    return port


def office(source, target, phones, watched):
    """So many phones restart at once, each of which watches so many others."""
    phones, watched = int(phones), int(watched)
    line = Line("udp", source, target)
    line.s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    for n, password in [(1, ""), (2, "right")]:
        for phone in range(phones):
            who = f"2{phone:03}"
            line.send(request("REGISTER", n, f"r{phone}", who, None, password, line.nonce))
            for other in range(watched):
                call, to = f"s{phone}-{other}", f"{[2, 9][other % 2]}{other:03}"
                line.send(request("SUBSCRIBE", n, call, who, to, password, line.nonce))
        if line.hear(phones * (1 + watched)) != phones * (1 + watched):
            return "lost"
    return "done"


def phone(transport, source, target, rounds):
    """Registers again and again, at times with an old nonce."""
    line = Line(transport, source, target)
    for n in range(0, 4 * int(rounds), 4):
        line.asks("REGISTER", n, f"phone{source}", who="3000")
        if n % 8:
            line.asks("REGISTER", n + 1, f"phone{source}", who="3000", password="old")
        if not line.asks("REGISTER", n + 2, f"phone{source}", who="3000", password="right"):
            return "lost"
    return "done"


def trunk(source, target, calls):
    """Calls that are given up, and questions whether we are there, without a password."""
    line = Line("udp", source, target)
    for n in range(int(calls)):
        line.asks("INVITE", 1, f"call{n}", to="00972599")
        if line.asks("INVITE", 2, f"call{n}", to="00972599", password="right", answers=3) != 3:
            return "lost"
        line.asks("OPTIONS", 1, f"ping{n}")
    return "done"


sockets = {}  # of phones that keep their ports, by a name


def desk(who, name, source, target, password, tries):
    """A phone registers so many times, and calls where it is let in: how often it was answered."""
    line = sockets.setdefault(name, Line("udp", source, target))
    answered = line.asks("REGISTER", 1, name, who)
    for n in range(2, 2 + int(tries)):
        answered += line.asks("REGISTER", n, name, who, password=password)
        if password == "right":
            answered += line.asks("INVITE", n, f"{name}call{n}", who, password=password, answers=3)
    return answered


def abandon(source, target, times):
    """Asks for challenges and does not come back."""
    line = Line("udp", source, target)
    return sum(line.asks("REGISTER", 1, f"left{source}{n}") for n in range(int(times)))


def flood(target, sources, packets):
    """So many packets in the name of each of so many hosts of 10.0.0.0/8, one dialogue each."""
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    to = socket.inet_aton(target)
    payloads = [request("REGISTER", n, "flood", password="bad") for n in range(1, int(packets) + 1)]
    start = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_UDP, 0)
    # Not all names in turn, or the guard has forgotten a dialogue when its next packet comes.
    for first in range(0, int(sources), 1000):
        for payload in payloads:
            udp = struct.pack("!HHHH", 5060, PORT, 8 + len(payload), 0) + payload
            for source in range(first, min(first + 1000, int(sources))):
                s.sendto(start + struct.pack("!I", 0x0A000001 + source) + to + udp, (target, 0))
    return "done"


def play():
    plays = {f.__name__: f for f in [crack, burst, echo, hidden, office, phone, trunk, desk, abandon, flood]}
    say("ready")
    for line in sys.stdin:
        what, *args = line.split()
        say(plays[what](*args))


{"serve": serve, "play": play}[sys.argv[1]]()
