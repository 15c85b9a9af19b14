"""A minimal HTTP server that reads each request, discards its body, and answers.

It runs in a separate process, so that its CPU time is not counted. It does so little that the client determines the
time of an upload.
"""

import itertools
import json
import socket
import sys
import threading
from typing import BinaryIO

TICKET = {"Status": "Success", "ReasonForFailure": None, "Id": "%d", "Message": None, "TicketId": None, "Key": "#%d"}
SLACK = {"ok": True, "file_id": "F1", "files": [{"id": "F1"}]}  # upload_url is added once the port is known
FILE = {"id": "file-1", "object": "file", "bytes": 1, "created_at": 1, "filename": "a", "purpose": "user_data"}
NUMBERS = itertools.count(1)  # every ticket has another number


def answer(connection: socket.socket, bodies: dict[bytes, bytes]) -> None:
    """Answer the requests of one connection. The first part of the path selects the body of the answer."""
    buffer = memoryview(bytearray(1 << 20))
    with connection, connection.makefile("rb") as stream:
        while line := stream.readline():
            length, chunked = 0, False
            while (header := stream.readline().lower()) not in (b"\r\n", b""):
                name, _, value = header.partition(b":")
                if name == b"content-length":
                    length = int(value)
                elif name == b"transfer-encoding":
                    chunked = True
                elif name == b"expect":
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            discard(stream, length, buffer)
            while chunked and (length := int(stream.readline() or b"0", 16)):
                discard(stream, length, buffer)
                stream.readline()
            if chunked:
                stream.readline()
            body = bodies.get(line.split(b"/")[1]) or bodies[b""].replace(b"%d", b"%d" % next(NUMBERS))
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            connection.sendall(head % len(body) + body)


def discard(stream: BinaryIO, length: int, buffer: memoryview) -> None:
    while length and (count := stream.readinto(buffer[:length])):  # type: ignore[attr-defined]
        length -= count


def accept(listener: socket.socket, bodies: dict[bytes, bytes]) -> None:
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=answer, args=(connection, bodies), daemon=True).start()


def serve() -> None:
    """Print ``{"origin": ...}``, and serve until the standard input ends."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    bodies = {b"": TICKET, b"slack": SLACK | {"upload_url": f"{origin}/slack/upload"}, b"openai": FILE}
    encoded = {name: json.dumps(body).encode() for name, body in bodies.items()}
    threading.Thread(target=accept, args=(listener, encoded), daemon=True).start()
    print(json.dumps({"origin": origin}), flush=True)
    sys.stdin.read()
