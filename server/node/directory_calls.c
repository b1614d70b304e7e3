/* SPDX-License-Identifier: Apache-2.0 */
/* What the service calls about the directory. */
#include "server/node/node.h"
#include "transport/base/log.h"

/* The first thing that went wrong is told. What can be kept is kept all the same, unless there is
 * no room: then the service sends all of it again. */
static int set_entries(struct node *n, const struct directory_params *p)
{
    int told = CENOTE_OK;
    for (uint32_t i = 0; i < p->count; i++) {
        struct directory_entry e;
        int status = CENOTE_PROTOCOL;
        if (directory_entry_get(wire_at(p->entries, i), &e))
            status = node_has_extent(n, e.gva, e.payload_len)
                         ? directory_set(node_directory_of(n), &e)
                         : CENOTE_BAD_RANGE;
        if (status == CENOTE_BAD_RANGE)
            log_error("node", "directory: 0x%llx is not an extent of this node",
                      (unsigned long long)e.gva.v);
        else if (status != CENOTE_OK)
            return status;
        told = told == CENOTE_OK ? status : told;
    }
    return told;
}

int node_directory(struct node *n, struct wire_value params, struct wire_buf *result)
{
    struct directory_params p;
    struct directory *d = node_directory_of(n);
    if (!directory_params_get(params, &p))
        return CENOTE_PROTOCOL;
    int status = node_see_reign(n, p.reign);
    if (status == CENOTE_OK && !d)
        status = CENOTE_NOT_SUPPORTED;
    if (status != CENOTE_OK)
        return status;
    if (p.part == DIRECTORY_FIRST)
        directory_round_begin(d);
    status = set_entries(n, &p);
    if (status != CENOTE_OK)
        return status;
    if (p.part == DIRECTORY_LAST)
        directory_round_end(d);
    struct directory_sum sum = directory_sum(d);
    directory_sum_put(result, &sum);
    return CENOTE_OK;
}

int node_directory_read(struct node *n, struct wire_value params, struct wire_buf *result)
{
    struct directory_read_params p;
    struct directory *d = node_directory_of(n);
    struct directory_entry e;
    struct wire_buf entries = {0};
    uint32_t count = 0, seen = 0;
    if (!directory_read_params_get(params, &p))
        return CENOTE_PROTOCOL;
    int status = node_see_reign(n, p.reign);
    if (status == CENOTE_OK && !d)
        status = CENOTE_NOT_SUPPORTED;
    if (status != CENOTE_OK)
        return status;
    bool more = true;
    while (seen < p.limit && (more = directory_next(d, &p.cursor, &e))) {
        seen++;
        if (p.live && !node_seal_is_live(n, &e))
            continue;
        directory_entry_put(&entries, &e);
        count++;
    }
    struct directory_sum sum = directory_sum(d);
    directory_read_result_begin(result, count);
    wire_put_encoded(result, &entries);
    directory_read_result_end(result, more ? p.cursor : 0, &sum, seen - count);
    wire_buf_free(&entries);
    return CENOTE_OK;
}

static uint8_t state_of(const struct node *n, struct gva gva, uint64_t put_id)
{
    struct directory_entry e;
    if (!directory_find(node_directory_of(n), gva, &e) || e.put_id != put_id)
        return DIRECTORY_NO_ENTRY;
    return node_seal_matches(n, &e) ? DIRECTORY_LIVE : DIRECTORY_NO_SEAL;
}

int node_directory_look(struct node *n, struct wire_value params, struct wire_buf *result)
{
    struct directory_look_params p;
    uint8_t states[DIRECTORY_BATCH_MAX];
    if (!directory_look_params_get(params, &p))
        return CENOTE_PROTOCOL;
    int status = node_see_reign(n, p.reign);
    if (status == CENOTE_OK && !node_directory_of(n))
        status = CENOTE_NOT_SUPPORTED;
    if (status != CENOTE_OK)
        return status;
    for (uint32_t i = 0; i < p.count; i++) {
        struct gva gva;
        uint64_t put_id;
        if (!directory_name_get(wire_at(p.names, i), &gva, &put_id))
            return CENOTE_PROTOCOL;
        states[i] = state_of(n, gva, put_id);
    }
    directory_look_result_put(result, states, p.count);
    return CENOTE_OK;
}
