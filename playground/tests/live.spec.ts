import { expect, rows, test, value } from "./page.ts";
import {
  begin,
  commit,
  COLUMNS,
  frame,
  framesBlock,
  head,
  insert,
  relation,
} from "./recordings.ts";
import { serve } from "./server.ts";
import { test as plain } from "@playwright/test";

/** A transaction of some inserts. */
function transaction(number: number, changes: number): Buffer {
  const lsn = BigInt(number) * 0x10000n;
  const frames = [frame(begin(lsn, number), lsn)];
  if (number === 1) frames.push(frame(relation(COLUMNS)));
  for (let at = 0; at < changes; at++) {
    frames.push(frame(insert([String(at), `row ${String(number)}.${String(at)}`]), lsn - 100n));
  }
  frames.push(frame(commit(lsn), lsn));
  return framesBlock(frames);
}

test("shows messages as they come, follows the end, stops when scrolled up", async ({
  app,
  server,
}) => {
  server.greeting = head();
  await app.goto(`${server.url}#token=secret`);
  await app.reload();
  await expect.poll(() => server.connections.size).toBe(1);
  server.send(transaction(1, 3));
  await expect(rows(app)).toHaveCount(6);
  await rows(app).nth(2).click();
  await expect(value(app)).toContainText('"name": "row 1.0"');
  await app.check("#follow");
  for (let number = 2; number < 20; number++) server.send(transaction(number, 10));
  await expect(rows(app).last()).toContainText("Commit");
  const atEnd = () =>
    app.locator(".viewport").evaluate((box) => box.scrollHeight - box.clientHeight - box.scrollTop);
  await expect.poll(atEnd).toBeLessThan(25);
  await app.locator(".viewport").hover();
  await app.mouse.wheel(0, -400);
  await expect(app.locator("#follow")).not.toBeChecked();
  const top = await app.locator(".viewport").evaluate((box) => box.scrollTop);
  for (let number = 20; number < 30; number++) server.send(transaction(number, 10));
  await expect(app.locator("#counts")).toContainText("342 messages");
  expect(await app.locator(".viewport").evaluate((box) => box.scrollTop)).toBe(top);
  await app.check("#follow");
  await expect.poll(atEnd).toBeLessThan(25);
});

test("says that the connection is lost, and connects again: a recording anew", async ({
  app,
  server,
}) => {
  server.greeting = Buffer.concat([head(), transaction(1, 3)]);
  await app.goto(`${server.url}#token=secret`);
  await app.reload();
  await expect(rows(app)).toHaveCount(6);
  server.greeting = Buffer.concat([head(), transaction(1, 1)]);
  server.cut();
  await expect(app.locator(".banner")).toContainText("The connection is lost.");
  await expect(rows(app)).toHaveCount(4);
  await expect(app.locator(".banner")).toHaveCount(0);
});

test("a token that is not accepted is not tried again", async ({ app, server }) => {
  await app.goto(`${server.url}#token=wrong`);
  await app.reload();
  await expect(app.locator(".banner")).toContainText("The server answers 403.");
});

test("keeps the latest messages alone, and says so", async ({ app, server }) => {
  server.greeting = head();
  await app.goto(`${server.url}#token=secret`);
  await app.reload();
  await expect.poll(() => server.connections.size).toBe(1);
  for (let number = 1; number <= 160; number++) server.send(transaction(number, 500));
  await expect(app.locator("#counts")).toContainText("80,321 messages", { timeout: 30_000 });
  await expect(app.locator("#counts")).toContainText(/the first [\d,]+ no longer kept/);
  await expect(app.locator("#source")).toContainText("the latest 50,000 messages");
  await expect(rows(app).last()).toContainText("Commit");
  // With other options what is kept is decoded again, without the relations that are gone.
  await rows(app).nth(4).click();
  await expect(value(app)).toContainText('"op": "c"');
  await app.selectOption("#option-format", "native");
  await expect(value(app)).toContainText('"connector": "pgoutput-decoder"');
  await expect(value(app)).toContainText('"op": "c"');
});

plain("without a token it does not look for a stream", async ({ page }) => {
  const server = await serve();
  const asked: string[] = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await page.goto(server.url);
  await page.waitForTimeout(200);
  expect(asked).not.toContain("/live");
  await server.close();
});
