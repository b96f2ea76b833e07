package io.github.grove.pgoutput;

import io.airlift.compress.MalformedInputException;
import io.airlift.compress.zstd.ZstdDecompressor;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.zip.CRC32;

/** Reads a recording block by block, as {@code docs/recordings.md} has them, each checked. */
final class BlockReader implements AutoCloseable {
  static final int HEAD = 1;
  static final int FACTS = 2;
  static final int FRAMES = 3;
  static final int END = 4;

  private static final byte[] MAGIC = {'P', 'G', 'R', 'E', 'C', 0x1A, '\r', '\n'};
  private static final int START_BYTES = 12;
  private static final int VERSION = 1;
  private static final int HEADER_BYTES = 24;
  private static final int CRC_AT = 20;
  private static final int CONTENT_BYTES_MAX = 1 << 30;

  private final Path path;
  private final InputStream in;
  private final ZstdDecompressor zstd = new ZstdDecompressor();
  private Block last = new Block(0, 0, START_BYTES, 0, 0, new byte[0]);

  /**
   * A block.
   *
   * @param number counted from 1
   * @param offset where it begins in the file
   * @param end behind it
   */
  record Block(long number, long offset, long end, int kind, long receivedUs, byte[] content) {}

  BlockReader(Path path) throws IOException {
    this.path = path;
    in = new BufferedInputStream(Files.newInputStream(path), 1 << 16);
    try {
      start();
    } catch (IOException | RuntimeException problem) {
      in.close();
      throw problem;
    }
  }

  private void start() throws IOException {
    var start = in.readNBytes(START_BYTES);
    if (start.length < START_BYTES
        || !Arrays.equals(start, 0, MAGIC.length, MAGIC, 0, MAGIC.length)) {
      throw new DecoderException.Foreign(path);
    }
    int version = Short.toUnsignedInt(littleEndian(start).getShort(MAGIC.length));
    if (version != VERSION) {
      throw new DecoderException.Version(path, version);
    }
  }

  /** The next block; null behind the end. */
  Block next() throws IOException {
    var header = in.readNBytes(HEADER_BYTES);
    if (header.length == 0) {
      if (last.kind() == END) {
        return null;
      }
      throw damaged("the file ends before it: it was cut there, or its recorder was killed");
    }
    if (header.length < HEADER_BYTES) {
      throw damaged("the file ends inside of it");
    }
    var fields = littleEndian(header);
    int kind = Byte.toUnsignedInt(fields.get(0));
    int codec = fields.get(1);
    int storedBytes = fields.getInt(4);
    int bytes = fields.getInt(8);
    if (codec < 0 || codec > 1) {
      throw damaged("stored in a way that is not known");
    }
    if (fields.getShort(2) != 0
        || Integer.compareUnsigned(bytes, CONTENT_BYTES_MAX) > 0
        || Integer.compareUnsigned(storedBytes, CONTENT_BYTES_MAX) > 0
        || (codec == 0 && storedBytes != bytes)) {
      throw damaged("not the head of a block");
    }
    var stored = in.readNBytes(storedBytes);
    if (stored.length < storedBytes) {
      throw damaged("the file ends inside of it");
    }
    var crc = new CRC32();
    crc.update(header, 0, CRC_AT);
    crc.update(stored);
    if ((int) crc.getValue() != fields.getInt(CRC_AT)) {
      throw damaged("its checksum is another: the file is damaged");
    }
    var content = codec == 0 ? stored : decompress(stored, bytes);
    if (last.number() == 0 && kind != HEAD) {
      throw damaged("a recording begins with a head");
    }
    if (kind == FRAMES && !Frames.areWhole(content)) {
      throw damaged("its frames are not whole");
    }
    long end = last.end() + HEADER_BYTES + storedBytes;
    last = new Block(last.number() + 1, last.end(), end, kind, fields.getLong(12), content);
    return last;
  }

  private byte[] decompress(byte[] stored, int bytes) {
    var content = new byte[bytes];
    try {
      if (zstd.decompress(stored, 0, stored.length, content, 0, bytes) == bytes) {
        return content;
      }
    } catch (MalformedInputException | IndexOutOfBoundsException malformed) {
      // Told below.
    }
    throw damaged("cannot be decompressed to what its head says");
  }

  /** What is wrong with the block that is next. */
  private DecoderException.Damaged damaged(String problem) {
    return new DecoderException.Damaged(path, last.number() + 1, last.end(), problem);
  }

  /** What is wrong with the content of a block that was read. */
  DecoderException.Damaged damaged(Block block, String problem) {
    return new DecoderException.Damaged(path, block.number(), block.offset(), problem);
  }

  private static ByteBuffer littleEndian(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  @Override
  public void close() throws IOException {
    in.close();
  }
}
