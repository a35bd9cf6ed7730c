"""A web server on loopback, with or without TLS. It prints its port, and a line of JSON for each request.

web.py STATUS[,STATUS...] [CERT KEY]     the statuses of its answers, in order; the last one again and again
"""

import http.server
import json
import ssl
import sys

statuses = [int(status) for status in sys.argv[1].split(",")]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        self.send_response(status)
        said = json.dumps({"description": "said by the test: <b>\x1b[2J"}).encode()
        self.send_header("content-length", str(len(said)))
        if 300 <= status < 400:
            self.send_header("location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()
        self.wfile.write(said)
        request = {"path": self.path, "headers": dict(self.headers), "body": json.loads(body), "status": status}
        print(json.dumps(request), flush=True)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
