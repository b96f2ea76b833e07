import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { componentNew } from "@bytecodealliance/jco-transpile/wasm-tools";
import type { Page } from "@playwright/test";
import { expect, finished, openShop, row, rows, test } from "./page.ts";
import { DIST } from "./server.ts";

/** The examples' modules, as cargo keeps them. */
const folder =
  process.env["PGOUTPUT_DECODER_PLUGINS"] ??
  fileURLToPath(
    new URL("../../target/component/wasm32-unknown-unknown/component", import.meta.url),
  );

async function drop(page: Page, name: string): Promise<void> {
  const module = readFileSync(join(folder, `${name}.wasm`));
  const buffer = Buffer.from(await componentNew(module, []));
  await page.setInputFiles("#file", { name: `${name}.wasm`, mimeType: "application/wasm", buffer });
}

test.beforeEach(() => {
  test.skip(!existsSync(join(folder, "mask.wasm")), "the examples' plugins are not built");
});

test("a plugin's changes are shown with the event", async ({ app }) => {
  await openShop(app);
  await finished(app);
  await drop(app, "mask");
  await expect(app.locator(".plugin .about")).toContainText("mask ", { timeout: 30_000 });
  await app.fill("#plugin-config", "key=secret\npublic.customers.email=***\npublic.customers.name");
  await app.click("#plugin-apply");
  await expect(app.locator(".plugin .about")).toContainText("mask ");
  await row(app, 4).click();
  await expect(app.locator(".outcome")).toContainText("mask changes it");
  await expect(app.locator('.diff [data-sign="−"]').first()).toContainText("grace@example.com");
  await expect(app.locator('.diff [data-sign="+"]').first()).toContainText('"***"');
  await row(app, 9).click();
  await expect(app.locator(".outcome")).toContainText("mask passes by");
});

test("what a plugin says of its configuration is shown", async ({ app }) => {
  await openShop(app);
  await finished(app);
  await drop(app, "mask");
  await expect(app.locator(".plugin .about")).toContainText("mask ", { timeout: 30_000 });
  await app.fill("#plugin-config", "not a column");
  await app.click("#plugin-apply");
  await expect(app.locator(".plugin .error")).not.toBeEmpty();
});

test("a deletion becomes another event", async ({ app }) => {
  await openShop(app);
  await finished(app);
  await drop(app, "soft_deletes");
  await expect(app.locator(".plugin .about")).toContainText("soft", { timeout: 30_000 });
  await app.fill("#filter", "op:delete");
  await expect(rows(app).first()).toContainText("Delete");
  await rows(app).first().click();
  await expect(app.locator(".outcome").first()).toBeVisible();
});

test("works from a folder, too", async ({ page }) => {
  await page.goto(pathToFileURL(join(DIST, "index.html")).href);
  await openShop(page);
  await finished(page);
  await drop(page, "mask");
  await expect(page.locator(".plugin .about")).toContainText("mask ", { timeout: 30_000 });
});

test("what is no plugin is said to be none", async ({ app }) => {
  await openShop(app);
  await finished(app);
  const module = readFileSync(join(folder, "mask.wasm"));
  const give = (buffer: Buffer) =>
    app.setInputFiles("#file", { name: "it.wasm", mimeType: "application/wasm", buffer });
  await give(module);
  await expect(app.locator(".plugin .error")).toContainText("It is a module, not a component");
  await give(Buffer.from("something else"));
  await expect(app.locator(".plugin .error")).toContainText("It is no WebAssembly");
});
