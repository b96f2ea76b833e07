import assert from 'node:assert/strict';
import test from 'node:test';

import { transform } from './json-path.js';

const relation = {
  id: 1,
  schema: 'public',
  table: 'products',
  columns: [{ name: 'id', typeOid: 23 }, { name: 'attrs', typeOid: 3802 }],
};

const configured = (paths) =>
  transform.init(JSON.stringify({ table: 'public.products', column: 'attrs', paths }));

/** What becomes of the rows' values, and of the old ones'. */
function process(values, old) {
  const select = transform.select(relation);
  assert.deepEqual(select.columns, [1]);
  return transform.process({ relation: 1, events: values.map(() => ({})), values, old });
}

const json = (val) => ({ tag: 'json', val });
const unchanged = { tag: 'unchanged' };
const changed = (old, val) => ({ column: 1, old, value: json(val) });

const needsNode22 = { skip: !JSON.rawJSON && 'numbers keep their digits from Node 22 on' };

test('what the paths name is left of both rows, with its digits', needsNode22, () => {
  configured({ size: '$.size', colour: "$['variants'][0].colour" });
  const values = [json('{"size": 1.50, "variants": [{"colour": "red"}]}'), json('{"size":1e400}')];
  assert.deepEqual(process(values, [json('[1]'), unchanged]), [
    {
      tag: 'change',
      val: [
        changed(false, '{"size":1.50,"colour":"red"}'),
        changed(true, '{"size":null,"colour":null}'),
      ],
    },
    { tag: 'change', val: [changed(false, '{"size":1e400,"colour":null}')] },
  ]);
});

test('NULL stays, and what was not sent', () => {
  configured({ size: '$.size' });
  const verdicts = process([{ tag: 'null' }, unchanged], [unchanged, unchanged]);
  assert.deepEqual(verdicts, [{ tag: 'keep' }, { tag: 'keep' }]);
});

test('other tables pass by', () => {
  configured({ size: '$.size' });
  assert.equal(transform.select({ ...relation, schema: 'archive' }), null);
  assert.equal(transform.select({ ...relation, columns: [] }), null);
});

test('a bad path is refused with its place', () => {
  assert.throws(() => configured({ size: '$.a[*]' }), /path of "size": .* at character 4$/);
});
