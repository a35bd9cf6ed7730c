"""A mail server on loopback: aiosmtpd. It prints its port, and a line of JSON for each mail that it gets.

smtp.py [--tls none|starttls|tls] [--cert FILE --key FILE] [--user NAME --password WORD] [--refuse TEXT] [--slow SECONDS]
"""

import argparse
import asyncio
import email
import email.policy
import json
import ssl

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

options = argparse.ArgumentParser()
options.add_argument("--tls", default="none")
options.add_argument("--cert")
options.add_argument("--key")
options.add_argument("--user")
options.add_argument("--password")
options.add_argument("--refuse")
options.add_argument("--slow", type=float, default=0)
options = options.parse_args()


class Handler:
    async def handle_DATA(self, server, session, envelope):
        await asyncio.sleep(options.slow)
        if options.refuse:
            return options.refuse
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        said = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": [[name, value] for name, value in mail.items()],
            "subject": mail["subject"],
            "text": mail.get_body(("plain",)).get_content(),
            "html": mail.get_body(("html",)).get_content(),
            "user": str(session.auth_data) if session.auth_data else None,
            "tls": server.transport.get_extra_info("ssl_object") is not None,
        }
        print(json.dumps(said), flush=True)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    right = LoginPassword(options.user.encode(), (options.password or "").encode())
    return AuthResult(success=data == right, handled=False, auth_data=options.user)


async def main():
    context = None
    if options.tls != "none":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.key)
    more = {}
    if options.user:
        more = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": options.tls == "starttls"}
    if options.tls == "starttls":
        more.update(tls_context=context, require_starttls=True)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Handler(), hostname="mx.test", loop=loop, **more),
        "127.0.0.1",
        0,
        ssl=context if options.tls == "tls" else None,
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
