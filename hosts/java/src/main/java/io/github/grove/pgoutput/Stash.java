package io.github.grove.pgoutput;

import java.io.ByteArrayOutputStream;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;

/** Frames of transactions that came before they were decided, in memory, by transaction. */
final class Stash {
  private static final long BYTES_MAX = 1L << 30;
  private static final int REPLAY_BYTES = 64 * 1024;

  private final Map<Long, Deque<Run>> transactions = new HashMap<>();
  private long bytes;

  private record Run(long subxid, byte[] frames) {}

  void keep(long xid, long subxid, byte[] frames) {
    bytes += frames.length;
    if (bytes > BYTES_MAX) {
      throw new DecoderException.StashFull(BYTES_MAX);
    }
    transactions.computeIfAbsent(xid, none -> new ArrayDeque<>()).add(new Run(subxid, frames));
  }

  /** Forgets a subtransaction, or all of the transaction if it is its own xid. */
  void discard(long xid, long subxid) {
    var runs = transactions.getOrDefault(xid, new ArrayDeque<>());
    runs.removeIf(
        run -> {
          boolean gone = xid == subxid || run.subxid == subxid;
          bytes -= gone ? run.frames.length : 0;
          return gone;
        });
    if (xid == subxid) {
      transactions.remove(xid);
    }
  }

  /** Takes out what was kept of a transaction; null if that is nothing. */
  Replay replay(long xid) {
    var runs = transactions.remove(xid);
    if (runs == null) {
      return null;
    }
    bytes -= runs.stream().mapToLong(run -> run.frames.length).sum();
    return new Replay(runs);
  }

  /** A transaction on its way back, oldest frames first. */
  static final class Replay {
    private final Deque<Run> runs;
    private byte[] frames = {};
    private int used;

    private Replay(Deque<Run> runs) {
      this.runs = runs;
    }

    /** Sees to it that there are frames, as many as a call takes; false at the end. */
    boolean fill() {
      if (used < frames.length) {
        return true;
      }
      var next = new ByteArrayOutputStream();
      while (!runs.isEmpty()
          && (next.size() == 0 || next.size() + runs.peek().frames.length <= REPLAY_BYTES)) {
        next.writeBytes(runs.poll().frames);
      }
      frames = next.toByteArray();
      used = 0;
      return frames.length > 0;
    }

    /** What is to be decoded, of which {@link #used} bytes are. */
    byte[] frames() {
      return frames;
    }

    int used() {
      return used;
    }

    void consume(int count) {
      used += count;
    }

    void skip() {
      used += Frames.length(frames, used);
    }
  }
}
