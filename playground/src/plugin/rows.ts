/** Events as a plugin's rows, and what its verdicts make of them: wit/plugin/plugin.wit. */
import type { EventDetail } from "../protocol.ts";
import { members, splice, type Span } from "./members.ts";
import type { Outcome, Result } from "./protocol.ts";
import { kindOf, readValue, writeValue, type Value } from "./value.ts";

export interface Wanted {
  operations: Record<string, boolean>;
  columns: ArrayLike<number>;
  old: boolean;
  payload: boolean;
}

export interface Relation {
  id: number;
  topic: string;
  schema: string;
  table: string;
  columns: object[];
}

interface Emission {
  topic: string;
  key?: string;
  payload?: string;
  headers: [string, string][];
}

export type Verdict =
  | { tag: "keep" | "drop" }
  | { tag: "change"; val: { column: number; old: boolean; value: Value }[] }
  | { tag: "replace" | "route" | "fail"; val: string }
  | { tag: "emit"; val: Emission[] };

export interface Transform {
  describe(): { name: string; version: string; commits: boolean };
  init(config: string): void;
  select(relation: Relation): Wanted | undefined;
  process(rows: object): Verdict[];
}

const OPERATIONS: Readonly<Record<string, string>> = {
  c: "create",
  r: "read",
  u: "update",
  d: "delete",
  t: "truncate",
  m: "message",
};

/** Asks about the events of one message; what was not asked for passes by. */
export function runPlugin(transform: Transform, events: readonly EventDetail[]): Outcome[] {
  const relations = new Map<string, { id: number; wanted: Wanted | undefined }>();
  let last: Outcome = { kind: "not asked" };
  return events.map((event) => {
    if (event.op === null) {
      // The tombstone of a DELETE goes where its event goes.
      return event.value === null ? follow(last, event) : { kind: "not asked" };
    }
    const { schema, table, columns } = event.relation;
    const key = JSON.stringify([event.topic, schema, table, columns]);
    let known = relations.get(key);
    if (!known) {
      const id = relations.size + 1;
      const relation = { id, topic: event.topic, schema, table, columns };
      known = { id, wanted: transform.select(relation) };
      relations.set(key, known);
    }
    const { id, wanted } = known;
    const operation = OPERATIONS[event.op] ?? "emitted";
    last = { kind: "not asked" };
    if (wanted?.operations[operation] === true) {
      const [verdict] = transform.process(rows(id, event, wanted, operation));
      last = settle(event, verdict);
    }
    return last;
  });
}

function rows(id: number, event: EventDetail, wanted: Wanted, operation: string): object {
  const { lsn, commitUs, key, value } = event;
  const [now, before] = images(event);
  return {
    relation: id,
    events: [{ operation, lsn, commitUs }],
    values: read(event, wanted, now, operation !== "delete"),
    old: wanted.old ? read(event, wanted, before, false) : [],
    documents: wanted.payload ? [{ key: key ?? undefined, payload: value ?? undefined }] : [],
  };
}

/** The row, and the one before an UPDATE. */
function images({ op, before, after }: EventDetail): [now: Span | null, before: Span | null] {
  return op === "d" ? [before, null] : [after, op === "u" ? before : null];
}

function read(event: EventDetail, wanted: Wanted, image: Span | null, sent: boolean): Value[] {
  const text = event.value ?? "";
  const its = new Map(
    image ? members(text, image[0]).map((member) => [member.name, member] as const) : [],
  );
  return Array.from(wanted.columns, (index): Value => {
    const column = event.relation.columns[index];
    const member = column && its.get(column.name);
    if (!member || (sent && event.unchanged.includes(index))) return { tag: "unchanged" };
    return readValue(kindOf(column, event.native), text.slice(member.start, member.end));
  });
}

function settle(event: EventDetail, verdict: Verdict | undefined): Outcome {
  const { topic, key, value, headers } = event;
  const same: Result = { topic, key, value, headers };
  switch (verdict?.tag) {
    case "keep":
      return { kind: "kept" };
    case "drop":
      return { kind: "dropped" };
    case "route":
      return { kind: "became", events: [{ ...same, topic: verdict.val }] };
    case "replace":
      return { kind: "became", events: [{ ...same, value: verdict.val }] };
    case "change":
      return { kind: "became", events: [change(event, verdict.val)] };
    case "emit":
      return {
        kind: "became",
        events: verdict.val.map(({ topic, key, payload, headers }) => ({
          topic,
          key: key ?? null,
          value: payload ?? null,
          headers: JSON.stringify(Object.fromEntries(headers)),
        })),
      };
    case "fail":
      return { kind: "failed", text: verdict.val };
    case undefined:
      return { kind: "failed", text: "it gave no answer" };
  }
}

type Edit = { span: Span; value: string };

function change(event: EventDetail, changes: Extract<Verdict, { tag: "change" }>["val"]): Result {
  const text = event.value ?? "";
  const [now, before] = images(event);
  const keyText = event.key ?? "";
  const edits: Edit[] = [];
  const keyEdits: Edit[] = [];
  for (const { column: index, old, value } of changes) {
    const column = event.relation.columns[index];
    if (!column) throw new TypeError(`there is no column ${String(index)}`);
    const written = writeValue(kindOf(column, event.native), value);
    const put = (to: Edit[], its: string, at: number | undefined) => {
      const member =
        at === undefined ? undefined : members(its, at).find(({ name }) => name === column.name);
      if (member) to.push({ span: [member.start, member.end], value: written });
    };
    put(edits, text, (old ? before : now)?.[0]);
    if (!old) put(keyEdits, keyText, keyStart(keyText));
  }
  return {
    topic: event.topic,
    key: event.key === null ? null : splice(keyText, keyEdits),
    value: event.value === null ? null : splice(text, edits),
    headers: event.headers,
  };
}

/** Where the key's columns are: behind its schema, where it has one. */
function keyStart(key: string): number {
  const all = members(key, 0);
  const payload = all.find(({ name }) => name === "payload");
  return all.length === 2 && all[0]?.name === "schema" && payload ? payload.start : 0;
}

function follow(last: Outcome, event: EventDetail): Outcome {
  const [only] = last.kind === "became" ? last.events : [];
  if (last.kind !== "became") return last;
  if (!only || last.events.length !== 1) return { kind: "dropped" };
  const { headers } = event;
  return { kind: "became", events: [{ topic: only.topic, key: only.key, value: null, headers }] };
}
