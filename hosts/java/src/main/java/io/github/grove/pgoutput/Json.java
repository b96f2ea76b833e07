package io.github.grove.pgoutput;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Objects;

/** JSON as the decoder wrote it: a view of UTF-8 bytes, which are not copied until asked for. */
public final class Json {
  private final byte[] array;
  private final int offset;
  private final int length;

  Json(byte[] array, int offset, int length) {
    this.array = array;
    this.offset = Objects.checkFromIndexSize(offset, length, array.length);
    this.length = length;
  }

  /** Its length in bytes. */
  public int length() {
    return length;
  }

  /** A copy of its bytes. */
  public byte[] bytes() {
    return Arrays.copyOfRange(array, offset, offset + length);
  }

  /** Its bytes, not copied. */
  public ByteBuffer buffer() {
    return ByteBuffer.wrap(array, offset, length).slice().asReadOnlyBuffer();
  }

  /** Writes its bytes. */
  public void writeTo(OutputStream out) throws IOException {
    out.write(array, offset, length);
  }

  /** A part of it, as the decoder's records name parts. */
  Json part(int start, int bytes) {
    Objects.checkFromIndexSize(start, bytes, length);
    return new Json(array, offset + start, bytes);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Json json
        && Arrays.equals(
            array, offset, offset + length, json.array, json.offset, json.offset + json.length);
  }

  @Override
  public int hashCode() {
    return buffer().hashCode();
  }

  @Override
  public String toString() {
    return new String(array, offset, length, StandardCharsets.UTF_8);
  }
}
