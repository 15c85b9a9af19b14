"""A server that hashes request bodies, in another process so that its CPU time is not counted for any peer."""

import contextlib
import hashlib
import multiprocessing
import socket
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection

ANSWER = b'{"Status":"Success","ReasonForFailure":null,"Id":"34","Message":"%s","Key":"#034","TicketId":null}'
_CHUNK_SIZE = 1 << 20


def _serve(pipe: Connection) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    pipe.send(listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection, connection.makefile("rb", buffering=0) as stream:
        while head := _head(stream):
            if b"100-continue" in head:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = ANSWER % _digest(stream, head).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def _head(stream: socket.SocketIO) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = stream.read(1)
        if not byte:
            return b""
        head += byte
    return head.lower()


def _digest(stream: socket.SocketIO, head: bytes) -> str:
    lines = [line for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
    remaining, digest, chunk = int(lines[0].split(b":")[1]), hashlib.sha256(), memoryview(bytearray(_CHUNK_SIZE))
    while remaining:
        count = stream.readinto(chunk[: min(remaining, _CHUNK_SIZE)])
        if not count:
            break
        digest.update(chunk[:count])
        remaining -= count
    return digest.hexdigest()


@contextlib.contextmanager
def hashing_server() -> Iterator[str]:
    """Run the server during the block; yields its origin."""
    parent, child = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(child,), daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{parent.recv()}"
    finally:
        server.terminate()
        server.join()
