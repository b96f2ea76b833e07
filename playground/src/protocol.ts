/** What the page and its worker say to each other. */

export type Pairs = [name: string, value: string][];

/** One message of the stream, as a row of the list shows it. */
export interface Row {
  /** Its number in the stream, from 0. */
  number: number;
  /** `Insert`, `Relation`, … */
  type: string;
  lsn: bigint;
  /** Server clock, µs since 1970-01-01; 0 where it was not sent. */
  clockUs: bigint;
  xid: number | null;
  /** `schema.table`, or a prefix, or an origin. */
  subject: string;
  bytes: number;
  /** What is wrong with the message itself. */
  problem: string | null;
}

export interface Field {
  offset: number;
  bytes: number;
  name: string;
  value: string;
  /** Where the event shows it, as a path of JSON: `after.id`. */
  path: string | null;
}

export interface EventDetail {
  topic: string;
  op: string | null;
  position: string;
  key: string | null;
  value: string | null;
  headers: string;
  /** It came before, and is not handed over again. */
  passedOver: boolean;
  relation: EventRelation;
  /** Of the change. */
  lsn: bigint;
  commitUs: bigint;
  /** Where the row's images stand in the value. */
  before: [start: number, end: number] | null;
  after: [start: number, end: number] | null;
  /** Indexes of columns whose TOASTed value was not sent. */
  unchanged: number[];
  /** Whether it is of the native format. */
  native: boolean;
}

export interface EventRelation {
  schema: string;
  table: string;
  columns: EventColumn[];
}

/** As `wit/decoding.wit` has it. */
export interface EventColumn {
  name: string;
  typeOid: number;
  typmod: number;
  shape: number;
  key: boolean;
  nullable: boolean;
}

export interface Failure {
  /** Number of the message. */
  message: number;
  kind: string;
  /** In the message's bytes. */
  offset: number;
  detail: string;
}

export interface Question {
  message: number;
  relation: number;
  namespace: string;
  name: string;
  types: number[];
  /** The answer, as JSON; none where nothing was recorded. */
  facts: string | null;
}

export interface Detail {
  row: Row;
  /** The frame: header and message. */
  frame: Uint8Array;
  fields: Field[];
  events: EventDetail[];
  /** How many there are, where they are too many to show. */
  eventsTotal: number;
  failure: Failure | null;
  question: Question | null;
  /** The message whose commit gives the events, where it is not this one. */
  commit: number | null;
  note: string | null;
  transaction: TransactionRow | null;
}

export interface Column {
  name: string;
  type: string;
  key: boolean;
}

export type Change = "added" | "removed" | "type" | "key" | "moved";

/** One version of a relation, and what became of the one before. */
export interface RelationVersion {
  message: number;
  oid: number;
  namespace: string;
  name: string;
  identity: string;
  version: number;
  columns: (Column & { changes: Change[]; was: string | null })[];
  removed: Column[];
  /** What else is new: its name, its replica identity. */
  notes: string[];
}

export interface TransactionRow {
  first: number;
  last: number;
  xid: number;
  changes: number;
  bytes: number;
  startUs: number;
  endUs: number;
  outcome: Outcome;
}

export const OUTCOMES = ["open", "committed", "prepared", "rolled back"] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** Bytes of a packed transaction: see `worker/transactions.ts`. */
export const TRANSACTION_NUMBERS = 8;

export interface Head {
  /** The block of the file. */
  block: number;
  message: number;
  members: Record<string, unknown>;
}

/** Of a stream without end the latest messages are kept, and no more than so many bytes. */
export const LIVE_MESSAGES_MAX = 50_000;
export const LIVE_BYTES_MAX = 64 << 20;

/** Where and why a file cannot be read on. */
export interface Problem {
  text: string;
  block: number;
  byte: number;
}

export interface Progress {
  /** Bytes of the file read, and all of them; none for a stream without end. */
  read: number;
  total: number | null;
  messages: number;
  /** Messages no longer kept: the numbers below this. */
  dropped: number;
  transactions: number;
  /** Messages decoded, and what came of it. */
  decoded: number;
  events: number;
  failures: number;
  done: boolean;
  /** Whether the file says that it ends here. */
  ended: boolean;
}

export type LiveState = "connecting" | "connected" | "lost" | "refused";

/** What the worker says by itself. */
export type Notice =
  | { kind: "progress"; progress: Progress }
  | { kind: "head"; head: Head }
  | { kind: "relations"; relations: RelationVersion[]; restart: boolean }
  | { kind: "questions"; questions: Question[]; restart: boolean }
  | { kind: "failures"; failures: Failure[]; restart: boolean }
  | { kind: "transactions"; from: number; numbers: Float64Array }
  | { kind: "problem"; problem: Problem }
  | { kind: "optionError"; name: string; reason: string; fromHead: boolean }
  | { kind: "options"; ignored: string[] }
  | { kind: "matches"; matches: Uint32Array; from: number; scanned: number; done: boolean }
  | { kind: "live"; state: LiveState; text: string }
  | { kind: "restarted" }
  | { kind: "decoding"; message: number; fraction: number }
  | { kind: "crashed"; text: string };

export interface OptionSet {
  pairs: Pairs;
  /** Whether the recording's own options stand under these. */
  recorded: boolean;
}

export type Source = { kind: "file"; file: Blob; name: string } | { kind: "live"; url: string };

/** What the page asks for, and what it gets. */
export interface Requests {
  open: { ask: { source: Source; options: OptionSet }; answer: null };
  close: { ask: null; answer: null };
  options: { ask: OptionSet; answer: null };
  rows: { ask: { from: number; to: number }; answer: Row[] };
  filter: { ask: { text: string }; answer: null };
  detail: { ask: { message: number }; answer: Detail | null };
  transaction: { ask: { index: number }; answer: TransactionRow | null };
  pasted: { ask: { text: string }; answer: Pasted };
}

/** What pasted text is, or where it is wrong. */
export type Pasted =
  | { kind: "recording"; file: Uint8Array; messages: number }
  | { kind: "wrong"; text: string; start: number; end: number };

export type Request = {
  [K in keyof Requests]: { id: number; name: K; ask: Requests[K]["ask"] };
}[keyof Requests];

export type Reply =
  { id: number; answer: unknown } | { id: number; error: string } | { id: null; notice: Notice };
