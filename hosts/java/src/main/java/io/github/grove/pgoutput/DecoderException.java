package io.github.grove.pgoutput;

import java.nio.file.Path;

/** What can go wrong. No message holds values of rows. */
public abstract sealed class DecoderException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private DecoderException(String message) {
    super(message);
  }

  private DecoderException(String message, Throwable cause) {
    super(message, cause);
  }

  /** The core module cannot be used. */
  public static final class Module extends DecoderException {
    private static final long serialVersionUID = 1;

    Module(Path path, String problem, Throwable cause) {
      super(path + ": " + problem, cause);
    }
  }

  /** An option is unknown or has a value it cannot have. */
  public static final class Option extends DecoderException {
    private static final long serialVersionUID = 1;
    private final String name;

    Option(String name, String reason) {
      super("option " + name + ": " + reason);
      this.name = name;
    }

    /** The option. */
    public String name() {
      return name;
    }
  }

  /** Saved state cannot be restored. */
  public static final class Restore extends DecoderException {
    private static final long serialVersionUID = 1;
    private final boolean otherVersion;

    Restore(boolean otherVersion) {
      super(otherVersion ? "saved by a decoder of another version" : "not a saved decoder");
      this.otherVersion = otherVersion;
    }

    /** Whether it is of a decoder of another version, and not corrupt. */
    public boolean isOtherVersion() {
      return otherVersion;
    }
  }

  /** The decoder trapped, which is a bug in it. A new decoder is needed. */
  public static final class Trap extends DecoderException {
    private static final long serialVersionUID = 1;

    Trap(Throwable cause) {
      super("the decoder trapped: " + cause.getMessage(), cause);
    }
  }

  /** The decoder's records cannot be read, which is a bug in it. */
  public static final class Malformed extends DecoderException {
    private static final long serialVersionUID = 1;

    Malformed(int offset) {
      super("the record at byte " + offset + " is cut short, or names what is not there");
    }
  }

  /** Frames of undecided transactions take more memory than they may. */
  public static final class StashFull extends DecoderException {
    private static final long serialVersionUID = 1;

    StashFull(long limitBytes) {
      super("stashed frames would exceed " + limitBytes + " bytes");
    }
  }

  /** A recording cannot be read on; what came before is sound. */
  public static final class Damaged extends DecoderException {
    private static final long serialVersionUID = 1;
    private final long block;
    private final long offset;

    Damaged(Path path, long block, long offset, String problem) {
      super("%s, block %d at byte %d: %s".formatted(path, block, offset, problem));
      this.block = block;
      this.offset = offset;
    }

    /** Counted from 1. */
    public long block() {
      return block;
    }

    /** Where the block begins in the file. */
    public long offset() {
      return offset;
    }
  }

  /** A file is no recording. */
  public static final class Foreign extends DecoderException {
    private static final long serialVersionUID = 1;

    Foreign(Path path) {
      super(path + ": not a recording");
    }
  }

  /** A recording is of a later version of the format. */
  public static final class Version extends DecoderException {
    private static final long serialVersionUID = 1;

    Version(Path path, int found) {
      super(
          "%s: format %d of recordings, and this is a reader of format 1: take a later one"
              .formatted(path, found));
    }
  }

  /** A frame of a recording cannot be decoded; {@link Recording#skip} goes on behind it. */
  public static final class Undecodable extends DecoderException {
    private static final long serialVersionUID = 1;
    private final transient Stop.Failed failed;

    Undecodable(String place, Stop.Failed failed) {
      super(place + ": " + failed);
      this.failed = failed;
    }

    /** What is wrong and where. */
    public Stop.Failed failed() {
      return failed;
    }
  }

  /** A recording's frame commits a transaction that is not in it. */
  public static final class NotStashed extends DecoderException {
    private static final long serialVersionUID = 1;

    NotStashed(String place, long xid) {
      super(place + ": transaction " + xid + " is not in the recording");
    }
  }

  /** The decoder does not go on, which is a bug in it. */
  public static final class Stalled extends DecoderException {
    private static final long serialVersionUID = 1;

    Stalled() {
      super("the decoder does not go on");
    }
  }
}
