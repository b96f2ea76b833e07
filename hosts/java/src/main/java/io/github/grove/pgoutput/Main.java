package io.github.grove.pgoutput;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.grack.nanojson.JsonWriter;
import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;

/** Decodes recordings: to lines of JSON, to a digest of those, or to see how fast it is. */
public final class Main {
  private static final String USAGE = "usage: run [--digest | --bench] FILE...";
  private static final long WARM_UP_NS = 10_000_000_000L;
  private static final int WARM_UP_PASSES = 20;
  private static final int PASSES = 9;

  private Main() {}

  /** Ends with 1 where a file could not be decoded, with 2 where it was not told how to. */
  public static void main(String[] arguments) {
    var files =
        Arrays.stream(arguments).filter(name -> !name.startsWith("--")).map(Path::of).toList();
    var options = Arrays.stream(arguments).filter(name -> name.startsWith("--")).toList();
    boolean isWell = true;
    try (var out = new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 16)) {
      if (files.isEmpty()) {
        usage();
      } else if (options.isEmpty()) {
        for (var file : files) {
          isWell &= lines(file, out);
        }
      } else if (options.equals(List.of("--digest"))) {
        for (var file : files) {
          isWell &= digest(file, out);
        }
      } else if (options.equals(List.of("--bench")) && files.size() == 1) {
        bench(files.get(0), out);
      } else {
        usage();
      }
    } catch (IOException problem) {
      System.err.println("error: " + problem.getMessage());
      isWell = false;
    }
    System.exit(isWell ? 0 : 1);
  }

  private static void usage() {
    System.err.println(USAGE);
    System.exit(2);
  }

  private static boolean lines(Path file, OutputStream out) throws IOException {
    var lines = new EventLines(out);
    var problem = decode(file, lines);
    if (problem != null) {
      out.flush();
      System.err.println("error: " + problem);
    }
    return problem == null;
  }

  private static boolean digest(Path file, OutputStream out) throws IOException {
    var digest = sha256();
    var lines = new EventLines(new DigestOutputStream(OutputStream.nullOutputStream(), digest));
    var problem = decode(file, lines);
    var json =
        JsonWriter.string()
            .object()
            .value("file", file.getFileName().toString())
            .value("events", lines.count())
            .value("sha256", HexFormat.of().formatHex(digest.digest()));
    if (problem != null) {
      json.value("error", problem);
    }
    out.write((json.end().done() + "\n").getBytes(UTF_8));
    return problem == null;
  }

  /** Writes a recording's events, and returns why there are no more of them, if that is so. */
  private static String decode(Path file, EventLines lines) throws IOException {
    try (var recording = Recording.open(file)) {
      while (recording.hasNext()) {
        lines.write(recording.next());
      }
      return null;
    } catch (DecoderException problem) {
      return problem.getMessage();
    } catch (NoSuchFileException missing) {
      return "there is no file " + missing.getMessage();
    } catch (UncheckedIOException unread) {
      return "cannot read " + file + ": " + unread.getCause();
    }
  }

  private static void bench(Path file, OutputStream out) throws IOException {
    long start = System.nanoTime();
    long events = 0;
    // HotSpot compiles the decoder's large methods late, and on a busy machine later.
    for (int i = 0; i < WARM_UP_PASSES || System.nanoTime() - start < WARM_UP_NS; i++) {
      events = pass(file);
    }
    var seconds = new double[PASSES];
    for (int i = 0; i < PASSES; i++) {
      start = System.nanoTime();
      pass(file);
      seconds[i] = (System.nanoTime() - start) / 1e9;
    }
    Arrays.sort(seconds);
    var json =
        JsonWriter.string()
            .object()
            .value("file", file.getFileName().toString())
            .value("events", events)
            .value("seconds", seconds[PASSES / 2]);
    out.write((json.end().done() + "\n").getBytes(UTF_8));
  }

  private static long pass(Path file) throws IOException {
    long events = 0;
    try (var recording = Recording.open(file)) {
      for (; recording.hasNext(); events++) {
        touch(recording.next());
      }
    }
    return events;
  }

  /** Has what a reader of events has, so that none of it is optimised away. */
  private static void touch(Event event) {
    int bytes = event.topic().name().length() + event.headers().length();
    bytes += event.key() == null ? 0 : event.key().length();
    bytes += event.value() == null ? 0 : event.value().length();
    if (bytes == 0) {
      throw new IllegalStateException("an event without anything");
    }
  }

  private static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException missing) {
      throw new IllegalStateException(missing);
    }
  }
}
