"""A web server on loopback with lists, good and bad. It prints its port, and a line of JSON for each request.

lists.py DIR [CERT KEY]     the file DIR/mode says how it answers at /list; other paths have answers of their own
"""

import http.server
import json
import pathlib
import ssl
import sys
import time

place = pathlib.Path(sys.argv[1])
GOOD = "".join(f"198.51.{n // 250}.{n % 250}\n" for n in range(1000))
PAGES = {"": (["198.51.100.1", "198.51.100.2"], "1700000001"), "1700000001": (["203.0.113.0/24"], "1700000002")}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, status=200, length=None, **headers):
        self.send_response(status)
        if length != "none":
            self.send_header("content-length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body.encode("latin-1"))

    def chunks(self, chunk, count, end=True):
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number in range(count):
            data = chunk(number).encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        if end:
            self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        print(json.dumps({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}), flush=True)
        self.close_connection = True
        try:
            if self.path.startswith("/api/"):
                self.apiban()
            elif self.path.startswith("/list") or self.path.startswith("/moved/"):
                getattr(self, (place / "mode").read_text().strip())()
            else:
                self.answer("", 404)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass

    def good(self):
        self.answer(GOOD, ETag='"v1"', Last_Modified="Mon, 30 Nov 2026 00:00:00 GMT")

    def same(self):
        fresh = self.headers["if-none-match"] == '"v1"' and self.headers["if-modified-since"]
        self.answer("", 304) if fresh else self.good()

    def other(self):
        self.answer("203.0.113.0/24 # other\n" + GOOD, ETag='"v2"')

    def few(self):
        self.answer("198.51.100.1\n")

    def empty(self):
        self.answer("")

    def truncated(self):
        self.answer(GOOD, length=len(GOOD) + 1)

    def torn(self):
        self.chunks(lambda _: GOOD, 2, end=False)

    def endless(self):
        self.answer(GOOD, length="none")

    def many(self):
        line = "{}.{}.{}.{}\n".format
        self.chunks(lambda n: "".join(line(11 + n % 100, n // 100, m >> 8, m & 255) for m in range(10000)), 1000)

    def large(self):
        self.chunks(lambda n: "# nothing\n" * 10000, 1000)

    def announced(self):
        self.answer("", length=1 << 30)

    def slow(self):
        self.send_response(200)
        self.send_header("content-length", "100000")
        self.end_headers()
        for _ in range(600):
            self.wfile.write(b"#")
            self.wfile.flush()
            time.sleep(0.1)

    def silent(self):
        time.sleep(60)

    def page(self):
        self.answer("<!DOCTYPE html>\n<p>Please pay. Your key is s3cretkey</p>\n")

    def words(self):
        self.answer("Too many requests from s3cretkey\n")

    def packed(self):
        self.answer(GOOD, Content_Encoding="gzip")

    def broken(self):
        self.answer("s3cretkey \x1b[2J", 503)

    def teapot(self):
        self.answer("", 304)

    def moved(self):
        if self.path.startswith("/moved/"):
            self.good()
        else:
            self.answer("", 302, Location="/moved/s3cretkey")

    def elsewhere(self):
        self.answer("", 302, Location=f"https://127.0.0.2:{server.server_address[1]}/list/s3cretkey")

    def localhost(self):
        self.answer("", 302, Location=f"https://localhost:{server.server_address[1]}/moved/")

    def plainly(self):
        self.answer("", 301, Location=f"http://127.0.0.1:{server.server_address[1]}/list")

    def loop(self):
        self.answer("", 302, Location=self.path)

    def nowhere(self):
        self.answer("", 302, Location="https://")

    def json(self):
        items = [{"ipAddress": line, "n": [1]} for line in GOOD.split()]
        self.answer(json.dumps({"meta": {"k": "x" * 100000}, "data": items}))

    def deep(self):
        self.chunks(lambda _: "[" * 100000, 50)

    def half(self):
        self.answer('{"data":[{"ipAddress":"198.51.100.1"},')

    def apiban(self):
        key, _, number = self.path.removeprefix("/api/").partition("/banned")
        if key != "s3cretkey":
            return self.answer(json.dumps({"ipaddress": ["unauthorized"], "ID": "unauthorized"}), 400)
        mode = (place / "mode").read_text().strip()
        number = number.strip("/")
        if mode == "often" and number:
            return self.answer(json.dumps({"ipaddress": "rate limit exceeded", "ID": "none"}), 400)
        if mode == "around":
            return self.answer(json.dumps({"ipaddress": ["198.51.100.1"], "ID": str(int(number or 1) + 1)}))
        if number in PAGES:
            addresses, after = PAGES[number]
            return self.answer(json.dumps({"ipaddress": addresses, "ID": after}))
        self.answer(json.dumps({"ipaddress": ["no new bans"], "ID": "none"}), 400)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_address[1], flush=True)
server.serve_forever()
