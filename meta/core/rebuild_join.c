/* SPDX-License-Identifier: Apache-2.0 */
/* Joins of nodes, which are held until the service knows what all of them know. */
#include <stdlib.h>
#include <string.h>

#include "meta/core/rebuild_nodes.h"
#include "transport/base/log.h"

struct candidate *rebuild_candidate(const struct core *c, const char *name)
{
    list_each(&c->rebuild.candidates, l)
    {
        struct candidate *k = container_of(l, struct candidate, link);
        if (strcmp(k->params.name, name) == 0)
            return k;
    }
    return NULL;
}

static void answer_join(struct candidate *k, int status)
{
    k->peer = NULL;
    k->done(k->arg, status, NULL, NULL);
}

void rebuild_pass_on(struct candidate *k)
{
    int status = CENOTE_DENIED;
    struct service_peer *peer = k->peer;
    k->peer = NULL;
    if (rebuild_own_pool(&k->core->rebuild, k)) {
        k->passed = true;
        status = members_join(k->core, &k->params, &k->line, peer, k->done, k->arg);
    } else {
        log_error("meta", "rebuild: node %s belongs to another pool", k->params.name);
        k->read = true;
    }
    k->gone_ms = k->core->now_ms;
    if (status != CENOTE_OK)
        k->done(k->arg, status, NULL, NULL);
}

struct asked {
    struct candidate *candidate;
    uint32_t number;
};

static void heard_notes(void *arg, int status, struct wire_value result)
{
    struct asked *asked = arg;
    struct candidate *k = asked->candidate;
    struct core *c = k->core;
    uint32_t count;
    bool current = k->peer != NULL && k->asked == asked->number;
    free(asked);
    k->asked_calls--;
    if (!current)
        return;
    if (status == CENOTE_OK && !notes_result_get(result, &count))
        status = CENOTE_PROTOCOL;
    if (status == CENOTE_OK)
        status = rebuild_merge(k, result, count);
    if (status != CENOTE_OK) {
        answer_join(k, status);
        return;
    }
    k->noted = true;
    if (c->rebuild.phase == REBUILD_READING || c->rebuild.phase == REBUILD_ENDING ||
        c->rebuild.phase == REBUILD_OFF)
        rebuild_pass_on(k);
}

static int ask_notes(struct candidate *k)
{
    struct wire_buf b = {0};
    struct asked *asked = malloc(sizeof(*asked));
    wire_put_request(&b, 0, METHOD_NOTES_READ);
    wire_put_array(&b, 0);
    if (asked == NULL || b.failed) {
        free(asked);
        wire_buf_free(&b);
        return CENOTE_NO_MEMORY;
    }
    *asked = (struct asked){k, ++k->asked};
    k->asked_calls++;
    k->line.call(k->line.arg, b.data, b.len, 0, heard_notes, asked);
    wire_buf_free(&b);
    return CENOTE_OK;
}

static struct candidate *candidate_for(struct core *c, const struct node_join_params *params)
{
    struct candidate *k = rebuild_candidate(c, params->name);
    if (k != NULL)
        return k;
    k = calloc(1, sizeof(*k));
    if (k == NULL)
        return NULL;
    k->core = c;
    list_append(&c->rebuild.candidates, &k->link);
    return k;
}

int rebuild_join(struct core *c, const struct node_join_params *params,
                 const struct service_link *line, struct service_peer *peer,
                 void (*done)(void *arg, int status, struct node *node,
                              const struct node_join_result *result),
                 void *arg)
{
    struct rebuild *r = &c->rebuild;
    if (params->protocol != PROTOCOL_VERSION)
        return CENOTE_VERSION;
    if (params->name[0] == '\0' || params->segment_count == 0)
        return CENOTE_INVALID;
    if (r->phase == REBUILD_FAILED ||
        (r->phase == REBUILD_READING && params->highest_reign > c->ids.reign))
        return r->phase == REBUILD_FAILED ? CENOTE_UNAVAILABLE : CENOTE_OLD_REIGN;
    struct candidate *k = candidate_for(c, params);
    if (k == NULL)
        return CENOTE_NO_MEMORY;
    if (k->peer != NULL && k->params.boot != params->boot)
        return CENOTE_NODE_KNOWN;
    if (k->peer != NULL)
        answer_join(k, CENOTE_UNAVAILABLE); /* the same process, on another connection */
    k->params = *params;
    if (r->phase < REBUILD_READING)
        rebuild_remember(r, params);
    k->line = *line;
    k->done = done;
    k->arg = arg;
    k->noted = false;
    int status = ask_notes(k);
    if (status == CENOTE_OK)
        k->peer = peer;
    return status;
}

void rebuild_disconnected(struct core *c, const struct service_peer *peer)
{
    list_each(&c->rebuild.candidates, l)
    {
        struct candidate *k = container_of(l, struct candidate, link);
        if (k->peer != peer || peer == NULL)
            continue;
        k->gone_ms = c->now_ms;
        k->noted = false;
        answer_join(k, CENOTE_UNAVAILABLE);
    }
}

bool rebuild_adopts(const struct core *c, const char *name)
{
    if (c->rebuild.phase != REBUILD_READING)
        return false;
    const struct candidate *k = rebuild_candidate(c, name);
    return k != NULL && !k->joined;
}

bool rebuild_segment_fits(const struct core *c, const struct node_segment *s)
{
    uint64_t first, end;
    slot_gva_part(c->shard.map.epoch, c->shard.number, &first, &end);
    return s->incarnation >> IDS_COUNT_BITS < c->ids.reign && s->gva.v % GVA_ALIGN == 0 &&
           gva_covers(gva_make(first), c->members.gva_next - first, s->gva, s->len_bytes);
}

void rebuild_joined(struct core *c, struct node *n)
{
    struct candidate *k =
        c->rebuild.phase == REBUILD_READING ? rebuild_candidate(c, n->name) : NULL;
    if (k == NULL)
        return;
    k->joined = true;
    for (uint32_t i = 0; i < n->segment_count && !n->settle.wanted; i++)
        if (n->segments[i]->id >> IDS_COUNT_BITS < c->ids.reign)
            rebuild_settle(c, n); /* it refuses what is of before, then it reads out */
    if (!k->read)
        rebuild_read(k);
}
