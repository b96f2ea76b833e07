import { expect, finished, row, rows, test, value } from "./page.ts";
import { begin, commit, COLUMNS, frame, insert, relation } from "./recordings.ts";

const messages = [begin(100n, 7), relation(COLUMNS), insert(["1", "one"]), commit(100n)];
const hex = (bytes: Buffer) => bytes.toString("hex");
const spaced = (bytes: Buffer) => (hex(bytes).match(/../g) ?? []).join(" ");

async function paste(app: import("@playwright/test").Page, text: string): Promise<void> {
  await app.fill("#hex", text);
  await app.click("#paste-form button");
}

const forms: Record<string, string> = {
  "messages, a line each": messages.map(hex).join("\n"),
  "with spaces and a prefix": messages.map((message) => `\\x${spaced(message)}`).join("\r\n"),
  "between empty lines, over several": messages
    .map((message) => (spaced(message).match(/.{1,48}/g) ?? []).join("\n"))
    .join("\n\n"),
  "frames, one behind the other": hex(
    Buffer.concat(messages.map((message) => frame(message, 90n))),
  ),
  "with the header of XLogData alone": messages
    .map((message) => hex(frame(message, 90n).subarray(5)))
    .join("\n"),
  "lines of JSON": messages
    .map((message) =>
      JSON.stringify({
        lsn: "0/5A",
        end_lsn: "0/5A",
        server_ts_us: 1795233831323026,
        hex: hex(message),
      }),
    )
    .join("\n"),
  "rows as psql shows them": [
    "    lsn    | xid |  data",
    "-----------+-----+--------",
    ...messages.map((message) => ` 0/5A      |   7 | \\x${hex(message)}`),
    "(4 rows)",
  ].join("\n"),
};

for (const [name, text] of Object.entries(forms)) {
  test(name, async ({ app }) => {
    await paste(app, text);
    await finished(app);
    await expect(rows(app)).toHaveCount(4);
    await row(app, 3).click();
    await expect(value(app)).toContainText('"name": "one"');
  });
}

test("one message alone: its bytes are named, why there is no event is said", async ({ app }) => {
  await paste(app, spaced(insert(["1", "one"])));
  await finished(app);
  await expect(rows(app)).toHaveCount(1);
  await expect(app.locator(".events .error")).toContainText("Cannot be decoded (sequence");
  await expect(app.locator(".fields")).toContainText("tuple kind");
});

test("what is wrong is shown where it is", async ({ app }) => {
  await paste(app, "49 00 0z");
  await expect(app.locator("#hex-error")).toContainText(
    "“z” is no hexadecimal digit (character 8)",
  );
  const selection = await app
    .locator("#hex")
    .evaluate((area: HTMLTextAreaElement) => [area.selectionStart, area.selectionEnd]);
  expect(selection).toEqual([7, 8]);
  await paste(app, "49 00\n49 0");
  await expect(app.locator("#hex-error")).toContainText("A digit is left over");
  await paste(app, hex(frame(begin(1n, 1))).slice(0, -4));
  await expect(app.locator("#hex-error")).toContainText("Message 1, at byte 0, ends early");
  await paste(app, '{"lsn": "0/0"}');
  await expect(app.locator("#hex-error")).toContainText("no member “hex”");
  await paste(app, "");
  await expect(app.locator("#hex-error")).toContainText("nothing to decode");
});
