/** An LSN as PostgreSQL writes it, for example `16/B3748000`. */
export function lsnText(lsn: bigint): string {
  const half = (bits: bigint) => BigInt.asUintN(32, bits).toString(16).toUpperCase();
  return `${half(lsn >> 32n)}/${half(lsn)}`;
}
