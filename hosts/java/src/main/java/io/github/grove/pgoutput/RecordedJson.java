package io.github.grove.pgoutput;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.grack.nanojson.JsonArray;
import com.grack.nanojson.JsonObject;
import com.grack.nanojson.JsonParser;
import com.grack.nanojson.JsonParserException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/** The JSON of a recording's heads and facts. What is not as it should be is thrown. */
final class RecordedJson {
  private RecordedJson() {}

  /** Facts, and the relation that was asked for. */
  record Answer(long relation, Facts facts) {}

  /** JSON that is not what stands in the block it is in. */
  static final class UnexpectedException extends Exception {
    private static final long serialVersionUID = 1;

    UnexpectedException(Throwable cause) {
      super(cause);
    }
  }

  /** The options in a head; a number or a truth value as its text. */
  static Map<String, String> options(byte[] json) throws UnexpectedException {
    return parse(
        json,
        head -> {
          var options = new LinkedHashMap<String, String>();
          if (head.has("options")) {
            member(head, "options", JsonObject.class)
                .forEach((name, value) -> options.put(name, String.valueOf(value)));
          }
          return options;
        });
  }

  static Answer answer(byte[] json) throws UnexpectedException {
    return parse(
        json,
        answer ->
            new Answer(
                number(answer, "relation"),
                new Facts(
                    list(answer, "types", JsonObject.class, RecordedJson::type),
                    list(answer, "relations", JsonObject.class, RecordedJson::relation))));
  }

  private static Facts.Type type(JsonObject type) {
    return new Facts.Type(
        number(type, "oid"),
        text(type, "namespace"),
        text(type, "name"),
        Facts.TypeKind.valueOf(text(type, "kind").toUpperCase(Locale.ROOT)),
        number(type, "element"),
        text(type, "delimiter").codePointAt(0),
        number(type, "base"),
        (int) number(type, "base_typmod"),
        number(type, "subtype"),
        strings(type, "labels"),
        list(
            type,
            "attributes",
            JsonObject.class,
            attribute ->
                new Facts.Attribute(
                    text(attribute, "name"),
                    number(attribute, "type"),
                    (int) number(attribute, "typmod"))));
  }

  private static Facts.Relation relation(JsonObject relation) {
    return new Facts.Relation(
        number(relation, "oid"),
        text(relation, "namespace"),
        text(relation, "name"),
        list(relation, "columns", JsonObject.class, RecordedJson::column),
        strings(relation, "primary_key"),
        list(
            relation,
            "unique_indexes",
            JsonObject.class,
            index ->
                new Facts.UniqueIndex(
                    text(index, "name"),
                    strings(index, "columns"),
                    member(index, "expression", Boolean.class))));
  }

  private static Facts.Column column(JsonObject column) {
    return new Facts.Column(
        text(column, "name"),
        number(column, "type"),
        (int) number(column, "typmod"),
        member(column, "not_null", Boolean.class),
        column.isNull("default") ? null : text(column, "default"));
  }

  private static <T> T parse(byte[] json, Function<JsonObject, T> read) throws UnexpectedException {
    try {
      return read.apply(JsonParser.object().from(new String(json, UTF_8)));
    } catch (JsonParserException | ClassCastException | IllegalArgumentException problem) {
      throw new UnexpectedException(problem);
    }
  }

  private static List<String> strings(JsonObject object, String name) {
    return list(object, name, String.class, Function.identity());
  }

  private static <J, T> List<T> list(
      JsonObject object, String name, Class<J> type, Function<J, T> read) {
    var values = new ArrayList<T>();
    for (var value : member(object, name, JsonArray.class)) {
      values.add(read.apply(type.cast(value)));
    }
    return values;
  }

  private static String text(JsonObject object, String name) {
    return member(object, name, String.class);
  }

  private static long number(JsonObject object, String name) {
    return member(object, name, Number.class).longValue();
  }

  private static <T> T member(JsonObject object, String name, Class<T> type) {
    var value = type.cast(object.get(name));
    if (value == null) {
      throw new IllegalArgumentException(name);
    }
    return value;
  }
}
