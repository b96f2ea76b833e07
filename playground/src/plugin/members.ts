/** An object's members in JSON text, where they stand: nothing is read that is not looked for. */

export interface Member {
  name: string;
  /** Of the value, from behind the colon: a json text that is null has a space in front. */
  start: number;
  end: number;
}

export type Span = readonly [start: number, end: number];

/** The members of the object at `start`; none where there is no object. */
export function members(text: string, start: number): Member[] {
  const found: Member[] = [];
  let at = skipSpace(text, start);
  if (text[at] !== "{") return found;
  at = skipSpace(text, at + 1);
  while (at < text.length && text[at] !== "}") {
    const nameEnd = skipValue(text, at);
    const name = JSON.parse(text.slice(at, nameEnd)) as string;
    const valueStart = skipSpace(text, nameEnd) + 1;
    const end = skipValue(text, skipSpace(text, valueStart));
    found.push({ name, start: valueStart, end });
    at = skipSpace(text, end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return found;
}

function skipSpace(text: string, at: number): number {
  while (at < text.length && " \t\r\n".includes(text[at] as string)) at++;
  return at;
}

function skipValue(text: string, start: number): number {
  let at = start;
  let depth = 0;
  do {
    const letter = text[at];
    if (letter === '"') at = skipString(text, at);
    else {
      if (letter === "{" || letter === "[") depth++;
      else if (letter === "}" || letter === "]") depth--;
      at++;
      if (depth === 0 && letter !== "}" && letter !== "]") {
        while (at < text.length && !' \t\r\n,:{}[]"'.includes(text[at] as string)) at++;
      }
    }
  } while (depth > 0 && at < text.length);
  return at;
}

function skipString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

/** The text with other values at some places. */
export function splice(text: string, edits: readonly { span: Span; value: string }[]): string {
  let result = "";
  let at = 0;
  for (const { span, value } of edits.toSorted((a, b) => a.span[0] - b.span[0])) {
    result += text.slice(at, span[0]) + value;
    at = span[1];
  }
  return result + text.slice(at);
}
