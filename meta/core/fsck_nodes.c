/* SPDX-License-Identifier: Apache-2.0 */
/* The directories of the nodes, page by page: each page once as it is, then those entries of it
 * that have a live seal. */
#include <stdlib.h>

#include "meta/core/fsck_private.h"

void fsck_nodes_begin(struct core *c)
{
    struct fsck *f = &c->fsck;
    f->node = f->cursor = f->next_cursor = 0;
    f->page_count = 0;
    f->in_flight = false;
    f->call++;
}

/* The one with the lowest id above this that can be asked. */
static struct node *node_behind(const struct core *c, uint64_t id)
{
    struct node *found = NULL;
    list_each(&c->members.nodes, l)
    {
        struct node *n = container_of(l, struct node, link);
        if (n->id > id && n->peer != NULL && n->join == NULL && n->state != NODE_DEAD &&
            n->directory.kept && (found == NULL || n->id < found->id))
            found = n;
    }
    return found;
}

static struct node *node_now(const struct core *c)
{
    struct node *n = c->fsck.node == 0 ? NULL : node_behind(c, c->fsck.node - 1);
    return n != NULL && n->id == c->fsck.node ? n : NULL;
}

/* ---- entries --------------------------------------------------------------------------------- */

static void strange(struct core *c, const struct directory_entry *e)
{
    struct fsck_found *found = &c->fsck.found[FSCK_ENTRY_STRANGE];
    if (c->fsck.phase == FSCK_NODES) {
        fsck_suspect(c, FSCK_ENTRY_STRANGE, e->put_id, e->gva, NULL);
        return;
    }
    for (uint32_t i = 0; i < found->suspect_count; i++)
        if (found->suspects[i].put_id == e->put_id && found->suspects[i].gva.v == e->gva.v)
            found->suspects[i].seen_again = true;
}

/* Objects stay in the table until all of their entries have been dropped. */
static void take_all(struct core *c, const struct directory_read_result *r)
{
    struct fsck *f = &c->fsck;
    f->page_count = 0;
    for (uint32_t i = 0; i < r->count && i < FSCK_BATCH; i++) {
        struct directory_entry e;
        if (!directory_entry_get(wire_at(r->entries, i), &e))
            continue;
        f->entries += f->phase == FSCK_NODES;
        if (table_by_put(&c->table, e.put_id) == NULL)
            strange(c, &e);
        else
            f->page[f->page_count++] = (struct fsck_suspect){.put_id = e.put_id, .gva = e.gva};
    }
}

static int by_address(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* What isn't among them has no live seal. The entry has gone if a void came between. */
static void take_live(struct core *c, const struct directory_read_result *r)
{
    struct fsck *f = &c->fsck;
    uint64_t *live = calloc(r->count + 1, sizeof(*live));
    uint32_t count = 0;
    for (uint32_t i = 0; live != NULL && i < r->count; i++) {
        struct directory_entry e;
        if (directory_entry_get(wire_at(r->entries, i), &e))
            live[count++] = e.gva.v;
    }
    if (live != NULL)
        qsort(live, count, sizeof(*live), by_address);
    for (uint32_t i = 0; live != NULL && i < f->page_count && f->phase == FSCK_NODES; i++)
        if (bsearch(&f->page[i].gva.v, live, count, sizeof(*live), by_address) == NULL)
            fsck_suspect(c, FSCK_SEAL, f->page[i].put_id, f->page[i].gva, NULL);
    free(live);
}

/* ---- calls ----------------------------------------------------------------------------------- */

struct asked {
    struct core *core;
    uint32_t call;
    bool live;
};

static void next_node(struct fsck *f)
{
    f->cursor = 0;
    f->page_count = 0;
    f->node++;
}

static void take(struct core *c, const struct directory_read_result *r, bool live)
{
    struct fsck *f = &c->fsck;
    if (!live) {
        take_all(c, r);
        f->next_cursor = r->cursor;
        if (f->page_count > 0)
            return; /* the same page once more */
    } else {
        take_live(c, r);
        f->page_count = 0;
    }
    if (f->next_cursor == 0)
        next_node(f);
    else
        f->cursor = f->next_cursor;
}

static void heard(void *arg, int status, struct wire_value result)
{
    struct asked asked = *(struct asked *)arg;
    struct core *c = asked.core;
    struct directory_read_result r;
    free(arg);
    if (asked.call != c->fsck.call)
        return;
    c->fsck.in_flight = false;
    if (status == CENOTE_OK && directory_read_result_get(result, &r))
        take(c, &r, asked.live);
    else
        next_node(&c->fsck); /* it has gone, or keeps none */
}

static void ask(struct core *c, struct node *n)
{
    struct fsck *f = &c->fsck;
    struct wire_buf b = {0};
    struct asked *asked = malloc(sizeof(*asked));
    struct directory_read_params p = {
        .reign = c->ids.reign, .cursor = f->cursor, .limit = FSCK_BATCH, .live = f->page_count > 0};
    wire_put_request(&b, 0, METHOD_DIRECTORY_READ);
    directory_read_params_put(&b, &p);
    if (asked != NULL && !b.failed) {
        *asked = (struct asked){c, f->call, p.live};
        f->in_flight = true;
        n->line.call(n->line.arg, b.data, b.len, 0, heard, asked);
    } else {
        free(asked); /* the next tick tries again */
    }
    wire_buf_free(&b);
}

bool fsck_nodes_step(struct core *c)
{
    struct fsck *f = &c->fsck;
    if (f->in_flight)
        return false;
    struct node *n = node_now(c);
    if (n == NULL) {
        f->cursor = 0;
        f->page_count = 0;
        n = node_behind(c, f->node);
    }
    if (n == NULL)
        return true;
    f->node = n->id;
    ask(c, n);
    return false;
}
