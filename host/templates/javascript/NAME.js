// NAME: drops the events of rows that a boolean column marks.
//
// The configuration is that column's name. Tables that have no such column pass by, and so do
// DELETE and TRUNCATE.

// For the log, when there is something to say: log('info', 'text without values of rows')
// import { log } from 'pgoutput:plugin/log';

// What the plugin knows is kept here: one instance is asked from the first event to the last.
let column;

/** What the plugin exports: the interface is described in wit/plugin.wit. */
export const transform = {
  /** What the plugin is. `commits`: whether `flush` is called. */
  describe: () => ({ name: 'NAME', version: '0.1.0', commits: false }),

  /** Takes the configuration, or throws an Error, which must not quote a secret of it. */
  init(config) {
    if (config === '') throw new Error('the configuration is the name of a boolean column');
    column = config;
  },

  /** What is wanted of a relation's events; null: nothing. What is not wanted costs nothing. */
  select({ columns }) {
    const index = columns.findIndex(({ name }) => name === column);
    if (index < 0) return null;
    return {
      operations: { create: true, read: true, update: true },
      columns: [index],
      old: false, // true: the row before an UPDATE, too, in rows.old
      payload: false, // true: key and payload, JSON, in rows.documents
    };
  },

  /**
   * One verdict for each of rows.events. rows.values has the wanted columns of one row behind the
   * other: here it is one column, so there is one value for each event.
   */
  process: (rows) => rows.values.map(verdict),

  /** Events behind a transaction's last; called if `describe` asks for commits. */
  flush: (_commit) => [],
};

/**
 * What becomes of an event. Besides these two there are
 *
 *   { tag: 'change', val: [{ column: 0, old: false, value: { tag: 'text', val: '…' } }] }
 *   { tag: 'replace', val: '{"another":"payload"}' }
 *   { tag: 'route', val: 'another-topic' }
 *   { tag: 'emit', val: [{ topic: '…', key: '"k"', payload: '{}', headers: [['name', 'value']] }] }
 *   { tag: 'fail', val: 'why, and no value of the row' }
 */
function verdict({ tag, val }) {
  // Else it is false, `null`, `unchanged`, or no boolean.
  return { tag: tag === 'boolean' && val ? 'drop' : 'keep' };
}
