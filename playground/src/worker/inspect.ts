/** What a message is and what its bytes are: the component's `inspection`, in the page's words. */
import type { Column, Field } from "../protocol.ts";
import { Instance, type Inspector, type RawField, type RawMessage } from "./component.ts";

export interface Message {
  offset: number;
  bytes: number;
  lsn: bigint;
  clockUs: bigint;
  type: string;
  xid: number | null;
  subxid: number | null;
  inChunk: boolean;
  relation: number | null;
  subject: string;
  problem: string | null;
}

export interface RelationMessage {
  oid: number;
  namespace: string;
  name: string;
  identity: string;
  columns: Column[];
}

/** The first bytes of messages, as PostgreSQL names them. */
const TYPES: Readonly<Record<string, string>> = {
  A: "Stream Abort",
  B: "Begin",
  C: "Commit",
  D: "Delete",
  E: "Stream Stop",
  I: "Insert",
  K: "Commit Prepared",
  M: "Message",
  O: "Origin",
  P: "Prepare",
  R: "Relation",
  S: "Stream Start",
  T: "Truncate",
  U: "Update",
  Y: "Type",
  b: "Begin Prepare",
  c: "Stream Commit",
  p: "Stream Prepare",
  r: "Rollback Prepared",
};

/** One instance for all: an inspector has no state but its own. */
let instance: Instance | null = null;

/** Looks at the frames of a stream in their order. */
export class Inspection {
  readonly #inspector: Inspector;

  constructor() {
    instance ??= new Instance();
    this.#inspector = new instance.exports.inspection.Inspector();
  }

  messages(frames: Uint8Array): Message[] {
    return this.#inspector.messages(frames).map(message);
  }

  fields(frame: Uint8Array): Field[] {
    return withPaths(this.#inspector.fields(frame));
  }

  /** What a Relation message says. */
  relation(frame: Uint8Array): RelationMessage | null {
    return readRelation(this.#inspector.fields(frame));
  }
}

function message(raw: RawMessage): Message {
  const type = raw.messageType === undefined ? "" : String.fromCharCode(raw.messageType);
  return {
    offset: raw.offset,
    bytes: raw.bytes,
    lsn: raw.lsn,
    clockUs: raw.clockUs,
    type: TYPES[type] ?? "not understood",
    xid: raw.xid ?? null,
    subxid: raw.subxid ?? null,
    inChunk: raw.inChunk,
    relation: raw.relations[0] ?? null,
    subject: raw.name ?? "",
    problem: raw.problem ?? null,
  };
}

function readRelation(fields: readonly RawField[]): RelationMessage | null {
  const value = (name: string) => fields.find((field) => field.name === name)?.value;
  const oid = Number.parseInt(value("relation oid") ?? "", 10);
  const name = value("relation name");
  if (Number.isNaN(oid) || name === undefined) return null;
  const columns: Column[] = [];
  let key = false;
  for (const field of fields) {
    if (field.name === "column flags") key = field.value.includes("key");
    if (field.name === "column name") columns.push({ name: field.value, type: "", key });
    const last = columns.at(-1);
    // An OID with its name, where that is known.
    if (last && field.name === "type oid") last.type = field.value.replace(/^\d+ /, "");
    if (last && field.name === "type modifier") last.type += modifier(last.type, field.value);
  }
  const namespace = value("namespace") ?? "";
  return {
    oid,
    // `logicalrep_write_namespace`, proto.c: empty stands for pg_catalog.
    namespace: namespace === "" ? "pg_catalog" : namespace,
    name,
    identity: value("replica identity") ?? "",
    columns,
  };
}

/** A type's modifier as SQL has it, of those types that say more than a number. */
function modifier(type: string, text: string): string {
  const value = Number(text);
  if (value === -1) return "";
  const length = value - 4;
  const its = type.replace("[]", "");
  if (its === "varchar" || its === "bpchar") return `(${String(length)})`;
  if (its === "numeric")
    return `(${String(length >> 16)},${String(((length & 0x7ff) ^ 1024) - 1024)})`;
  return `(${text})`;
}

/** Fields that events show, too, and where in Debezium's envelope. */
const PATHS: Readonly<Record<string, string>> = {
  "message type": "op",
  "relation oid": "source.table",
  "start lsn": "source.lsn",
  content: "message.content",
  prefix: "message.prefix",
};

function withPaths(fields: readonly RawField[]): Field[] {
  let row: "before" | "after" | null = null;
  /** The column whose value comes next; its fields are "NAME: kind", "NAME: length", and NAME. */
  let column = "";
  return fields.map((field) => {
    const { name, value } = field;
    let path: string | null = row ? null : (PATHS[name] ?? null);
    if (name === "tuple kind") row = value === "new" ? "after" : "before";
    else if (row && name.endsWith(": kind")) column = name.slice(0, -": kind".length);
    if (row && column !== "" && (name === column || name.startsWith(`${column}: `))) {
      path = `${row}.${column}`;
    }
    return { ...field, path };
  });
}
