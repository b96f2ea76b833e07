package io.github.grove.pgoutput;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.grack.nanojson.JsonObject;
import com.grack.nanojson.JsonParser;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

final class RecordingTest {
  private static final Path OWN = Path.of("src/test/resources/recordings");
  private static final Path SMALL = OWN.resolve("small.pgrec");
  private static final Path STREAMED = OWN.resolve("streamed.pgrec");
  private static final String RECORDINGS = "PGOUTPUT_DECODER_RECORDINGS";

  @TempDir Path folder;

  /** What a recording came to: its lines, and why there are no more. */
  private record Outcome(List<String> lines, DecoderException problem) {}

  @TestFactory
  Stream<DynamicTest> eventsAreThoseOfEveryHost() throws Exception {
    var folders = new ArrayList<>(List.of(OWN));
    if (System.getenv(RECORDINGS) != null) {
      folders.add(Path.of(System.getenv(RECORDINGS)));
    }
    var tests = new ArrayList<DynamicTest>();
    for (var each : folders) {
      var expected = JsonParser.object().from(Files.readString(each.resolve("expected.json")));
      for (var name : expected.keySet()) {
        var file = each.resolve(name + ".pgrec");
        var wanted = (JsonObject) expected.get(name);
        tests.add(DynamicTest.dynamicTest(name, () -> check(file, wanted)));
      }
    }
    return tests.stream();
  }

  private static void check(Path file, JsonObject expected) throws Exception {
    var digest = MessageDigest.getInstance("SHA-256");
    var lines = new EventLines(new DigestOutputStream(OutputStream.nullOutputStream(), digest));
    boolean isWell = true;
    try (var recording = Recording.open(file)) {
      while (recording.hasNext()) {
        lines.write(recording.next());
      }
    } catch (DecoderException problem) {
      isWell = false;
    }
    assertEquals(expected.getInt("events"), lines.count());
    assertEquals(expected.getString("sha256"), HexFormat.of().formatHex(digest.digest()));
    assertEquals(expected.getInt("code") == 0, isWell);
  }

  @Test
  void eventsAreAStream() throws IOException {
    try (var recording = Recording.open(SMALL)) {
      var event = recording.stream().filter(each -> each.op() == 'c').findFirst().orElseThrow();
      assertEquals('{', event.after().bytes()[0]);
      assertTrue(event.value().toString().contains(event.source().toString()));
    }
  }

  @Test
  void optionsTakeThePlacesOfRecordedOnes() throws IOException {
    var options = Map.of("topic.prefix", "other");
    try (var recording = Recording.open(SMALL, options)) {
      assertTrue(recording.next().topic().name().startsWith("other."));
    }
    try (var recording = Recording.open(SMALL, Map.of("no.such.option", "1"))) {
      var problem = assertThrows(DecoderException.Option.class, recording::hasNext);
      assertEquals("no.such.option", problem.name());
    }
  }

  @Test
  void cutAnywhereWhatIsSoundComesFirst() throws IOException {
    for (var source : List.of(SMALL, STREAMED)) {
      var whole = Files.readAllBytes(source);
      var lines = outcome(whole).lines();
      for (int end = 0; end < whole.length; end += end < 1000 ? 1 : 13) {
        var cut = outcome(Arrays.copyOf(whole, end));
        assertNotNull(cut.problem(), "cut at byte " + end);
        assertEquals(lines.subList(0, cut.lines().size()), cut.lines());
        if (end < 12) {
          assertInstanceOf(DecoderException.Foreign.class, cut.problem());
        } else {
          var damaged = assertInstanceOf(DecoderException.Damaged.class, cut.problem());
          assertTrue(damaged.offset() <= end && damaged.block() > 0, damaged.getMessage());
        }
      }
      // Only its end is missing.
      assertEquals(lines, outcome(Arrays.copyOf(whole, whole.length - 24)).lines());
    }
  }

  @Test
  void noFlippedBitIsTakenForTheRecordersOwn() throws IOException {
    var whole = Files.readAllBytes(SMALL);
    var lines = outcome(whole).lines();
    for (int at = 0; at < whole.length; at++) {
      if (at == 10 || at == 11) {
        continue; // Zero, and read by nobody.
      }
      for (int bit : new int[] {0x01, 0x80}) {
        var flipped = whole.clone();
        flipped[at] ^= (byte) bit;
        var outcome = outcome(flipped);
        assertNotNull(outcome.problem(), "flipped at byte " + at);
        assertEquals(lines.subList(0, outcome.lines().size()), outcome.lines());
      }
    }
  }

  @Test
  void otherFilesAreRefused() throws IOException {
    assertInstanceOf(DecoderException.Foreign.class, outcome("a text\n".getBytes(UTF_8)).problem());
    var later = Files.readAllBytes(SMALL);
    later[8] = 2;
    var problem = outcome(later).problem();
    assertInstanceOf(DecoderException.Version.class, problem);
    assertTrue(problem.getMessage().contains("format 2"), problem.getMessage());
  }

  @Test
  void aProblemStaysTheSame() throws IOException {
    var whole = Files.readAllBytes(SMALL);
    var file = folder.resolve("cut.pgrec");
    Files.write(file, Arrays.copyOf(whole, whole.length - 1));
    try (var recording = Recording.open(file)) {
      var first = assertThrows(DecoderException.class, () -> recording.forEachRemaining(e -> {}));
      assertSame(first, assertThrows(DecoderException.class, recording::hasNext));
    }
  }

  @Test
  void blocksOfLaterKindsArePassedOver() throws IOException {
    var whole = Files.readAllBytes(SMALL);
    int end = whole.length - 24;
    var more =
        join(
            Arrays.copyOf(whole, end),
            block(99, "later"),
            Arrays.copyOfRange(whole, end, whole.length));
    assertEquals(outcome(whole), outcome(more));
  }

  @Test
  void whatWasKnownWhenTheStreamWasConnectedAgainIsPassedOver() throws IOException {
    for (var source : List.of(SMALL, STREAMED)) {
      var whole = Files.readAllBytes(source);
      var again = join(whole, Arrays.copyOfRange(whole, 12, whole.length));
      assertEquals(outcome(whole), outcome(again));
    }
  }

  @Test
  void aFrameThatCannotBeDecodedIsSkipped() throws IOException {
    var whole = Files.readAllBytes(SMALL);
    var bad = ByteBuffer.allocate(31).put((byte) 'd').putInt(30).put((byte) 'w').array();
    bad[30] = (byte) '?';
    int end = whole.length - 24;
    var file = folder.resolve("bad.pgrec");
    Files.write(
        file,
        join(
            Arrays.copyOf(whole, end),
            block(3, new String(bad, UTF_8)),
            Arrays.copyOfRange(whole, end, whole.length)));
    try (var recording = Recording.open(file)) {
      var problem =
          assertThrows(
              DecoderException.Undecodable.class, () -> recording.forEachRemaining(e -> {}));
      assertEquals('?', problem.failed().messageType());
      recording.skip();
      assertFalse(recording.hasNext());
    }
  }

  private Outcome outcome(byte[] bytes) throws IOException {
    var file = folder.resolve("recording.pgrec");
    Files.write(file, bytes);
    var out = new ByteArrayOutputStream();
    var lines = new EventLines(out);
    DecoderException problem = null;
    try (var recording = Recording.open(file)) {
      while (recording.hasNext()) {
        lines.write(recording.next());
      }
    } catch (DecoderException.Trap bug) {
      throw bug;
    } catch (DecoderException stopped) {
      problem = stopped;
    }
    return new Outcome(out.toString(UTF_8).lines().toList(), problem);
  }

  private static byte[] block(int kind, String content) {
    var bytes = content.getBytes(UTF_8);
    var block = ByteBuffer.allocate(24 + bytes.length).order(ByteOrder.LITTLE_ENDIAN);
    block.put(0, (byte) kind).putInt(4, bytes.length).putInt(8, bytes.length);
    block.position(24).put(bytes);
    var crc = new CRC32();
    crc.update(block.array(), 0, 20);
    crc.update(bytes);
    return block.putInt(20, (int) crc.getValue()).array();
  }

  private static byte[] join(byte[]... parts) {
    var all = new ByteArrayOutputStream();
    for (var part : parts) {
      all.writeBytes(part);
    }
    return all.toByteArray();
  }
}
