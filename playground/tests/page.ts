/** What all tests do with the page. */
import { fileURLToPath } from "node:url";
import { test as base, expect, type Page } from "@playwright/test";
import { serve, type Server } from "./server.ts";

interface Fixtures {
  server: Server;
  /** The page, open; a test fails where the page says anything on the console. */
  app: Page;
}

export const test = base.extend<Fixtures>({
  server: async ({}, use) => {
    const server = await serve();
    await use(server);
    await server.close();
  },
  app: async ({ page, server }, use) => {
    const said: string[] = [];
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) said.push(message.text());
    });
    page.on("pageerror", (error) => said.push(error.message));
    await page.goto(server.url);
    await use(page);
    // What the browser itself reports of a stream that is lost, and of what a test tries in vain.
    const own = /Failed to load resource|Content Security Policy|net::ERR_/;
    expect(said.filter((text) => !own.test(text))).toEqual([]);
    expect(server.others).toEqual([]);
  },
});

export { expect };

export async function open(page: Page, name: string, buffer: Buffer): Promise<void> {
  await page.setInputFiles("#file", { name, mimeType: "application/octet-stream", buffer });
}

/** Opens the recording that most tests look at: a shop's, small and known by heart. */
export async function openShop(page: Page): Promise<void> {
  await page.setInputFiles(
    "#file",
    fileURLToPath(new URL("recordings/ecommerce.pgrec", import.meta.url)),
  );
}

/** The rows that are seen, as texts. */
export function rows(page: Page) {
  return page.locator(".rows .row:not([hidden])");
}

export function row(page: Page, message: number) {
  return page.locator(`.rows .row[data-at="${String(message - 1)}"]`);
}

/** The events' JSON as the page shows it. */
export function value(page: Page) {
  return page.locator(".events .json").last();
}

export async function finished(page: Page): Promise<void> {
  await expect(page.locator("#status")).toHaveAttribute("data-done", "yes", { timeout: 100_000 });
}
