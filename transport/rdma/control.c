/* SPDX-License-Identifier: Apache-2.0 */
/* The set-up connection: what a channel and its node say to each other about queue pairs. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/rdma/channel.h"

/* Software RoCE of Linux 6.1 (rdma_rxe): when a work request may go on that was held back, by a
 * fence or because too many READs were under way, the part of the driver that completes runs the
 * part that requests from within itself, and now and then both stand still for ever. (Seen once in
 * some ten thousand fences; later kernels let one schedule the other.) So nothing is held back. */
#define SOFT_ROCE_VENDOR 0xffffffu

static bool is_soft_roce(const struct channel_rail *rail)
{
    return rail->port->device->attr.vendor_id == SOFT_ROCE_VENDOR;
}

/* ---- out ------------------------------------------------------------------------------------- */

/* A few messages of a hundred bytes, each awaited before there are more: the send buffer of any
 * socket has room for them, or the node has stopped reading. */
static void say(struct rdma_channel *ch, const uint8_t *message, size_t len)
{
    if (ch->doom != CENOTE_OK)
        return;
    if (send(ch->fd, message, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len)
        return;
    log_debug("rdma", "node %llu: the set-up connection takes no message: %s",
              (unsigned long long)ch->base.node, strerror(errno));
    channel_doom(ch, CENOTE_NODE_DOWN);
}

/* Makes this end of the queue pair and asks for the other. */
static int open_queue(struct rdma_channel *ch, struct channel_queue *queue)
{
    struct channel_rail *rail = queue->rail;
    uint8_t *message = ch->talk->out;
    int status = rdma_queue_make(&queue->q, ch->devices, rail->port, rail->cq, RDMA_SIDE_CLIENT,
                                 queue->role);
    if (status != CENOTE_OK)
        return status;
    struct setup_open open = {.tag = ++ch->last_tag, .port = rail->remote, .role = queue->role};
    rdma_queue_describe(&queue->q, &open.end);
    rdma_port_address(rail->port, &open.from, NULL);
    queue->tag = open.tag;
    queue->state = QUEUE_OPENING;
    queue->failed = queue->gone = queue->keys_asked = false;
    queue->room = queue->q.depth < rail->cq_room ? queue->q.depth : rail->cq_room;
    queue->chain_max = queue->room / 4 < CHANNEL_CHAIN ? queue->room / 4 : CHANNEL_CHAIN;
    queue->chain_max += queue->chain_max == 0;
    if (queue->q.sge_max > CHANNEL_PIECES)
        queue->q.sge_max = CHANNEL_PIECES;
    queue->fences = !is_soft_roce(rail);
    queue->unsignalled_bytes = 0;
    queue->fenced_from = queue->flushed_from = 0;
    say(ch, message, setup_encode_open(&open, message));
    return CENOTE_OK;
}

unsigned channel_open_queues(struct rdma_channel *ch, enum rdma_role role)
{
    unsigned opening = 0;
    for (unsigned i = 0; i < ch->rail_count && ch->doom == CENOTE_OK; i++) {
        struct channel_rail *rail = &ch->rails[i];
        struct channel_queue *queue = channel_queue_of(rail, role);
        if (!rail->lost && queue->state == QUEUE_NONE && queue->refused == CENOTE_OK)
            queue->refused = open_queue(ch, queue);
        opening += queue->state == QUEUE_OPENING;
    }
    return opening;
}

void channel_close_queue(struct rdma_channel *ch, struct channel_queue *queue)
{
    uint8_t *message = ch->talk->out;
    const struct setup_close m = {.tag = queue->tag};
    queue->state = QUEUE_CLOSING;
    say(ch, message, setup_encode_close(SETUP_CLOSE, &m, message));
}

void channel_ask_keys(struct rdma_channel *ch, struct channel_queue *queue)
{
    uint8_t *message = ch->talk->out;
    const struct setup_close m = {.tag = queue->tag};
    queue->keys_asked = true;
    say(ch, message, setup_encode_close(SETUP_ASK, &m, message));
}

bool channel_awaits(const struct rdma_channel *ch)
{
    if (!ch->ports_known)
        return true;
    for (unsigned i = 0; i < ch->rail_count; i++) {
        const struct channel_queue *r = &ch->rails[i].read, *w = &ch->rails[i].write;
        if (r->state == QUEUE_OPENING || r->state == QUEUE_CLOSING || r->keys_asked ||
            w->state == QUEUE_OPENING || w->state == QUEUE_CLOSING || w->keys_asked)
            return true;
    }
    return false;
}

/* ---- in -------------------------------------------------------------------------------------- */

static struct channel_queue *find_queue(struct rdma_channel *ch, uint32_t tag)
{
    for (unsigned i = 0; i < ch->rail_count; i++) {
        struct channel_rail *rail = &ch->rails[i];
        if (rail->read.state != QUEUE_NONE && rail->read.tag == tag)
            return &rail->read;
        if (rail->write.state != QUEUE_NONE && rail->write.tag == tag)
            return &rail->write;
    }
    return NULL;
}

static int take_ports(struct rdma_channel *ch, const uint8_t *body, uint32_t len)
{
    if (ch->ports_known || setup_decode_ports(body, len, &ch->ports) != CENOTE_OK)
        return CENOTE_PROTOCOL;
    ch->ports_known = true;
    return CENOTE_OK;
}

/* A port's address has changed, say, and doesn't fit the other end's any more: neither end has
 * asked for anything wrong, but here is no way to the node. */
static int refusal_of(int status)
{
    return status == CENOTE_INVALID || status == CENOTE_IO ? CENOTE_NODE_DOWN : status;
}

/* The node has made its side: this side follows. */
static int join(const struct rdma_channel *ch, struct channel_queue *queue,
                const struct setup_opened *m)
{
    int status = m->status;
    if (status == CENOTE_OK)
        status = rdma_queue_connect(&queue->q, RDMA_SIDE_CLIENT, &m->end,
                                    &ch->ports.at[queue->rail->remote]);
    if (status == CENOTE_OK)
        status = channel_keys_set(queue, m->keys, m->key_count);
    queue->horizon = m->horizon;
    if (!queue->fences && queue->role == RDMA_ROLE_READ && queue->room > queue->q.read_depth)
        queue->room = queue->q.read_depth;
    return status;
}

static int take_opened(struct rdma_channel *ch, const struct setup_opened *m)
{
    struct channel_queue *queue = find_queue(ch, m->tag);
    if (queue == NULL || queue->state == QUEUE_NONE || queue->state == QUEUE_OPEN)
        return CENOTE_PROTOCOL;
    if (queue->state == QUEUE_CLOSING) { /* given up meanwhile: CLOSED follows, if it was made */
        if (m->status != CENOTE_OK)
            queue->state = QUEUE_NONE;
        return CENOTE_OK;
    }
    queue->state = QUEUE_OPEN;
    queue->refused = refusal_of(join(ch, queue, m));
    if (queue->refused == CENOTE_OK)
        return CENOTE_OK;
    log_info("rdma", "node %llu: no queue pair for %s by %s: %s", (unsigned long long)ch->base.node,
             queue->role == RDMA_ROLE_READ ? "reads" : "writes", queue->rail->port->device->name,
             cenote_status_text(queue->refused));
    rdma_queue_end(&queue->q);
    if (m->status != CENOTE_OK)
        queue->state = QUEUE_NONE;
    else
        channel_close_queue(ch, queue);
    return CENOTE_OK;
}

static int take_keys(struct rdma_channel *ch, const struct setup_opened *m)
{
    struct channel_queue *queue = find_queue(ch, m->tag);
    if (queue == NULL || queue->state != QUEUE_OPEN)
        return CENOTE_OK; /* it has ended meanwhile */
    queue->keys_asked = false;
    return channel_keys_set(queue, m->keys, m->key_count);
}

/* Asked for, or since a fence or a device's end has taken the queue pair away. */
static int take_closed(struct rdma_channel *ch, const uint8_t *body, uint32_t len)
{
    struct setup_close m;
    if (setup_decode_close(body, len, &m) != CENOTE_OK)
        return CENOTE_PROTOCOL;
    struct channel_queue *queue = find_queue(ch, m.tag);
    if (queue == NULL)
        return CENOTE_OK; /* the answer to a CLOSE that crossed the news */
    if (queue->state == QUEUE_CLOSING) {
        queue->state = QUEUE_NONE;
        return CENOTE_OK;
    }
    queue->gone = true;
    channel_fail_queue(ch, queue);
    return CENOTE_OK;
}

static int take_message(struct rdma_channel *ch, enum setup_type type, const uint8_t *body,
                        uint32_t len)
{
    struct setup_opened m = {.keys = ch->talk->keys};
    switch (type) {
    case SETUP_PORTS:
        return take_ports(ch, body, len);
    case SETUP_OPENED:
    case SETUP_KEYS:
        if (setup_decode_opened(type, body, len, &m) != CENOTE_OK)
            return CENOTE_PROTOCOL;
        return type == SETUP_OPENED ? take_opened(ch, &m) : take_keys(ch, &m);
    case SETUP_CLOSED:
        return take_closed(ch, body, len);
    default:
        return CENOTE_PROTOCOL;
    }
}

/* All whole messages. */
static int take_messages(struct rdma_channel *ch)
{
    uint32_t at = 0, len;
    enum setup_type type;
    int status = CENOTE_OK;
    while (status == CENOTE_OK && ch->doom == CENOTE_OK && ch->in_have - at >= SETUP_HEADER_BYTES) {
        status = setup_decode_header(ch->talk->in + at, &type, &len);
        if (status == CENOTE_OK && ch->in_have - at < SETUP_HEADER_BYTES + len)
            break;
        if (status == CENOTE_OK)
            status = take_message(ch, type, ch->talk->in + at + SETUP_HEADER_BYTES, len);
        at += SETUP_HEADER_BYTES + len;
        ch->due = true;
    }
    if (status == CENOTE_OK && ch->doom == CENOTE_OK) {
        ch->in_have -= at;
        memmove(ch->talk->in, ch->talk->in + at, ch->in_have);
    }
    return status;
}

/* An address that was taken away, or a node that stands still, says nothing on a TCP connection. */
static void keep_patience(struct rdma_channel *ch, bool news)
{
    uint64_t now_ms = clock_tick_ms();
    if (!ch->ports_known || !channel_awaits(ch))
        ch->asked_ms = 0;
    else if (news || ch->asked_ms == 0)
        ch->asked_ms = now_ms;
    else if (now_ms - ch->asked_ms > CHANNEL_ANSWER_MS) {
        log_info("rdma", "node %llu doesn't answer on its set-up connection",
                 (unsigned long long)ch->base.node);
        channel_doom(ch, CENOTE_NODE_DOWN);
    }
}

bool channel_look(struct rdma_channel *ch)
{
    bool news = false;
    ch->look = false;
    while (ch->doom == CENOTE_OK) {
        ssize_t n = recv(ch->fd, ch->talk->in + ch->in_have, sizeof ch->talk->in - ch->in_have,
                         MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            log_debug("rdma", "node %llu: %s", (unsigned long long)ch->base.node,
                      n == 0 ? "closed the set-up connection" : strerror(errno));
            channel_doom(ch, CENOTE_NODE_DOWN);
            return true;
        }
        news = true;
        ch->in_have += (uint32_t)n;
        int status = take_messages(ch);
        if (status == CENOTE_PROTOCOL)
            log_warn("rdma", "node %llu says what makes no sense on its set-up connection",
                     (unsigned long long)ch->base.node);
        if (status != CENOTE_OK)
            channel_doom(ch, status);
    }
    keep_patience(ch, news);
    return news || ch->doom != CENOTE_OK;
}
