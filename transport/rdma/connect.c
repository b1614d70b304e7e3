/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning and the end of a channel. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "transport/base/clock.h"
#include "transport/base/endpoint.h"
#include "transport/base/log.h"
#include "transport/hello.h"
#include "transport/rdma/channel.h"
#include "transport/transports.h"

/* ---- rails ----------------------------------------------------------------------------------- */

static int watch(const struct rdma_channel *ch, int fd)
{
    struct epoll_event e = {.events = EPOLLIN};
    return epoll_ctl(ch->epoll, EPOLL_CTL_ADD, fd, &e) == 0 || errno == EEXIST ? CENOTE_OK
                                                                               : CENOTE_NO_MEMORY;
}

static int make_completions(struct rdma_channel *ch, struct channel_rail *rail)
{
    const struct rdma_verbs *v = ch->devices->verbs;
    struct rdma_device *device = rail->port->device;
    uint32_t want = 2 * ch->devices->settings.depth;
    if (device->attr.max_cqe > 0 && want > (uint32_t)device->attr.max_cqe)
        want = (uint32_t)device->attr.max_cqe;
    rail->events = v->create_comp_channel(device->context);
    if (rail->events == NULL)
        return errno == ENODEV || errno == EIO ? CENOTE_NODE_DOWN : CENOTE_NO_MEMORY;
    int flags = fcntl(rail->events->fd, F_GETFL);
    if (flags < 0 || fcntl(rail->events->fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return CENOTE_NO_MEMORY;
    rail->cq = v->create_cq(device->context, (int)want, NULL, rail->events, 0);
    if (rail->cq == NULL)
        return errno == ENODEV || errno == EIO ? CENOTE_NODE_DOWN : CENOTE_NO_MEMORY;
    rail->cq_room = want / 2;
    int status = watch(ch, rail->events->fd);
    return status == CENOTE_OK ? watch(ch, rdma_device_event_fd(device)) : status;
}

static void begin_rail(struct rdma_channel *ch, unsigned index, const struct rdma_pair *pair)
{
    struct channel_rail *rail = &ch->rails[index];
    rail->port = &ch->devices->rails[pair->local];
    rail->remote = pair->remote;
    rail->read.rail = rail->write.rail = rail;
    rail->read.role = RDMA_ROLE_READ;
    rail->write.role = RDMA_ROLE_WRITE;
    rail->read.bit = 1u << (2 * index);
    rail->write.bit = 2u << (2 * index);
}

static int make_ring(struct rdma_channel *ch)
{
    uint32_t want = 2 * ch->devices->settings.depth * ch->rail_count;
    for (ch->ring_size = 1; ch->ring_size < want;)
        ch->ring_size *= 2;
    ch->ring = calloc(ch->ring_size, sizeof *ch->ring);
    return ch->ring != NULL ? CENOTE_OK : CENOTE_NO_MEMORY;
}

static int make_rails(struct rdma_channel *ch)
{
    struct rdma_pair pairs[XCOPY_RAILS_MAX];
    const struct rdma_devices *d = ch->devices;
    unsigned count = rdma_pair_ports(d->rails, d->rail_count, ch->ports.at, ch->ports.count, pairs,
                                     d->settings.rails);
    if (count == 0) {
        log_debug("rdma", "node %llu has no port that one here could reach",
                  (unsigned long long)ch->base.node);
        return CENOTE_NOT_SUPPORTED;
    }
    ch->rails = calloc(count, sizeof *ch->rails);
    if (ch->rails == NULL)
        return CENOTE_NO_MEMORY;
    ch->rail_count = ch->rails_live = count;
    for (unsigned i = 0; i < count; i++)
        begin_rail(ch, i, &pairs[i]);
    int status = make_ring(ch);
    for (unsigned i = 0; i < count && status == CENOTE_OK; i++)
        status = make_completions(ch, &ch->rails[i]);
    return status;
}

static void end_rail(const struct rdma_channel *ch, struct channel_rail *rail)
{
    const struct rdma_verbs *v = ch->devices->verbs;
    rdma_queue_end(&rail->read.q);
    rdma_queue_end(&rail->write.q);
    if (rail->cq != NULL) {
        v->ack_cq_events(rail->cq, rail->events_taken);
        v->destroy_cq(rail->cq);
    }
    if (rail->events != NULL)
        v->destroy_comp_channel(rail->events);
    free(rail->read.keys);
    free(rail->write.keys);
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static int await_answers(struct rdma_channel *ch, uint64_t deadline_ms)
{
    while (ch->doom == CENOTE_OK && channel_awaits(ch)) {
        int status = channel_look(ch) ? CENOTE_OK : hello_await(ch->fd, deadline_ms);
        if (status != CENOTE_OK)
            return status;
    }
    return ch->doom;
}

/* Rails without a queue pair for reads are none. */
static int judge_rails(struct rdma_channel *ch)
{
    int status = CENOTE_NODE_DOWN;
    for (unsigned i = 0; i < ch->rail_count; i++) {
        struct channel_rail *rail = &ch->rails[i];
        if (rail->read.state == QUEUE_OPEN)
            continue;
        status = rail->read.refused;
        rail->lost = true;
        ch->rails_live--;
    }
    ch->rails_begun = ch->rails_live;
    return ch->rails_live > 0 ? CENOTE_OK : status;
}

static int introduce(struct rdma_channel *ch, const struct xcopy_peer *peer,
                     const struct xcopy_credentials *who, uint64_t deadline_ms)
{
    struct hello_answer answer;
    int status = hello_exchange(ch->fd, peer, who, deadline_ms, &answer);
    if (status != CENOTE_OK)
        return status;
    ch->boot = answer.boot;
    ch->session = who->session;
    status = await_answers(ch, deadline_ms);
    if (status == CENOTE_OK)
        status = make_rails(ch);
    if (status != CENOTE_OK)
        return status;
    channel_open_queues(ch, RDMA_ROLE_READ);
    status = await_answers(ch, deadline_ms);
    return status == CENOTE_OK ? judge_rails(ch) : status;
}

static struct rdma_channel *channel_new(struct rdma_context *context, uint64_t node, int fd)
{
    struct rdma_channel *ch = calloc(1, sizeof *ch);
    if (ch == NULL)
        return NULL;
    ch->talk = malloc(sizeof *ch->talk);
    ch->epoll = epoll_create1(EPOLL_CLOEXEC);
    ch->fd = fd;
    if (ch->talk == NULL || ch->epoll < 0 || watch(ch, fd) != CENOTE_OK) {
        if (ch->epoll >= 0)
            close(ch->epoll);
        free(ch->talk);
        free(ch);
        return NULL;
    }
    ch->base = (struct xcopy_channel){.transport = &xcopy_rdma, .node = node};
    ch->context = context;
    ch->devices = atomic_load(&context->devices);
    rdma_devices_take_events(ch->devices); /* nobody has while there was no channel */
    atomic_fetch_add(&context->connections, 1);
    return ch;
}

int channel_connect(void *context, const struct xcopy_peer *peer,
                    const struct xcopy_credentials *who, uint32_t timeout_ms,
                    struct xcopy_channel **out)
{
    struct endpoint e;
    uint64_t deadline_ms = clock_now_ms() + timeout_ms;
    int status = rdma_context_prepare(context);
    if (status != CENOTE_OK)
        return status;
    if (endpoint_parse(peer->rdma, &e) != CENOTE_OK || endpoint_is_unix(&e))
        return CENOTE_NODE_DOWN;
    int fd = endpoint_connect(&e, timeout_ms);
    if (fd < 0)
        return fd == CENOTE_UNAVAILABLE ? CENOTE_NODE_DOWN : fd;
    struct rdma_channel *ch = channel_new(context, peer->node, fd);
    if (ch == NULL) {
        close(fd);
        return CENOTE_NO_MEMORY;
    }
    status = introduce(ch, peer, who, deadline_ms);
    if (status != CENOTE_OK) {
        channel_free(ch);
        return status;
    }
    *out = &ch->base;
    return CENOTE_OK;
}

static void free_memory(struct rdma_channel *ch)
{
    atomic_fetch_sub(&ch->context->connections, 1);
    close(ch->epoll);
    close(ch->fd);
    free(ch->rails);
    free(ch->ring);
    free(ch->talk);
    free(ch);
}

void channel_free(struct rdma_channel *ch)
{
    stage_rest(ch);
    for (unsigned i = 0; i < ch->rail_count; i++)
        end_rail(ch, &ch->rails[i]);
    free_memory(ch);
}

/* The devices' objects are the parent's; only descriptors and memory are this process's own. */
void channel_abandon(struct rdma_channel *ch)
{
    for (unsigned i = 0; i < ch->rail_count; i++) {
        struct channel_rail *rail = &ch->rails[i];
        if (rail->events != NULL)
            close(rail->events->fd);
        free(rail->read.keys);
        free(rail->write.keys);
    }
    free_memory(ch);
}
