/* SPDX-License-Identifier: Apache-2.0 */
#include "server/node_life.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/machine.h"
#include "transport/base/log.h"

struct node_life {
    struct node *node;
    const struct memory_ops *ops;
    struct memory memory;
    struct xcopy_exporter *shm, *tcp;
    char shm_endpoint[XCOPY_ENDPOINT_MAX];
    char tcp_endpoint[XCOPY_ENDPOINT_MAX];
    pthread_t populator;
    bool ending; /* atomic */
};

/* ---- memory ---------------------------------------------------------------------------------- */

/* Touching what the machine doesn't have would not fail but bring on the kernel's OOM killer. */
static bool is_available(uint64_t bytes)
{
    struct machine_memory m;
    machine_memory(&m);
    return bytes <= m.available_bytes;
}

static void *populate(void *arg)
{
    struct node_life *l = arg;
    uint64_t end = l->memory.len_bytes, done = 0;
    while (done < end && !__atomic_load_n(&l->ending, __ATOMIC_ACQUIRE)) {
        uint64_t step =
            end - done < LIFE_POPULATE_STEP_BYTES ? end - done : LIFE_POPULATE_STEP_BYTES;
        if (!is_available(step + LIFE_POPULATE_STEP_BYTES) ||
            l->ops->populate(&l->memory, done, step) != CENOTE_OK) {
            log_warn("node", "the machine has no more memory: %llu MiB of %llu MiB are offered",
                     (unsigned long long)(done >> 20), (unsigned long long)(end >> 20));
            return NULL;
        }
        done += step;
        node_set_populated(l->node, 0, done);
    }
    return NULL;
}

static int make_memory(struct node_life *l, uint64_t len_bytes)
{
    struct machine_memory m;
    machine_memory(&m);
    if (len_bytes > m.total_bytes) {
        log_error("node", "--dram asks for %llu MiB, this machine has %llu MiB",
                  (unsigned long long)(len_bytes >> 20), (unsigned long long)(m.total_bytes >> 20));
        return CENOTE_NO_MEMORY;
    }
    l->ops = memory_ops_of(MEMORY_HOST);
    return l->ops->make(len_bytes, &l->memory);
}

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
    int status = ops->start(endpoint, node_gate(l->node), out, bound);
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

static struct node *make_node(const struct node_life_options *o)
{
    /* Not 0, which is no boot; 63 bits, because JSON readers take integers as signed. */
    struct node_options n = {.boot = hash_random_u64() >> 1 | 1,
                             .highest_reign = o->highest_reign,
                             .fenced = o->fenced,
                             .nudge = o->nudge,
                             .arg = o->arg};
    hash_random(&n.grant_key, sizeof n.grant_key);
    return node_new(&n);
}

int node_life_begin(const struct node_life_options *options, struct node_life **out)
{
    int status = CENOTE_NO_MEMORY;
    struct node_life *l = calloc(1, sizeof *l);
    if (!l)
        return CENOTE_NO_MEMORY;
    l->node = make_node(options);
    if (!l->node)
        goto free_life;
    status = make_memory(l, options->dram_bytes);
    if (status != CENOTE_OK)
        goto free_node;
    node_add_memory(l->node, &l->memory);
    status = start_exporters(l, options);
    if (status != CENOTE_OK)
        goto stop_exporters;
    status = pthread_create(&l->populator, NULL, populate, l) == 0 ? CENOTE_OK : CENOTE_NO_MEMORY;
    if (status != CENOTE_OK)
        goto stop_exporters;
    *out = l;
    return CENOTE_OK;

stop_exporters:
    stop_exporters(l);
    l->ops->destroy(&l->memory);
free_node:
    node_free(l->node);
free_life:
    free(l);
    return status;
}

void node_life_stop(struct node_life *l)
{
    __atomic_store_n(&l->ending, true, __ATOMIC_RELEASE);
    stop_exporters(l);
    pthread_join(l->populator, NULL);
}

void node_life_free(struct node_life *l)
{
    l->ops->destroy(&l->memory);
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
