package io.github.grove.pgoutput;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.dylibso.chicory.runtime.ExportFunction;
import com.dylibso.chicory.runtime.Instance;
import com.dylibso.chicory.runtime.Memory;
import com.dylibso.chicory.wasm.ChicoryException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The resource {@code decoder} of {@code wit/decoding.wit}, called by the canonical ABI: the only
 * file that knows how WIT's types lie in linear memory.
 *
 * <p>What is passed is allocated with {@code cabi_realloc} and then the guest's; what is returned
 * is copied and freed with {@code cabi_post_…}.
 */
final class Guest {
  private static final String INTERFACE = "pgoutput:decoder/decoding@0.1.0#";

  private final Memory memory;
  private final ExportFunction realloc;
  private final ExportFunction decode;
  private final ExportFunction decodePost;
  private final Instance instance;
  private final int self;

  /** What a call to {@code decode} came to; a replay's xid is apart from other stops. */
  record Decoded(byte[] records, int consumed, Optional<Stop> stop, Optional<Long> replay) {}

  Guest(Instance instance, Map<String, String> options) {
    this.instance = instance;
    memory = instance.memory();
    realloc = instance.export("cabi_realloc");
    decode = instance.export(INTERFACE + "[method]decoder.decode");
    decodePost = instance.export("cabi_post_" + INTERFACE + "[method]decoder.decode");
    self = open(options);
  }

  private int open(Map<String, String> options) {
    int at = allocate(4, 16 * options.size());
    int option = at;
    for (var entry : options.entrySet()) {
      string(option, entry.getKey());
      string(option + 8, entry.getValue());
      option += 16;
    }
    int result = call("[static]decoder.open", at, options.size());
    if (memory.read(result) == 0) {
      return memory.readInt(result + 4);
    }
    var error = new DecoderException.Option(text(result + 4), text(result + 12));
    post("[static]decoder.open", result);
    throw error;
  }

  List<String> ignoredOptions() {
    int result = call("[method]decoder.ignored-options", self);
    var names = new ArrayList<String>();
    int at = memory.readInt(result);
    for (int left = memory.readInt(result + 4); left > 0; left--, at += 8) {
      names.add(text(at));
    }
    post("[method]decoder.ignored-options", result);
    return names;
  }

  Decoded decode(byte[] frames, int offset, int length, long nowUs) {
    int at = allocate(1, length);
    memory.write(at, frames, offset, length);
    int result = call(decode, self, at, length, nowUs);
    var records = memory.readBytes(memory.readInt(result), memory.readInt(result + 4));
    int consumed = memory.readInt(result + 8);
    Stop stop = null;
    Long replay = null;
    if (memory.read(result + 16) != 0) {
      int payload = result + 32;
      switch (memory.read(result + 24)) {
        case 0 -> stop = unknown(payload);
        case 1 -> stop = failed(payload);
        default -> replay = u32(payload);
      }
    }
    call(decodePost, result);
    return new Decoded(records, consumed, Optional.ofNullable(stop), Optional.ofNullable(replay));
  }

  private Stop unknown(int at) {
    var types = new ArrayList<Long>();
    int type = memory.readInt(at + 20);
    for (int left = memory.readInt(at + 24); left > 0; left--, type += 4) {
      types.add(u32(type));
    }
    return new Stop.Unknown(u32(at), text(at + 4), text(at + 12), types);
  }

  private Stop failed(int at) {
    var kind = Stop.Kind.values()[memory.read(at)];
    int messageType = memory.read(at + 1) == 0 ? -1 : Byte.toUnsignedInt(memory.read(at + 2));
    var lsn = new Lsn(memory.readLong(at + 8));
    return new Stop.Failed(kind, messageType, u32(at + 4), lsn, text(at + 16));
  }

  void skip() {
    call("[method]decoder.skip", self);
  }

  byte[] save() {
    int result = call("[method]decoder.save", self);
    var saved = memory.readBytes(memory.readInt(result), memory.readInt(result + 4));
    post("[method]decoder.save", result);
    return saved;
  }

  void restore(byte[] saved) {
    int at = allocate(1, saved.length);
    memory.write(at, saved, 0, saved.length);
    int result = call("[method]decoder.restore", self, at, saved.length);
    if (memory.read(result) != 0) {
      throw new DecoderException.Restore(memory.read(result + 1) == 1);
    }
  }

  void learn(Facts facts) {
    int types = list(facts.types(), 60, this::type);
    int relations = list(facts.relations(), 44, this::relation);
    int typeCount = facts.types().size();
    int relationCount = facts.relations().size();
    call("[method]decoder.learn", self, types, typeCount, relations, relationCount);
  }

  private void type(int at, Facts.Type type) {
    memory.writeI32(at, (int) type.oid());
    string(at + 4, type.namespace());
    string(at + 12, type.name());
    memory.writeByte(at + 20, (byte) type.kind().ordinal());
    memory.writeI32(at + 24, (int) type.element());
    memory.writeI32(at + 28, type.delimiter());
    memory.writeI32(at + 32, (int) type.base());
    memory.writeI32(at + 36, type.baseTypmod());
    memory.writeI32(at + 40, (int) type.subtype());
    list(at + 44, type.labels(), 8, this::string);
    list(at + 52, type.attributes(), 16, this::attribute);
  }

  private void attribute(int at, Facts.Attribute attribute) {
    string(at, attribute.name());
    memory.writeI32(at + 8, (int) attribute.type());
    memory.writeI32(at + 12, attribute.typmod());
  }

  private void relation(int at, Facts.Relation relation) {
    memory.writeI32(at, (int) relation.oid());
    string(at + 4, relation.namespace());
    string(at + 12, relation.name());
    list(at + 20, relation.columns(), 32, this::column);
    list(at + 28, relation.primaryKey(), 8, this::string);
    list(at + 36, relation.uniqueIndexes(), 20, this::uniqueIndex);
  }

  private void column(int at, Facts.Column column) {
    string(at, column.name());
    memory.writeI32(at + 8, (int) column.type());
    memory.writeI32(at + 12, column.typmod());
    memory.writeByte(at + 16, (byte) (column.notNull() ? 1 : 0));
    boolean hasDefault = column.defaultExpression() != null;
    memory.writeByte(at + 20, (byte) (hasDefault ? 1 : 0));
    if (hasDefault) {
      string(at + 24, column.defaultExpression());
    }
  }

  private void uniqueIndex(int at, Facts.UniqueIndex index) {
    string(at, index.name());
    list(at + 8, index.columns(), 8, this::string);
    memory.writeByte(at + 16, (byte) (index.expression() ? 1 : 0));
  }

  private interface Lower<T> {
    void at(int address, T value);
  }

  /** Writes a list at {@code at}. */
  private <T> void list(int at, List<T> values, int size, Lower<T> lower) {
    memory.writeI32(at, list(values, size, lower));
    memory.writeI32(at + 4, values.size());
  }

  /** Writes a list's elements where there is room for them, and returns where that is. */
  private <T> int list(List<T> values, int size, Lower<T> lower) {
    int first = allocate(4, size * values.size());
    int element = first;
    for (var value : values) {
      lower.at(element, value);
      element += size;
    }
    return first;
  }

  private void string(int at, String value) {
    var bytes = value.getBytes(UTF_8);
    int address = allocate(1, bytes.length);
    memory.write(address, bytes, 0, bytes.length);
    memory.writeI32(at, address);
    memory.writeI32(at + 4, bytes.length);
  }

  private String text(int at) {
    return new String(memory.readBytes(memory.readInt(at), memory.readInt(at + 4)), UTF_8);
  }

  private long u32(int at) {
    return Integer.toUnsignedLong(memory.readInt(at));
  }

  private int allocate(int alignment, int bytes) {
    return call(realloc, 0, 0, alignment, bytes);
  }

  private int call(String function, long... arguments) {
    return call(instance.export(INTERFACE + function), arguments);
  }

  private void post(String function, int result) {
    call(instance.export("cabi_post_" + INTERFACE + function), result);
  }

  private static int call(ExportFunction function, long... arguments) {
    try {
      var results = function.apply(arguments);
      return results == null || results.length == 0 ? 0 : (int) results[0];
    } catch (ChicoryException | StackOverflowError trap) {
      throw new DecoderException.Trap(trap);
    }
  }
}
