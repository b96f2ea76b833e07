package io.github.grove.pgoutput;

import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Decodes frames of one replication stream, for who has a connection of their own.
 *
 * <p>Streamed and prepared transactions come before they are decided. A decoder stashes their
 * frames in memory, and replays them where they are committed. Not shared between threads; it needs
 * no closing.
 */
public final class Decoder {
  private final Guest guest;
  private final Records records = new Records();
  private final Stash stash = new Stash();

  /** The transaction that was just committed: its frames come before any others. */
  private Stash.Replay replay;

  /** Why it stopped last, and that again once facts were told: it must not ask twice. */
  private Stop asked;

  private Stop answered;

  /**
   * What a call to {@link #decode} came to.
   *
   * @param items what was decoded
   * @param consumed bytes of the frames used up: whole frames only. Pass the rest again.
   * @param stop why the decoder stopped before a frame
   */
  public record Decoded(List<Item> items, int consumed, Optional<Stop> stop) {}

  private Decoder(Guest guest) {
    this.guest = guest;
  }

  /** A decoder at the beginning of a stream, with options by Debezium's property names. */
  public static Decoder open(Map<String, String> options) throws IOException {
    return open(options, DecoderModule.standard());
  }

  /** The same in a module of one's own. */
  public static Decoder open(Map<String, String> options, DecoderModule module) {
    return new Decoder(module.open(options));
  }

  /** Options that were given, are Debezium's, and have no meaning to a decoder. */
  public List<String> ignoredOptions() {
    return guest.ignoredOptions();
  }

  /** Decodes whole frames; see {@link #decode(byte[], int, int, long)}. */
  public Decoded decode(byte[] frames, long nowUs) {
    return decode(frames, 0, frames.length, nowUs);
  }

  /**
   * Decodes whole frames, as {@code wit/decoding.wit} has them. While a transaction {@link
   * #isReplaying}, none of them is used up.
   *
   * @param nowUs the time given to the events, µs since 1970-01-01
   */
  public Decoded decode(byte[] frames, int offset, int length, long nowUs) {
    if (replay != null) {
      return replay(nowUs);
    }
    var decoded = call(frames, offset, length, nowUs);
    var items = read(decoded, frames, offset);
    var stop = decoded.stop();
    if (decoded.replay().isPresent()) {
      long xid = decoded.replay().get();
      replay = stash.replay(xid);
      stop = replay == null ? Optional.of(new Stop.NotStashed(xid)) : Optional.empty();
    }
    return new Decoded(items, decoded.consumed(), stop);
  }

  private Decoded replay(long nowUs) {
    if (!replay.fill()) {
      replay = null;
      return new Decoded(List.of(), 0, Optional.empty());
    }
    var frames = replay.frames();
    int used = replay.used();
    var decoded = call(frames, used, frames.length - used, nowUs);
    if (decoded.replay().isPresent()) {
      throw new DecoderException.Stalled();
    }
    var items = read(decoded, frames, used);
    replay.consume(decoded.consumed());
    return new Decoded(items, 0, decoded.stop());
  }

  private Guest.Decoded call(byte[] frames, int offset, int length, long nowUs) {
    var decoded = guest.decode(frames, offset, length, nowUs);
    var stop = decoded.stop().orElse(null);
    boolean isUsed = decoded.consumed() > 0 || length == 0;
    boolean isAskedAgain = stop != null && stop.equals(answered);
    boolean hasStopped = stop != null || decoded.replay().isPresent();
    if (!isUsed && (isAskedAgain || !hasStopped)) {
      throw new DecoderException.Stalled();
    }
    asked = stop;
    answered = null;
    return decoded;
  }

  /** Whether frames that were stashed are to be decoded before any others. */
  public boolean isReplaying() {
    return replay != null;
  }

  private List<Item> read(Guest.Decoded decoded, byte[] frames, int offset) {
    var items = records.read(decoded.records());
    for (var item : items) {
      if (item instanceof Item.Stash kept) {
        int start = Math.addExact(offset, Math.toIntExact(kept.offset()));
        int end = Math.addExact(start, Math.toIntExact(kept.bytes()));
        stash.keep(kept.xid(), kept.subxid(), Arrays.copyOfRange(frames, start, end));
      } else if (item instanceof Item.Discard discard) {
        stash.discard(discard.xid(), discard.subxid());
      }
    }
    return items;
  }

  /** Answers {@link Stop.Unknown}, or tells facts ahead of any question. */
  public void learn(Facts facts) {
    guest.learn(facts);
    answered = asked;
  }

  /**
   * Gives up the frame of the last {@link Stop.Failed}.
   *
   * @return whether it is the first of the frames that are passed next, and is not to be passed; it
   *     may also be one that was stashed
   */
  public boolean skip() {
    guest.skip();
    if (replay != null) {
      replay.skip();
    }
    return replay == null;
  }

  /** What a successor needs to go on where this one stands, between transactions. */
  public byte[] save() {
    return guest.save();
  }

  /** The inverse of {@link #save}, on a new decoder with the same options. */
  public void restore(byte[] saved) {
    guest.restore(saved);
  }
}
