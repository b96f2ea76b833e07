// Schema on read: of a column of json or jsonb it leaves what some paths name, in the new row and
// in the old one. NULL stays NULL, and what was not sent stays unsent.
//
// The configuration, JSON:
//
//   {"table": "public.products", "column": "attrs",
//    "paths": {"size": "$.size", "colour": "$.variants[0].colour"}}
//
// makes {"size":…,"colour":…} of the column's value; what a path does not find is null. A path is
// `$`, the value itself, and behind it any number of `.name`, `['name']` and `[0]`.
//
// Numbers keep their digits, unless json has the same name twice in an object. Then the last one
// counts, as it does for PostgreSQL. White space between the parts of a value is not kept, nor is
// the order of members whose names are integers: JavaScript puts those first.

const JSON_TYPES = [114, 3802]; // json, jsonb

// What a plugin knows is kept here: one instance is asked from the first event to the last.
let table;
let column;
let paths;
const relations = new Map();

export const transform = {
  describe: () => ({ name: 'json-path', version: '0.1.0', commits: false }),

  init(config) {
    ({ table, column, paths } = configuration(config));
  },

  select({ id, schema, table: name, columns }) {
    const index = columns.findIndex((each) => each.name === column);
    if (`${schema}.${name}` !== table || index < 0) return null;
    relations.set(id, { index, isJson: JSON_TYPES.includes(columns[index].typeOid) });
    return {
      operations: { create: true, read: true, update: true, delete: true },
      columns: [index],
      old: true,
      payload: false,
    };
  },

  process({ relation, events, values, old }) {
    const { index, isJson } = relations.get(relation);
    if (!isJson) return events.map(() => fail(`${table}.${column} is neither json nor jsonb`));
    return events.map((_, i) => {
      const changes = [...change(index, false, values[i]), ...change(index, true, old[i])];
      return changes.length > 0 ? { tag: 'change', val: changes } : { tag: 'keep' };
    });
  },

  flush: () => [],
};

const fail = (why) => ({ tag: 'fail', val: why });

/** What becomes of one value. A JSON value is `json` in the native format, `text` in Debezium's. */
function change(index, old, { tag, val }) {
  if (tag !== 'json' && tag !== 'text') return [];
  return [{ column: index, old, value: { tag, val: extract(val) } }];
}

function extract(json) {
  const value = JSON.parse(json, exactly);
  const found = paths.map(([name, steps]) => [name, steps.reduce(member, value)]);
  return JSON.stringify(Object.fromEntries(found));
}

/** A number as it is written: as a double, 0.10 would be 0.1, and a long one another number. */
function exactly(_name, value, { source }) {
  // Without a source is what stands below a name that an object has twice.
  return typeof value === 'number' && source ? JSON.rawJSON(source) : value;
}

function member(value, step) {
  // Neither null nor a number from above, which has no prototype.
  if (!(value instanceof Object)) return null;
  const isIndex = typeof step === 'number';
  return isIndex === Array.isArray(value) && Object.hasOwn(value, step) ? value[step] : null;
}

function configuration(config) {
  let parsed;
  try {
    parsed = JSON.parse(config);
  } catch {
    // The parser's own message quotes what it found.
    throw new Error('expected JSON: {"table":…,"column":…,"paths":{…}}');
  }
  const { table, column, paths } = parsed ?? {};
  if (typeof table !== 'string' || table.split('.').length !== 2) {
    throw new Error('"table": expected schema.table');
  }
  if (typeof column !== 'string') throw new Error('"column": expected the name of a column');
  const named = Object.entries(paths ?? {});
  if (typeof paths !== 'object' || named.length === 0) {
    throw new Error('"paths": expected {"name":"$.path"}');
  }
  return { table, column, paths: named.map(([name, path]) => [name, parsePath(name, path)]) };
}

/** The steps of a path: names and, as numbers, indexes. */
function parsePath(name, path) {
  if (typeof path !== 'string' || path[0] !== '$') {
    throw new Error(`path of "${name}": expected $ at character 1`);
  }
  const step = /\.([^\s.*'"[\]]+)|\['([^']*)'\]|\[(\d+)\]/y;
  const steps = [];
  for (let at = 1; at < path.length; at = step.lastIndex) {
    step.lastIndex = at;
    const match = step.exec(path);
    if (!match) {
      throw new Error(`path of "${name}": expected .name, ['name'] or [0] at character ${at + 1}`);
    }
    const [, dotted, quoted, item] = match;
    steps.push(item === undefined ? (dotted ?? quoted) : Number(item));
  }
  return steps;
}
