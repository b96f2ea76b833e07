/** Serves the built page, and a stream as `pgoutput-decoder playground` does. */
import { createServer, type ServerResponse } from "node:http";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

export const DIST = fileURLToPath(new URL("../dist", import.meta.url));
const TYPES: Record<string, string> = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".svg": "image/svg+xml",
};

export interface Server {
  url: string;
  /** Asked for, without the page's own files. */
  others: string[];
  /** The open connections of `live`, and what is sent on each as it is made. */
  connections: Set<ServerResponse>;
  greeting: Buffer;
  send(bytes: Buffer): void;
  /** Ends all connections of `live`. */
  cut(): void;
  close(): Promise<void>;
}

export async function serve(token = "secret"): Promise<Server> {
  const connections = new Set<ServerResponse>();
  const others: string[] = [];
  const event = (bytes: Buffer) => `data: ${bytes.toString("base64")}\n\n`;
  const http = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    if (url.pathname === "/live") {
      if (url.searchParams.get("token") !== token) {
        response.writeHead(403).end();
        return;
      }
      response.writeHead(200, { "content-type": "text/event-stream" });
      if (server.greeting.length > 0) response.write(event(server.greeting));
      connections.add(response);
      response.on("close", () => connections.delete(response));
      return;
    }
    const path = url.pathname === "/" ? "index.html" : normalize(url.pathname);
    readFile(join(DIST, path)).then(
      (body) => {
        response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "text/plain" });
        response.end(body);
      },
      () => {
        others.push(url.pathname);
        response.writeHead(404).end();
      },
    );
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const server: Server = {
    url: `http://127.0.0.1:${String((http.address() as AddressInfo).port)}/`,
    others,
    connections,
    greeting: Buffer.alloc(0),
    send: (bytes) => {
      // Cut anywhere: in odd pieces.
      for (let at = 0; at < bytes.length; at += 1000) {
        for (const response of connections) response.write(event(bytes.subarray(at, at + 1000)));
      }
    },
    cut: () => {
      for (const response of connections) response.destroy();
    },
    close: () => {
      for (const response of connections) response.destroy();
      return new Promise((resolve) => {
        http.close(() => {
          resolve();
        });
      });
    },
  };
  return server;
}
