package io.github.grove.pgoutput;

import java.util.List;

/** Why a decoder stopped before a frame; that frame left no trace. */
public sealed interface Stop {
  /**
   * Facts are wanted: answer with {@link Decoder#learn}, and pass the frame again.
   *
   * @param relation the OID of the relation the frame names
   * @param types its columns' types, where they are not built in and not known
   */
  record Unknown(long relation, String namespace, String name, List<Long> types) implements Stop {}

  /**
   * The frame cannot be decoded: {@link Decoder#skip} goes on behind it.
   *
   * @param messageType the pgoutput message's first byte; -1 where there is none
   * @param offset where in the pgoutput message, in bytes
   * @param lsn the frame's, or the open transaction's
   * @param detail which field, relation or column: for people, not for matching
   */
  record Failed(Kind kind, int messageType, long offset, Lsn lsn, String detail) implements Stop {
    @Override
    public String toString() {
      var type = messageType < 0 ? "" : ", message type 0x%02X".formatted(messageType);
      return "%s at LSN %s%s, byte %d: %s".formatted(kind.text, lsn, type, offset, detail);
    }
  }

  /** The frame commits a transaction none of whose frames have come. */
  record NotStashed(long xid) implements Stop {}

  /** What is wrong with a frame, in the order of {@code decode-error-kind}. */
  enum Kind {
    FRAME("not an XLogData frame"),
    LIMIT("limit exceeded"),
    SEQUENCE("message out of sequence"),
    TRAILING("trailing bytes"),
    TRUNCATED("truncated message"),
    UNSUPPORTED("unsupported message"),
    VALUE("invalid value");

    private final String text;

    Kind(String text) {
      this.text = text;
    }
  }
}
