package io.github.grove.pgoutput;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Collections;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Queue;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * The events of a recorded replication stream, decoded as they are asked for.
 *
 * <p>What is sound comes first: {@link #hasNext} throws a {@link DecoderException} only when all
 * events before the damage were returned, and then always the same one.
 */
public final class Recording implements Iterator<Event>, AutoCloseable {
  private final Path path;
  private final Map<String, String> options;
  private final DecoderModule module;
  private final BlockReader blocks;
  private final Map<Long, Answers> answers = new HashMap<>();

  private Decoder decoder;
  private BlockReader.Block block;

  /** Bytes of the block's frames used up. */
  private int used;

  private Iterator<Item> items = Collections.emptyIterator();

  /** Why the decoder stopped behind those items. */
  private Stop stop;

  private Event next;
  private Position last;

  /** What came before the stream was connected again comes again up to here. */
  private Position known;

  private DecoderException problem;

  /** What was said of one relation. */
  private static final class Answers {
    final Queue<Facts> unused = new ArrayDeque<>();
    Facts last = Facts.EMPTY;

    Facts next() {
      last = unused.isEmpty() ? last : unused.remove();
      return last;
    }
  }

  private Recording(Path path, Map<String, String> options, DecoderModule module)
      throws IOException {
    this.path = path;
    this.options = Map.copyOf(options);
    this.module = module;
    blocks = new BlockReader(path);
  }

  /** Opens a recording. */
  public static Recording open(Path path) throws IOException {
    return open(path, Map.of());
  }

  /** Opens a recording; these options take the places of recorded ones of the same names. */
  public static Recording open(Path path, Map<String, String> options) throws IOException {
    return open(path, options, DecoderModule.standard());
  }

  /** The same in a module of one's own. */
  public static Recording open(Path path, Map<String, String> options, DecoderModule module)
      throws IOException {
    return new Recording(path, options, module);
  }

  /** The events that are left. */
  public Stream<Event> stream() {
    int properties = Spliterator.ORDERED | Spliterator.NONNULL | Spliterator.IMMUTABLE;
    return StreamSupport.stream(Spliterators.spliteratorUnknownSize(this, properties), false);
  }

  @Override
  public boolean hasNext() {
    if (next == null) {
      if (problem != null) {
        throw problem;
      }
      try {
        next = advance();
      } catch (DecoderException stopped) {
        problem = stopped;
        throw stopped;
      } catch (IOException unread) {
        throw new UncheckedIOException(unread);
      }
    }
    return next != null;
  }

  @Override
  public Event next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    var event = next;
    next = null;
    return event;
  }

  /** Goes on behind the frame of the last {@link DecoderException.Undecodable}. */
  public void skip() {
    if (problem instanceof DecoderException.Undecodable) {
      problem = null;
      stop = null;
      if (decoder.skip()) {
        used += Frames.length(block.content(), used);
      }
    }
  }

  @Override
  public void close() throws IOException {
    blocks.close();
  }

  /** The next event; null at the end. */
  private Event advance() throws IOException {
    while (true) {
      while (items.hasNext()) {
        if (items.next() instanceof Event event
            && (known == null || event.position().compareTo(known) > 0)) {
          last = event.position();
          return event;
        }
      }
      goOn();
      boolean isUsedUp = block == null || used == block.content().length && !decoder.isReplaying();
      if (isUsedUp && !read()) {
        return null;
      }
      pass();
    }
  }

  /** Reads up to the next frames; false at the end. */
  private boolean read() throws IOException {
    while ((block = blocks.next()) != null) {
      try {
        switch (block.kind()) {
          case BlockReader.HEAD -> connect(RecordedJson.options(block.content()));
          case BlockReader.FACTS -> {
            var answer = RecordedJson.answer(block.content());
            answers(answer.relation()).unused.add(answer.facts());
          }
          case BlockReader.FRAMES -> {
            used = 0;
            return true;
          }
          default -> {}
        }
      } catch (RecordedJson.UnexpectedException unexpected) {
        throw blocks.damaged(block, "its JSON is not that of its kind");
      }
    }
    return false;
  }

  private void connect(Map<String, String> recorded) {
    var all = new LinkedHashMap<>(recorded);
    all.putAll(options);
    decoder = Decoder.open(all, module);
    answers.clear();
    known = last;
  }

  /** Passes the rest of the block's frames. */
  private void pass() {
    var frames = block.content();
    var decoded = decoder.decode(frames, used, frames.length - used, block.receivedUs());
    used += decoded.consumed();
    items = decoded.items().iterator();
    stop = decoded.stop().orElse(null);
  }

  /** Answers what the decoder asked, or tells why it does not go on. */
  private void goOn() {
    if (stop instanceof Stop.Unknown question) {
      decoder.learn(answers(question.relation()).next());
    } else if (stop instanceof Stop.Failed failed) {
      throw new DecoderException.Undecodable(place(), failed);
    } else if (stop instanceof Stop.NotStashed missing) {
      throw new DecoderException.NotStashed(place(), missing.xid());
    }
    stop = null;
  }

  private Answers answers(long relation) {
    return answers.computeIfAbsent(relation, none -> new Answers());
  }

  /** Where the frame that is next is. */
  private String place() {
    return "%s, block %d at byte %d, byte %d of its frames"
        .formatted(path, block.number(), block.offset(), used);
  }
}
