// Drops the events of UPDATEs that changed none of some columns: what a trigger or an ORM writes
// again and again, or columns that no consumer looks at. Everything else is kept.
//
// The configuration: lines `schema.table: column, column`. Tables that are not in it pass by. So do
// those that lack one of their columns, of which a warning is logged: what changes in a column that
// was misspelled must not be lost.
//
// The tables need REPLICA IDENTITY FULL. Without it the server does not send the old row, and what
// was not sent counts as changed. A large value that is not sent because it did not change counts
// as the same. Columns of the key must be named, too, where they may change.

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

#define ERROR_CONFIG "expected lines such as `public.orders: status, total`"

// A part of a text that somebody else owns.
typedef struct {
    const char *at;
    size_t length;
} span_t;

static span_t config;

static span_t span_of(plugin_string_t text)
{
    return (span_t){(const char *)text.ptr, text.len};
}

static bool equal(span_t a, span_t b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.at, b.at, a.length) == 0);
}

static bool is_space(char character)
{
    return character == ' ' || character == '\t' || character == '\r';
}

static span_t trimmed(span_t text)
{
    while (text.length > 0 && is_space(text.at[0])) {
        text.at++;
        text.length--;
    }
    while (text.length > 0 && is_space(text.at[text.length - 1]))
        text.length--;
    return text;
}

// Takes from *rest what is before the separator, or all of it, and the separator, too.
static span_t take(span_t *rest, char separator)
{
    size_t length = 0;
    while (length < rest->length && rest->at[length] != separator)
        length++;
    span_t taken = {rest->at, length};
    size_t used = length < rest->length ? length + 1 : length;
    rest->at += used;
    rest->length -= used;
    return trimmed(taken);
}

// Takes the next line that is not empty: a table, and the names of its columns.
static bool next_line(span_t *rest, span_t *table, span_t *columns)
{
    while (rest->length > 0) {
        *columns = take(rest, '\n');
        if (columns->length > 0) {
            *table = take(columns, ':');
            return true;
        }
    }
    return false;
}

// Whether a table is `schema.table`.
static bool is_named(const exports_transform_relation_t *relation, span_t name)
{
    span_t schema = span_of(relation->schema), table = span_of(relation->table);
    return name.length == schema.length + 1 + table.length && name.at[schema.length] == '.' &&
           equal((span_t){name.at, schema.length}, schema) &&
           equal((span_t){name.at + schema.length + 1, table.length}, table);
}

// The index of a column; their number if there is none of that name.
static uint32_t index_of(const exports_transform_relation_t *relation, span_t name)
{
    uint32_t index = 0;
    while (index < relation->columns.len &&
           !equal(span_of(relation->columns.ptr[index].name), name))
        index++;
    return index;
}

// Memory, or the end: the host takes a plugin that traps for one that failed.
static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL)
        __builtin_trap();
    return memory;
}

// Logs which table is let through. Without stdio, which would want WASI.
static void warn_of(const exports_transform_relation_t *relation)
{
    static const char reason[] = " lacks a column that is configured: its events are kept";
    size_t schema = relation->schema.len, table = relation->table.len;
    size_t length = schema + 1 + table + sizeof reason - 1;
    char *text = allocate(length, 1);
    memcpy(text, relation->schema.ptr, schema);
    text[schema] = '.';
    memcpy(text + schema + 1, relation->table.ptr, table);
    memcpy(text + schema + 1 + table, reason, sizeof reason - 1);
    plugin_string_t message = {(uint8_t *)text, length};
    host_log(HOST_LEVEL_WARNING, &message);
    free(text);
}

void exports_transform_describe(exports_transform_description_t *description)
{
    // The caller frees what it is given, so literals are copied.
    plugin_string_dup(&description->name, "only-changes");
    plugin_string_dup(&description->version, "0.1.0");
    description->commits = false;
}

bool exports_transform_init(plugin_string_t *text, plugin_string_t *error)
{
    // It is kept as it is, and looked at once for each relation: see select.
    config = span_of(*text);
    span_t rest = config, table, columns;
    bool is_empty = true;
    while (next_line(&rest, &table, &columns)) {
        is_empty = false;
        if (memchr(table.at, '.', table.length) == NULL || columns.length == 0)
            goto refused;
        while (columns.length > 0) {
            if (take(&columns, ',').length == 0)
                goto refused;
        }
    }
    if (!is_empty)
        return true;
refused:
    plugin_string_dup(error, ERROR_CONFIG);
    return false;
}

bool exports_transform_select(exports_transform_relation_t *relation,
                              exports_transform_wanted_t *wanted)
{
    uint32_t count = 0;
    bool is_complete = true;
    // Some place more, as room for nothing need not be any.
    uint32_t *indexes = allocate(relation->columns.len + 1, sizeof *indexes);
    bool *is_wanted = allocate(relation->columns.len + 1, sizeof *is_wanted);
    span_t rest = config, table, columns;
    while (next_line(&rest, &table, &columns)) {
        if (!is_named(relation, table))
            continue;
        while (columns.length > 0) {
            uint32_t index = index_of(relation, take(&columns, ','));
            is_complete = is_complete && index < relation->columns.len;
            // A column that is named twice is wanted once.
            if (index < relation->columns.len && !is_wanted[index]) {
                is_wanted[index] = true;
                indexes[count++] = index;
            }
        }
    }
    if (!is_complete)
        warn_of(relation);
    exports_transform_relation_free(relation);
    free(is_wanted);
    if (!is_complete || count == 0) {
        free(indexes);
        return false;
    }
    wanted->operations = EXPORTS_TRANSFORM_OPERATIONS_UPDATE;
    wanted->columns.ptr = indexes;
    wanted->columns.len = count;
    wanted->old = true;
    wanted->payload = false;
    return true;
}

static bool is_same(const exports_transform_value_t *old, const exports_transform_value_t *new)
{
    // A value that is not sent because it did not change.
    if (new->tag == EXPORTS_TRANSFORM_VALUE_UNCHANGED)
        return true;
    // Also where the old one is not known.
    if (old->tag != new->tag)
        return false;
    switch (new->tag) {
    case EXPORTS_TRANSFORM_VALUE_NULL:
        return true;
    case EXPORTS_TRANSFORM_VALUE_BOOLEAN:
        return old->val.boolean == new->val.boolean;
    case EXPORTS_TRANSFORM_VALUE_INTEGER:
        return old->val.integer == new->val.integer;
    case EXPORTS_TRANSFORM_VALUE_FLOAT:
        // By their bits: NaN is what it was, and 0 and -0 are two values.
        return memcmp(&old->val.float_, &new->val.float_, sizeof new->val.float_) == 0;
    case EXPORTS_TRANSFORM_VALUE_DECIMAL:
        return equal(span_of(old->val.decimal), span_of(new->val.decimal));
    case EXPORTS_TRANSFORM_VALUE_TEXT:
        return equal(span_of(old->val.text), span_of(new->val.text));
    case EXPORTS_TRANSFORM_VALUE_BYTES:
        return old->val.bytes.len == new->val.bytes.len &&
               (new->val.bytes.len == 0 ||
                memcmp(old->val.bytes.ptr, new->val.bytes.ptr, new->val.bytes.len) == 0);
    case EXPORTS_TRANSFORM_VALUE_TIMESTAMP:
        return old->val.timestamp == new->val.timestamp;
    case EXPORTS_TRANSFORM_VALUE_JSON:
        return equal(span_of(old->val.json), span_of(new->val.json));
    default:
        return false;
    }
}

void exports_transform_process(exports_transform_rows_t *rows,
                               exports_transform_list_verdict_t *verdicts)
{
    size_t count = rows->events.len;
    verdicts->ptr = allocate(count + 1, sizeof *verdicts->ptr);
    verdicts->len = count;
    // The values are in one list, a row behind the other.
    size_t width = count > 0 ? rows->values.len / count : 0;
    for (size_t row = 0; row < count; row++) {
        const exports_transform_value_t *old = rows->old.ptr + row * width;
        const exports_transform_value_t *new = rows->values.ptr + row * width;
        size_t column = 0;
        while (column < width && is_same(&old[column], &new[column]))
            column++;
        verdicts->ptr[row].tag = column < width ? EXPORTS_TRANSFORM_VERDICT_KEEP
                                                : EXPORTS_TRANSFORM_VERDICT_DROP;
    }
    exports_transform_rows_free(rows);
}

void exports_transform_flush(exports_transform_commit_t *commit,
                             exports_transform_list_emission_t *emissions)
{
    // Never called: description.commits is false.
    (void)commit;
    emissions->ptr = NULL;
    emissions->len = 0;
}
