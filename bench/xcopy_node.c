/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/xcopy_node.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SESSION     1u
#define NAME_SPACE  1u
#define BOOT        UINT64_C(0x600d600d0001)
#define INCARNATION 1u
#define GVA         (GVA_FIRST + GVA_ALIGN)

static const struct hash_key pool_key = {{1}}, node_key = {{2}};

/* ---- who may what ---------------------------------------------------------------------------- */

static int authenticate(void *arg, const struct xcopy_credentials *who)
{
    (void)arg;
    return token_valid(&pool_key, who->session, who->name_space, &who->token) ? CENOTE_OK
                                                                              : CENOTE_DENIED;
}

static int admit_write(void *arg, uint64_t session, uint64_t put_id, struct gva gva,
                       uint64_t extent_len, const struct write_grant *grant)
{
    (void)arg;
    return grant_check(&node_key, BOOT, session, put_id, gva, extent_len, grant);
}

static uint64_t horizon(void *arg, uint64_t session)
{
    (void)arg;
    (void)session;
    return 0;
}

struct xcopy_credentials xcopy_node_client(void)
{
    return (struct xcopy_credentials){.session = SESSION,
                                      .name_space = NAME_SPACE,
                                      .token = token_make(&pool_key, SESSION, NAME_SPACE)};
}

struct gva xcopy_node_gva(uint64_t offset)
{
    return gva_make(GVA + offset);
}

struct write_grant xcopy_node_grant(uint64_t put_id, uint64_t offset, uint64_t payload_len)
{
    return grant_make(&node_key, BOOT, SESSION, put_id, xcopy_node_gva(offset),
                      extent_size(payload_len));
}

void xcopy_node_seal(uint64_t put_id, uint64_t offset, uint64_t payload_len, uint8_t *out)
{
    const struct seal seal = {.sum_kind = SUM_NONE,
                              .put_id = put_id,
                              .gva = xcopy_node_gva(offset),
                              .incarnation = INCARNATION,
                              .name_space = NAME_SPACE,
                              .stripes = 1,
                              .total_len = payload_len,
                              .payload_len = payload_len,
                              .state = SEAL_STATE_LIVE};
    seal_encode(&seal, out);
}

/* ---- the process ----------------------------------------------------------------------------- */

bool xcopy_node_tie(int cpu)
{
    cpu_set_t set;
    if (cpu < 0)
        return true;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

/* Serves until the pipe ends. Returns the exit status. */
static int serve(const struct xcopy_node *n, const struct xcopy_node_options *o, int fd)
{
    const struct xcopy_gate gate = {
        .boot = BOOT, .authenticate = authenticate, .admit_write = admit_write, .horizon = horizon};
    const struct xcopy_settings settings = {.rdma = o->rdma};
    const struct memory_ops *host = memory_ops_of(MEMORY_HOST);
    struct xcopy_segment segment = {.gva = gva_make(GVA), .incarnation = INCARNATION};
    char bound[XCOPY_ENDPOINT_MAX] = "";
    struct xcopy_exporter *exporter;

    int status = host->make(o->len_bytes, &(struct memory_how){0}, &segment.memory);
    if (status != CENOTE_OK)
        return status;
    status = host->populate(&segment.memory, 0, o->len_bytes);
    if (status == CENOTE_OK)
        status = n->exporter->start(o->listen, &gate, &settings, &exporter, bound);
    if (status == CENOTE_OK) {
        status = n->exporter->add_segment(exporter, &segment);
        if (status == CENOTE_OK && write(fd, bound, sizeof bound) == (ssize_t)sizeof bound)
            (void)!read(fd, bound, 1);
        n->exporter->stop(exporter);
    }
    host->destroy(&segment.memory);
    return status;
}

static bool find(struct xcopy_node *n, const char *name)
{
    static const struct xcopy_exporter_ops *const exporters[] = {
        &xcopy_shm_exporter, &xcopy_rdma_exporter, &xcopy_tcp_exporter};
    for (size_t i = 0; i < sizeof exporters / sizeof *exporters; i++)
        if (strcmp(exporters[i]->name, name) == 0)
            n->exporter = exporters[i];
    for (size_t i = 0; xcopy_transports[i] != NULL; i++)
        if (strcmp(xcopy_transports[i]->name, name) == 0)
            n->transport = xcopy_transports[i];
    return n->exporter != NULL && n->transport != NULL;
}

static char *endpoint_of(struct xcopy_peer *peer, const char *transport)
{
    if (strcmp(transport, "shm") == 0)
        return peer->shm;
    return strcmp(transport, "rdma") == 0 ? peer->rdma : peer->tcp;
}

static bool wait_until_up(struct xcopy_node *n, const char *transport)
{
    char bound[XCOPY_ENDPOINT_MAX];
    n->peer = (struct xcopy_peer){.node = 1, .boot = BOOT};
    xcopy_this_host(n->peer.host);
    if (read(n->pipe, bound, sizeof bound) == (ssize_t)sizeof bound) {
        memcpy(endpoint_of(&n->peer, transport), bound, sizeof bound);
        return true;
    }
    fprintf(stderr, "xcopy_bench: the node didn't come up\n");
    xcopy_node_stop(n);
    return false;
}

bool xcopy_node_start(struct xcopy_node *n, const struct xcopy_node_options *o)
{
    int ends[2];
    *n = (struct xcopy_node){.pipe = -1};
    if (!find(n, o->transport)) {
        fprintf(stderr, "xcopy_bench: no transport has the name %s\n", o->transport);
        return false;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return false;
    n->pid = fork();
    if (n->pid == 0) {
        close(ends[0]);
        _exit(xcopy_node_tie(o->cpu) && serve(n, o, ends[1]) == CENOTE_OK ? 0 : 1);
    }
    close(ends[1]);
    n->pipe = ends[0];
    return n->pid > 0 && wait_until_up(n, o->transport);
}

void xcopy_node_stop(struct xcopy_node *n)
{
    if (n->pipe < 0)
        return;
    close(n->pipe);
    n->pipe = -1;
    if (n->pid > 0)
        waitpid(n->pid, NULL, 0);
}
