"""What PostgreSQL's catalogs know and the stream does not say: `wit/catalog.wit` as JSON has it.

Recordings hold facts in this form. Plain dictionaries are all that is needed to make them.
"""

from typing import Literal, TypedDict

TypeKind = Literal["base", "composite", "domain", "enumeration", "multirange", "pseudo", "range"]


class Attribute(TypedDict):
    """One attribute of a composite type."""

    name: str
    type: int
    typmod: int


class TypeFacts(TypedDict):
    """One row of pg_type."""

    oid: int
    namespace: str
    name: str
    kind: TypeKind
    element: int
    """Of a true array, else 0."""
    delimiter: str
    base: int
    """Of a domain, else 0."""
    base_typmod: int
    """Of a domain, else -1."""
    subtype: int
    """Of a range or multirange, else 0."""
    labels: list[str]
    attributes: list[Attribute]


class ColumnFacts(TypedDict):
    """One row of pg_attribute."""

    name: str
    type: int
    typmod: int
    not_null: bool
    default: str | None


class UniqueIndex(TypedDict):
    """A unique index besides the primary key."""

    name: str
    columns: list[str]
    expression: bool


class RelationFacts(TypedDict):
    """One table."""

    oid: int
    namespace: str
    name: str
    columns: list[ColumnFacts]
    primary_key: list[str]
    unique_indexes: list[UniqueIndex]


class Facts(TypedDict):
    """An answer to a `Question`, or facts given ahead of any."""

    types: list[TypeFacts]
    relations: list[RelationFacts]


def no_facts() -> Facts:
    """The answer where nothing is known: decoding goes on with what the stream itself says."""
    return {"types": [], "relations": []}
