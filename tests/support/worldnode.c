/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/worldnode.h"

#include <assert.h>
#include <string.h>

int world_node_entries(struct end *e, struct wire_value params)
{
    struct directory_params p;
    struct directory_entry entry;
    bool good = directory_params_get(params, &p);
    assert(good && p.reign == e->joined.reign);
    e->directory_calls++;
    if (p.part == DIRECTORY_FIRST)
        directory_round_begin(e->directory);
    for (uint32_t i = 0; i < p.count; i++) {
        good = directory_entry_get(wire_at(p.entries, i), &entry);
        assert(good);
        int status = directory_set(e->directory, &entry);
        if (status != CENOTE_OK)
            return status;
    }
    if (p.part == DIRECTORY_LAST)
        directory_round_end(e->directory);
    return CENOTE_OK;
}

void world_node_void(struct end *e, struct wire_value params)
{
    uint64_t reign, payload_len;
    uint32_t count;
    struct wire_value extents;
    struct gva gva;
    bool good = void_params_get(params, &reign, &count, &extents);
    for (uint32_t i = 0; good && i < count; i++) {
        good = void_extent_get(wire_at(extents, i), &gva, &payload_len);
        directory_drop(e->directory, gva);
    }
    assert(good);
}

static void read_entries(struct end *e, struct wire_value params, struct wire_buf *result)
{
    struct directory_read_params p;
    struct directory_entry entry;
    struct wire_buf entries = {0};
    uint32_t seen = 0, count = 0;
    bool good = directory_read_params_get(params, &p), more = e->directory != NULL;
    assert(good);
    while (more && seen < p.limit && (more = directory_next(e->directory, &p.cursor, &entry))) {
        seen++;
        if (p.live && e->is_live != NULL && !e->is_live(&entry))
            continue;
        directory_entry_put(&entries, &entry);
        count++;
    }
    struct directory_sum sum = {0};
    directory_read_result_begin(result, count);
    wire_put_encoded(result, &entries);
    directory_read_result_end(result, more ? p.cursor : 0, &sum, seen - count);
    wire_buf_free(&entries);
}

static void look(struct end *e, struct wire_value params, struct wire_buf *result)
{
    struct directory_look_params p;
    uint8_t states[DIRECTORY_BATCH_MAX];
    bool good = directory_look_params_get(params, &p) && p.reign == e->joined.reign;
    for (uint32_t i = 0; good && i < p.count; i++) {
        struct directory_entry entry;
        struct gva gva;
        uint64_t put_id;
        good = directory_name_get(wire_at(p.names, i), &gva, &put_id);
        bool there = e->directory != NULL && directory_find(e->directory, gva, &entry) &&
                     entry.put_id == put_id;
        bool live = there && (e->is_live == NULL || e->is_live(&entry));
        states[i] = live ? DIRECTORY_LIVE : there ? DIRECTORY_NO_SEAL : DIRECTORY_NO_ENTRY;
    }
    assert(good);
    directory_look_result_put(result, states, p.count);
}

int world_node_notes(struct end *e, struct wire_value params)
{
    struct notes_params p;
    bool good = notes_params_get(params, &p);
    wire_buf_clear(&e->notes);
    wire_put_array(&e->notes, p.count);
    for (uint32_t i = 0; i < p.count; i++) {
        struct note note;
        good = good && note_get(wire_at(p.notes, i), &note);
        note_put(&e->notes, &note);
    }
    assert(good);
    if (!e->notes.failed)
        return CENOTE_OK;
    wire_buf_free(&e->notes);
    return CENOTE_NO_MEMORY;
}

bool world_node_asked(struct end *e, const struct call *call, struct wire_buf *result)
{
    if (strcmp(call->method, METHOD_DIRECTORY_READ) == 0) {
        read_entries(e, call->msg.params, result);
    } else if (strcmp(call->method, METHOD_DIRECTORY_LOOK) == 0) {
        look(e, call->msg.params, result);
    } else if (strcmp(call->method, METHOD_SETTLE) == 0) {
        struct settle_result r = {.fenced = !e->writes, .strays = e->strays};
        settle_result_put(result, &r);
    } else if (strcmp(call->method, METHOD_NOTES_READ) == 0) {
        if (e->notes.len > 0)
            wire_put_encoded(result, &e->notes);
        else
            wire_put_array(result, 0);
    } else {
        return false;
    }
    return true;
}
