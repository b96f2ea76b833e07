package io.github.grove.pgoutput;

import java.util.List;

/** What PostgreSQL's catalogs know and the stream does not say: see {@code wit/catalog.wit}. */
public record Facts(List<Type> types, List<Relation> relations) {
  /** Nothing is known. */
  public static final Facts EMPTY = new Facts(List.of(), List.of());

  /** pg_type.typtype. */
  public enum TypeKind {
    BASE,
    COMPOSITE,
    DOMAIN,
    ENUMERATION,
    MULTIRANGE,
    PSEUDO,
    RANGE
  }

  /**
   * One row of pg_type.
   *
   * @param delimiter a character, as its code point
   * @param baseTypmod -1 where there is none
   */
  public record Type(
      long oid,
      String namespace,
      String name,
      TypeKind kind,
      long element,
      int delimiter,
      long base,
      int baseTypmod,
      long subtype,
      List<String> labels,
      List<Attribute> attributes) {}

  /** An attribute of a composite type. */
  public record Attribute(String name, long type, int typmod) {}

  /** One table. */
  public record Relation(
      long oid,
      String namespace,
      String name,
      List<Column> columns,
      List<String> primaryKey,
      List<UniqueIndex> uniqueIndexes) {}

  /**
   * A column.
   *
   * @param defaultExpression null where there is none
   */
  public record Column(
      String name, long type, int typmod, boolean notNull, String defaultExpression) {}

  /** A unique index besides the primary key. */
  public record UniqueIndex(String name, List<String> columns, boolean expression) {}
}
