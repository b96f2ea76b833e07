package io.github.grove.pgoutput;

/** What a decoder returns: events, and what stands between them. */
public sealed interface Item
    permits Event, Item.Begin, Item.Commit, Item.Stash, Item.Discard, Item.Prepared {
  /** A transaction's events follow. Times are in µs since 1970-01-01. */
  record Begin(Lsn commitLsn, long commitTimeUs, long xid) implements Item {}

  /**
   * All of a transaction's events have come.
   *
   * @param endLsn what may be confirmed once all of them are dealt with
   */
  record Commit(Lsn commitLsn, long commitTimeUs, long xid, long events, Lsn endLsn)
      implements Item {}

  /** Frames of the call were stashed, until they are discarded or replayed. */
  record Stash(long xid, long subxid, long offset, long bytes) implements Item {}

  /** Frames that were stashed are forgotten; all of the transaction's where both are the same. */
  record Discard(long xid, long subxid) implements Item {}

  /**
   * A transaction is prepared. Nothing behind its LSN may be confirmed until it is discarded, and
   * its events are dealt with.
   */
  record Prepared(long xid, Lsn prepareLsn) implements Item {}
}
