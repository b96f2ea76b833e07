//! Streams PostgreSQL's WAL into the sandboxed decoder and hands out change events.
