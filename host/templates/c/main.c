// NAME drops the events of rows of which a boolean column is true, and keeps all others.
//
// The configuration is the name of the column. Tables without it pass by.
//
// What the functions get and give is in wit/plugin.wit, the types are in bindings/plugin.h. What a
// function is given is its own to free; what it gives is freed by the caller, so it must come from
// malloc.

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

// What is remembered lasts as long as the instance: until the connection is made again.
static plugin_string_t column;

static bool equal(plugin_string_t a, plugin_string_t b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

// Memory of zeros, or the end: the host takes a plugin that traps for one that failed.
static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL)
        __builtin_trap();
    return memory;
}

void exports_transform_describe(exports_transform_description_t *description)
{
    plugin_string_dup(&description->name, "NAME");
    plugin_string_dup(&description->version, "0.1.0");
    // Whether flush is called at each commit.
    description->commits = false;
}

bool exports_transform_init(plugin_string_t *config, plugin_string_t *error)
{
    if (config->len == 0) {
        plugin_string_dup(error, "the configuration must be the name of a boolean column");
        return false;
    }
    column = *config;
    return true;
}

bool exports_transform_select(exports_transform_relation_t *relation,
                              exports_transform_wanted_t *wanted)
{
    uint32_t index = 0;
    while (index < relation->columns.len && !equal(relation->columns.ptr[index].name, column))
        index++;
    bool is_found = index < relation->columns.len;
    exports_transform_relation_free(relation);
    if (!is_found)
        return false;
    // Only what is asked for comes to process, and costs something: more columns, the row before an
    // UPDATE (old), key and payload as JSON (payload).
    wanted->operations = EXPORTS_TRANSFORM_OPERATIONS_CREATE | EXPORTS_TRANSFORM_OPERATIONS_READ |
                         EXPORTS_TRANSFORM_OPERATIONS_UPDATE;
    wanted->columns.ptr = allocate(1, sizeof *wanted->columns.ptr);
    wanted->columns.ptr[0] = index;
    wanted->columns.len = 1;
    wanted->old = false;
    wanted->payload = false;
    return true;
}

void exports_transform_process(exports_transform_rows_t *rows,
                               exports_transform_list_verdict_t *verdicts)
{
    // One verdict for each event. With n columns wanted, those of event i begin at
    // rows->values.ptr[i * n].
    verdicts->len = rows->events.len;
    verdicts->ptr = allocate(verdicts->len + 1, sizeof *verdicts->ptr);
    for (size_t i = 0; i < verdicts->len; i++) {
        const exports_transform_value_t *value = &rows->values.ptr[i];
        exports_transform_verdict_t *verdict = &verdicts->ptr[i];
        bool is_true = value->tag == EXPORTS_TRANSFORM_VALUE_BOOLEAN && value->val.boolean;
        // Or EXPORTS_TRANSFORM_VERDICT_CHANGE with other values in val.change, _ROUTE with another
        // topic in val.route, _EMIT with events to put in its place in val.emit, _REPLACE, _FAIL.
        verdict->tag = is_true ? EXPORTS_TRANSFORM_VERDICT_DROP : EXPORTS_TRANSFORM_VERDICT_KEEP;
    }
    exports_transform_rows_free(rows);
}

void exports_transform_flush(exports_transform_commit_t *commit,
                             exports_transform_list_emission_t *emissions)
{
    // With description.commits: events behind the last one of a transaction.
    (void)commit;
    emissions->ptr = NULL;
    emissions->len = 0;
}
