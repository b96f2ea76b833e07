"""One line of JSON an event: `{"topic":…,"key":…,"value":…,"headers":…}`."""

import json

from .records import Event, Topic


class JsonLines:
    """Makes lines of events. The pieces are the decoder's own bytes."""

    def __init__(self) -> None:
        self._topic: Topic | None = None
        self._prefix = b""

    def line(self, event: Event) -> bytes:
        """The event's line, with its line feed."""
        topic = event.topic
        if topic is not self._topic:
            self._topic = topic
            self._prefix = (
                b'{"topic":%s,"key":' % json.dumps(topic.name, ensure_ascii=False).encode()
            )
        line = b'%s%s,"value":%s,"headers":%s}' % (
            self._prefix,
            event.key or b"null",
            event.value or b"null",
            event.headers,
        )
        # The server's own json may have line breaks, which stand between its tokens alone.
        if b"\n" in line or b"\r" in line:
            line = line.translate(_SPACES)
        return line + b"\n"


_SPACES = bytes.maketrans(b"\r\n", b"  ")
