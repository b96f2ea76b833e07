/** The filter's words, and which messages they let through. */
import { formatLsn } from "../text.ts";
import type { Row } from "../protocol.ts";

type Test = (row: Row) => boolean;

/**
 * Words that must all fit; each fits a part of the relation's name or of the message's type, an
 * xid, or the beginning of an LSN. `table:`, `op:`, `xid:` and `lsn:` in front say which is meant,
 * `-` that it must not fit.
 */
export function parseFilter(text: string): Test | null {
  const tests = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "" && word !== "-")
    .map((word) => (word.startsWith("-") ? not(wordTest(word.slice(1))) : wordTest(word)));
  return tests.length === 0 ? null : (row) => tests.every((test) => test(row));
}

/** The letters Debezium has for operations. */
const OPS: Readonly<Record<string, string>> = {
  c: "insert",
  u: "update",
  d: "delete",
  t: "truncate",
  m: "message",
};

function wordTest(word: string): Test {
  const colon = word.indexOf(":");
  const value = word.slice(colon + 1);
  const tests: Readonly<Record<string, Test>> = {
    table: ({ subject }) => subject.toLowerCase().includes(value),
    op: ({ type }) =>
      type
        .toLowerCase()
        .replace(" ", "-")
        .startsWith(OPS[value] ?? value),
    xid: ({ xid }) => String(xid) === value,
    lsn: ({ lsn }) => formatLsn(lsn).toLowerCase().startsWith(value),
    is: ({ problem }) => value === "problem" && problem !== null,
  };
  const named = colon > 0 ? tests[word.slice(0, colon)] : undefined;
  if (named) return named;
  const { xid, lsn } = tests as Record<"xid" | "lsn", Test>;
  return (row) =>
    row.subject.toLowerCase().includes(value) ||
    row.type.toLowerCase().replace(" ", "-").includes(value) ||
    xid(row) ||
    (value.includes("/") && lsn(row));
}

function not(test: Test): Test {
  return (row) => !test(row);
}
