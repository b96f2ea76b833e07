/** Values between an event's JSON and a plugin, as wit/plugin/plugin.wit has them. */
import type { EventColumn } from "../protocol.ts";

export type Value =
  | { tag: "null" | "unchanged" }
  | { tag: "boolean"; val: boolean }
  | { tag: "integer" | "timestamp"; val: bigint }
  | { tag: "float"; val: number }
  | { tag: "decimal" | "text" | "json"; val: string }
  | { tag: "bytes"; val: Uint8Array };

/** What a column's values are, and so what may be put in their place. */
export type Kind =
  | "boolean"
  | "bytes"
  | "decimal"
  | "float"
  | "integer"
  | "json"
  | "text"
  | "timestamp"
  | "timestamptz"
  | "other";

/** By shape, where the JSON stands for something, else by type: `wit/decoding.wit`, pg_type.dat. */
export function kindOf({ shape, typeOid }: EventColumn, native: boolean): Kind {
  if (shape === 1) return "decimal";
  if (shape === 2) return "bytes";
  if (shape === 3 || (shape === 0 && (typeOid === 700 || typeOid === 701))) return "float";
  if (shape >= 4) return "json";
  if (typeOid === 16) return "boolean";
  if ([20, 21, 23, 26].includes(typeOid)) return "integer";
  if (native && typeOid === 1114) return "timestamp";
  if (native && typeOid === 1184) return "timestamptz";
  return native && typeOid < 16384 ? "text" : "other";
}

const TIMESTAMP = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?Z?$/;

export function readValue(kind: Kind, json: string): Value {
  const text = json.trimStart();
  // A json text that is null has a space in front.
  if (text.startsWith("n") && text.length === json.length) return { tag: "null" };
  if (kind === "json") return { tag: "json", val: text };
  if (text === "true" || text === "false") return { tag: "boolean", val: text === "true" };
  if (text.startsWith('"')) return readString(kind, JSON.parse(text) as string);
  if (/^-?\d/.test(text)) {
    if (kind === "float") return { tag: "float", val: Number(text) };
    if (kind !== "decimal" && /^-?\d{1,19}$/.test(text))
      return { tag: "integer", val: BigInt(text) };
    return { tag: "decimal", val: text };
  }
  return { tag: "json", val: text };
}

function readString(kind: Kind, text: string): Value {
  if (kind === "decimal") return { tag: "decimal", val: text };
  if (kind === "float" && /^(NaN|-?Infinity)$/.test(text))
    return { tag: "float", val: Number(text) };
  if (kind === "bytes") {
    return { tag: "bytes", val: Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)) };
  }
  const time = kind.startsWith("timestamp") ? TIMESTAMP.exec(text) : null;
  if (time) {
    const ms = BigInt(Date.parse(`${time[1] ?? ""}Z`));
    return { tag: "timestamp", val: ms * 1000n + BigInt((time[2] ?? "").padEnd(6, "0")) };
  }
  return { tag: "text", val: text };
}

const TAKES: Readonly<Record<Kind, readonly Value["tag"][]>> = {
  boolean: ["boolean"],
  bytes: ["bytes"],
  decimal: ["decimal", "integer"],
  float: ["float", "integer"],
  integer: ["integer"],
  json: ["json"],
  text: ["text"],
  timestamp: ["timestamp", "text"],
  timestamptz: ["timestamp", "text"],
  other: ["boolean", "integer", "float", "decimal", "text", "json"],
};

/** The JSON of a value to be put in a column's place. Throws where the column takes no such value. */
export function writeValue(kind: Kind, value: Value): string {
  if (value.tag === "null") return "null";
  if (!TAKES[kind].includes(value.tag)) {
    throw new TypeError(`the column takes ${TAKES[kind].join(" or ")} or null`);
  }
  switch (value.tag) {
    case "boolean":
    case "integer":
      return String(value.val);
    case "float":
      return Number.isFinite(value.val) ? String(value.val) : JSON.stringify(String(value.val));
    case "decimal":
      return /^-?\d/.test(value.val) ? value.val : JSON.stringify(value.val);
    case "text":
      return JSON.stringify(value.val);
    case "bytes":
      return JSON.stringify(btoa(String.fromCharCode(...value.val)));
    case "timestamp":
      return JSON.stringify(timestamp(value.val, kind === "timestamptz"));
    case "json":
      JSON.parse(value.val);
      // SQL's NULL has no space in front.
      return value.val.trim() === "null" ? " null" : value.val.trim();
    default:
      throw new TypeError("no value is unchanged");
  }
}

function timestamp(us: bigint, zone: boolean): string {
  const fraction = ((us % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const head = new Date(Number((us - fraction) / 1000n)).toISOString().slice(0, 19);
  const tail = fraction === 0n ? "" : `.${String(fraction).padStart(6, "0").replace(/0+$/, "")}`;
  return `${head}${tail}${zone ? "Z" : ""}`;
}
