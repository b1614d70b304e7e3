/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories of the nodes, page by page. Of what is on a page the node is then asked by name
 * (address and put) whether the seals are live; and when all have been read, once more of those
 * that seemed odd.
 *
 * Nothing follows from what a node doesn't tell: entries come, go and move from page to page
 * between any two calls. Only what it says of an extent by name counts. It drops an entry together
 * with the seal; and the service has a seal voided only when it is durable that the object goes,
 * and the object never comes back to COMMITTED under this put id. So an entry without a live seal,
 * of an object that still is COMMITTED with this extent when the node has said so, is damage. The
 * second question is for a damage that isn't one of a moment.
 */
#include <stdlib.h>

#include "meta/core/fsck_private.h"

void fsck_nodes_begin(struct core *c)
{
    struct fsck *f = &c->fsck;
    f->node = f->cursor = f->next_cursor = 0;
    f->asked_count = 0;
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

struct node *fsck_node(const struct core *c, uint64_t id)
{
    struct node *n = id == 0 ? NULL : node_behind(c, id - 1);
    return n != NULL && n->id == id ? n : NULL;
}

/* ---- what is heard --------------------------------------------------------------------------- */

static void ask_about(struct fsck *f, uint64_t put_id, struct gva gva, struct fsck_suspect *suspect)
{
    f->asked[f->asked_count++] = (struct fsck_asked){put_id, gva, suspect};
}

static void turn_page(struct fsck *f)
{
    f->asked_count = 0;
    f->cursor = f->next_cursor;
    f->node += f->cursor == 0; /* that was its last one */
}

/* Objects stay in the table until all of their entries have been dropped. */
static void take_page(struct core *c, const struct directory_read_result *r)
{
    struct fsck *f = &c->fsck;
    for (uint32_t i = 0; i < r->count && i < FSCK_BATCH; i++) {
        struct directory_entry e;
        if (!directory_entry_get(wire_at(r->entries, i), &e))
            continue;
        f->entries++;
        if (table_by_put(&c->table, e.put_id) == NULL)
            fsck_suspect(c, FSCK_ENTRY_STRANGE, e.put_id, e.gva, NULL);
        else if (fsck_is_served(c, e.put_id, e.gva))
            ask_about(f, e.put_id, e.gva, NULL);
    }
    f->next_cursor = r->cursor;
    if (f->asked_count == 0)
        turn_page(f);
}

static void take_states(struct core *c, const uint8_t *states)
{
    struct fsck *f = &c->fsck;
    for (uint32_t i = 0; i < f->asked_count; i++) {
        const struct fsck_asked *a = &f->asked[i];
        if (a->suspect != NULL)
            a->suspect->state = states[i];
        else if (states[i] == DIRECTORY_NO_SEAL && fsck_is_served(c, a->put_id, a->gva))
            fsck_suspect(c, FSCK_SEAL, a->put_id, a->gva, NULL);
    }
    if (f->phase == FSCK_NODES)
        turn_page(f);
    f->asked_count = 0;
}

/* It has gone, or keeps none. */
static void give_up(struct fsck *f)
{
    f->next_cursor = 0;
    turn_page(f);
}

/* ---- calls ----------------------------------------------------------------------------------- */

struct question {
    struct core *core;
    uint32_t call;
};

static void heard(void *arg, int status, struct wire_value result)
{
    struct question q = *(struct question *)arg;
    struct fsck *f = &q.core->fsck;
    struct directory_read_result page;
    uint8_t states[FSCK_BATCH];
    free(arg);
    if (q.call != f->call)
        return;
    f->in_flight = false;
    if (status != CENOTE_OK)
        give_up(f);
    else if (f->asked_count == 0 && directory_read_result_get(result, &page))
        take_page(q.core, &page);
    else if (f->asked_count > 0 && directory_look_result_get(result, states, f->asked_count))
        take_states(q.core, states);
    else
        give_up(f);
}

static void call(struct core *c, struct node *n, struct wire_buf *b)
{
    struct question *q = malloc(sizeof(*q));
    if (q != NULL && !b->failed) {
        *q = (struct question){c, c->fsck.call};
        c->fsck.in_flight = true;
        n->line.call(n->line.arg, b->data, b->len, 0, heard, q);
    } else {
        free(q); /* the next tick tries again */
    }
    wire_buf_free(b);
}

static void read_page(struct core *c, struct node *n)
{
    struct wire_buf b = {0};
    struct directory_read_params p = {
        .reign = c->ids.reign, .cursor = c->fsck.cursor, .limit = FSCK_BATCH};
    wire_put_request(&b, 0, METHOD_DIRECTORY_READ);
    directory_read_params_put(&b, &p);
    call(c, n, &b);
}

static void look(struct core *c, struct node *n)
{
    struct fsck *f = &c->fsck;
    struct wire_buf b = {0};
    wire_put_request(&b, 0, METHOD_DIRECTORY_LOOK);
    directory_look_params_put(&b, c->ids.reign, f->asked_count);
    for (uint32_t i = 0; i < f->asked_count; i++)
        directory_name_put(&b, f->asked[i].gva, f->asked[i].put_id);
    call(c, n, &b);
}

bool fsck_nodes_step(struct core *c)
{
    struct fsck *f = &c->fsck;
    if (f->in_flight)
        return false;
    struct node *n = fsck_node(c, f->node);
    if (n == NULL) {
        f->cursor = 0;
        f->asked_count = 0;
        n = node_behind(c, f->node);
    }
    if (n == NULL)
        return true;
    f->node = n->id;
    if (f->asked_count > 0)
        look(c, n);
    else
        read_page(c, n);
    return false;
}

/* ---- once more ------------------------------------------------------------------------------- */

/* Those of one node that it hasn't been asked about again. False: there are none any more. */
static bool gather(struct fsck *f)
{
    static const enum fsck_kind kinds[] = {FSCK_ENTRY_STRANGE, FSCK_SEAL};
    for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct fsck_found *found = &f->found[kinds[k]];
        for (uint32_t i = 0; i < found->suspect_count && f->asked_count < FSCK_BATCH; i++) {
            struct fsck_suspect *s = &found->suspects[i];
            if (s->asked || (f->asked_count > 0 && s->node != f->node))
                continue;
            s->asked = true;
            f->node = s->node;
            ask_about(f, s->put_id, s->gva, s);
        }
    }
    return f->asked_count > 0;
}

bool fsck_again_step(struct core *c)
{
    struct fsck *f = &c->fsck;
    if (f->in_flight)
        return false;
    if (f->asked_count == 0 && !gather(f))
        return true;
    struct node *n = fsck_node(c, f->node);
    if (n != NULL)
        look(c, n);
    else
        f->asked_count = 0; /* nobody says so again */
    return false;
}
