/** JSON as it is, on lines and in colours: no number is read and written again. */
import { h } from "../dom.ts";

export interface Token {
  kind: "punctuation" | "key" | "string" | "number" | "word";
  text: string;
}

export interface Line {
  indent: number;
  tokens: Token[];
  /** The path of the value that stands here: `after.id`, `tags.0`. */
  path: string;
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/** The lines of a JSON text. Empty objects and arrays stay on one. */
export function formatJson(text: string): Line[] {
  const lines: Line[] = [];
  const tokens = text.match(TOKEN) ?? [];
  /** Where we are: the names of members and the indexes of elements. */
  const path: (string | number)[] = [];
  const open: string[] = [];
  let line: Line = { indent: 0, tokens: [], path: "" };
  const place = () => path.join(".");
  const begin = () => {
    line = { indent: open.length, tokens: [], path: place() };
  };
  const end = () => {
    if (line.tokens.length > 0) lines.push(line);
  };
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at] as string;
    const next = tokens[at + 1];
    if (token === "{" || token === "[") {
      if (next === "}" || next === "]") {
        line.tokens.push({ kind: "punctuation", text: token + next });
        at++;
        continue;
      }
      line.tokens.push({ kind: "punctuation", text: token });
      end();
      open.push(token);
      path.push(token === "[" ? 0 : "");
      begin();
    } else if (token === "}" || token === "]") {
      end();
      open.pop();
      path.pop();
      begin();
      line.tokens.push({ kind: "punctuation", text: token });
    } else if (token === ",") {
      line.tokens.push({ kind: "punctuation", text: "," });
      end();
      const last = path.length - 1;
      if (typeof path[last] === "number") path[last] = path[last] + 1;
      begin();
    } else if (next === ":" && open.at(-1) === "{") {
      path[path.length - 1] = unquote(token);
      line.path = place();
      line.tokens.push({ kind: "key", text: token }, { kind: "punctuation", text: ": " });
      at++;
    } else {
      line.tokens.push({ kind: kindOf(token), text: token });
    }
  }
  end();
  return lines;
}

function unquote(text: string): string {
  try {
    return JSON.parse(text) as string;
  } catch {
    return text;
  }
}

function kindOf(token: string): Token["kind"] {
  if (token.startsWith('"')) return "string";
  return /^[-0-9]/.test(token) ? "number" : "word";
}

/** Longer texts are cut on the screen; they are copied whole. */
const TEXT_MAX = 2000;
export const LINES_MAX = 600;

export function jsonElement(text: string, root: string): HTMLElement {
  const lines = formatJson(text);
  const block = h("div", { class: "json" });
  const show = (from: number, to: number) => {
    for (const line of lines.slice(from, to)) block.append(lineElement(line, root));
  };
  show(0, LINES_MAX);
  if (lines.length > LINES_MAX) {
    const more = h(
      "button",
      { type: "button", class: "small" },
      `Show ${String(lines.length - LINES_MAX)} more lines`,
    );
    more.addEventListener("click", () => {
      more.remove();
      show(LINES_MAX, lines.length);
    });
    block.append(more);
  }
  return block;
}

export function lineElement(line: Line, root: string): HTMLElement {
  const path = line.path === "" ? root : `${root}.${line.path}`;
  const row = h("div", { class: "line", "data-path": path });
  row.append("  ".repeat(line.indent));
  for (const { kind, text } of line.tokens) {
    const cut = text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text;
    row.append(kind === "punctuation" ? cut : h("span", { class: `j-${kind}` }, cut));
  }
  return row;
}
