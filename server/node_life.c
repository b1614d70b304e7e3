/* SPDX-License-Identifier: Apache-2.0 */
#include "server/node_life.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/log.h"

struct node_life {
    struct node *node;
    struct node_memory *memory;
    const char *slots_dir; /* NULL: the memory has no name */
    struct xcopy_exporter *shm, *tcp;
    char shm_endpoint[XCOPY_ENDPOINT_MAX];
    char tcp_endpoint[XCOPY_ENDPOINT_MAX];
};

/* ---- exporters ------------------------------------------------------------------------------- */

/* Puts the advertised host in place of the one that the socket is bound to. */
static int advertise(char endpoint[XCOPY_ENDPOINT_MAX], const char *host)
{
    char port[16];
    const char *colon = strrchr(endpoint, ':');
    if (host[0] == '\0')
        return CENOTE_OK;
    if (strncmp(endpoint, "unix:", 5) == 0 || !colon) {
        log_error("node", "--advertise goes with a host and port in --data-listen, not with %s",
                  endpoint);
        return CENOTE_INVALID;
    }
    snprintf(port, sizeof port, "%s", colon + 1);
    snprintf(endpoint, XCOPY_ENDPOINT_MAX, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
    return CENOTE_OK;
}

static int start_exporter(struct node_life *l, const struct xcopy_exporter_ops *ops,
                          const char *endpoint, struct xcopy_exporter **out,
                          char bound[XCOPY_ENDPOINT_MAX])
{
    struct xcopy_gate gate = *node_gate(l->node);
    const struct xcopy_settings settings = {.rdma = "auto"};
    gate.slots_dir = l->slots_dir;
    int status = ops->start(endpoint, &gate, &settings, out, bound);
    if (status == CENOTE_OK)
        node_add_exporter(l->node, *out);
    else
        log_error("node", "cannot serve %s at %s: %s", ops->name, endpoint,
                  cenote_status_text(status));
    return status;
}

static int start_exporters(struct node_life *l, const struct node_life_options *o)
{
    int status = start_exporter(l, &xcopy_shm_exporter, o->shm_endpoint, &l->shm, l->shm_endpoint);
    if (status == CENOTE_OK)
        status = start_exporter(l, &xcopy_tcp_exporter, o->data_listen, &l->tcp, l->tcp_endpoint);
    if (status == CENOTE_OK)
        status = advertise(l->tcp_endpoint, o->advertise);
    return status;
}

static void stop_exporters(struct node_life *l)
{
    if (l->tcp)
        l->tcp->ops->stop(l->tcp);
    if (l->shm)
        l->shm->ops->stop(l->shm);
}

/* ---- a life ---------------------------------------------------------------------------------- */

static struct node *make_node(const struct node_life_options *o, uint64_t memory_reign)
{
    /* Not 0, which is no boot; 63 bits, because JSON readers take integers as signed. */
    struct node_options n = {.boot = hash_random_u64() >> 1 | 1,
                             .highest_reign =
                                 o->highest_reign > memory_reign ? o->highest_reign : memory_reign,
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
    l->node = make_node(options, node_memory_reign(l->memory));
    if (!l->node)
        goto free_memory;
    node_memory_give(l->memory, l->node);
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

struct node *node_life_node(const struct node_life *l)
{
    return l->node;
}

const char *node_life_shm(const struct node_life *l)
{
    return l->shm_endpoint;
}

const char *node_life_tcp(const struct node_life *l)
{
    return l->tcp_endpoint;
}
