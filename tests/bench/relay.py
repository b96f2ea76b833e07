"""A relay to the server, for the client ceiling: what a client does when no server holds it up.

Logins and questions to the catalogs pass through to the real server. START_REPLICATION does when
the relay records; else the recording is sent instead, as fast as the client takes it.

    python -m bench.relay PORT RECORDING --record|--replay

Prints the port it listens on, and ends with its standard input.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import BinaryIO

NEGOTIATIONS = (80877103, 80877104)  # SSLRequest, GSSENCRequest: sent before the startup packet
COPY_BOTH = struct.pack(">cibh", b"W", 7, 0, 0)
COPY_ENDS = struct.pack(">ci", b"c", 4) + struct.pack(">ci", b"C", 11) + b"COPY 0\0"
READY = struct.pack(">cic", b"Z", 5, b"I")


class Relay:
    """Listens on a port of its own, in front of a server on 127.0.0.1."""

    def __init__(self, port: int, recording: Path, record: bool) -> None:
        self.port = port
        self.recording = recording
        self.record = record

    def serve(self, listener: socket.socket) -> None:
        """Takes clients for ever."""
        while True:
            client, _ = listener.accept()
            threading.Thread(target=self.pass_on, args=(client,), daemon=True).start()

    def pass_on(self, client: socket.socket) -> None:
        """One client's session."""
        with client, socket.create_connection(("127.0.0.1", self.port)) as server:
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answers = threading.Thread(target=self.answer, args=(server, client), daemon=True)
            answers.start()
            # Either may be gone first.
            with contextlib.suppress(OSError, EOFError), client.makefile("rb") as said:
                self.ask(said, client, server)
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            answers.join()

    def ask(self, said: BinaryIO, client: socket.socket, server: socket.socket) -> None:
        """What the client says."""
        code = NEGOTIATIONS[0]
        while code in NEGOTIATIONS:
            size, code = struct.unpack(">ii", packet := exactly(said, 8))
            server.sendall(packet + exactly(said, size - 8))
        streaming = False
        while True:
            kind, size = struct.unpack(">ci", header := exactly(said, 5))
            body = exactly(said, size - 4)
            if not self.record and kind == b"Q" and body.startswith(b"START_REPLICATION"):
                streaming = True
                client.sendall(COPY_BOTH)
                with self.recording.open("rb") as recorded:
                    client.sendfile(recorded)
            elif streaming and kind == b"c":
                client.sendall(COPY_ENDS + READY)
            elif not streaming or kind == b"X":
                server.sendall(header + body)

    def answer(self, server: socket.socket, client: socket.socket) -> None:
        """What the server says."""
        with contextlib.suppress(OSError, EOFError), server.makefile("rb") as said:
            if self.record:
                self.keep(said, client)
            while data := server.recv(1 << 16):
                client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def keep(self, said: BinaryIO, client: socket.socket) -> None:
        """Passes on to a client that negotiates nothing, and writes XLogData down."""
        with self.recording.open("wb") as recording:
            while True:
                kind, size = struct.unpack(">ci", header := exactly(said, 5))
                message = header + exactly(said, size - 4)
                if kind == b"d" and message[5:6] == b"w":
                    recording.write(message)
                client.sendall(message)


def exactly(file: BinaryIO, size: int) -> bytes:
    """The next `size` bytes."""
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data


def main() -> None:
    """The command line."""
    port, recording, what = sys.argv[1:]
    relay = Relay(int(port), Path(recording), what == "--record")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=relay.serve, args=(listener,), daemon=True).start()
        sys.stdin.read()
        # Sessions may be in the middle of anything.
        os._exit(0)


if __name__ == "__main__":
    main()
