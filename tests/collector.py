"""A syslog collector over TLS (RFC 5425): appends each message it read whole to a file, a line.

Run as a process, so that a test can kill it: `collector.py PORT CERTIFICATE KEY FILE [LIMIT]`.
After LIMIT messages it dies on the spot, as if killed, with whatever it had not read yet.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
from pathlib import Path
from typing import BinaryIO


def _digits(stream: BinaryIO) -> bytes:
    digits = b""
    while (byte := stream.read(1)) not in {b"", b" "}:
        digits += byte
    return digits


def main() -> None:
    port, certificate, key, path, *rest = sys.argv[1:]
    limit = int(rest[0]) if rest else None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", int(port))) as server, Path(path).open("ab") as out:
        print("ready", flush=True)  # noqa: T201 - the test waits for it
        while True:
            plain, _ = server.accept()
            try:
                with context.wrap_socket(plain, server_side=True) as tls:
                    stream = tls.makefile("rb")
                    while digits := _digits(stream):
                        out.write(stream.read(int(digits)).replace(b"\n", b" ") + b"\n")
                        out.flush()
                        if limit is not None and (limit := limit - 1) == 0:
                            os._exit(9)
                    tls.unwrap()
            except OSError:
                continue


if __name__ == "__main__":
    main()
