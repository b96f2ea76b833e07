package io.github.grove.pgoutput;

/**
 * A change event.
 *
 * @param op {@code c u d r t m}; 0 for tombstones and transaction metadata
 * @param transactional whether it is of a transaction: some messages are not
 * @param lsn the change's
 * @param commitTimeUs µs since 1970-01-01
 * @param xid the transaction's; 0 for none
 * @param key null where there is none
 * @param value null in a tombstone
 * @param before the part of the value, null where there is none; so are the next two
 * @param unchanged indexes of columns of {@code after} whose TOASTed value was not sent
 */
public record Event(
    Topic topic,
    char op,
    boolean transactional,
    Position position,
    Lsn lsn,
    long commitTimeUs,
    long xid,
    Json key,
    Json value,
    Json headers,
    Json before,
    Json after,
    Json source,
    int[] unchanged)
    implements Item {

  /** Leaves values of rows out. */
  @Override
  public String toString() {
    return "Event[%s %s]".formatted(topic.name(), position);
  }
}
