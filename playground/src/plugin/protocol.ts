/** What the page and the plugin's worker say to each other. */
import type { EventDetail } from "../protocol.ts";

export interface Description {
  name: string;
  version: string;
  commits: boolean;
}

/** What became of an event. */
export type Outcome =
  | { kind: "not asked" }
  | { kind: "kept" }
  | { kind: "dropped" }
  | { kind: "failed"; text: string }
  /** These come in its place; one that is like it was changed. */
  | { kind: "became"; events: Result[] };

export type Result = Pick<EventDetail, "topic" | "key" | "value" | "headers">;

export interface LogLine {
  level: string;
  text: string;
}

export type PluginRequest =
  | { id: number; kind: "load"; component: Uint8Array; config: string }
  | { id: number; kind: "run"; events: EventDetail[] };

export type PluginReply =
  | { id: number; error: string }
  | { id: number; kind: "loaded"; description: Description; log: LogLine[] }
  | { id: number; kind: "ran"; outcomes: Outcome[]; log: LogLine[] };
