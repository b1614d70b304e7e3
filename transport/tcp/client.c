/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/base/clock.h"
#include "transport/base/endpoint.h"
#include "transport/base/testswitch.h"
#include "transport/copy.h"
#include "transport/hello.h"
#include "transport/transports.h"

static const struct tcp_channel *channel_const(const struct xcopy_channel *c)
{
    return (const struct tcp_channel *)c;
}

static struct tcp_channel *channel_of(struct xcopy_channel *c)
{
    return (struct tcp_channel *)c;
}

void tcp_client_break(struct tcp_channel *ch, int status)
{
    struct xcopy_req *req = ch->head;
    ch->broken = true;
    shutdown(ch->fd, SHUT_RDWR);
    ch->head = ch->tail = ch->send.req = ch->recv.req = NULL;
    ch->sending_body = ch->receiving_body = false;
    ch->out_have = ch->out_at = 0;
    while (req != NULL) {
        struct xcopy_req *next = req->next;
        /* What the kernel took may be on its way, and the node may be in the middle of it. */
        req->may_land = req->op == XCOPY_WRITE && req->started;
        req->next = NULL;
        req->status = status;
        req = next;
    }
}

void tcp_client_fail(struct tcp_channel *ch, struct xcopy_req *during, int error)
{
    tcp_client_break(ch, CENOTE_NODE_DOWN);
    if (error == EFAULT && during != NULL)
        during->status = CENOTE_BAD_ADDRESS;
}

static void enqueue(struct tcp_channel *ch, struct xcopy_req *req)
{
    if (ch->tail != NULL)
        ch->tail->next = req;
    else
        ch->head = req;
    ch->tail = req;
    if (ch->send.req == NULL)
        tcp_walk_begin(&ch->send, req);
    if (ch->recv.req == NULL)
        tcp_walk_begin(&ch->recv, req);
}

static int check(const struct tcp_channel *ch, const struct xcopy_req *req)
{
    int status = copy_check(req);
    if (status == CENOTE_OK && ch->broken)
        status = CENOTE_NODE_DOWN;
    if (status == CENOTE_OK && req->op == XCOPY_WRITE && req->grant.boot != ch->boot &&
        !test_off(TEST_BOOT))
        status = CENOTE_OLD_BOOT;
    return status;
}

static void tcp_submit(struct xcopy_channel *c, struct xcopy_req *req)
{
    struct tcp_channel *ch = channel_of(c);
    int status = check(ch, req);
    req->may_land = false;
    req->started = false;
    req->next = NULL;
    req->status = status == CENOTE_OK ? XCOPY_IN_PROGRESS : status;
    if (status == CENOTE_OK)
        enqueue(ch, req);
}

static bool tcp_progress(struct xcopy_channel *c)
{
    struct tcp_channel *ch = channel_of(c);
    bool sent = tcp_client_send(ch);
    bool received = tcp_client_receive(ch);
    return sent || received;
}

static int tcp_poll_fd(struct xcopy_channel *c, short *events)
{
    const struct tcp_channel *ch = channel_const(c);
    *events = 0;
    if (ch->broken || ch->head == NULL)
        return -1;
    *events = POLLIN;
    if (ch->send.req != NULL || ch->out_have > 0)
        *events |= POLLOUT;
    return ch->fd;
}

static void tcp_cancel(struct xcopy_channel *c, int status)
{
    tcp_client_break(channel_of(c), status);
}

/* With nothing in flight the node has nothing to say: any news is the end. */
static bool tcp_alive(const struct xcopy_channel *c)
{
    const struct tcp_channel *ch = channel_const(c);
    uint8_t byte;
    if (ch->broken || ch->head != NULL)
        return !ch->broken;
    return recv(ch->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EINTR);
}

static bool tcp_reaches(void *context, const struct xcopy_peer *peer)
{
    (void)context;
    return peer->tcp[0] != '\0';
}

static void tcp_disconnect(struct xcopy_channel *c)
{
    close(channel_of(c)->fd);
    free(channel_of(c));
}

static int tcp_connect(void *context, const struct xcopy_peer *peer,
                       const struct xcopy_credentials *who, uint32_t timeout_ms,
                       struct xcopy_channel **out)
{
    (void)context;
    struct endpoint e;
    struct hello_answer answer;
    uint64_t deadline_ms = clock_now_ms() + timeout_ms;
    if (endpoint_parse(peer->tcp, &e) != CENOTE_OK || endpoint_is_unix(&e))
        return CENOTE_NODE_DOWN;
    int fd = endpoint_connect(&e, timeout_ms);
    if (fd < 0)
        return fd == CENOTE_UNAVAILABLE ? CENOTE_NODE_DOWN : fd;
    int status = hello_exchange(fd, peer, who, deadline_ms, &answer);
    if (status != CENOTE_OK)
        goto close_fd;
    struct tcp_channel *ch = calloc(1, sizeof *ch);
    if (ch == NULL) {
        status = CENOTE_NO_MEMORY;
        goto close_fd;
    }
    ch->base = (struct xcopy_channel){.transport = &xcopy_tcp, .node = peer->node};
    ch->fd = fd;
    ch->boot = answer.boot;
    ch->send.id = ch->recv.id = 1;
    *out = &ch->base;
    return CENOTE_OK;

close_fd:
    close(fd);
    return status;
}

const struct xcopy_transport xcopy_tcp = {
    .name = "tcp",
    .id = CENOTE_TRANSPORT_TCP,
    .caps = XCOPY_CAP_CHECKED,
    .reaches = tcp_reaches,
    .connect = tcp_connect,
    .disconnect = tcp_disconnect,
    .abandon = tcp_disconnect,
    .submit = tcp_submit,
    .progress = tcp_progress,
    .poll_fd = tcp_poll_fd,
    .cancel = tcp_cancel,
    .alive = tcp_alive,
};
