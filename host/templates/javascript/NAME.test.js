// The plugin as a module of Node's: `make test` runs it without WebAssembly.

import assert from 'node:assert/strict';
import test from 'node:test';

import { transform } from './NAME.js';

const hidden = { name: 'hidden', typeOid: 16, typmod: -1, key: false, nullable: true };

test('rows that are marked are dropped', () => {
  transform.init('hidden');
  assert.deepEqual(transform.select({ id: 1, columns: [hidden] }).columns, [0]);
  const values = [{ tag: 'boolean', val: true }, { tag: 'boolean', val: false }, { tag: 'null' }];
  const events = values.map(() => ({ operation: 'create', lsn: 1, commitUs: 0 }));
  const verdicts = transform.process({ relation: 1, events, values, old: [], documents: [] });
  assert.deepEqual(verdicts, [{ tag: 'drop' }, { tag: 'keep' }, { tag: 'keep' }]);
});

test('other tables pass by', () => {
  transform.init('hidden');
  assert.equal(transform.select({ id: 1, columns: [] }), null);
});

test('a column is needed', () => {
  assert.throws(() => transform.init(''));
});
