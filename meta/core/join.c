/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that join: which of their segments go on with an incarnation, and which begin a new one. */
#include <stdlib.h>
#include <string.h>

#include "meta/core/core.h"
#include "meta/core/ids.h"
#include "meta/core/reuse.h"
#include "transport/base/bytes.h"
#include "transport/base/log.h"

struct join {
    struct core *core;
    struct node *node;
    bool new_node;
    struct node_join_params params;
    struct service_link line;
    struct service_peer *peer;               /* NULL: its connection has gone meanwhile */
    struct incarnation *kept[SEGMENTS_MAX];  /* of each segment, or NULL ... */
    struct incarnation *fresh[SEGMENTS_MAX]; /* ... then this one */
    struct change change;
    void (*done)(void *arg, int status, struct node *node, const struct node_join_result *result);
    void *arg;
};

static int params_check(const struct core *c, const struct node_join_params *p)
{
    if (p->protocol != PROTOCOL_VERSION)
        return CENOTE_VERSION;
    bool other_life = p->life != 0 && lives_contradict(c, p->highest_reign, p->life);
    if (p->highest_reign > c->ids.reign || other_life) {
        log_error("meta",
                  "node %s knows reign %llu, and not this one of the service: the database was "
                  "restored or begun anew; start with --rebuild if this is to go on",
                  p->name, (unsigned long long)p->highest_reign);
        return CENOTE_OLD_REIGN;
    }
    if (p->name[0] == '\0' || p->boot == 0 || p->segment_count == 0 ||
        p->segment_count > SEGMENTS_MAX)
        return CENOTE_INVALID;
    for (uint32_t i = 0; i < p->segment_count; i++) {
        uint64_t len = p->segments[i].len_bytes;
        if (len == 0 || len > ALLOC_LENGTH_MAX || p->segments[i].kind > SEGMENT_HBM)
            return CENOTE_INVALID;
    }
    return CENOTE_OK;
}

static bool all_named(const struct node_join_params *p)
{
    for (uint32_t i = 0; i < p->segment_count; i++)
        if (p->segments[i].incarnation == 0)
            return false;
    return true;
}

/* May this process take the place of the one that has the name? The old one's memory counts as gone
 * when it has been silent for a while; at once, when the new one proves to have kept the memory,
 * which is locked against a second owner. */
static int name_check(const struct core *c, const struct node *n, const struct node_join_params *p)
{
    if (n->join != NULL || n->state == NODE_DEAD)
        return CENOTE_NODE_KNOWN;
    if (n->boot == p->boot || (n->peer == NULL && all_named(p)))
        return CENOTE_OK;
    return c->patient_ms - n->heard_ms < c->options.suspect_ms ? CENOTE_NODE_KNOWN : CENOTE_OK;
}

static bool is_kept(const struct join *j, const struct incarnation *i)
{
    for (uint32_t k = 0; k < j->params.segment_count; k++)
        if (j->kept[k] == i)
            return true;
    return false;
}

static bool matches(const struct join *j, const struct incarnation *i, uint32_t k)
{
    return i->len_bytes == j->params.segments[k].len_bytes &&
           i->kind == j->params.segments[k].kind && !is_kept(j, i);
}

/* Segments that name their incarnation; and those of the same process, whose answer was lost. */
static int find_kept(struct join *j)
{
    const struct node *n = j->node;
    for (uint32_t k = 0; k < j->params.segment_count; k++) {
        uint64_t id = j->params.segments[k].incarnation;
        for (uint32_t i = 0; i < n->segment_count && id != 0; i++)
            if (n->segments[i]->id == id && matches(j, n->segments[i], k))
                j->kept[k] = n->segments[i];
        if (id != 0 && j->kept[k] == NULL && !rebuild_adopts(j->core, n->name))
            return CENOTE_NODE_UNKNOWN;
    }
    for (uint32_t k = 0; k < j->params.segment_count; k++)
        if (j->params.segments[k].incarnation == 0 && n->boot == j->params.boot &&
            k < n->segment_count && matches(j, n->segments[k], k))
            j->kept[k] = n->segments[k];
    return CENOTE_OK;
}

static uint64_t room_of(uint64_t len_bytes)
{
    return (len_bytes + GVA_ALIGN - 1) / GVA_ALIGN * GVA_ALIGN;
}

static bool is_same(const struct incarnation *i, const struct node_segment *s)
{
    return i != NULL && (i->id == s->incarnation || gva_covers(i->gva, i->len_bytes, s->gva, 1) ||
                         gva_covers(s->gva, s->len_bytes, i->gva, 1));
}

/* Has another segment its name or a part of its addresses, or is about to have it? */
static bool is_taken(const struct core *c, const struct node_segment *s)
{
    for (uint32_t i = 0; i < c->members.range_count; i++)
        if (is_same(c->members.ranges[i], s))
            return true;
    list_each(&c->members.nodes, l)
    {
        const struct join *j = container_of(l, struct node, link)->join;
        for (uint32_t k = 0; j != NULL && k < j->params.segment_count; k++)
            if (is_same(j->fresh[k], s))
                return true;
    }
    return false;
}

/* The service has lost its memory, the node has not. */
static int adopt(struct join *j, uint32_t k)
{
    struct core *c = j->core;
    const struct node_segment *s = &j->params.segments[k];
    if (!rebuild_segment_fits(c, s) || is_taken(c, s)) {
        log_error("meta", "rebuild: a segment of node %s overlaps others, or is of no known life",
                  j->params.name);
        return CENOTE_NODE_UNKNOWN;
    }
    j->fresh[k] = incarnation_new(c, s->incarnation, s->gva, s->len_bytes, s->kind);
    return j->fresh[k] != NULL ? CENOTE_OK : CENOTE_NO_MEMORY;
}

static int make_fresh(struct join *j, uint32_t k)
{
    struct core *c = j->core;
    const struct node_segment *s = &j->params.segments[k];
    uint64_t room = room_of(s->len_bytes);
    if (room > c->members.gva_end - c->members.gva_next) {
        log_error("meta", "the global address space is used up");
        return CENOTE_NO_SPACE;
    }
    j->fresh[k] =
        incarnation_new(c, ids_take(&c->ids), gva_make(c->members.gva_next), s->len_bytes, s->kind);
    if (j->fresh[k] == NULL)
        return CENOTE_NO_MEMORY;
    c->members.gva_next += room;
    return CENOTE_OK;
}

static int prepare(struct join *j)
{
    int status = find_kept(j);
    for (uint32_t k = 0; status == CENOTE_OK && k < j->params.segment_count; k++)
        if (j->kept[k] == NULL)
            status = j->params.segments[k].incarnation != 0 ? adopt(j, k) : make_fresh(j, k);
    return status;
}

/* Nobody has heard of these addresses. They are taken back where none behind them was given, so
 * that a node that asks again and again doesn't use them all up. */
static void undo_fresh(struct core *c, struct incarnation *i)
{
    uint64_t end = i->gva.v + room_of(i->len_bytes);
    if (c->members.gva_next == end && i->id >> IDS_COUNT_BITS == c->ids.reign)
        c->members.gva_next = i->gva.v;
    incarnation_undo(c, i);
}

static void undo(struct join *j)
{
    for (uint32_t k = j->params.segment_count; k-- > 0;)
        if (j->fresh[k] != NULL)
            undo_fresh(j->core, j->fresh[k]);
    j->node->join = NULL;
    if (j->new_node) {
        link_remove(&j->node->link);
        j->core->members.node_count--;
        free(j->node);
    }
    free(j);
}

static void copy_params(struct node *n, const struct node_join_params *p)
{
    n->boot = p->boot;
    n->grant_key = p->grant_key;
    memcpy(n->host, p->host, sizeof(n->host));
    memcpy(n->zone, p->zone, sizeof(n->zone));
    memcpy(n->shm, p->shm, sizeof(n->shm));
    memcpy(n->rdma, p->rdma, sizeof(n->rdma));
    memcpy(n->tcp, p->tcp, sizeof(n->tcp));
}

/* What was not kept ends, what is fresh begins. */
static void take_segments(struct join *j)
{
    struct node *n = j->node;
    struct incarnation *old[SEGMENTS_MAX];
    uint32_t old_count = n->segment_count;
    memcpy(old, n->segments, old_count * sizeof(struct incarnation *));
    for (uint32_t k = 0; k < j->params.segment_count; k++) {
        n->segments[k] = j->kept[k] != NULL ? j->kept[k] : j->fresh[k];
        if (j->fresh[k] != NULL)
            incarnation_begin(j->core, j->fresh[k], n);
    }
    n->segment_count = j->params.segment_count;
    for (uint32_t i = 0; i < old_count; i++)
        if (!is_kept(j, old[i]))
            incarnation_end(j->core, old[i]);
}

static void take_connection(struct join *j)
{
    struct node *n = j->node;
    if (n->peer != NULL && n->peer != j->peer)
        n->line.close(n->line.arg);
    n->peer = j->peer;
    n->line = j->line;
    n->again_ms = 0;
    directory_joined(j->core, n);
    notes_joined(n);
    n->state = NODE_SUSPECT;
    members_heartbeat(j->core, n);
}

static void result_of(const struct join *j, struct node_join_result *r)
{
    const struct node *n = j->node;
    *r = (struct node_join_result){.node = n->id,
                                   .reign = j->core->ids.reign,
                                   .life = j->core->life,
                                   .pool_key = j->core->pool_key,
                                   .heartbeat_ms = j->core->options.heartbeat_ms,
                                   .segment_count = n->segment_count};
    for (uint32_t i = 0; i < n->segment_count; i++) {
        r->segments[i].incarnation = n->segments[i]->id;
        r->segments[i].gva = n->segments[i]->gva;
    }
}

static void joined(struct change *ch, int status)
{
    struct join *j = container_of(ch, struct join, change);
    struct core *c = j->core;
    struct node *n = j->node;
    if (status != CENOTE_OK) {
        j->done(j->arg, status, NULL, NULL);
        undo(j);
        return;
    }
    n->join = NULL;
    copy_params(n, &j->params);
    take_segments(j);
    take_connection(j);
    log_info("meta", "node %s has joined with %u segments", n->name, (unsigned)n->segment_count);
    struct node_join_result result;
    result_of(j, &result);
    j->done(j->arg, CENOTE_OK, j->peer == NULL ? NULL : n, &result);
    free(j);
    notes_changed(c, false);
    rebuild_joined(c, n);
    reuse_drive(c, n);
}

static void draft(struct join *j)
{
    struct core *c = j->core;
    struct node as_stored = *j->node;
    bool any_fresh = false;
    copy_params(&as_stored, &j->params);
    member_record_node(c, &as_stored);
    for (uint32_t k = 0; k < j->params.segment_count; k++) {
        if (j->fresh[k] == NULL)
            continue;
        member_record_incarnation(c, j->fresh[k], j->node->id);
        any_fresh = true;
    }
    for (uint32_t i = 0; i < j->node->segment_count; i++)
        if (!is_kept(j, j->node->segments[i]))
            member_record_remove_incarnation(c, j->node->segments[i]->id);
    if (any_fresh) {
        uint8_t mark[8];
        struct bytes b = bytes_over(mark, sizeof(mark));
        bytes_put_u64(&b, c->members.gva_next);
        change_put(&c->changes, STORE_META, "gva", 3, mark, sizeof(mark));
    }
}

static int node_for(struct join *j)
{
    struct core *c = j->core;
    j->node = members_by_name(c, j->params.name);
    if (j->node != NULL)
        return name_check(c, j->node, &j->params);
    for (uint32_t k = 0; k < j->params.segment_count; k++)
        if (j->params.segments[k].incarnation != 0 && !rebuild_adopts(c, j->params.name))
            return CENOTE_NODE_UNKNOWN;
    if (c->members.node_count >= NODES_MAX)
        return CENOTE_LIMIT;
    j->node = members_add(c, ids_take(&c->ids), j->params.name);
    j->new_node = j->node != NULL;
    return j->new_node ? CENOTE_OK : CENOTE_NO_MEMORY;
}

int members_join(struct core *c, const struct node_join_params *params,
                 const struct service_link *line, struct service_peer *peer,
                 void (*done)(void *arg, int status, struct node *node,
                              const struct node_join_result *result),
                 void *arg)
{
    int status = params_check(c, params);
    if (status != CENOTE_OK)
        return status;
    struct join *j = calloc(1, sizeof(*j));
    if (j == NULL)
        return CENOTE_NO_MEMORY;
    *j = (struct join){.core = c, .params = *params, .line = *line, .peer = peer};
    j->done = done;
    j->arg = arg;
    status = node_for(j);
    if (status != CENOTE_OK) {
        free(j);
        return status;
    }
    j->node->join = j;
    status = prepare(j);
    if (status != CENOTE_OK) {
        undo(j);
        return status;
    }
    draft(j);
    j->change.done = joined;
    change_submit(&c->changes, &j->change, CHANGE_SYNC);
    return CENOTE_OK;
}

void members_disconnected(struct core *c, struct service_peer *peer)
{
    list_each(&c->members.nodes, l)
    {
        struct node *n = container_of(l, struct node, link);
        if (n->peer == peer)
            n->peer = NULL;
        if (n->join != NULL && n->join->peer == peer)
            n->join->peer = NULL;
    }
}
