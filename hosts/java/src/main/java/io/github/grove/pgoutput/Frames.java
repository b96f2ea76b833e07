package io.github.grove.pgoutput;

import java.nio.ByteBuffer;

/** Looks at frames from outside: at their lengths and LSNs, which {@code wit/decoding.wit} lays. */
final class Frames {
  /** What the length of a frame counts besides the message. */
  private static final int LENGTH_MIN = 29;

  private Frames() {}

  /** Bytes of the frame at {@code offset}, all there are if it is cut short. */
  static int length(byte[] frames, int offset) {
    int left = frames.length - offset;
    if (left < 5) {
      return left;
    }
    long length = Integer.toUnsignedLong(ByteBuffer.wrap(frames).getInt(offset + 1)) + 1;
    return (int) Math.min(length, left);
  }

  /** Whether all of them are whole. */
  static boolean areWhole(byte[] frames) {
    var in = ByteBuffer.wrap(frames);
    while (in.remaining() > LENGTH_MIN) {
      int length = in.getInt(in.position() + 1);
      if (in.get(in.position()) != 'd' || length < LENGTH_MIN || length >= in.remaining()) {
        return false;
      }
      in.position(in.position() + 1 + length);
    }
    return !in.hasRemaining();
  }
}
