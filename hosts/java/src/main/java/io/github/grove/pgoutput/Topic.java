package io.github.grove.pgoutput;

import java.util.List;

/**
 * What is constant for the events that name it.
 *
 * @param id unique within a decoder; a changed relation gets a new one
 * @param relation its OID; 0 for logical messages and transaction metadata
 * @param headers those of every event without its own, a JSON object
 * @param columns those of the events, in their order
 */
public record Topic(
    long id,
    String name,
    long relation,
    String schema,
    String table,
    Json headers,
    List<Column> columns) {

  /**
   * A column.
   *
   * @param type the OID of its type, a domain's base type
   */
  public record Column(Field field, long type, int typmod, boolean inKey, boolean nullable) {}

  /**
   * What a column and an attribute of an object have in common.
   *
   * @param shape what its JSON stands for: the table of shapes in {@code wit/decoding.wit}
   * @param attributes of an object, or of the objects in an array
   */
  public record Field(String name, int shape, List<Field> attributes) {}
}
