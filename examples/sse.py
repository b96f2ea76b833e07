"""A page that shows changes as they are committed, by server-sent events.

    psql -f examples/setup_postgres.sql         # once
    python examples/sse.py --port 8000          # then open http://127.0.0.1:8000/

A browser whose connection broke says which event it had last, and gets those since, as far as they
are still remembered. The replication slot is temporary: what happens while the program does not run
is not shown. It listens on the loopback interface only, as it shows rows to whoever asks. The
server is found by PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE. Needs fastapi and uvicorn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
from collections import deque
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI, Request
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import HTMLResponse, StreamingResponse
from pgoutput_decoder import (
    LogicalReplicationReader,
    ReplicationError,
    ReplicationMessage,
    format_operation,
    get_table_name,
    message_to_dict,
)

REMEMBERED = 1000
# How often a connection on which nothing happens is looked after.
STILL_THERE_S = 1.0

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Changes</title>
<style>
  :root { color-scheme: light dark; --line: light-dark(#d0d7de, #3d444d);
          --quiet: light-dark(#59636e, #9198a1); }
  body { font: 16px/1.4 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
  h1 { font-size: 1.25rem; margin: 0; }
  #state, .when { color: var(--quiet); }
  .when { white-space: nowrap; }
  ol { list-style: none; margin: 1rem 0; padding: 0; }
  li { border-top: 1px solid var(--line); padding: .5rem 0; }
  .op { font-weight: 600; }
  .INSERT { color: light-dark(#1a7f37, #3fb950); }
  .UPDATE { color: light-dark(#0969da, #4493f8); }
  .DELETE, .TRUNCATE { color: light-dark(#c0202a, #f85149); }
  dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: 0 .75rem;
       margin: .25rem 0 0; }
  dt { color: var(--quiet); }
  dd { margin: 0; overflow-wrap: anywhere; }
  del { color: var(--quiet); margin-right: .5rem; }
</style>
<h1>Changes</h1>
<div id="state" role="status">connecting…</div>
<ol id="changes"></ol>
<script>
  const shown = 100;
  const list = document.getElementById("changes");
  const state = document.getElementById("state");
  const clock = new Intl.DateTimeFormat([], {timeStyle: "medium", hourCycle: "h23"});
  let count = 0;

  function element(name, text, kind) {
    const made = document.createElement(name);
    made.textContent = text;  // never as markup: these are people's data
    if (kind) made.className = kind;
    return made;
  }
  const written = (value) => typeof value === "string" ? value : JSON.stringify(value);

  const events = new EventSource("events");
  const tell = () => { state.textContent = `live, ${count} changes`; };
  events.onopen = tell;
  events.onerror = () => { state.textContent = "connection lost; trying again…"; };
  events.onmessage = (event) => {
    const change = JSON.parse(event.data);
    const item = document.createElement("li");
    item.append(element("span", change.op, `op ${change.op}`), " ",
                element("span", change.table), " ",
                element("span", clock.format(change.ms), "when"));
    const columns = document.createElement("dl");
    for (const [name, [before, after]] of Object.entries(change.columns)) {
      const value = element("dd", "");
      if (before !== null) value.append(element("del", written(before)));
      if (after !== null) value.append(written(after));
      columns.append(element("dt", name), value);
    }
    item.append(columns);
    list.prepend(item);
    while (list.childElementCount > shown) list.lastElementChild.remove();
    count += 1;
    tell();
  };
</script>
"""


def as_event(message: ReplicationMessage) -> str:
    """A server-sent event: the position as its id, and as data the columns that changed.

    All columns of a new row and of one that is gone, and the key of one that changed.
    """
    event = message_to_dict(message) or {}
    before, after = event["before"] or {}, event["after"] or {}
    columns = {
        name: [before.get(name), after.get(name)]
        for name in {**before, **after}
        if name not in message.unchanged and before.get(name) != after.get(name)
    }
    key = {name: [None, value] for name, value in (message.key or {}).items()}
    data = {
        "op": format_operation(message.op),
        "table": get_table_name(message),
        "ms": event["source"]["ts_ms"],
        "columns": {**key, **columns},
    }
    return f"id: {message.position}\ndata: {json.dumps(data, default=str)}\n\n"


class Changes:
    """The last changes, by position, and whoever waits for the next one."""

    def __init__(self) -> None:
        self._events: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)
        self._count = 0
        self._more = asyncio.Condition()

    async def add(self, message: ReplicationMessage) -> None:
        """Shows a change to everybody."""
        async with self._more:
            self._events.append((message.position, as_event(message)))
            self._count += 1
            self._more.notify_all()

    def seen(self, position: str | None) -> int:
        """How many changes somebody has seen who saw this one last; all there are without one.

        Of one that is no longer remembered, none: all that are come again.
        """
        if position is None:
            return self._count
        for back, (known, _) in enumerate(reversed(self._events)):
            if known == position:
                return self._count - back
        return 0

    async def since(self, seen: int) -> tuple[int, list[str]]:
        """The changes behind the first `seen`, and how many have been seen then.

        Waits for one, but no longer than STILL_THERE_S.
        """
        async with self._more:
            try:
                async with asyncio.timeout(STILL_THERE_S):
                    await self._more.wait_for(lambda: self._count > seen)
            except TimeoutError:
                return seen, []
            new = min(self._count - seen, len(self._events))
            events = [text for _, text in self._events]
            return self._count, events[len(events) - new :]


def application(changes: Changes) -> FastAPI:
    """The page and its events."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    # Another site's name that was made to lead here is refused.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])

    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE)

    async def events(request: Request) -> StreamingResponse:
        seen = changes.seen(request.headers.get("last-event-id"))
        return StreamingResponse(stream(seen), media_type="text/event-stream")

    async def stream(seen: int) -> AsyncIterator[str]:
        yield ": hello\n\n"
        while not app.state.server.should_exit:
            seen, new = await changes.since(seen)
            # A comment where there is nothing to tell: a dead connection shows.
            yield "".join(new) or ": still here\n\n"

    app.add_api_route("/", page, response_model=None)
    app.add_api_route("/events", events, response_model=None)
    return app


async def read(reader: LogicalReplicationReader, changes: Changes) -> None:
    """Shows what is committed, until stopped."""
    async for message in reader:
        if message.table:
            await changes.add(message)


async def main(port: int) -> None:
    """Reads and serves until Ctrl-C."""
    changes = Changes()
    app = application(changes)
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    app.state.server = server = uvicorn.Server(config)
    slot = f"sse_{os.getpid()}"
    reader = LogicalReplicationReader("ecommerce_pub", slot, create_slot="temporary")
    async with reader:
        listening = socket.create_server(("127.0.0.1", port))
        port = listening.getsockname()[1]
        print(f"http://127.0.0.1:{port}/ shows changes; Ctrl-C stops.", flush=True)
        reading = asyncio.create_task(read(reader, changes))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        await asyncio.wait([reading, serving], return_when=asyncio.FIRST_COMPLETED)
        # One does not go on without the other.
        server.should_exit = True
        reading.cancel()
        await asyncio.wait([reading, serving])
        if not reading.cancelled():
            await reading


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Shows PostgreSQL's changes in a browser.")
    parser.add_argument("--port", type=int, default=8000)
    try:
        asyncio.run(main(parser.parse_args().port))
    except KeyboardInterrupt:
        print("Stopped.")
    except ReplicationError as error:
        raise SystemExit(f"sse.py: {error}") from None
