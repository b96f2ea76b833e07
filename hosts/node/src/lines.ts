/** One line of JSON an event, `{"topic":…,"key":…,"value":…,"headers":…}`, of the decoder's own bytes. */

import type { ChangeEvent, Topic } from "./records.js";

export class JsonLines {
  #lines = Buffer.allocUnsafe(1 << 20);
  #length = 0;
  /** Of the last topic. */
  #topic: Topic | null = null;
  #start = NULL;

  /** Appends the event's line. */
  write(event: ChangeEvent): void {
    if (event.topic !== this.#topic) {
      this.#topic = event.topic;
      this.#start = Buffer.from(`{"topic":${JSON.stringify(event.topic.name)},"key":`);
    }
    const start = this.#length;
    this.#append(this.#start);
    this.#append(event.bytes("key") ?? NULL);
    this.#append(VALUE);
    this.#append(event.bytes("value") ?? NULL);
    this.#append(HEADERS);
    this.#append(event.bytes("headers") ?? NULL);
    // The server's own json may have line breaks, which stand between its tokens alone.
    this.#blank(LF, start);
    this.#blank(CR, start);
    this.#append(END);
  }

  /** The lines so far, which are forgotten here. They hold until the next is written. */
  take(): Buffer {
    const lines = this.#lines.subarray(0, this.#length);
    this.#length = 0;
    return lines;
  }

  #append(bytes: Uint8Array): void {
    const end = this.#length + bytes.length;
    if (end > this.#lines.length) {
      const larger = Buffer.allocUnsafe(2 * end);
      larger.set(this.#lines.subarray(0, this.#length));
      this.#lines = larger;
    }
    this.#lines.set(bytes, this.#length);
    this.#length = end;
  }

  #blank(byte: number, start: number): void {
    const written = this.#lines.subarray(0, this.#length);
    for (let at = start; (at = written.indexOf(byte, at)) >= 0;) written[at] = SPACE;
  }
}

const NULL = Buffer.from("null");
const VALUE = Buffer.from(',"value":');
const HEADERS = Buffer.from(',"headers":');
const END = Buffer.from("}\n");
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
