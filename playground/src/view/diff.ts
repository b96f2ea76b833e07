/** Two JSON texts, line by line. */
import { h } from "../dom.ts";
import { formatJson, lineElement, type Line } from "./json.ts";

/** Longer ones are shown one behind the other. */
const LINES_MAX = 1500;
/** Lines around a difference. */
const CONTEXT = 2;

type Entry = { sign: " " | "−" | "+"; line: Line };

export function diffElement(before: string | null, after: string | null): HTMLElement {
  const entries = compare(formatJson(before ?? "null"), formatJson(after ?? "null"));
  const near = new Set<number>();
  entries.forEach(({ sign }, at) => {
    if (sign === " ") return;
    for (let around = at - CONTEXT; around <= at + CONTEXT; around++) near.add(around);
  });
  const block = h("div", { class: "json diff" });
  let gap = false;
  entries.forEach(({ sign, line }, at) => {
    if (!near.has(at)) {
      if (!gap) block.append(h("div", { class: "line muted" }, "…"));
      gap = true;
      return;
    }
    gap = false;
    const element = lineElement(line, "");
    delete element.dataset["path"];
    element.dataset["sign"] = sign;
    element.prepend(`${sign} `);
    block.append(element);
  });
  return block;
}

function compare(before: Line[], after: Line[]): Entry[] {
  const text = (line: Line) =>
    line.tokens
      .map((token) => token.text)
      .join("")
      .replace(/,$/, "");
  const [a, b] = [before.map(text), after.map(text)];
  if (a.length > LINES_MAX || b.length > LINES_MAX) {
    return [
      ...before.map((line): Entry => ({ sign: "−", line })),
      ...after.map((line): Entry => ({ sign: "+", line })),
    ];
  }
  // The longest common subsequence, from the end.
  const width = b.length + 1;
  const lengths = new Uint16Array((a.length + 1) * width);
  const at = (i: number, j: number) => lengths[i * width + j] ?? 0;
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      lengths[i * width + j] =
        a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const entries: Entry[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const [old, now] = [before[i], after[j]];
    if (old && now && a[i] === b[j]) {
      entries.push({ sign: " ", line: now });
      i++;
      j++;
    } else if (old && (!now || at(i + 1, j) >= at(i, j + 1))) {
      entries.push({ sign: "−", line: old });
      i++;
    } else if (now) {
      entries.push({ sign: "+", line: now });
      j++;
    }
  }
  return entries;
}
