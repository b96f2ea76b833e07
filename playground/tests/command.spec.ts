/** The page as the command serves it, beside a server: `make playground-test` starts one. */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, rows, test, value } from "./page.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SERVER = process.env["PGOUTPUT_TEST_URL"];

/** Runs statements, each for itself. */
function sql(...statements: string[]): void {
  const run = [
    "import os, sys, psycopg",
    "connection = psycopg.connect(os.environ['PGOUTPUT_TEST_URL'], autocommit=True)",
    "for statement in sys.argv[1:]: connection.execute(statement)",
  ].join("\n");
  execFileSync(`${ROOT}/.venv/bin/python`, ["-c", run, ...statements]);
}

/** Fails where slots of pages are not as said. */
function slots(are: "EXISTS" | "NOT EXISTS"): void {
  const ours = "SELECT FROM pg_replication_slots WHERE slot_name LIKE 'pgoutput_playground%'";
  sql(`DO $$ BEGIN ASSERT ${are} (${ours}); END $$`);
}

async function playground(publication: string): Promise<[ChildProcess, string]> {
  const command = spawn(
    `${ROOT}/target/release/pgoutput-decoder`,
    ["playground", SERVER ?? "", "--publication", publication, "--page", `${ROOT}/playground/dist`],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  for await (const line of createInterface(command.stdout)) {
    return [command, line.split(/\s+/).at(-1) ?? ""];
  }
  throw new Error("the command says nothing");
}

test.describe("beside a server", () => {
  test.skip(SERVER === undefined, "needs a server: PGOUTPUT_TEST_URL is not set");

  test("shows what is committed from then on, and leaves no slot behind", async ({ app }) => {
    sql(
      "DROP PUBLICATION IF EXISTS page",
      "DROP TABLE IF EXISTS shown",
      "CREATE TABLE shown (id int PRIMARY KEY, name text)",
      "INSERT INTO shown VALUES (1, 'before')",
      "CREATE PUBLICATION page FOR TABLE shown",
    );
    const [command, url] = await playground("page");
    await app.goto(url);
    await app.reload();
    await expect(app.locator("#follow-label")).toBeVisible();
    await expect(() => {
      slots("EXISTS");
    }).toPass();
    sql("INSERT INTO shown VALUES (2, 'then')", "UPDATE shown SET name = 'later' WHERE id = 2");
    await expect(rows(app)).toHaveCount(7);
    await rows(app).nth(2).click();
    await expect(value(app)).toContainText('"name": "then"');

    // Another site's page, or another program, is not let in.
    const { origin } = new URL(url);
    expect((await fetch(`${origin}/live`)).status).toBe(403);
    expect((await fetch(`${origin}/live?token=guessed`)).status).toBe(403);
    expect((await fetch(`${origin}/..%2fCargo.toml`)).status).toBe(404);

    command.kill("SIGTERM");
    await once(command, "exit");
    await expect(app.locator(".banner")).toContainText("The connection is lost.");
    await expect(() => {
      slots("NOT EXISTS");
    }).toPass();
    sql("DROP PUBLICATION page", "DROP TABLE shown");
  });

  test("says what is missing at the server", async ({ app }) => {
    const [command, url] = await playground("no_such_publication");
    await app.goto(url);
    await app.reload();
    await expect(app.locator(".banner")).toContainText('"no_such_publication" does not exist');
    command.kill("SIGTERM");
    await once(command, "exit");
  });
});
