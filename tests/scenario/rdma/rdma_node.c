/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's side of rdma, over the mock of verbs: what it serves, refuses, ends, and survives.
 * Usage: rdma_node [CASE...]
 */
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/scenario/rdma/host.h"
#include "tests/support/mockverbs.h"
#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/rdma/exporter.h"

static struct mock_device *device;
static struct host host;
static atomic_uint errors; /* that were logged */

static void note_line(void *arg, enum log_level level, const char *module, const char *text)
{
    if (level == LOG_ERROR)
        atomic_fetch_add(&errors, 1);
    log_to_stderr(arg, level, module, text);
}

static struct mock_queue_pair queue_pair_of(const struct setup_opened *o)
{
    struct mock_queue_pair q;
    CHECK(mock_queue_pair_of(o->end.number, &q));
    return q;
}

static bool is_alive(const struct setup_opened *o)
{
    struct mock_queue_pair q;
    return mock_queue_pair_of(o->end.number, &q);
}

/* ---- serving --------------------------------------------------------------------------------- */

static void case_serves(void)
{
    struct setup_opened r, w;
    struct guest *g = guest_connect(&host, 1);
    CHECK_EQ(g->ports.count, 1);
    CHECK_EQ(g->ports.at[0].link, RDMA_LINK_ROCE_V2);
    CHECK_EQ(guest_open(g, 1, RDMA_ROLE_READ, &r), CENOTE_OK);
    CHECK_EQ(r.key_count, 1);
    struct setup_key read_key = g->keys[0];
    CHECK_EQ(guest_open(g, 2, RDMA_ROLE_WRITE, &w), CENOTE_OK);
    CHECK_EQ(w.key_count, 1);
    struct setup_key write_key = g->keys[0];
    CHECK(read_key.rkey != write_key.rkey);
    CHECK_EQ(read_key.gva.v, host.segments[0].gva.v);
    CHECK_EQ(read_key.len_bytes, HOST_SEGMENT_BYTES);
    CHECK_EQ(read_key.addr, (uintptr_t)host.segments[0].memory.base);
    CHECK_EQ(read_key.incarnation, HOST_INCARNATION);
    CHECK_EQ(queue_pair_of(&r).attr.qp_access_flags, IBV_ACCESS_REMOTE_READ);
    CHECK_EQ(queue_pair_of(&w).attr.qp_access_flags,
             IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE);
    CHECK_EQ(queue_pair_of(&r).state, IBV_QPS_RTR);
    struct xcopy_report report = host_report(&host);
    CHECK_EQ(report.rail_count, 1);
    CHECK_EQ(report.connections, 1);
    CHECK_EQ(report.queue_pairs, 2);
    CHECK_EQ(report.regions, 2);
    guest_send_close(g, 1);
    guest_expect_closed(g, 1);
    CHECK(!is_alive(&r));
    CHECK(is_alive(&w));
    guest_free(g);
    host_await_connections(&host, 0);
    CHECK(!is_alive(&w));
    CHECK_EQ(host_traced(&host, "register"), 1);
    CHECK_EQ(host_traced(&host, "open"), 2);
    CHECK_EQ(host_traced(&host, "close"), 2);
}

/* OPENs and CLOSEs without waiting are answered in order. */
static void case_many_at_once(void)
{
    struct guest *g = guest_connect(&host, 1);
    for (uint32_t tag = 0; tag < 20; tag++) {
        struct setup_open open = guest_open_of(g, tag, RDMA_ROLE_READ);
        guest_send_open(g, &open);
        guest_send_close(g, tag);
    }
    for (uint32_t tag = 0; tag < 20; tag++) {
        struct said s = guest_hear(g);
        CHECK_EQ(s.type, SETUP_OPENED);
        CHECK_EQ(s.opened.tag, tag);
        CHECK_EQ(s.opened.status, CENOTE_OK);
        guest_expect_closed(g, tag);
    }
    CHECK_EQ(host_report(&host).queue_pairs, 0);
    guest_free(g);
}

static void case_segment_added(void)
{
    struct setup_opened r, w;
    struct guest *g = guest_connect(&host, 1), *idle = guest_connect(&host, 2);
    CHECK_EQ(guest_open(g, 1, RDMA_ROLE_READ, &r), CENOTE_OK);
    CHECK_EQ(guest_open(g, 2, RDMA_ROLE_WRITE, &w), CENOTE_OK);
    uint32_t write_rkey = g->keys[0].rkey;
    CHECK_EQ(host_add_segment(&host), CENOTE_OK);
    bool told[3] = {false};
    for (unsigned i = 0; i < 2; i++) {
        struct said s = guest_hear(g);
        CHECK_EQ(s.type, SETUP_KEYS);
        CHECK(s.opened.tag == 1 || s.opened.tag == 2);
        told[s.opened.tag] = true;
        CHECK_EQ(s.opened.key_count, 2);
        CHECK_EQ(g->keys[1].gva.v, host.segments[1].gva.v);
        CHECK_EQ(g->keys[0].rkey == write_rkey, s.opened.tag == 2);
    }
    CHECK(told[1] && told[2]);
    CHECK_EQ(guest_open(idle, 1, RDMA_ROLE_READ, &r), CENOTE_OK);
    CHECK_EQ(r.key_count, 2);
    guest_free(g);
    guest_free(idle);
}

static void case_asks_for_keys(void)
{
    struct setup_opened r, w;
    struct guest *g = guest_connect(&host, 1);
    CHECK_EQ(guest_open(g, 1, RDMA_ROLE_READ, &r), CENOTE_OK);
    uint32_t rkey = g->keys[0].rkey;
    CHECK_EQ(guest_open(g, 2, RDMA_ROLE_WRITE, &w), CENOTE_OK);
    guest_send_ask(g, 77); /* there is no such queue pair: no answer */
    guest_send_ask(g, 1);
    struct said s = guest_hear(g);
    CHECK_EQ(s.type, SETUP_KEYS);
    CHECK_EQ(s.opened.tag, 1);
    CHECK_EQ(s.opened.key_count, 1);
    CHECK_EQ(g->keys[0].rkey, rkey);
    host_fence(&host, 1, 9);
    guest_send_ask(g, 2); /* it has ended */
    guest_send_ask(g, 1);
    guest_expect_closed(g, 2);
    s = guest_hear(g);
    CHECK_EQ(s.type, SETUP_KEYS);
    CHECK_EQ(s.opened.tag, 1);
    guest_free(g);
}

/* By its dma-buf; where the device can't, clients are sent elsewhere. */
static void offer_device_memory(const char *name, int status)
{
    static struct host h;
    struct setup_opened r;
    CHECK_EQ(host_try_start(&h, name, "127.0.0.1:0"), CENOTE_OK);
    CHECK_EQ(host_add_device_memory(&h), status);
    if (status == CENOTE_OK) {
        struct guest *g = guest_connect(&h, 1);
        CHECK_EQ(guest_open(g, 1, RDMA_ROLE_READ, &r), CENOTE_OK);
        CHECK_EQ(r.key_count, 1);
        CHECK_EQ(g->keys[0].addr, (uintptr_t)h.segments[0].memory.base);
        guest_free(g);
    }
    host_stop_exporter(&h);
    h.segments[0].memory.kind = MEMORY_HOST;
    memory_ops_of(MEMORY_HOST)->destroy(&h.segments[0].memory);
}

static void case_device_memory(void)
{
    mock_add("mock1")->dmabuf = true;
    offer_device_memory("mock1", CENOTE_OK);
    offer_device_memory("mock0", CENOTE_NO_MEMORY);
}

/* A client that doesn't read has its answers kept, one at a time, and gets all in the end. */
static void case_slow_reader(void)
{
    for (unsigned i = 1; i < XCOPY_SEGMENTS_MAX; i++)
        CHECK_EQ(host_add_segment(&host), CENOTE_OK);
    struct guest *g = guest_new(&host);
    int small = 65536;
    CHECK_EQ(setsockopt(g->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    guest_greet(g, 1);
    const uint32_t rounds = 40;
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t tag = 0; tag < 32; tag++) {
            struct setup_open open = guest_open_of(g, tag, RDMA_ROLE_READ);
            guest_send_open(g, &open);
            guest_send_close(g, tag);
        }
        if (round == 0) /* the sockets' buffers are full after a while */
            host_await_connections(&host, 1);
    }
    for (uint32_t i = 0; i < rounds * 32; i++) {
        struct said s = guest_hear(g);
        CHECK_EQ(s.type, SETUP_OPENED);
        CHECK_EQ(s.opened.tag, i % 32);
        CHECK_EQ(s.opened.key_count, XCOPY_SEGMENTS_MAX);
        guest_expect_closed(g, i % 32);
    }
    guest_free(g);
}

/* ---- refusing -------------------------------------------------------------------------------- */

static void expect_refusal(const struct hello *hello, int status)
{
    struct guest *g = guest_new(&host);
    CHECK_EQ(guest_hello(g, hello), status);
    guest_expect_end(g);
    guest_free(g);
}

static void case_refuses_hello(void)
{
    struct hello hello = guest_credentials(1);
    hello.who.token.b[3] ^= 1;
    expect_refusal(&hello, CENOTE_DENIED);
    hello = guest_credentials(1);
    hello.who.session = 2;
    expect_refusal(&hello, CENOTE_DENIED);
    hello = guest_credentials(1);
    hello.who.name_space++;
    expect_refusal(&hello, CENOTE_DENIED);
    hello = guest_credentials(1);
    hello.boot++;
    expect_refusal(&hello, CENOTE_OLD_BOOT);
    struct guest *g = guest_new(&host);
    uint8_t noise[HELLO_BYTES + 100], answer[HELLO_ANSWER_BYTES];
    struct hello_answer a;
    memset(noise, 0x5a, sizeof noise);
    guest_send(g, noise, sizeof noise);
    CHECK_EQ(recv(g->fd, answer, sizeof answer, MSG_WAITALL), sizeof answer);
    CHECK_EQ(hello_answer_decode(answer, &a), CENOTE_OK);
    CHECK_EQ(a.status, CENOTE_PROTOCOL);
    guest_free(g);
    host_await_connections(&host, 0);
}

/* What is wrong after the hello has the connection closed, and what it had destroyed. */
static void expect_hangup(const void *bytes, size_t len)
{
    struct setup_opened o;
    struct guest *g = guest_connect(&host, 1);
    CHECK_EQ(guest_open(g, 1, RDMA_ROLE_WRITE, &o), CENOTE_OK);
    guest_send(g, bytes, len);
    guest_expect_end(g);
    guest_free(g);
    CHECK(!is_alive(&o));
}

static void case_refuses_garbage(void)
{
    uint8_t m[SETUP_HEADER_BYTES + SETUP_BODY_MAX];
    struct guest *g = guest_connect(&host, 1);
    const struct setup_open good = guest_open_of(g, 2, RDMA_ROLE_READ);
    const struct setup_open again = guest_open_of(g, 1, RDMA_ROLE_READ);
    struct setup_close close_it = {.tag = 1};
    size_t len = setup_encode_open(&good, m);
    m[SETUP_HEADER_BYTES + 4] = XCOPY_RAILS_MAX; /* port */
    expect_hangup(m, len);
    len = setup_encode_open(&good, m);
    m[SETUP_HEADER_BYTES + 5] = 3; /* role */
    expect_hangup(m, len);
    len = setup_encode_open(&good, m);
    m[6]--; /* shorter than it must be */
    expect_hangup(m, len);
    m[6] += 2; /* longer than it may be */
    expect_hangup(m, len);
    expect_hangup(m, setup_encode_open(&again, m)); /* the tag is in use */
    expect_hangup(m, setup_encode_close(SETUP_CLOSED, &close_it, m));
    expect_hangup(m, setup_encode_ports(&g->ports, m));
    len = setup_encode_close(SETUP_CLOSE, &close_it, m);
    m[SETUP_HEADER_BYTES + 4] = 1; /* reserved */
    expect_hangup(m, len);
    len = setup_encode_close(SETUP_ASK, &close_it, m);
    m[SETUP_HEADER_BYTES + 4] = 1;
    expect_hangup(m, len);
    memset(m, 0xff, 600);
    expect_hangup(m, 600);
    /* A port that a node could have, but this one hasn't. */
    struct setup_open open = good;
    open.port = 1;
    guest_send_open(g, &open);
    struct said s = guest_hear(g);
    CHECK_EQ(s.type, SETUP_OPENED);
    CHECK_EQ(s.opened.status, CENOTE_INVALID);
    /* A queue pair that isn't there. */
    guest_send_close(g, 77);
    CHECK_EQ(guest_open(g, 5, RDMA_ROLE_READ, &s.opened), CENOTE_OK);
    guest_free(g);
}

static void case_silence(void)
{
    struct setup_opened o;
    struct guest *mute = guest_new(&host), *half = guest_connect(&host, 1),
                 *idle = guest_connect(&host, 2);
    CHECK_EQ(guest_open(idle, 1, RDMA_ROLE_READ, &o), CENOTE_OK);
    guest_send(half, "CNRQ", 4);
    host_await_connections(&host, 3);
    host_skip_time(HELLO_TIMEOUT_MS + 1);
    guest_expect_end(mute);
    host_skip_time(EXPORTER_STALL_MS + 1);
    guest_expect_end(half);
    host_skip_time(3600 * 1000);
    CHECK_EQ(guest_open(idle, 2, RDMA_ROLE_READ, &o), CENOTE_OK);
    guest_free(mute);
    guest_free(half);
    guest_free(idle);
}

static void case_limits(void)
{
    struct guest *g[EXPORTER_SESSION_QUEUES_MAX / SETUP_QUEUES_MAX + 1];
    struct setup_opened o;
    const unsigned full = EXPORTER_SESSION_QUEUES_MAX / SETUP_QUEUES_MAX;
    for (unsigned i = 0; i < full; i++) {
        g[i] = guest_connect(&host, 1);
        for (uint32_t tag = 0; tag < SETUP_QUEUES_MAX; tag++)
            CHECK_EQ(guest_open(g[i], tag, RDMA_ROLE_READ, &o), CENOTE_OK);
        CHECK_EQ(guest_open(g[i], SETUP_QUEUES_MAX, RDMA_ROLE_READ, &o), CENOTE_LIMIT);
    }
    g[full] = guest_connect(&host, 1);
    CHECK_EQ(guest_open(g[full], 1, RDMA_ROLE_READ, &o), CENOTE_LIMIT);
    struct guest *other = guest_connect(&host, 2);
    CHECK_EQ(guest_open(other, 1, RDMA_ROLE_READ, &o), CENOTE_OK);
    guest_send_close(g[0], 5);
    guest_expect_closed(g[0], 5);
    CHECK_EQ(guest_open(g[full], 1, RDMA_ROLE_READ, &o), CENOTE_OK);
    for (unsigned i = 0; i <= full; i++)
        guest_free(g[i]);
    guest_free(other);
    host_await_queue_pairs(&host, 0);
}

static void case_verbs_fail(void)
{
    struct setup_opened o;
    struct guest *g = guest_connect(&host, 1);
    mock_fail_verb(MOCK_CREATE_QP, 0, 1, EMFILE);
    CHECK_EQ(guest_open(g, 1, RDMA_ROLE_WRITE, &o), CENOTE_NO_MEMORY);
    mock_fail_verb(MOCK_MODIFY_QP, 0, 1, EINVAL); /* to INIT */
    CHECK_EQ(guest_open(g, 1, RDMA_ROLE_WRITE, &o), CENOTE_IO);
    mock_fail_verb(MOCK_MODIFY_QP, 1, 1, ETIMEDOUT); /* to RTR */
    CHECK_EQ(guest_open(g, 1, RDMA_ROLE_WRITE, &o), CENOTE_NODE_DOWN);
    CHECK_EQ(mock_counts().qps, 0);
    CHECK_EQ(guest_open(g, 1, RDMA_ROLE_WRITE, &o), CENOTE_OK);
    guest_free(g);
}

/* A segment that the device can't have: its clients are sent elsewhere. */
static void case_no_memory_to_lock(void)
{
    struct setup_opened o;
    struct guest *g = guest_connect(&host, 1);
    CHECK_EQ(guest_open(g, 1, RDMA_ROLE_READ, &o), CENOTE_OK);
    mock_fail_verb(MOCK_REG_MR, 1, 1, ENOMEM); /* the second registration */
    CHECK_EQ(host_add_segment(&host), CENOTE_NO_MEMORY);
    guest_expect_end(g);
    guest_free(g);
    const struct hello hello = guest_credentials(1);
    expect_refusal(&hello, CENOTE_NOT_SUPPORTED);
    host_fence(&host, 1, 5);
    CHECK_EQ(mock_counts().mrs, 2);
}

/* ---- registering ----------------------------------------------------------------------------- */

#define SHORT_MS 20u

static int say_hello(void)
{
    const struct hello hello = guest_credentials(1);
    struct guest *g = guest_new(&host);
    int status = guest_hello(g, &hello);
    guest_free(g);
    return status;
}

/* One more segment, which isn't registered for as long as the mock holds it. */
static void add_held_segment(void)
{
    host_set_patience(&host, SHORT_MS);
    mock_hold_registering(true);
    CHECK_EQ(host_add_segment(&host), CENOTE_OK);
    while (mock_registering() == 0)
        usleep(200);
}

/* Meanwhile the node goes on: it takes more segments at once, and answers hellos and fences. Those
 * who were there have been sent away. */
static void case_registers_behind(void)
{
    struct setup_opened w;
    struct guest *g = guest_connect(&host, 1);
    CHECK_EQ(guest_open(g, 1, RDMA_ROLE_WRITE, &w), CENOTE_OK);
    add_held_segment();
    guest_expect_end(g);
    guest_free(g);
    host_set_patience(&host, HOST_PATIENCE_MS);
    uint64_t began_ms = clock_now_ms();
    CHECK_EQ(host_add_segment(&host), CENOTE_OK);
    CHECK(clock_now_ms() - began_ms < HOST_PATIENCE_MS); /* once it has ended, it doesn't begin */
    CHECK_EQ(say_hello(), CENOTE_NOT_SUPPORTED);
    host_fence(&host, 1, 9);
    CHECK(!is_alive(&w));
    CHECK_EQ(host_report(&host).regions, 2);
    CHECK_EQ(mock_registering(), 1);
    mock_hold_registering(false);
    while (say_hello() == CENOTE_NOT_SUPPORTED)
        ;
    CHECK_EQ(host_report(&host).regions, 6);
    g = guest_connect(&host, 1);
    CHECK_EQ(guest_open(g, 1, RDMA_ROLE_WRITE, &w), CENOTE_OK);
    CHECK_EQ(w.horizon, 9);
    CHECK_EQ(w.key_count, 3);
    CHECK_EQ(host_add_segment(&host), CENOTE_OK); /* waited for, as ever */
    CHECK_EQ(guest_hear(g).type, SETUP_KEYS);
    guest_free(g);
}

/* The reason is logged by the region, once; no other segment is tried. */
static void case_registers_behind_in_vain(void)
{
    atomic_store(&errors, 0);
    add_held_segment();
    CHECK_EQ(host_add_segment(&host), CENOTE_OK);
    mock_fail_verb(MOCK_REG_MR, 1, 1, ENOMEM); /* the second registration */
    mock_hold_registering(false);
    while (atomic_load(&errors) < 2) /* the reason, and what it means for clients */
        CHECK_EQ(say_hello(), CENOTE_NOT_SUPPORTED);
    CHECK_EQ(host_add_segment(&host), CENOTE_NO_MEMORY);
    CHECK_EQ(atomic_load(&errors), 2);
    CHECK_EQ(say_hello(), CENOTE_NOT_SUPPORTED);
    host_fence(&host, 1, 9);
    CHECK_EQ(mock_counts().mrs, 2);
}

static void *release_when_ending(void *arg)
{
    while (!atomic_load((atomic_bool *)arg))
        CHECK_EQ(say_hello(), CENOTE_NOT_SUPPORTED);
    mock_hold_registering(false);
    return NULL;
}

/* The registration under way comes to its end, the next one isn't begun. */
static void case_stops_registering(void)
{
    pthread_t releaser;
    add_held_segment();
    CHECK_EQ(host_add_segment(&host), CENOTE_OK);
    mock_fail_verb(MOCK_REG_MR, 1, 1, ENOMEM); /* it would be logged */
    atomic_store(&errors, 0);
    CHECK_EQ(pthread_create(&releaser, NULL, release_when_ending,
                            &((struct exporter *)host.exporter)->segments.ending),
             0);
    host_stop_exporter(&host);
    pthread_join(releaser, NULL);
    CHECK_EQ(atomic_load(&errors), 0);
    CHECK_EQ(mock_alive(), 0);
    CHECK_EQ(host_try_start(&host, NULL, "127.0.0.1:0"), CENOTE_OK);
}

/* ---- ending ---------------------------------------------------------------------------------- */

static void case_connection_lost(void)
{
    struct setup_opened o[3];
    struct guest *g = guest_connect(&host, 1);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(guest_open(g, i, i % 2 ? RDMA_ROLE_READ : RDMA_ROLE_WRITE, &o[i]), CENOTE_OK);
    struct linger reset = {.l_onoff = 1};
    setsockopt(g->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    guest_free(g);
    host_await_connections(&host, 0);
    for (unsigned i = 0; i < 3; i++)
        CHECK(!is_alive(&o[i]));
    CHECK_EQ(host_report(&host).queue_pairs, 0);
}

static void case_fence(void)
{
    struct setup_opened w1, w2, r, other;
    struct guest *a = guest_connect(&host, 1), *b = guest_connect(&host, 1),
                 *c = guest_connect(&host, 2);
    CHECK_EQ(guest_open(a, 1, RDMA_ROLE_WRITE, &w1), CENOTE_OK);
    CHECK_EQ(w1.horizon, 0);
    CHECK_EQ(guest_open(a, 2, RDMA_ROLE_READ, &r), CENOTE_OK);
    CHECK_EQ(guest_open(b, 1, RDMA_ROLE_WRITE, &w2), CENOTE_OK);
    CHECK_EQ(guest_open(c, 1, RDMA_ROLE_WRITE, &other), CENOTE_OK);
    host_fence(&host, 1, 9);
    CHECK(!is_alive(&w1));
    CHECK(!is_alive(&w2));
    CHECK(is_alive(&r));
    CHECK(is_alive(&other));
    CHECK_EQ(host_report(&host).fenced, 2);
    guest_expect_closed(a, 1);
    guest_expect_closed(b, 1);
    CHECK_EQ(guest_open(a, 1, RDMA_ROLE_WRITE, &w1), CENOTE_OK); /* the tag is free again */
    CHECK_EQ(w1.horizon, 9);
    CHECK_EQ(guest_open(c, 2, RDMA_ROLE_WRITE, &other), CENOTE_OK);
    CHECK_EQ(other.horizon, 0);
    guest_free(a);
    guest_free(b);
    guest_free(c);
}

/* CLOSE and the CLOSED of a fence cross: there is one CLOSED all the same. */
static void case_close_crosses_fence(void)
{
    struct setup_opened w;
    struct guest *g = guest_connect(&host, 1);
    CHECK_EQ(guest_open(g, 1, RDMA_ROLE_WRITE, &w), CENOTE_OK);
    host_fence(&host, 1, 9);
    guest_send_close(g, 1);
    struct setup_open open = guest_open_of(g, 1, RDMA_ROLE_WRITE);
    guest_send_open(g, &open);
    guest_expect_closed(g, 1);
    struct said s = guest_hear(g);
    CHECK_EQ(s.type, SETUP_OPENED);
    CHECK_EQ(s.opened.status, CENOTE_OK);
    CHECK_EQ(guest_open(g, 2, RDMA_ROLE_READ, &w), CENOTE_OK);
    guest_free(g);
}

static void case_device_removed(void)
{
    struct setup_opened w, r;
    struct guest *g = guest_connect(&host, 1);
    CHECK_EQ(guest_open(g, 1, RDMA_ROLE_WRITE, &w), CENOTE_OK);
    CHECK_EQ(guest_open(g, 2, RDMA_ROLE_READ, &r), CENOTE_OK);
    mock_remove(device, true);
    bool told[3] = {false};
    for (unsigned i = 0; i < 2; i++) {
        struct said s = guest_hear(g);
        CHECK_EQ(s.type, SETUP_CLOSED);
        told[s.closed.tag] = true;
    }
    CHECK(told[1] && told[2]);
    CHECK_EQ(guest_open(g, 3, RDMA_ROLE_WRITE, &w), CENOTE_NODE_DOWN);
    host_fence(&host, 1, 9);
    CHECK_EQ(host_report(&host).queue_pairs, 0);
    guest_free(g);
}

/* A queue pair that can't be destroyed keeps the fence open, whatever becomes of its connection. */
static void case_fence_stays_open(void)
{
    atomic_bool done;
    struct setup_opened w, r;
    struct guest *g = guest_connect(&host, 1);
    CHECK_EQ(guest_open(g, 1, RDMA_ROLE_WRITE, &w), CENOTE_OK);
    mock_fail_verb(MOCK_DESTROY_QP, 0, UINT_MAX, EBUSY);
    CHECK_EQ(guest_open(g, 2, RDMA_ROLE_READ, &r), CENOTE_OK);
    host_fence_begin(&host, 1, 9, &done);
    guest_expect_end(g);
    CHECK(!atomic_load(&done));
    CHECK(is_alive(&w));
    CHECK_EQ(queue_pair_of(&w).state, IBV_QPS_ERR);
    guest_free(g);
    host_await_connections(&host, 0);
    CHECK(!atomic_load(&done));
    CHECK(is_alive(&w));
    mock_fail_verb(MOCK_DESTROY_QP, 0, 2, EBUSY); /* once more each, at least */
    while (!host_await(&done, 500))
        host_skip_time(1000);
    CHECK(!is_alive(&w));
    CHECK(!is_alive(&r));
}

/* What is stuck when the exporter ends goes with its device. */
static void case_stops_with_fences_pending(void)
{
    static atomic_bool done[4];
    struct setup_opened w;
    struct guest *g = guest_connect(&host, 1);
    CHECK_EQ(guest_open(g, 1, RDMA_ROLE_WRITE, &w), CENOTE_OK);
    mock_fail_verb(MOCK_DESTROY_QP, 0, 1, EBUSY);
    for (unsigned i = 0; i < 4; i++)
        host_fence_begin(&host, 1, 9 + i, &done[i]);
    guest_free(g);
}

/* ---- starting -------------------------------------------------------------------------------- */

static void case_starts_or_says_why(void)
{
    static struct host h;
    CHECK_EQ(host_try_start(&h, "none", "127.0.0.1:0"), CENOTE_NOT_SUPPORTED);
    CHECK_EQ(host_try_start(&h, "elsewhere0", "127.0.0.1:0"), CENOTE_INVALID);
    CHECK_EQ(host_try_start(&h, "bogus=1", "127.0.0.1:0"), CENOTE_INVALID);
    CHECK_EQ(host_try_start(&h, "auto", "unix:/nowhere"), CENOTE_INVALID);
    CHECK_EQ(host_try_start(&h, "auto", host.endpoint), CENOTE_IO);
    mock_fail_verb(MOCK_CREATE_CQ, 0, 1, ENOMEM);
    CHECK_EQ(host_try_start(&h, "auto", "127.0.0.1:0"), CENOTE_NO_MEMORY);
    CHECK_EQ(host_try_start(&h, "mock0,qps=3", "127.0.0.1:0"), CENOTE_OK);
    struct setup_opened o;
    struct guest *g = guest_connect(&h, 1);
    for (uint32_t tag = 0; tag < 3; tag++)
        CHECK_EQ(guest_open(g, tag, RDMA_ROLE_READ, &o), CENOTE_OK);
    CHECK_EQ(guest_open(g, 3, RDMA_ROLE_READ, &o), CENOTE_LIMIT);
    guest_free(g);
    host_stop_exporter(&h);
}

/* Another life of the exporter, of the same memory: other keys. */
static void case_keys_change_with_its_life(void)
{
    struct setup_opened o;
    struct guest *g = guest_connect(&host, 1);
    CHECK_EQ(guest_open(g, 1, RDMA_ROLE_READ, &o), CENOTE_OK);
    uint32_t rkey = g->keys[0].rkey;
    guest_free(g);
    host_stop_exporter(&host);
    struct xcopy_segment segment = host.segments[0];
    CHECK_EQ(host_try_start(&host, NULL, "127.0.0.1:0"), CENOTE_OK);
    host.segments[host.segment_count++] = segment;
    CHECK_EQ(host.exporter->ops->add_segment(host.exporter, &segment), CENOTE_OK);
    g = guest_connect(&host, 1);
    CHECK_EQ(guest_open(g, 1, RDMA_ROLE_READ, &o), CENOTE_OK);
    CHECK(g->keys[0].rkey != rkey);
    guest_free(g);
}

/* Without descriptors the listener waits, and goes on when there are some. */
static void case_out_of_descriptors(void)
{
    struct rlimit was, now;
    struct guest *g[8];
    for (unsigned i = 0; i < 8; i++)
        g[i] = guest_connect(&host, 1);
    host_await_connections(&host, 8);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &was), 0);
    int next = dup(0);
    CHECK(next > 0);
    close(next);
    now = (struct rlimit){.rlim_cur = (rlim_t)next + 1, .rlim_max = was.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &now), 0);
    struct guest *last = guest_new(&host); /* has the last one; the node has none for it */
    struct hello hello = guest_credentials(1);
    guest_free(g[0]);
    host_await_connections(&host, 8); /* 7, and the one that waited */
    CHECK_EQ(guest_hello(last, &hello), CENOTE_OK);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &was), 0);
    for (unsigned i = 1; i < 8; i++)
        guest_free(g[i]);
    guest_free(last);
}

/* ---------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"serves", case_serves},
    {"many_at_once", case_many_at_once},
    {"segment_added", case_segment_added},
    {"asks_for_keys", case_asks_for_keys},
    {"device_memory", case_device_memory},
    {"slow_reader", case_slow_reader},
    {"refuses_hello", case_refuses_hello},
    {"refuses_garbage", case_refuses_garbage},
    {"silence", case_silence},
    {"limits", case_limits},
    {"verbs_fail", case_verbs_fail},
    {"no_memory_to_lock", case_no_memory_to_lock},
    {"registers_behind", case_registers_behind},
    {"registers_behind_in_vain", case_registers_behind_in_vain},
    {"stops_registering", case_stops_registering},
    {"connection_lost", case_connection_lost},
    {"fence", case_fence},
    {"close_crosses_fence", case_close_crosses_fence},
    {"device_removed", case_device_removed},
    {"fence_stays_open", case_fence_stays_open},
    {"stops_with_fences_pending", case_stops_with_fences_pending},
    {"starts_or_says_why", case_starts_or_says_why},
    {"keys_change_with_its_life", case_keys_change_with_its_life},
    {"out_of_descriptors", case_out_of_descriptors},
};

static bool wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc <= 1;
}

int main(int argc, char **argv)
{
    log_set_sink(note_line, NULL);
    log_set_level(LOG_INFO);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (!wanted(cases[i].name, argc, argv))
            continue;
        printf("%s\n", cases[i].name);
        fflush(stdout);
        device = mock_add("mock0");
        host_start(&host);
        cases[i].run();
        host_stop(&host);
        mock_reset();
    }
    return 0;
}
