/** Numbers and times as people read them. */

export function formatLsn(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffff_ffffn).toString(16).toUpperCase()}`;
}

export function parseLsn(text: string): bigint {
  const [high = "0", low = "0"] = text.split("/");
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}

/** The time of day in UTC, to the microsecond. */
export function formatClock(us: bigint): string {
  if (us <= 0n) return "";
  const day = us % 86_400_000_000n;
  const pad = (value: bigint, digits: number) => value.toString().padStart(digits, "0");
  const seconds = day / 1_000_000n;
  const clock = [seconds / 3600n, (seconds / 60n) % 60n, seconds % 60n];
  return `${clock.map((part) => pad(part, 2)).join(":")}.${pad(day % 1_000_000n, 6)}`;
}

export function formatTime(us: bigint): string {
  if (us <= 0n) return "";
  const date = new Date(Number(us / 1000n)).toISOString().slice(0, 10);
  return `${date} ${formatClock(us)}`;
}

export function formatCount(count: number): string {
  return count.toLocaleString("en-US");
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${String(bytes)} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = -1;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit] ?? ""}`;
}

export function formatDuration(us: number): string {
  if (us < 1000) return `${String(Math.round(us))} µs`;
  if (us < 1_000_000) return `${(us / 1000).toFixed(us < 10_000 ? 1 : 0)} ms`;
  if (us < 120_000_000) return `${(us / 1_000_000).toFixed(us < 10_000_000 ? 2 : 0)} s`;
  return `${(us / 60_000_000).toFixed(0)} min`;
}

export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}
