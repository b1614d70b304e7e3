/* SPDX-License-Identifier: Apache-2.0 */
/* Contract cases: broken channels, hostile sockets, many threads. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/contract/cases.h"
#include "tests/contract/half.h"
#include "transport/base/clock.h"
#include "transport/base/endpoint.h"
#include "transport/hello.h"
#include "transport/tcp/wire.h"

static bool immediate(const struct rig *r)
{
    return (r->transport->caps & XCOPY_CAP_IMMEDIATE) != 0;
}

static void expect_service(struct rig *r)
{
    struct rig_value v;
    struct xcopy_channel *c = rig_connect(r, 1);
    rig_value_make(&v, 1, rig_next_put(), RIG_SEGMENT / 2, 70000);
    rig_put(c, &v);
    CHECK(rig_holds(r, &v));
    rig_value_free(&v);
    rig_disconnect(c);
}

/* Everything in flight ends; what may land is known. */
void case_cancel(struct rig *r)
{
    static struct half h;
    struct rig_value v;
    uint8_t tail[SEAL_BYTES];
    if (immediate(r)) {
        struct xcopy_channel *c = rig_connect(r, 1);
        c->transport->cancel(c, CENOTE_TIMED_OUT);
        CHECK(!c->transport->alive(c));
        rig_disconnect(c);
        return;
    }
    half_begin(&h, r, 1);
    struct xcopy_channel *c = h.channel;
    rig_value_make(&v, 1, rig_next_put(), RIG_SEGMENT / 2, 5000);
    struct cenote_buffer whole = {v.data, v.len_bytes};
    struct xcopy_req get = rig_read_req(&v, &whole, 1, tail, SEAL_BYTES);
    struct xcopy_req put = rig_write_req(&v, &whole, 1);
    c->transport->submit(c, &get);
    c->transport->submit(c, &put);
    c->transport->cancel(c, CENOTE_TIMED_OUT);
    CHECK_STATUS(h.req.status, CENOTE_TIMED_OUT);
    CHECK(h.req.may_land && h.req.started);
    CHECK_STATUS(get.status, CENOTE_TIMED_OUT);
    CHECK(!get.may_land && !get.started);
    CHECK_STATUS(put.status, CENOTE_TIMED_OUT);
    CHECK(!put.may_land && !put.started);
    CHECK(!c->transport->alive(c));
    c->transport->submit(c, &put);
    CHECK_STATUS(put.status, CENOTE_NODE_DOWN);
    rig_value_free(&v);
    half_free(&h);
    expect_service(r);
}

/* The exporter stops under a writer. */
void case_stop_in_flight(struct rig *r)
{
    static struct half h;
    struct rig_fence f;
    if (r->peer.loop != NULL)
        return; /* there a copy is the exporter's own, and stop() waits for it */
    half_begin(&h, r, 1);
    rig_fence_begin(r, &f, 2, 1); /* one that is done, or dropped */
    r->ops->stop(r->exporter);
    half_resume(&h);
    if (!immediate(r)) {
        CHECK_STATUS(h.req.status, CENOTE_NODE_DOWN);
        CHECK(h.req.may_land);
    }
    uint64_t deadline = clock_now_ms() + RIG_TIMEOUT_MS;
    while (h.channel->transport->alive(h.channel))
        CHECK(clock_now_ms() < deadline);
    half_free(&h);
    rig_fence_free(&f);
    rig_start_again(r);
    expect_service(r);
}

/* A segment that is added later is found on a channel that was there before. */
void case_segment_added(struct rig *r)
{
    struct xcopy_segment second = {.gva = gva_make(RIG_GVA + 5 * GVA_ALIGN), .incarnation = 8};
    struct xcopy_channel *c = rig_connect(r, 1);
    struct rig_value v;
    rig_value_make(&v, 1, rig_next_put(), 5 * GVA_ALIGN, 10000);
    struct cenote_buffer whole = {v.data, v.len_bytes};
    struct xcopy_req put = rig_write_req(&v, &whole, 1);
    CHECK_STATUS(rig_run(c, &put), CENOTE_BAD_RANGE);
    CHECK_STATUS(memory_ops_of(MEMORY_HOST)->make(1 << 20, &(struct memory_how){0}, &second.memory),
                 CENOTE_OK);
    CHECK_STATUS(r->ops->add_segment(r->exporter, &second), CENOTE_OK);
    sums_reset(v.sums);
    rig_put(c, &v);
    CHECK(memcmp(second.memory.base, v.data, v.len_bytes) == 0);
    rig_value_free(&v);
    rig_disconnect(c);
    rig_restart(r);
    memory_ops_of(MEMORY_HOST)->destroy(&second.memory);
}

/* The news of a segment can't be taken by a process without descriptors. It is late then, not lost:
 * the channel works or breaks, and the next one works. */
void case_segment_added_without_descriptors(struct rig *r)
{
    struct xcopy_segment second = {.gva = gva_make(RIG_GVA + 5 * GVA_ALIGN), .incarnation = 8};
    struct xcopy_channel *c = rig_connect(r, 1);
    struct rlimit before, none;
    struct rig_value v;
    rig_value_make(&v, 1, rig_next_put(), 5 * GVA_ALIGN, 10000);
    struct cenote_buffer whole = {v.data, v.len_bytes};
    struct xcopy_req put = rig_write_req(&v, &whole, 1);
    CHECK_STATUS(memory_ops_of(MEMORY_HOST)->make(1 << 20, &(struct memory_how){0}, &second.memory),
                 CENOTE_OK);
    CHECK_STATUS(r->ops->add_segment(r->exporter, &second), CENOTE_OK);
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    int status = rig_run(c, &put);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(status == CENOTE_OK || (!put.may_land && !c->transport->alive(c)));
    rig_disconnect(c);
    c = rig_connect(r, 1);
    sums_reset(v.sums);
    rig_put(c, &v);
    CHECK(memcmp(second.memory.base, v.data, v.len_bytes) == 0);
    rig_value_free(&v);
    rig_disconnect(c);
    rig_restart(r);
    memory_ops_of(MEMORY_HOST)->destroy(&second.memory);
}

struct worker {
    struct rig *rig;
    struct xcopy_channel *channel; /* NULL: one of its own */
    pthread_t thread;
    uint64_t offset;
};

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct xcopy_channel *c = w->channel != NULL ? w->channel : rig_connect(w->rig, 1);
    uint8_t *out = malloc(200000);
    CHECK(out != NULL);
    for (unsigned i = 0; i < 60; i++) {
        struct rig_value v;
        rig_value_make(&v, 1, rig_next_put(), w->offset, 1 + i * 3331);
        rig_put(c, &v);
        CHECK_STATUS(rig_get(c, &v, out), CENOTE_OK);
        CHECK(memcmp(out, v.data, v.len_bytes) == 0);
        rig_value_free(&v);
    }
    free(out);
    if (w->channel == NULL)
        rig_disconnect(c);
    return NULL;
}

void case_threads(struct rig *r)
{
    struct worker w[8];
    bool shared = (r->transport->caps & XCOPY_CAP_SHARED) != 0;
    struct xcopy_channel *c = shared ? rig_connect(r, 1) : NULL;
    for (size_t i = 0; i < 8; i++) {
        w[i] = (struct worker){.rig = r, .channel = c, .offset = i << 20};
        CHECK(pthread_create(&w[i].thread, NULL, worker_main, &w[i]) == 0);
    }
    for (size_t i = 0; i < 8; i++)
        pthread_join(w[i].thread, NULL);
    if (shared)
        rig_disconnect(c);
}

void case_thousand_connects(struct rig *r)
{
    for (int i = 0; i < 1000; i++)
        rig_disconnect(rig_connect(r, 1 + (uint64_t)i % 5));
    expect_service(r);
}

/* ---- raw sockets ----------------------------------------------------------------------------- */

static int raw_socket(const struct rig *r)
{
    struct endpoint e;
    CHECK_STATUS(endpoint_parse(rig_endpoint(r), &e), CENOTE_OK);
    int fd = endpoint_connect(&e, RIG_TIMEOUT_MS);
    CHECK(fd >= 0);
    return fd;
}

/* The other end closes, whatever it says before. */
static void expect_end(int fd, int wait_ms)
{
    uint8_t buffer[4096];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n;
    do {
        CHECK(poll(&p, 1, wait_ms) == 1);
        n = recv(fd, buffer, sizeof buffer, 0);
    } while (n > 0);
    close(fd);
}

void case_garbage(struct rig *r)
{
    uint8_t junk[3000];
    if (r->peer.loop != NULL)
        return;
    for (unsigned i = 0; i < 200; i++) {
        struct hello hello = {.who = rig_who(1), .boot = RIG_BOOT};
        size_t len = 1 + i * 13;
        hash_random(junk, sizeof junk);
        if (i % 3 == 0) /* junk behind a good hello */
            hello_encode(&hello, junk);
        if (i % 6 == 0) { /* and behind a good start of a request */
            struct tcp_request q = {.op = TCP_WRITE, .len_bytes = UINT64_MAX, .gva = {RIG_GVA}};
            tcp_request_encode(&q, junk + HELLO_BYTES);
            len += HELLO_BYTES + TCP_REQUEST_BYTES;
        }
        int fd = raw_socket(r);
        (void)!send(fd, junk, len, MSG_NOSIGNAL);
        shutdown(fd, SHUT_WR);
        expect_end(fd, 5000);
    }
    expect_service(r);
}

/* Half a hello, then silence: the node hangs up, and serves others meanwhile. */
void case_silence(struct rig *r)
{
    int fds[40];
    uint8_t raw[HELLO_BYTES];
    struct hello hello = {.who = rig_who(1), .boot = RIG_BOOT};
    if (r->peer.loop != NULL)
        return;
    hello_encode(&hello, raw);
    for (size_t i = 0; i < 40; i++) {
        fds[i] = raw_socket(r);
        CHECK(i == 0 || send(fds[i], raw, i, MSG_NOSIGNAL) == (ssize_t)i);
    }
    expect_service(r);
    for (size_t i = 0; i < 40; i++)
        expect_end(fds[i], 2 * (int)HELLO_TIMEOUT_MS);
}
