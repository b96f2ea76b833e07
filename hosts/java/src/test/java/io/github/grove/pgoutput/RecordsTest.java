package io.github.grove.pgoutput;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

final class RecordsTest {
  private static final String VALUE = "{\"before\":null,\"after\":{\"é\":1},\"source\":{}}";
  private static final long HIGH_LSN = 0xFFFF_FFFF_0000_0010L;

  @Test
  void readsEveryField() {
    var bytes =
        join(topic(), begin(), event('u', 0, "{\"id\":1}", VALUE, "", 3, 9), unknown(), commit());
    var items = new Records().read(bytes);
    assertEquals(3, items.size());
    assertEquals(new Item.Begin(new Lsn(HIGH_LSN), -5, 0xFFFF_FFFFL), items.get(0));
    assertEquals(
        new Item.Commit(new Lsn(HIGH_LSN), -5, 742, 1, new Lsn(HIGH_LSN + 48)), items.get(2));

    var event = assertInstanceOf(Event.class, items.get(1));
    assertEquals('u', event.op());
    assertEquals("{\"id\":1}", event.key().toString());
    assertArrayEquals(VALUE.getBytes(UTF_8), event.value().bytes());
    assertEquals("{\"é\":1}", event.after().toString());
    assertNull(event.before());
    assertNull(event.source());
    assertEquals("{\"h\":1}", event.headers().toString());
    assertEquals("FFFFFFFF/10:4.1", event.position().toString());
    assertArrayEquals(new int[] {3, 9}, event.unchanged());
    assertFalse(event.toString().contains("é"));

    var id = new Topic.Field("id", 0, List.of());
    var money = new Topic.Field("of", 21, List.of(new Topic.Field("n", 1, List.of())));
    assertEquals(
        new Topic(
            7,
            "shop.orders",
            0xFFFF_FFF0L,
            "public",
            "orders",
            event.headers(),
            List.of(
                new Topic.Column(id, 20, -1, true, false),
                new Topic.Column(money, 1043, 44, false, true))),
        event.topic());
  }

  @Test
  void topicsHoldAcrossCallsAndEventsHaveHeadersOfTheirOwn() {
    var records = new Records();
    assertEquals(List.of(), records.read(topic()));
    var event = (Event) records.read(event((char) 0, 3, "", "", "{\"own\":1}")).get(0);
    assertEquals("{\"own\":1}", event.headers().toString());
    assertNull(event.key());
    assertNull(event.value());
    assertNull(event.after());
    assertFalse(event.transactional());
  }

  @Test
  void whatIsCutShortIsRefused() {
    var all = join(topic(), event('c', 0, "{}", VALUE, "", 1), begin(), commit());
    int behindEvent = all.length - begin().length - commit().length;
    var ends = List.of(0, topic().length, behindEvent, all.length - commit().length);
    for (int end = 0; end < all.length; end++) {
      var cut = Arrays.copyOf(all, end);
      try {
        new Records().read(cut);
      } catch (DecoderException.Malformed expected) {
        continue;
      }
      assertTrue(ends.contains(end), "cut at byte " + end);
    }
  }

  @Test
  void lengthsOfARecordAreNotBelieved() {
    var all = join(topic(), event('c', 0, "{}", VALUE, "", 1));
    for (int at = 0; at < all.length - 3; at++) {
      for (int lie : new int[] {-1, Integer.MAX_VALUE, Integer.MIN_VALUE, 0, 5}) {
        var bytes = all.clone();
        buffer(bytes).putInt(at, lie);
        try {
          new Records().read(bytes);
        } catch (DecoderException.Malformed allowed) {
          continue;
        }
      }
    }
  }

  @Test
  void anEventOfAnUnknownTopicIsRefused() {
    var bytes = event('c', 0, "{}", VALUE, "");
    assertThrows(DecoderException.Malformed.class, () -> new Records().read(bytes));
  }

  private static byte[] topic() {
    var texts = "shop.orderspublicorders{\"h\":1}";
    var columns = buffer(new byte[64]);
    columns.putInt(20).putInt(-1).put((byte) 0).put((byte) 1).putShort((short) 2).put(utf8("id"));
    columns
        .putInt(1043)
        .putInt(44)
        .put((byte) 21)
        .put((byte) 2)
        .putShort((short) 2)
        .put(utf8("of"));
    columns.putShort((short) 1).put((byte) 1).put((byte) 0).putShort((short) 1).put(utf8("n"));
    var record = record(1, 36 + texts.length() + columns.position());
    record.putInt(8, 7).putInt(12, 0xFFFF_FFF0).putInt(16, 11).putInt(20, 6).putInt(24, 6);
    record.putInt(28, 7).putInt(32, 2).position(36);
    record.put(utf8(texts)).put(columns.flip());
    return record.array();
  }

  private static byte[] begin() {
    return record(2, 28).putLong(8, HIGH_LSN).putLong(16, -5).putInt(24, -1).array();
  }

  private static byte[] commit() {
    var record = record(3, 40).putLong(8, HIGH_LSN).putLong(16, -5).putInt(24, 742);
    return record.putInt(28, 1).putLong(32, HIGH_LSN + 48).array();
  }

  private static byte[] unknown() {
    return record(200, 40).array();
  }

  private static byte[] event(
      char op, int flags, String key, String value, String headers, int... unchanged) {
    var texts = utf8(key + value + headers);
    var record = record(4, 88 + texts.length + 4 * unchanged.length);
    record.put(5, (byte) op).put(6, (byte) flags).putLong(8, HIGH_LSN).putInt(16, 4).putInt(20, 1);
    record.putLong(24, 1).putLong(32, -5).putInt(40, 742).putInt(44, 7).putInt(48, key.length());
    record.putInt(52, utf8(value).length).putInt(56, headers.length()).putInt(60, unchanged.length);
    if (!value.isEmpty()) {
      record.putInt(72, value.indexOf("{\"é")).putInt(76, utf8("{\"é\":1}").length);
    }
    record.position(88).put(texts);
    for (int index : unchanged) {
      record.putInt(index);
    }
    return record.array();
  }

  private static ByteBuffer record(int kind, int length) {
    return buffer(new byte[length]).putInt(0, length).put(4, (byte) kind);
  }

  private static ByteBuffer buffer(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  private static byte[] utf8(String text) {
    return text.getBytes(UTF_8);
  }

  private static byte[] join(byte[]... parts) {
    var all = new ByteArrayOutputStream();
    for (var part : parts) {
      all.writeBytes(part);
    }
    return all.toByteArray();
  }
}
