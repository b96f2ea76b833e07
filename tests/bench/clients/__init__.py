"""Programs that read a slot's changes and say what that took; each runs in a process of its own.

The server and the database come by libpq's variables, the slot and the number of events by
BENCH_SLOT and BENCH_EVENTS. The only argument says what is done with each event.
"""
