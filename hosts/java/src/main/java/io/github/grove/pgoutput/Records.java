package io.github.grove.pgoutput;

import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** Reads packed records, as {@code wit/decoding.wit} lays them out: of one decoder, in order. */
final class Records {
  private static final int TOPIC_BYTES = 36;
  private static final int EVENT_BYTES = 88;
  private static final int COLUMN_BYTES_MIN = 12;
  private static final int OBJECT = 5;
  private static final int DEPTH_MAX = 64;

  private final Map<Integer, Topic> topics = new HashMap<>();
  private ByteBuffer record;

  /** The records of one call. Their JSON are views of {@code records}. */
  List<Item> read(byte[] records) {
    var items = new ArrayList<Item>();
    var all = ByteBuffer.wrap(records).order(LITTLE_ENDIAN);
    int start = 0;
    try {
      while (start < records.length) {
        record = all.slice(start, all.getInt(start)).order(LITTLE_ENDIAN);
        var item = item();
        if (item != null) {
          items.add(item);
        }
        start += record.capacity();
      }
      return items;
    } catch (IndexOutOfBoundsException | IllegalArgumentException | BufferUnderflowException cut) {
      throw new DecoderException.Malformed(start);
    }
  }

  /** What a record says; null where it only names a topic, or is of a later kind. */
  private Item item() {
    return switch (record.get(4)) {
      case 1 -> topic();
      case 2 -> new Item.Begin(lsn(8), record.getLong(16), u32(24));
      case 3 -> new Item.Commit(lsn(8), record.getLong(16), u32(24), u32(28), lsn(32));
      case 4 -> event();
      case 5 -> new Item.Stash(u32(8), u32(12), record.getLong(16), record.getLong(24));
      case 6 -> new Item.Discard(u32(8), u32(12));
      case 7 -> new Item.Prepared(u32(8), lsn(16));
      default -> null;
    };
  }

  private Event event() {
    var topic = topics.get(record.position(EVENT_BYTES).getInt(44));
    if (topic == null) {
      throw new IndexOutOfBoundsException();
    }
    int flags = record.get(6);
    var key = json(record.getInt(48));
    var value = json(record.getInt(52));
    var headers = json(record.getInt(56));
    var unchanged = new int[count(record.getInt(60), 4)];
    for (int i = 0; i < unchanged.length; i++) {
      unchanged[i] = record.getInt();
    }
    return new Event(
        topic,
        (char) record.get(5),
        (flags & 2) == 0,
        new Position(lsn(8), u32(16), u32(20)),
        lsn(24),
        record.getLong(32),
        u32(40),
        key,
        value,
        (flags & 1) == 0 ? topic.headers() : headers,
        part(value, record.getInt(64), record.getInt(68)),
        part(value, record.getInt(72), record.getInt(76)),
        part(value, record.getInt(80), record.getInt(84)),
        unchanged);
  }

  /** Keeps a topic for the events that name it. */
  private Item topic() {
    record.position(TOPIC_BYTES);
    var name = string(record.getInt(16));
    var schema = string(record.getInt(20));
    var table = string(record.getInt(24));
    // A copy, because a view would keep all records of the call for as long as there is the topic.
    var headers = string(record.getInt(28)).getBytes(UTF_8);
    var columns = new ArrayList<Topic.Column>();
    for (int left = count(record.getInt(32), COLUMN_BYTES_MIN); left > 0; left--) {
      long type = Integer.toUnsignedLong(record.getInt());
      int typmod = record.getInt();
      int flags = record.get(record.position() + 1);
      columns.add(new Topic.Column(field(0), type, typmod, (flags & 1) != 0, (flags & 2) != 0));
    }
    var json = new Json(headers, 0, headers.length);
    var topic = new Topic(u32(8), name, u32(12), schema, table, json, List.copyOf(columns));
    topics.put(record.getInt(8), topic);
    return null;
  }

  private Topic.Field field(int depth) {
    int shape = record.getShort() & 0xFF;
    var name = string(Short.toUnsignedInt(record.getShort()));
    var attributes = new ArrayList<Topic.Field>();
    int left = shape % 16 == OBJECT ? Short.toUnsignedInt(record.getShort()) : 0;
    for (Objects.checkIndex(depth, DEPTH_MAX); left > 0; left--) {
      attributes.add(field(depth + 1));
    }
    return new Topic.Field(name, shape, List.copyOf(attributes));
  }

  private Json json(int bytes) {
    int start = record.position();
    record.position(start + count(bytes, 1));
    return bytes == 0 ? null : new Json(record.array(), record.arrayOffset() + start, bytes);
  }

  private String string(int bytes) {
    var text = json(bytes);
    return text == null ? "" : text.toString();
  }

  private static Json part(Json value, int offset, int bytes) {
    return bytes == 0 || value == null ? null : value.part(offset, bytes);
  }

  /** A number of items, which is not believed: as many must be left. */
  private int count(int items, int itemBytes) {
    Objects.checkFromIndexSize(0, items, record.remaining() / itemBytes);
    return items;
  }

  private long u32(int at) {
    return Integer.toUnsignedLong(record.getInt(at));
  }

  private Lsn lsn(int at) {
    return new Lsn(record.getLong(at));
  }
}
