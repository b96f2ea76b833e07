import { readFileSync } from "node:fs";
import { expect, finished, open, openShop, row, rows, test, value } from "./page.ts";
import {
  begin,
  commit,
  end,
  frame,
  framesBlock,
  head,
  insert,
  large,
  relation,
} from "./recordings.ts";

const fixture = (name: string) =>
  readFileSync(new URL(`recordings/${name}.pgrec`, import.meta.url));

test("the list is driven by keys", async ({ app }) => {
  await open(app, "large.pgrec", large(1_000_000));
  await finished(app);
  const list = app.locator("#messages");
  await expect(list).toBeFocused();
  await app.keyboard.press("Home");
  await expect(row(app, 1)).toHaveAttribute("aria-selected", "true");
  await app.keyboard.press("ArrowDown");
  await expect(row(app, 2)).toHaveAttribute("aria-selected", "true");
  await app.keyboard.press("PageDown");
  await app.keyboard.press("ArrowUp");
  const selected = app.locator('.rows [aria-selected="true"]');
  const after = Number(await selected.getAttribute("data-at"));
  expect(after).toBeGreaterThan(4);
  await app.keyboard.press("End");
  await expect(selected).toContainText("Commit");
  await app.keyboard.press("ArrowUp");
  await expect(value(app)).toContainText('"name": "item ');
  await app.keyboard.press("End");
  await expect(selected).toContainText("Commit");
  const id = await selected.getAttribute("id");
  await expect(list).toHaveAttribute("aria-activedescendant", id ?? "");
  await app.keyboard.press("Home");
  await expect(row(app, 1)).toBeVisible();
  await expect(list).toHaveAttribute("role", "grid");
});

test("/ goes to the filter, ? shows the keys, Tab goes round with a visible focus", async ({
  app,
}) => {
  await openShop(app);
  await finished(app);
  await app.keyboard.press("/");
  await expect(app.locator("#filter")).toBeFocused();
  await app.keyboard.press("Enter");
  await expect(app.locator("#messages")).toBeFocused();
  await app.keyboard.press("?");
  await expect(app.locator("#keys")).toBeVisible();
  await app.keyboard.press("Escape");
  await expect(app.locator("#keys")).toBeHidden();
  const seen: string[] = [];
  for (let at = 0; at < 8; at++) {
    await app.keyboard.press("Tab");
    seen.push(
      await app.evaluate(() => {
        const { activeElement: active } = document;
        const style = active ? getComputedStyle(active) : null;
        return `${active?.id ?? ""} ${style?.outlineStyle ?? ""}`;
      }),
    );
  }
  expect(seen[0]).toBe("splitter solid");
  expect(seen[1]).toBe("tab-message solid");
  for (const one of seen) expect(one).not.toContain("none");
});

test("the filter knows tables, operations, xids and LSNs", async ({ app }) => {
  await openShop(app);
  await finished(app);
  const filter = async (text: string) => {
    await app.fill("#filter", text);
    await expect(app.locator("#matches")).toContainText(text === "" ? "" : " of ");
    await app.waitForTimeout(200);
    return rows(app).allInnerTexts();
  };
  const customers = await filter("customers");
  expect(customers.length).toBeGreaterThan(2);
  expect(customers.every((text) => text.includes("customers"))).toBe(true);
  const deletes = await filter("op:d");
  expect(deletes.length).toBeGreaterThan(0);
  expect(deletes.every((text) => text.includes("Delete"))).toBe(true);
  const [first = ""] = await filter("begin");
  const xid = /\b\d{3,}\b/.exec(first.split("\n")[3] ?? "")?.[0] ?? "";
  const its = await filter(`xid:${xid}`);
  expect(its[0]).toContain("Begin");
  expect(its.at(-1)).toContain("Commit");
  const lsn = first.split("\n")[2] ?? "";
  expect((await filter(`lsn:${lsn}`))[0]).toContain(lsn);
  const both = await filter("customers -relation");
  expect(both.every((text) => text.includes("customers") && !text.includes("Relation"))).toBe(true);
  expect(await filter("nothing-of-the-kind")).toEqual([]);
  await expect(app.locator(".viewport .none")).toHaveText("No message fits.");
  // The selection is still there when the filter is gone.
  await app.focus("#filter");
  await app.keyboard.press("Escape");
  await expect(app.locator('.rows [aria-selected="true"]')).toBeVisible();
});

test("options change the event at once, and the selection stays", async ({ app }) => {
  await openShop(app);
  await finished(app);
  await row(app, 4).click();
  await expect(value(app)).toContainText("grace@example.com");
  const before = await value(app).innerText();
  await app.selectOption("#option-decimal-handling-mode", "string");
  await expect(value(app)).not.toHaveText(before);
  await expect(value(app)).toContainText(/"credit": "[\d.]+"/);
  await expect(row(app, 4)).toHaveAttribute("aria-selected", "true");
  await app.selectOption("#option-schemas-enable", "true");
  await expect(value(app)).toContainText('"schema": {');
  await app.selectOption("#option-schemas-enable", "");
  await app.selectOption("#option-decimal-handling-mode", "");
  await app.selectOption("#option-format", "native");
  await expect(value(app)).toContainText(/"credit": [\d.]+/);
  await app.selectOption("#preset", "As recorded");
  await expect.poll(() => value(app).innerText()).toBe(before);
  await app.selectOption("#preset", "Debezium with everything");
  await expect(app.locator("#free")).toHaveValue("skipped.operations=none");
  await app.selectOption("#option-provide-transaction-metadata", "true");
  await row(app, 1).click();
  await expect(app.locator(".event .what").first()).toHaveText("transaction metadata");
});

test("tombstones come and go", async ({ app }) => {
  await openShop(app);
  await finished(app);
  await app.fill("#filter", "op:delete");
  await expect(rows(app).first()).toContainText("Delete");
  await rows(app).first().click();
  await expect(app.locator(".event")).toHaveCount(2);
  await expect(app.locator(".event .what").last()).toHaveText("tombstone");
  await app.selectOption("#option-tombstones-on-delete", "false");
  await expect(app.locator(".event")).toHaveCount(1);
});

test("a wrong option is said to be wrong where it is made", async ({ app }) => {
  await openShop(app);
  await finished(app);
  await app.fill("#free", "no.such.option=1");
  await expect(app.locator("#free-error")).toContainText("no.such.option: no such option");
  await expect(app.locator("#free")).toHaveAttribute("aria-invalid", "true");
  await expect(app.locator(".events")).toContainText("an option is wrong");
  await app.fill("#free", "topic.prefix=other");
  await expect(app.locator("#free-error")).toHaveText("");
  await expect(app.locator(".event .topic")).toHaveText(/^other\.public\./);
  await app.selectOption("#option-format", "native");
  await app.selectOption("#option-schemas-enable", "true");
  await expect(app.locator("#option-schemas-enable-error")).toContainText("no schemas");
  await app.selectOption("#option-schemas-enable", "");
  await expect(app.locator("#option-schemas-enable-error")).toHaveText("");
  await expect(app.locator(".event")).toHaveCount(1);
});

test("a field, its bytes and its value are highlighted together", async ({ app }) => {
  await openShop(app);
  await finished(app);
  const email = app.locator(".fields .field", {
    has: app.locator(".name", { hasText: /^email$/ }),
  });
  await email.hover();
  await expect(app.locator('.json .line[data-path="value.after.email"]')).toHaveClass(/on/);
  expect(await app.locator(".dump .hex .on").count()).toBeGreaterThan(0);
  await app.locator('.json .line[data-path="value.after.id"]').hover();
  const id = app.locator(".fields .field", { has: app.locator(".name", { hasText: /^id$/ }) });
  await expect(id).toHaveClass(/on/);
  await app.locator(".dump .hex [data-f]").nth(1).hover();
  await expect(app.locator(".fields .field").nth(1)).toHaveClass(/on/);
  // By keys, too.
  await app.locator(".fields .field").first().focus();
  await app.keyboard.press("End");
  await expect(app.locator(".fields .field").last()).toBeFocused();
  await expect(app.locator(".fields .field").last()).toHaveClass(/on/);
});

test("copies events as JSON and bytes as hexadecimal", async ({ app, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await openShop(app);
  await finished(app);
  const copied = () => app.evaluate(() => navigator.clipboard.readText());
  await app.click(".events .copy");
  await expect(app.locator("#announcements")).toHaveText("Copied.");
  const event = JSON.parse(await copied()) as Record<string, unknown>;
  expect(Object.keys(event)).toEqual(["key", "value", "headers", "topic"]);
  expect(event["topic"]).toContain("public.customers");
  await app.click(".bytes .copy");
  await expect.poll(copied).toMatch(/^64[0-9a-f]+$/);
});

test("relations: which column came, went, changed", async ({ app }) => {
  const versions = [
    relation([
      ["id", 23, true],
      ["name", 25, false],
      ["old", 25, false],
    ]),
    relation([
      ["id", 20, true],
      ["extra", 1700, false],
      ["name", 25, true],
    ]),
  ];
  const recording = Buffer.concat([
    head(),
    framesBlock([
      frame(begin(100n, 7)),
      frame(versions[0] as Buffer),
      frame(insert(["1", "one", "x"]), 90n),
      frame(commit(100n), 100n),
      frame(begin(200n, 8)),
      frame(versions[1] as Buffer),
      frame(insert(["2", "1.5", "two"]), 190n),
      frame(commit(200n), 200n),
    ]),
    end,
  ]);
  await open(app, "changes.pgrec", recording);
  await finished(app);
  await app.click("#tab-relations");
  await expect(app.locator("#tab-relations .count")).toHaveText("1");
  const latest = app.locator("#panel-relations .version").first();
  await expect(latest).toContainText("version 2");
  const line = (name: string) =>
    latest.locator("tr", { has: app.locator("td", { hasText: name }) });
  await expect(line("id").first()).toContainText("type changed");
  await expect(line("id").first()).toContainText("int8 (was int4)");
  await expect(line("extra")).toContainText("added");
  await expect(line("name")).toContainText("key flag changed");
  await expect(line("old")).toContainText("removed");
  await latest.locator("button.link").click();
  await expect(row(app, 6)).toHaveAttribute("aria-selected", "true");
});

test("what the decoder asked, and what the answer was", async ({ app }) => {
  await openShop(app);
  await finished(app);
  await app.click("#tab-catalog");
  const first = app.locator("#panel-catalog tbody tr").first();
  await expect(first).toContainText("public.customers");
  await first.locator("summary").click();
  await expect(first.locator(".json")).toContainText('"name": "customers"');
});

test("a streamed transaction: events where they are decided", async ({ app }) => {
  await open(app, "streamed.pgrec", fixture("streamed"));
  await finished(app);
  await app.fill("#filter", "insert");
  await expect(rows(app).first()).toContainText("Insert");
  await rows(app).first().click();
  await expect(app.locator(".events .note")).toContainText(
    "Decoded when its transaction is committed",
  );
  await expect(app.locator(".event")).toHaveCount(1);
  await app.click(".events .note button.link");
  await expect(app.locator(".events h2")).toContainText(/\d+ events/);
});

test("transactions are chosen on the time line", async ({ app }) => {
  await openShop(app);
  await finished(app);
  await app.locator("#strip").focus();
  await app.keyboard.press("End");
  await expect(app.locator("#strip")).toHaveAttribute("aria-valuetext", /^xid \d+ · committed/);
  await app.keyboard.press("Home");
  await expect(row(app, 1)).toHaveAttribute("aria-selected", "true");
  const box = await app.locator("#strip").boundingBox();
  await app.mouse.click((box?.x ?? 0) + (box?.width ?? 0) - 3, (box?.y ?? 0) + 30);
  await expect(app.locator("#strip")).toHaveAttribute("aria-valuenow", "11");
  await expect(app.locator('.rows [aria-selected="true"]')).toContainText("Begin");
  await app.mouse.move((box?.x ?? 0) + 20, (box?.y ?? 0) + 30);
  await expect(app.locator(".tip")).toContainText("changes");
});

test("dark, light, and as the system", async ({ app }) => {
  const ground = () => app.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await app.emulateMedia({ colorScheme: "dark" });
  const dark = await ground();
  await app.emulateMedia({ colorScheme: "light" });
  const light = await ground();
  expect(dark).not.toBe(light);
  await app.click("#theme");
  expect(await ground()).toBe(dark);
  await app.reload();
  expect(await ground()).toBe(dark);
  await app.click("#theme");
  expect(await ground()).toBe(light);
});

test("fits a width of 360 px", async ({ app }) => {
  await app.setViewportSize({ width: 360, height: 740 });
  await openShop(app);
  await finished(app);
  await expect(value(app)).toContainText('"op": "c"');
  const wide = await app.evaluate(() => document.documentElement.scrollWidth);
  expect(wide).toBeLessThanOrEqual(360);
});

test("moves nothing for who does not want it", async ({ app }) => {
  await app.emulateMedia({ reducedMotion: "reduce" });
  const duration = await app.evaluate(
    () => getComputedStyle(document.getElementById("open") as Element).transitionDuration,
  );
  expect(duration).toBe("0s");
});

test("nothing shifts while a recording is read", async ({ app }) => {
  await app.evaluate(() => {
    const kept = window as unknown as { shift: number };
    kept.shift = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & {
        value: number;
        hadRecentInput: boolean;
      })[]) {
        if (!entry.hadRecentInput) kept.shift += entry.value;
      }
    }).observe({ type: "layout-shift", buffered: false });
  });
  await open(app, "large.pgrec", large(5_000_000));
  await app.waitForTimeout(700);
  await finished(app);
  expect(await app.evaluate(() => (window as unknown as { shift: number }).shift)).toBeLessThan(
    0.02,
  );
});
