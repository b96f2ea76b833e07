package io.github.grove.pgoutput;

/** A position in the write-ahead log, in bytes; unsigned. */
public record Lsn(long value) implements Comparable<Lsn> {
  @Override
  public int compareTo(Lsn other) {
    return Long.compareUnsigned(value, other.value);
  }

  /** As PostgreSQL's {@code pg_lsn} prints it, for example {@code 16/B3748000}. */
  @Override
  public String toString() {
    return "%X/%X".formatted(value >>> 32, value & 0xFFFF_FFFFL);
  }
}
