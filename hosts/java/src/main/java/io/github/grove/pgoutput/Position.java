package io.github.grove.pgoutput;

import java.util.Comparator;

/**
 * Where an event stands in its stream: positions grow, and are the same whenever the server sends
 * the event again.
 *
 * @param commitLsn that of the transaction's commit, or of the message where there is no
 *     transaction
 * @param index of the server's change in its transaction, from 1
 * @param sub of the event among those of one change, from 0
 */
public record Position(Lsn commitLsn, long index, long sub) implements Comparable<Position> {
  private static final Comparator<Position> ORDER =
      Comparator.comparing(Position::commitLsn)
          .thenComparingLong(Position::index)
          .thenComparingLong(Position::sub);

  @Override
  public int compareTo(Position other) {
    return ORDER.compare(this, other);
  }

  @Override
  public String toString() {
    return sub == 0 ? commitLsn + ":" + index : commitLsn + ":" + index + "." + sub;
  }
}
