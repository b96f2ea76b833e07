/** A recording that comes as it is made, as text/event-stream: base64 of its bytes, cut anywhere. */

/** The server does not let this page in: to ask again is of no use. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
}

/** The bytes of one connection, until it ends. */
export async function* readLive(
  url: string,
  signal: AbortSignal,
  connected: () => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  const response = await fetch(url, {
    signal,
    cache: "no-store",
    headers: { accept: "text/event-stream" },
  });
  const status = String(response.status);
  if (response.status >= 400 && response.status < 500) {
    const said = (await response.text()).trim().slice(0, 500);
    throw new RefusedError(said || `The server answers ${status}.`);
  }
  if (!response.ok || !response.body) throw new Error(`The server answers ${status}.`);
  connected();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let data = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines.map((line) => line.replace(/\r$/, ""))) {
      if (line === "" && data !== "") {
        yield Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
        data = "";
      } else if (line.startsWith("data:")) data += line.slice(5).trim();
    }
  }
}
