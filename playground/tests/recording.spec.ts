import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, finished, open, row, rows, test, value } from "./page.ts";
import {
  begin,
  commit,
  COLUMNS,
  end,
  frame,
  framesBlock,
  head,
  insert,
  large,
  relation,
} from "./recordings.ts";
import { DIST } from "./server.ts";

test("opens the example and shows its first change", async ({ app }) => {
  await app.click("#start-example");
  await finished(app);
  await expect(rows(app).first()).toContainText("Begin");
  await expect(row(app, 3)).toHaveAttribute("aria-selected", "true");
  await expect(row(app, 3)).toContainText("pgoutput_demo.customers");
  await expect(app.locator(".event .op")).toHaveText("c");
  await expect(value(app)).toContainText('"op": "c"');
  await expect(app.locator(".dump .hex").first()).toContainText("64 00 00");
  await expect(app.locator("#source")).toContainText("example");
});

test("works from a folder, without a server", async ({ page }) => {
  const said: string[] = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(error.message));
  const asked: string[] = [];
  page.on("request", (request) => asked.push(request.url()));
  await page.goto(pathToFileURL(join(DIST, "index.html")).href);
  await page.click("#start-example");
  await finished(page);
  await expect(value(page)).toContainText('"op": "c"');
  expect(said).toEqual([]);
  expect(asked.filter((url) => !/^(file|blob|data):/.test(url))).toEqual([]);
});

test("takes a file that is dropped", async ({ app }) => {
  const folder = mkdtempSync(join(tmpdir(), "playground-"));
  const path = join(folder, "dropped.pgrec");
  writeFileSync(path, large(200_000));
  await app.evaluate(() => {
    // Kept from the page: only the drop is to open it.
    document.getElementById("file")?.addEventListener(
      "change",
      (event) => {
        event.stopImmediatePropagation();
      },
      { capture: true },
    );
    document.addEventListener(
      "change",
      (event) => {
        event.stopImmediatePropagation();
      },
      { capture: true },
    );
  });
  await app.setInputFiles("#file", path);
  await app.evaluate(() => {
    const [file] = (document.getElementById("file") as HTMLInputElement).files ?? [];
    const data = new DataTransfer();
    if (file) data.items.add(file);
    document.dispatchEvent(new DragEvent("dragenter", { dataTransfer: data }));
    document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
  });
  await finished(app);
  await expect(app.locator("#source")).toContainText("dropped.pgrec");
  await expect(value(app)).toContainText('"op": "c"');
});

test("lets nothing but its own files in", async ({ app }) => {
  const policy = app.locator('meta[http-equiv="Content-Security-Policy"]');
  await expect(policy).toHaveAttribute("content", /^default-src 'self';/);
  await expect(policy).not.toHaveAttribute("content", /unsafe-inline|unsafe-eval'(?!;)|https?:/);
  const blocked = await app.evaluate(() =>
    fetch("http://127.0.0.1:9/").then(
      () => "let through",
      (error: unknown) => String(error),
    ),
  );
  expect(blocked).toContain("Failed to fetch");
});

test.describe("a file that is not sound", () => {
  const sound = Buffer.concat([
    head(),
    framesBlock([
      frame(begin(100n, 7)),
      frame(relation(COLUMNS)),
      frame(insert(["1", "one"]), 90n),
      frame(commit(100n), 100n),
    ]),
    framesBlock([
      frame(begin(200n, 8)),
      frame(insert(["2", "two"]), 190n),
      frame(commit(200n), 200n),
    ]),
    end,
  ]);

  test("cut off: says where, and shows what is before", async ({ app }) => {
    await open(app, "cut.pgrec", sound.subarray(0, sound.length - 40));
    await expect(app.locator(".banner")).toContainText(/cut.pgrec: block 3 at byte \d+/);
    await expect(rows(app)).toHaveCount(4);
    await expect(value(app)).toContainText('"name": "one"');
  });

  test("damaged: says which block", async ({ app }) => {
    const damaged = Buffer.from(sound);
    damaged.writeUInt8(damaged.readUInt8(damaged.length - 60) ^ 1, damaged.length - 60);
    await open(app, "bad.pgrec", damaged);
    await expect(app.locator(".banner")).toContainText(/block 3 at byte \d+: .*CRC/);
    await expect(rows(app)).toHaveCount(4);
  });

  test("without its end", async ({ app }) => {
    await open(app, "open.pgrec", sound.subarray(0, sound.length - 24));
    await expect(app.locator(".banner")).toContainText("the end is missing");
    await expect(rows(app)).toHaveCount(7);
  });

  test("foreign", async ({ app }) => {
    await open(app, "photo.pgrec", Buffer.from("\x89PNG\r\n\x1a\n and so on, and so on"));
    await expect(app.locator(".banner")).toContainText("not a recording");
    await expect(app.locator(".viewport .none")).toHaveText("There is no message.");
  });

  test("of a newer version", async ({ app }) => {
    const newer = Buffer.from(sound);
    newer.writeUInt16LE(2, 8);
    await open(app, "newer.pgrec", newer);
    await expect(app.locator(".banner")).toContainText("version 2");
  });

  test("empty", async ({ app }) => {
    await open(app, "empty.pgrec", Buffer.alloc(0));
    await expect(app.locator(".banner")).toBeVisible();
  });

  test("the next one is opened as if nothing had been", async ({ app }) => {
    await open(app, "cut.pgrec", sound.subarray(0, 50));
    await expect(app.locator(".banner")).toBeVisible();
    await open(app, "sound.pgrec", sound);
    await finished(app);
    await expect(app.locator(".banner")).toHaveCount(0);
    await expect(rows(app)).toHaveCount(7);
  });
});

test("a message that cannot be decoded is said to be so, and others go on", async ({ app }) => {
  const bad = insert(["1", "one"]);
  const recording = Buffer.concat([
    head(),
    framesBlock([
      frame(begin(100n, 7)),
      frame(relation(COLUMNS)),
      frame(bad.subarray(0, bad.length - 2), 90n),
      frame(insert(["2", "two"]), 95n),
      frame(commit(100n), 100n),
    ]),
    end,
  ]);
  await open(app, "failing.pgrec", recording);
  await finished(app);
  await expect(app.locator("#counts")).toContainText("1 not decoded");
  await expect(app.locator(".events .error").last()).toContainText("Cannot be decoded (truncated");
  await app.click("#tab-failures");
  await expect(app.locator("#panel-failures tbody tr")).toHaveCount(1);
  await app.click("#panel-failures button.link");
  await expect(row(app, 3)).toHaveAttribute("aria-selected", "true");
  await row(app, 4).click();
  await expect(value(app)).toContainText('"name": "two"');
});

test("an event that came before is passed over", async ({ app }) => {
  const transaction = [
    frame(begin(100n, 7)),
    frame(relation(COLUMNS)),
    frame(insert(["1", "one"]), 90n),
    frame(commit(100n), 100n),
  ];
  // Connected again: the head once more, without the file's own.
  const again = head().subarray(12);
  const recording = Buffer.concat([
    head(),
    framesBlock(transaction),
    again,
    framesBlock(transaction),
    end,
  ]);
  await open(app, "twice.pgrec", recording);
  await finished(app);
  await expect(app.locator("#counts")).toContainText("1 event");
  await row(app, 7).click();
  await expect(app.locator(".event .note")).toContainText("passed over");
  await app.click("#tab-recording");
  await expect(app.locator("#panel-recording h3")).toHaveText([
    "Recorded from",
    "Connected again (1)",
  ]);
});

const folder = process.env["PGOUTPUT_DECODER_RECORDINGS"];
test("all recordings of a folder give the events they should", async ({ app }) => {
  test.skip(folder === undefined, "PGOUTPUT_DECODER_RECORDINGS names no folder");
  test.setTimeout(600_000);
  const read = (name: string) => readFileSync(join(folder ?? "", name));
  const expected = JSON.parse(read("expected.json").toString()) as Record<
    string,
    { events: number; code: number }
  >;
  for (const [name, { events, code }] of Object.entries(expected)) {
    if (code !== 0) continue;
    await open(app, `${name}.pgrec`, read(`${name}.pgrec`));
    await expect(app.locator("#source")).toContainText(`${name}.pgrec`);
    await finished(app);
    const count = events.toLocaleString("en-US");
    await expect(app.locator("#counts"), name).toContainText(`· ${count} event`);
  }
});
