/** Relations as the stream announces them, and what changes from one version to the next. */
import type { Column, RelationVersion } from "../protocol.ts";
import type { RelationMessage } from "./inspect.ts";

/** More are counted and not kept. */
const VERSIONS_MAX = 20_000;

export class Relations {
  #latest = new Map<number, RelationVersion>();
  #fresh: RelationVersion[] = [];
  #kept = 0;
  /** `schema.table` by message: the versions of each OID in their order. */
  #names = new Map<number, { from: number; name: string }[]>();

  /** Takes a Relation message. One that says what the last one said is no new version. */
  add(message: RelationMessage, number: number): void {
    const before = this.#latest.get(message.oid);
    const version = compare(before, message, number);
    if (!version) return;
    this.#latest.set(message.oid, version);
    const name = `${message.namespace}.${message.name}`;
    const names = this.#names.get(message.oid) ?? [];
    if (names.at(-1)?.name !== name) names.push({ from: number, name });
    this.#names.set(message.oid, names);
    if (this.#kept++ < VERSIONS_MAX) this.#fresh.push(version);
  }

  /** What the relation is called at this message. */
  nameAt(oid: number, message: number): string | null {
    return this.#names.get(oid)?.findLast(({ from }) => from <= message)?.name ?? null;
  }

  take(): RelationVersion[] {
    return this.#fresh.splice(0);
  }
}

function compare(
  before: RelationVersion | undefined,
  message: RelationMessage,
  number: number,
): RelationVersion | null {
  const { oid, namespace, name, identity } = message;
  const old = new Map((before?.columns ?? []).map((column, at) => [column.name, { column, at }]));
  const kept = message.columns.filter((column) => old.has(column.name));
  const inOrder = kept.map((column) => old.get(column.name)?.at ?? 0);
  const columns = message.columns.map(({ name, type, key }) => {
    const was = old.get(name)?.column;
    const changes: RelationVersion["columns"][number]["changes"] = [];
    if (before && !was) changes.push("added");
    if (was && was.type !== type) changes.push("type");
    if (was && was.key !== key) changes.push("key");
    const rank = kept.findIndex((column) => column.name === name);
    const at = inOrder[rank];
    if (at !== undefined && inOrder.slice(0, rank).some((other) => other > at)) {
      changes.push("moved");
    }
    return { name, type, key, changes, was: was && was.type !== type ? was.type : null };
  });
  const names = new Set(message.columns.map((column) => column.name));
  const removed: Column[] = (before?.columns ?? [])
    .filter((column) => !names.has(column.name))
    .map(({ name, type, key }) => ({ name, type, key }));
  const notes: string[] = [];
  if (before && (before.namespace !== namespace || before.name !== name)) {
    notes.push(`was ${before.namespace}.${before.name}`);
  }
  if (before && before.identity !== identity) notes.push(`replica identity was ${before.identity}`);
  const same =
    removed.length === 0 && notes.length === 0 && columns.every(({ changes }) => !changes.length);
  if (before && same) return null;
  return {
    message: number,
    oid,
    namespace,
    name,
    identity,
    version: (before?.version ?? 0) + 1,
    columns,
    removed,
    notes,
  };
}
