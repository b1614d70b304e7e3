/* SPDX-License-Identifier: Apache-2.0 */
#include "server/roles/node_life.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/log.h"

/* One way to the node. */
struct way {
    struct xcopy_exporter *exporter; /* NULL: none */
    char endpoint[XCOPY_ENDPOINT_MAX];
};

struct node_life {
    struct node *node;
    struct node_memory *memory;
    const char *slots_dir; /* NULL: the memory has no name */
    struct way ways[NODE_WAYS];
};

/* ---- exporters ------------------------------------------------------------------------------- */

static const struct {
    const struct xcopy_exporter_ops *ops;
    bool advertised; /* by a host that other machines reach */
} exporters[NODE_WAYS] = {
    [NODE_BY_SHM] = {&xcopy_shm_exporter, false},
    [NODE_BY_RDMA] = {&xcopy_rdma_exporter, true},
    [NODE_BY_TCP] = {&xcopy_tcp_exporter, true},
};

static_assert(NODE_WAYS <= NODE_EXPORTERS_MAX, "a node takes all exporters");

/* Puts the advertised host in place of the one that the socket is bound to. */
static int advertise(char endpoint[XCOPY_ENDPOINT_MAX], const char *host)
{
    char port[16];
    const char *colon = strrchr(endpoint, ':');
    if (host[0] == '\0')
        return CENOTE_OK;
    if (strncmp(endpoint, "unix:", 5) == 0 || !colon) {
        log_error("node", "--advertise goes with a host and port, not with %s", endpoint);
        return CENOTE_INVALID;
    }
    snprintf(port, sizeof port, "%s", colon + 1);
    snprintf(endpoint, XCOPY_ENDPOINT_MAX, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
    return CENOTE_OK;
}

/* May it be left out? Why it has to be was logged. */
static bool dispensable(const struct node_life_options *o, enum node_way way, int status)
{
    return status == CENOTE_NOT_SUPPORTED || (status == CENOTE_NO_MEMORY && !o->needed[way]);
}

static int start_exporter(struct node_life *l, const struct node_life_options *o, enum node_way way)
{
    struct xcopy_gate gate = *node_gate(l->node);
    const struct xcopy_exporter_ops *ops = exporters[way].ops;
    struct way *w = &l->ways[way];
    if (!o->endpoints[way])
        return CENOTE_OK;
    gate.slots_dir = l->slots_dir;
    int status = ops->start(o->endpoints[way], &gate, &o->settings, &w->exporter, w->endpoint);
    if (dispensable(o, way, status)) {
        *w = (struct way){0};
        return CENOTE_OK;
    }
    if (status != CENOTE_OK) {
        log_error("node", "cannot serve %s at %s: %s", ops->name, o->endpoints[way],
                  cenote_status_text(status));
        return status;
    }
    node_add_exporter(l->node, w->exporter);
    return exporters[way].advertised ? advertise(w->endpoint, o->advertise) : CENOTE_OK;
}

static int start_exporters(struct node_life *l, const struct node_life_options *o)
{
    int status = CENOTE_OK;
    for (unsigned way = 0; way < NODE_WAYS && status == CENOTE_OK; way++)
        status = start_exporter(l, o, (enum node_way)way);
    return status;
}

static void stop_exporters(struct node_life *l)
{
    for (unsigned way = NODE_WAYS; way-- > 0;)
        if (l->ways[way].exporter)
            l->ways[way].exporter->ops->stop(l->ways[way].exporter);
}

/* ---- a life ---------------------------------------------------------------------------------- */

static struct node *make_node(const struct node_life_options *o, const struct node_memory *memory)
{
    uint64_t memory_life, memory_reign = node_memory_reign(memory, &memory_life);
    bool newer = memory_reign > o->highest_reign;
    /* Not 0, which is no boot; 63 bits, because JSON readers take integers as signed. */
    struct node_options n = {.boot = hash_random_u64() >> 1 | 1,
                             .highest_reign = newer ? memory_reign : o->highest_reign,
                             .life = newer ? memory_life : o->service_life,
                             .trace = o->settings.trace,
                             .fenced = o->fenced,
                             .nudge = o->nudge,
                             .arg = o->arg};
    hash_random(&n.grant_key, sizeof n.grant_key);
    return node_new(&n);
}

/* keep: with the contents of an earlier life, if there are any. */
static int begin(const struct node_life_options *options, bool keep, struct node_life **out)
{
    int status = CENOTE_NO_MEMORY;
    struct node_life *l = calloc(1, sizeof *l);
    if (!l)
        return CENOTE_NO_MEMORY;
    status = node_memory_make(&options->memory, keep, &l->memory);
    if (status != CENOTE_OK)
        goto free_life;
    status = CENOTE_NO_MEMORY;
    l->node = make_node(options, l->memory);
    if (!l->node)
        goto free_memory;
    status = node_memory_give(l->memory, l->node);
    if (status != CENOTE_OK)
        goto free_node;
    if (options->memory.memdir)
        l->slots_dir = memdir_slots(options->memory.memdir);
    status = start_exporters(l, options);
    if (status == CENOTE_OK)
        status = node_memory_populate_start(l->memory, l->node);
    if (status != CENOTE_OK)
        goto stop_exporters;
    if (node_memory_kept(l->memory))
        log_info("node", "the memory of an earlier life is taken over");
    *out = l;
    return CENOTE_OK;

stop_exporters:
    stop_exporters(l);
free_node:
    node_free(l->node);
free_memory:
    node_memory_free(l->memory);
free_life:
    free(l);
    return status;
}

int node_life_begin(const struct node_life_options *options, struct node_life **out)
{
    int status = begin(options, true, out);
    if (status != CENOTE_LOCKED)
        return status;
    log_warn("node", "somebody may still write to the memory of an earlier life who can't be "
                     "looked after: beginning with empty memory");
    return begin(options, false, out);
}

void node_life_joined(struct node_life *l)
{
    node_memory_joined(l->memory, l->node);
}

int node_life_noted(struct node_life *l)
{
    return node_memory_noted(l->memory, l->node);
}

void node_life_stop(struct node_life *l)
{
    stop_exporters(l);
    node_memory_populate_stop(l->memory);
}

void node_life_discard(struct node_life *l)
{
    node_memory_discard(l->memory);
}

void node_life_free(struct node_life *l)
{
    node_memory_free(l->memory);
    node_free(l->node);
    free(l);
}

void node_life_traffic(const struct node_life *l, struct node_way_traffic out[NODE_WAYS])
{
    for (unsigned i = 0; i < NODE_WAYS; i++) {
        struct xcopy_exporter *e = l->ways[i].exporter;
        out[i] = (struct node_way_traffic){.name = e ? e->ops->name : NULL};
        out[i].has_moved = e && e->ops->traffic;
        out[i].has_report = e && e->ops->report;
        if (out[i].has_moved)
            e->ops->traffic(e, &out[i].moved);
        if (out[i].has_report)
            e->ops->report(e, &out[i].report);
    }
}

struct node *node_life_node(const struct node_life *l)
{
    return l->node;
}

const char *node_life_endpoint(const struct node_life *l, enum node_way way)
{
    return l->ways[way].endpoint;
}
