/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/members.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "meta/core/core.h"
#include "meta/core/reuse.h"
#include "transport/base/log.h"

struct node *members_by_name(const struct core *c, const char *name)
{
    list_each(&c->members.nodes, l)
    {
        struct node *n = container_of(l, struct node, link);
        if (strcmp(n->name, name) == 0)
            return n;
    }
    return NULL;
}

struct node *members_of_peer(const struct core *c, const struct service_peer *peer)
{
    list_each(&c->members.nodes, l)
    {
        struct node *n = container_of(l, struct node, link);
        if (n->peer == peer)
            return n;
    }
    return NULL;
}

void members_describe(const struct node *n, struct map_node *out)
{
    *out = (struct map_node){.node = n->id, .boot = n->boot, .state = n->state};
    memcpy(out->name, n->name, sizeof(out->name));
    memcpy(out->host, n->host, sizeof(out->host));
    memcpy(out->zone, n->zone, sizeof(out->zone));
    memcpy(out->shm, n->shm, sizeof(out->shm));
    memcpy(out->rdma, n->rdma, sizeof(out->rdma));
    memcpy(out->tcp, n->tcp, sizeof(out->tcp));
}

struct node *members_add(struct core *c, uint64_t id, const char *name)
{
    struct node *n = calloc(1, sizeof(*n));
    if (n == NULL)
        return NULL;
    n->core = c;
    n->id = id;
    n->state = NODE_SUSPECT;
    n->heard_ms = c->patient_ms;
    n->void_batch = VOID_BATCH_MAX;
    strncpy(n->name, name, sizeof(n->name) - 1);
    list_append(&c->members.nodes, &n->link);
    c->members.node_count++;
    return n;
}

void node_release(struct node *n)
{
    if (!n->gone || n->calls > 0)
        return;
    directory_free(n);
    free(n);
}

static void node_remove(struct core *c, struct node *n)
{
    for (uint32_t i = 0; i < n->segment_count; i++)
        incarnation_end(c, n->segments[i]);
    n->segment_count = 0;
    struct link *l;
    while ((l = list_pop(&n->fences)) != NULL) {
        struct fence *f = container_of(l, struct fence, by_node);
        link_remove(&f->by_session);
        fence_orphan(f);
    }
    link_remove(&n->link);
    c->members.node_count--;
    c->members.map_version++;
    if (n->peer != NULL && !n->leaving)
        n->line.close(n->line.arg);
    n->peer = NULL;
    n->gone = true;
    node_release(n);
}

static void died(struct change *ch, int status)
{
    struct node *n = container_of(ch, struct node, death);
    if (status == CENOTE_OK) {
        node_remove(n->core, n);
        return;
    }
    log_error("meta", "the end of node %s can't be stored: %s", n->name,
              cenote_status_text(status));
    n->again_ms = n->core->now_ms + STORE_RETRY_MS;
}

void node_kill(struct core *c, struct node *n)
{
    if (n->death.in_flight || n->join != NULL)
        return;
    if (n->state != NODE_DEAD) {
        log_warn("meta", "node %s is dead", n->name);
        n->state = NODE_DEAD;
        c->members.map_version++;
    }
    member_record_remove_node(c, n->id);
    for (uint32_t i = 0; i < n->segment_count; i++)
        member_record_remove_incarnation(c, n->segments[i]->id);
    n->death.done = died;
    change_submit(&c->changes, &n->death, CHANGE_FREES | CHANGE_SYNC);
}

void members_heartbeat(struct core *c, struct node *n)
{
    n->heard_ms = c->patient_ms;
    if (n->state == NODE_SUSPECT) {
        n->state = NODE_ALIVE;
        c->members.map_version++;
        evict_look_again(c);
    }
}

int members_populated(struct core *c, struct node *n, const struct node_heartbeat_params *p)
{
    if (n->state == NODE_DEAD)
        return CENOTE_NODE_UNKNOWN;
    if (p->segment_count != n->segment_count)
        return CENOTE_INVALID;
    for (uint32_t i = 0; i < p->segment_count; i++)
        if (p->populated_bytes[i] > n->segments[i]->len_bytes)
            return CENOTE_INVALID;
    members_heartbeat(c, n);
    n->holds = p->holds;
    n->rdma_report = p->has_rdma ? p->rdma : (struct rdma_report){0};
    for (uint32_t i = 0; i < p->segment_count; i++) {
        struct alloc *a = n->segments[i]->alloc;
        /* Without memory for it the next heartbeat extends it. */
        if (p->populated_bytes[i] > alloc_upto(a))
            (void)alloc_extend(a, p->populated_bytes[i]);
    }
    directory_heard(c, n, p);
    return CENOTE_OK;
}

static void judge(struct core *c, struct node *n)
{
    if (n->join != NULL || n->death.in_flight)
        return;
    uint64_t silent_ms = c->patient_ms - n->heard_ms;
    if (n->state == NODE_DEAD) {
        if (c->now_ms >= n->again_ms)
            node_kill(c, n);
    } else if (silent_ms >= c->options.dead_ms) {
        node_kill(c, n);
    } else if (silent_ms >= c->options.suspect_ms && n->state == NODE_ALIVE) {
        log_warn("meta", "node %s has been silent for %llu ms", n->name,
                 (unsigned long long)silent_ms);
        n->state = NODE_SUSPECT;
        c->members.map_version++;
    }
}

void members_tick(struct core *c)
{
    list_each_safe(&c->members.nodes, l, after)
    {
        struct node *n = container_of(l, struct node, link);
        judge(c, n);
        reuse_drive(c, n);
    }
}

void members_free(struct core *c)
{
    struct link *l;
    while ((l = list_pop(&c->members.nodes)) != NULL) {
        struct node *n = container_of(l, struct node, link);
        assert(n->calls == 0 && n->join == NULL);
        for (uint32_t i = 0; i < n->segment_count; i++) {
            alloc_free_all(n->segments[i]->alloc);
            free(n->segments[i]);
        }
        directory_free(n);
        free(n);
    }
    free(c->members.ranges);
}
