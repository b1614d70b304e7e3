/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/notes.h"

#include <string.h>

#include "meta/core/core.h"
#include "meta/core/rebuild.h"
#include "meta/stub/rebuild.h"
#include "transport/base/log.h"

void notes_changed(struct core *c, bool before_entries)
{
    c->notes.version++;
    if (before_entries)
        c->notes.needed = c->notes.version;
}

void notes_joined(struct node *n)
{
    n->notes.told = 0;
    n->notes.again_ms = 0;
}

bool notes_known(const struct core *c, const struct node *n)
{
    return n->notes.told >= c->notes.needed && n->notes.told > 0;
}

/* ---- what there is to tell ---- */

struct gather {
    struct wire_buf *out;
    uint32_t kind;
    uint32_t count;
};

static bool note_one(void *arg, const void *key, uint32_t key_len, const void *value,
                     uint32_t value_len)
{
    struct gather *g = arg;
    struct note note = {
        .kind = g->kind, .key = key, .key_len = key_len, .value = value, .value_len = value_len};
    bool own =
        g->kind == NOTE_META && (rebuild_own_value(key, key_len) || lives_own_value(key, key_len));
    if (own || key_len > NOTE_KEY_MAX || value_len > NOTE_VALUE_MAX)
        return true;
    note_put(g->out, &note);
    g->count++;
    return true;
}

static int gather_notes(struct core *c, struct wire_buf *out, uint32_t *count)
{
    struct store *store = c->changes.store;
    struct gather g = {.out = out, .kind = NOTE_META};
    int status = store->ops->scan(store, STORE_META, "", 0, note_one, &g);
    g.kind = NOTE_NAMESPACE;
    if (status == CENOTE_OK)
        status = store->ops->scan(store, STORE_NAMESPACES, "", 0, note_one, &g);
    g.kind = NOTE_NODE;
    list_each(&c->members.nodes, l)
    {
        const struct node *n = container_of(l, struct node, link);
        if (n->state != NODE_DEAD)
            (void)note_one(&g, n->name, (uint32_t)strlen(n->name), NULL, 0);
    }
    *count = g.count;
    return status;
}

/* ---- a call ---- */

static void told(void *arg, int status, struct wire_value result)
{
    struct node *n = arg;
    (void)result;
    n->calls--;
    n->notes.in_flight = false;
    if (n->gone) {
        node_release(n);
        return;
    }
    if (status == CENOTE_OK) {
        n->notes.told = n->notes.sending;
        return;
    }
    n->notes.again_ms = n->core->now_ms + NOTES_RETRY_MS;
    if (status != CENOTE_UNAVAILABLE)
        log_error("meta", "node %s refuses %s: %s", n->name, METHOD_NOTES,
                  cenote_status_text(status));
}

static void send(struct core *c, struct node *n)
{
    struct wire_buf notes = {0}, b = {0};
    uint32_t count = 0;
    int status = gather_notes(c, &notes, &count);
    wire_put_request(&b, 0, METHOD_NOTES);
    notes_params_put(&b, c->ids.reign, count);
    wire_put_encoded(&b, &notes);
    if (status == CENOTE_OK && b.failed)
        status = CENOTE_NO_MEMORY;
    n->notes.sending = c->notes.version;
    n->notes.in_flight = true;
    n->notes.again_ms =
        c->now_ms + NOTES_PAUSE_MS + c->members.node_count * (uint64_t)NOTES_PAUSE_NODE_MS;
    n->calls++;
    if (status == CENOTE_OK)
        n->line.call(n->line.arg, b.data, b.len, 0, told, n);
    else
        told(n, status, (struct wire_value){NULL});
    wire_buf_free(&b);
    wire_buf_free(&notes);
}

void notes_tick(struct core *c)
{
    list_each(&c->members.nodes, l)
    {
        struct node *n = container_of(l, struct node, link);
        bool due = n->notes.told != c->notes.version &&
                   (c->now_ms >= n->notes.again_ms ||
                    (n->notes.told > 0 && n->notes.sending < c->notes.needed));
        if (due && n->peer != NULL && n->state != NODE_DEAD && n->join == NULL &&
            !n->notes.in_flight)
            send(c, n);
    }
}
