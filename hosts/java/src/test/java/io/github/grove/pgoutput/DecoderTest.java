package io.github.grove.pgoutput;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import org.junit.jupiter.api.Test;

/** The decoder as one uses it who has frames of one's own: here, those of a recording. */
final class DecoderTest {
  private static final Path STREAMED = Path.of("src/test/resources/recordings/streamed.pgrec");
  private static final long NOW_US = 1_700_000_000_000_000L;

  @Test
  void streamedTransactionsAreStashedAndReplayed() throws Exception {
    var items = decode(Integer.MAX_VALUE);
    assertTrue(items.stream().anyMatch(Item.Stash.class::isInstance));
    assertTrue(items.stream().anyMatch(Item.Discard.class::isInstance));
    int begin = indexOf(items, Item.Begin.class);
    assertTrue(indexOf(items, Item.Stash.class) < begin);
    var commit = (Item.Commit) items.get(indexOf(items, Item.Commit.class));
    long events = items.stream().filter(item -> isOf(item, commit)).count();
    assertEquals(commit.events(), events);
  }

  @Test
  void divisionIntoCallsChangesNothing() throws Exception {
    var whole = events(decode(Integer.MAX_VALUE));
    assertFalse(whole.isEmpty());
    assertEquals(whole, events(decode(1)));
    assertEquals(whole, events(decode(1000)));
  }

  @Test
  void aSuccessorGoesOn() throws Exception {
    var saved = Decoder.open(options()).save();
    var successor = Decoder.open(options());
    successor.restore(saved);
    assertArrayEquals(saved, successor.save());
    var other = Decoder.open(options());
    var cut = Arrays.copyOf(saved, saved.length - 1);
    assertThrows(DecoderException.Restore.class, () -> other.restore(cut));
  }

  @Test
  void optionsAreChecked() throws Exception {
    var problem =
        assertThrows(DecoderException.Option.class, () -> Decoder.open(Map.of("no.such", "1")));
    assertEquals("no.such", problem.name());
    assertEquals(
        List.of("database.hostname"),
        Decoder.open(Map.of("database.hostname", "db", "topic.prefix", "p")).ignoredOptions());
  }

  @Test
  void whatIsNoFrameFailsUntilItIsSkipped() throws Exception {
    var decoder = Decoder.open(options());
    var frame = ByteBuffer.allocate(31).put((byte) 'd').putInt(30).put((byte) 'w').array();
    frame[30] = '!';
    for (int i = 0; i < 2; i++) {
      var decoded = decoder.decode(frame, NOW_US);
      assertEquals(0, decoded.consumed());
      var failed = assertInstanceOf(Stop.Failed.class, decoded.stop().orElseThrow());
      assertEquals(Stop.Kind.UNSUPPORTED, failed.kind());
      assertEquals('!', failed.messageType());
    }
    assertTrue(decoder.skip());
    assertTrue(decoder.decode(new byte[0], NOW_US).stop().isEmpty());
  }

  private static Map<String, String> options() {
    return Map.of("topic.prefix", "p");
  }

  /** Decodes a recording's frames, that many bytes a call and at least one frame. */
  private static List<Item> decode(int bytesMax) throws Exception {
    var items = new ArrayList<Item>();
    var answers = new HashMap<Long, Queue<Facts>>();
    Decoder decoder = null;
    try (var blocks = new BlockReader(STREAMED)) {
      for (BlockReader.Block block; (block = blocks.next()) != null; ) {
        switch (block.kind()) {
          case BlockReader.HEAD -> decoder = Decoder.open(RecordedJson.options(block.content()));
          case BlockReader.FACTS -> {
            var answer = RecordedJson.answer(block.content());
            answers
                .computeIfAbsent(answer.relation(), none -> new ArrayDeque<>())
                .add(answer.facts());
          }
          case BlockReader.FRAMES -> pass(decoder, block.content(), bytesMax, answers, items);
          default -> {}
        }
      }
    }
    return items;
  }

  private static void pass(
      Decoder decoder,
      byte[] frames,
      int bytesMax,
      Map<Long, Queue<Facts>> answers,
      List<Item> items)
      throws IOException {
    int used = 0;
    while (used < frames.length || decoder.isReplaying()) {
      int length = 0;
      do {
        length += Frames.length(frames, used + length);
      } while (used + length < frames.length
          && length + Frames.length(frames, used + length) <= bytesMax);
      var decoded = decoder.decode(frames, used, length, NOW_US);
      items.addAll(decoded.items());
      used += decoded.consumed();
      if (decoded.stop().orElse(null) instanceof Stop.Unknown question) {
        var facts = answers.get(question.relation()).poll();
        decoder.learn(facts == null ? Facts.EMPTY : facts);
      } else {
        assertTrue(decoded.stop().isEmpty());
      }
    }
  }

  private static int indexOf(List<Item> items, Class<?> type) {
    return items.indexOf(items.stream().filter(type::isInstance).findFirst().orElseThrow());
  }

  private static boolean isOf(Item item, Item.Commit commit) {
    return item instanceof Event event
        && event.transactional()
        && event.position().commitLsn().equals(commit.commitLsn());
  }

  private static List<String> events(List<Item> items) {
    return items.stream()
        .filter(Event.class::isInstance)
        .map(Event.class::cast)
        .map(event -> event.position() + " " + event.value())
        .toList();
  }
}
