package io.github.grove.pgoutput;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;

/**
 * Writes events as lines of JSON, {@code {"topic":…,"key":…,"value":…,"headers":…}}: the decoder's
 * own bytes, not serialised again.
 */
public final class EventLines {
  private static final byte[] NULL = "null".getBytes(UTF_8);
  private static final byte[] KEY = ",\"key\":".getBytes(UTF_8);
  private static final byte[] VALUE = ",\"value\":".getBytes(UTF_8);
  private static final byte[] HEADERS = ",\"headers\":".getBytes(UTF_8);

  private final OutputStream out;
  private final Line line = new Line();
  private Topic topic;
  private byte[] beginning;
  private long count;

  /** Writes to {@code out}, a line at a time. */
  public EventLines(OutputStream out) {
    this.out = out;
  }

  /** Writes the event's line. */
  public void write(Event event) throws IOException {
    if (event.topic() != topic) {
      topic = event.topic();
      beginning = ("{\"topic\":" + quoted(topic.name())).getBytes(UTF_8);
    }
    line.reset();
    line.write(beginning);
    line.write(KEY);
    append(event.key());
    line.write(VALUE);
    append(event.value());
    line.write(HEADERS);
    append(event.headers());
    line.write('}');
    line.unbreak();
    line.write('\n');
    line.writeTo(out);
    count++;
  }

  /** Lines that were written. */
  public long count() {
    return count;
  }

  private void append(Json json) throws IOException {
    if (json == null) {
      line.write(NULL);
    } else {
      json.writeTo(line);
    }
  }

  private static String quoted(String text) {
    var json = new StringBuilder("\"");
    text.chars()
        .forEach(
            character -> {
              switch (character) {
                case '"' -> json.append("\\\"");
                case '\\' -> json.append("\\\\");
                case '\b' -> json.append("\\b");
                case '\f' -> json.append("\\f");
                case '\n' -> json.append("\\n");
                case '\r' -> json.append("\\r");
                case '\t' -> json.append("\\t");
                default -> {
                  if (character < ' ') {
                    json.append("\\u%04x".formatted(character));
                  } else {
                    json.append((char) character);
                  }
                }
              }
            });
    return json.append('"').toString();
  }

  private static final class Line extends ByteArrayOutputStream {
    @Override
    public void write(byte[] bytes) {
      write(bytes, 0, bytes.length);
    }

    /** The server's own json text may have line breaks, which stand between its tokens alone. */
    void unbreak() {
      for (int i = 0; i < count; i++) {
        if (buf[i] == '\n' || buf[i] == '\r') {
          buf[i] = ' ';
        }
      }
    }
  }
}
