// Makes docs/playground/*.png of the built page. PGOUTPUT_PLAYGROUND_SCREENSHOTS names another folder.
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "@playwright/test";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const folder =
  process.env.PGOUTPUT_PLAYGROUND_SCREENSHOTS ?? join(root, "..", "docs", "playground");
const page = pathToFileURL(join(root, "dist", "index.html")).href;

const SHOTS = {
  light: { width: 1400, height: 880, scheme: "light", steps: showValue },
  dark: { width: 1400, height: 880, scheme: "dark", steps: showRelations },
  narrow: { width: 360, height: 780, scheme: "light", steps: async () => {} },
};

async function showValue(tab) {
  await tab.click(".rows .row:nth-child(4)");
  await tab.locator('.json .line[data-path="value.after.email"]').waitFor();
  await tab.hover('.json .line[data-path="value.after.email"]');
}

async function showRelations(tab) {
  await tab.selectOption("#option-format", "native");
  await tab.fill("#filter", "op:update");
  await tab.locator("#matches:not(:empty)").waitFor();
  await tab.waitForTimeout(200);
  await tab.click(".rows .row:nth-child(1)");
}

await mkdir(folder, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
});
for (const [name, { width, height, scheme, steps }] of Object.entries(SHOTS)) {
  const tab = await browser.newPage({ viewport: { width, height }, colorScheme: scheme });
  await tab.goto(page);
  await tab.click("#start-example");
  await tab.locator('#status[data-done="yes"]').waitFor();
  await tab.locator(".event").first().waitFor();
  await steps(tab);
  await tab.waitForTimeout(300);
  await tab.screenshot({ path: join(folder, `${name}.png`) });
}
await browser.close();
