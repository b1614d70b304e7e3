/* SPDX-License-Identifier: Apache-2.0 */
/* A node that says what it shouldn't on the set-up connection, or nothing. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/transport/rdma/channelrig.h"
#include "transport/base/endpoint.h"
#include "transport/hello.h"

enum lie {
    LIE_SILENCE,
    LIE_END,
    LIE_GARBAGE,
    LIE_PORTS_TWICE,
    LIE_OTHER_TAG,
    LIE_OPEN,
    LIE_HALF,
    LIE_REFUSED,
    LIE_UNFIT
};

struct liar {
    int listener;
    enum lie lie;
    pthread_t thread;
    struct channelrig *r;
};

static void say(int fd, const void *bytes, size_t len)
{
    cr_assert_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void say_ports(int fd, const struct channelrig *r, uint8_t *message)
{
    struct setup_ports ports = {.count = 1};
    rdma_port_address(&r->ch->devices->rails[0], &ports.at[0], NULL);
    say(fd, message, setup_encode_ports(&ports, message));
}

static void say_opened(int fd, uint32_t tag, int status, uint8_t *message)
{
    struct setup_opened m = {
        .tag = tag, .status = status, .end = {.number = 1, .mtu_bytes = 1024, .read_depth = 1}};
    say(fd, message, setup_encode_opened(SETUP_OPENED, &m, message));
}

static void lie(const struct liar *l, int fd, uint8_t *message)
{
    struct setup_close close = {.tag = 1};
    say_ports(fd, l->r, message);
    memset(message, 0xa5, 100);
    switch (l->lie) {
    case LIE_GARBAGE:
        say(fd, message, 100);
        break;
    case LIE_PORTS_TWICE:
        say_ports(fd, l->r, message);
        break;
    case LIE_OTHER_TAG:
        say_opened(fd, 77, CENOTE_OK, message);
        break;
    case LIE_OPEN:
        say(fd, message, setup_encode_close(SETUP_ASK, &close, message));
        break;
    case LIE_HALF:
        (void)setup_encode_close(SETUP_CLOSED, &close, message);
        say(fd, message, SETUP_HEADER_BYTES + 1);
        break;
    case LIE_REFUSED: /* no lie: it is asked first */
        cr_assert(recv(fd, message, SETUP_HEADER_BYTES, MSG_WAITALL) == SETUP_HEADER_BYTES);
        say_opened(fd, 1, CENOTE_LIMIT, message);
        break;
    case LIE_UNFIT: /* nor this: its address isn't what it was */
        cr_assert(recv(fd, message, SETUP_HEADER_BYTES, MSG_WAITALL) == SETUP_HEADER_BYTES);
        say_opened(fd, 1, CENOTE_INVALID, message);
        break;
    default:
        break;
    }
}

static void *liar_main(void *arg)
{
    struct liar *l = arg;
    uint8_t raw[HELLO_BYTES], *message = malloc(SETUP_HEADER_BYTES + SETUP_BODY_MAX);
    struct hello_answer a = {.status = CENOTE_OK, .boot = RIG_BOOT};
    int fd;
    do
        fd = accept(l->listener, NULL, NULL);
    while (fd < 0);
    cr_assert_eq(recv(fd, raw, sizeof raw, MSG_WAITALL), HELLO_BYTES);
    hello_answer_encode(&a, raw);
    say(fd, raw, HELLO_ANSWER_BYTES);
    if (l->lie != LIE_SILENCE && l->lie != LIE_END)
        lie(l, fd, message);
    if (l->lie == LIE_END)
        shutdown(fd, SHUT_WR);
    while (recv(fd, raw, sizeof raw, 0) > 0)
        ;
    close(fd);
    free(message);
    return NULL;
}

static int connect_to(struct channelrig *r, enum lie what)
{
    struct liar l = {.lie = what, .r = r};
    struct endpoint at, bound;
    struct xcopy_peer peer = r->node.peer;
    struct xcopy_credentials who = rig_who(1);
    struct xcopy_channel *c;
    cr_assert_eq(endpoint_parse("127.0.0.1:0", &at), CENOTE_OK);
    l.listener = endpoint_listen(&at, 5, &bound);
    cr_assert(l.listener >= 0);
    endpoint_format(&bound, peer.rdma, sizeof peer.rdma);
    cr_assert_eq(pthread_create(&l.thread, NULL, liar_main, &l), 0);
    int status = r->node.transport->connect(r->node.context, &peer, &who, 300, &c);
    pthread_join(l.thread, NULL);
    close(l.listener);
    return status;
}

Test(channel_control, connect__lies)
{
    static struct channelrig r;
    channelrig_start(&r, "rails=1", NULL);
    cr_assert_eq(connect_to(&r, LIE_SILENCE), CENOTE_TIMED_OUT);
    cr_assert_eq(connect_to(&r, LIE_END), CENOTE_NODE_DOWN);
    cr_assert_eq(connect_to(&r, LIE_GARBAGE), CENOTE_PROTOCOL);
    cr_assert_eq(connect_to(&r, LIE_PORTS_TWICE), CENOTE_PROTOCOL);
    cr_assert_eq(connect_to(&r, LIE_OTHER_TAG), CENOTE_PROTOCOL);
    cr_assert_eq(connect_to(&r, LIE_OPEN), CENOTE_PROTOCOL);
    cr_assert_eq(connect_to(&r, LIE_HALF), CENOTE_TIMED_OUT);
    cr_assert_eq(connect_to(&r, LIE_REFUSED), CENOTE_LIMIT);
    cr_assert_eq(connect_to(&r, LIE_UNFIT), CENOTE_NODE_DOWN);
    channelrig_stop(&r);
}

/* A connection that breaks without a word: the address is taken away, or the node is stopped. */
Test(channel_control, awaited__not_for_ever)
{
    static struct channelrig r;
    static struct channelvalue x;
    int nobody[2];
    channelrig_start(&r, "rails=1", NULL);
    channelvalue_make(&r, &x, 4096, 65536, true);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, nobody), 0);
    cr_assert_eq(dup2(nobody[0], r.ch->fd), r.ch->fd);
    struct xcopy_req req = channelvalue_write(&x); /* asks for a queue pair */
    r.c->transport->submit(r.c, &req);
    channelrig_settle(&r);
    cr_assert_eq(req.status, XCOPY_IN_PROGRESS);
    cr_assert_neq(r.ch->asked_ms, 0);
    r.ch->asked_ms -= CHANNEL_ANSWER_MS / 2;
    channelrig_settle(&r);
    cr_assert_eq(req.status, XCOPY_IN_PROGRESS);
    r.ch->asked_ms -= CHANNEL_ANSWER_MS / 2 + 1;
    channelrig_settle(&r);
    cr_assert_eq(req.status, CENOTE_NODE_DOWN);
    cr_assert_not(req.may_land);
    cr_assert_not(r.c->transport->alive(r.c));
    close(nobody[0]);
    close(nobody[1]);
    channelvalue_free(&r, &x);
    channelrig_stop(&r);
}
