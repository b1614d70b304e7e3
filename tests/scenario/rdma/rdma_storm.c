/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storms at the node's side of rdma:
 *   connects   clients come, open queue pairs and go, some in the middle of a message
 *   opens      queue pairs are opened while their sessions are fenced: what was opened below a
 *              horizon is gone when the fence has answered
 *   writes     clients write without a pause while they are fenced: when a fence has answered, the
 *              memory of the fenced put is used for something else, and stays as it is then
 * Usage: rdma_storm [real] [CASE...]
 * real: over the devices of this machine, not the mock's.
 */
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/scenario/rdma/host.h"
#include "tests/support/mockverbs.h"
#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/rdma/region.h"

#define THREADS 6u
#define SEED    20261122

static struct host host;

/* Each thread with its number, from 1 on. */
static void run_threads(void *(*run)(void *number))
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, run, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

/* ---- connects -------------------------------------------------------------------------------- */

#define CONNECTS 170u /* a thread */
#define CONNECTS_REAL                                                                              \
    40u /* a thousand, counted by the kernel, are tests/system/test_rdma_leaks.py's */

static void come_and_go(uint64_t session, unsigned how)
{
    struct setup_opened o;
    struct guest *g = guest_new(&host);
    if (how % 8 == 0) { /* without a word */
        guest_free(g);
        return;
    }
    guest_greet(g, session);
    for (uint32_t tag = 0; tag < how % 5; tag++)
        CHECK_EQ(guest_open(g, tag, tag % 2 ? RDMA_ROLE_READ : RDMA_ROLE_WRITE, &o), CENOTE_OK);
    if (how % 3 == 0) { /* doesn't wait for the answer */
        struct setup_open open = guest_open_of(g, 99, RDMA_ROLE_WRITE);
        guest_send_open(g, &open);
    }
    if (how % 7 == 0)
        guest_send(g, "CNRQ", 4);
    if (how % 2 == 0) {
        struct linger reset = {.l_onoff = 1};
        setsockopt(g->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    guest_free(g);
}

static void *connects(void *number)
{
    unsigned count = host_is_real ? CONNECTS_REAL : CONNECTS;
    for (unsigned i = 0; i < count; i++)
        come_and_go((uintptr_t)number, i * 5 + (unsigned)(uintptr_t)number);
    return NULL;
}

static void case_connects(void)
{
    run_threads(connects);
    host_await_connections(&host, 0);
    host_await_queue_pairs(&host, 0);
    CHECK_EQ(mock_counts().qps, 0);
    CHECK_EQ(host_report(&host).regions, 2 * host_report(&host).rail_count);
}

/* ---- opens ----------------------------------------------------------------------------------- */

#define OPEN_SESSIONS    2u
#define OPEN_FENCES      200u
#define OPEN_FENCES_REAL 50u

static _Atomic uint64_t fenced[OPEN_SESSIONS + 1]; /* horizons of fences that have answered */
static atomic_uint opened[OPEN_SESSIONS + 1];      /* queue pairs, ever */
static atomic_uint fencing;

/* Of real ones only their node knows. */
static bool is_alive(uint32_t number)
{
    struct mock_queue_pair q;
    return mock_queue_pair_of(number, &q);
}

static void *fence_again_and_again(void *number)
{
    uint64_t session = (uintptr_t)number, last = host_is_real ? OPEN_FENCES_REAL : OPEN_FENCES;
    for (uint64_t horizon = 1; horizon <= last; horizon++) {
        unsigned before = atomic_load(&opened[session]);
        while (atomic_load(&opened[session]) == before)
            usleep(20);
        host_fence(&host, session, horizon);
        atomic_store(&fenced[session], horizon);
    }
    atomic_fetch_sub(&fencing, 1);
    return NULL;
}

/* Queue pairs that one connection has opened. */
struct opened_list {
    uint32_t numbers[SETUP_QUEUES_MAX];
    uint64_t horizons[SETUP_QUEUES_MAX];
    unsigned count;
};

/* As many as there is room for. */
static void remember(struct opened_list *o, const struct setup_opened *new)
{
    if (o->count == SETUP_QUEUES_MAX)
        return;
    o->numbers[o->count] = new->end.number;
    o->horizons[o->count++] = new->horizon;
}

/* Those whose horizon a fence has passed are no more; others are remembered. */
static void check_opened(struct opened_list *o, uint64_t session)
{
    uint64_t passed = atomic_load(&fenced[session]);
    for (unsigned i = 0; i < o->count;) {
        if (o->horizons[i] >= passed) {
            i++;
            continue;
        }
        CHECK(!is_alive(o->numbers[i]));
        o->count--;
        o->numbers[i] = o->numbers[o->count];
        o->horizons[i] = o->horizons[o->count];
    }
}

static void *open_again_and_again(void *number)
{
    struct opened_list mine = {.count = 0};
    uint64_t session = (uintptr_t)number % OPEN_SESSIONS + 1;
    struct guest *g = guest_connect(&host, session);
    for (uint32_t tag = 0; atomic_load(&fencing) > 0; tag++) {
        struct setup_open open = guest_open_of(g, tag, RDMA_ROLE_WRITE);
        guest_send_open(g, &open);
        struct said s = guest_hear(g);
        while (s.type == SETUP_CLOSED) /* of an earlier one */
            s = guest_hear(g);
        CHECK_EQ(s.type, SETUP_OPENED);
        if (s.opened.status == CENOTE_LIMIT) {
            guest_free(g);
            g = guest_connect(&host, session);
            mine.count = 0;
            continue;
        }
        CHECK_EQ(s.opened.status, CENOTE_OK);
        atomic_fetch_add(&opened[session], 1);
        remember(&mine, &s.opened);
        check_opened(&mine, session);
    }
    guest_free(g);
    return NULL;
}

static void case_opens(void)
{
    pthread_t fencers[OPEN_SESSIONS];
    atomic_store(&fencing, OPEN_SESSIONS);
    for (uintptr_t i = 0; i < OPEN_SESSIONS; i++)
        CHECK_EQ(pthread_create(&fencers[i], NULL, fence_again_and_again, (void *)(i + 1)), 0);
    run_threads(open_again_and_again);
    for (unsigned i = 0; i < OPEN_SESSIONS; i++)
        CHECK_EQ(pthread_join(fencers[i], NULL), 0);
    host_await_queue_pairs(&host, 0);
}

/* ---- writes ---------------------------------------------------------------------------------- */

#define PUTS          10u /* of each writer; each put has a block of its own, and a fence */
#define BLOCK_BYTES   4096u
#define WRITES_BEFORE 20u /* of a put before it is fenced */
#define IN_FLIGHT     8u
#define OTHER_USE     0xee
#define LANDING_US    5000u /* WRITEs that are under way take less */
/* A writer whose queue pair has gone hears of it soon, and a busy machine is no reason. */
#define SETTINGS      "rails=1,timeout=12,retry=2"

struct writer {
    uint64_t session;
    struct rdma_devices *devices;
    struct ibv_cq *cq;
    struct rdma_region *source;
    struct rdma_queue queue;
    struct guest *guest;
    struct setup_key key;
    uint64_t horizon;
    _Atomic uint64_t put, written; /* put: being written; written: how often */
    uint32_t tag, in_flight;
    uint8_t bytes[BLOCK_BYTES];
};

static struct writer writers[THREADS / 2];

static uint64_t offset_of(const struct writer *w, uint64_t put)
{
    return ((w->session - 1) * (PUTS + 1) + put) * BLOCK_BYTES;
}

static void writer_init(struct writer *w)
{
    struct rdma_settings settings;
    char error[128];
    CHECK_EQ(rdma_settings_parse(SETTINGS, &settings, error, sizeof error), CENOTE_OK);
    CHECK_EQ(rdma_devices_open(&settings, &w->devices), CENOTE_OK);
    w->cq = w->devices->verbs->create_cq(w->devices->at[0].context, 512, NULL, NULL, 0);
    CHECK(w->cq != NULL);
    CHECK_EQ(rdma_region_make(w->devices, w->bytes, BLOCK_BYTES, RDMA_ACCESS_LOCAL_SOURCE, -1, true,
                              &w->source),
             CENOTE_OK);
    w->guest = guest_connect(&host, w->session);
}

static void writer_end(struct writer *w)
{
    CHECK(rdma_queue_end(&w->queue));
    guest_free(w->guest);
    rdma_region_free(w->source);
    w->devices->verbs->destroy_cq(w->cq);
    rdma_devices_close(w->devices);
}

static void writer_open(struct writer *w)
{
    struct setup_open open = guest_open_of(w->guest, ++w->tag, RDMA_ROLE_WRITE);
    CHECK_EQ(rdma_queue_make(&w->queue, w->devices, &w->devices->rails[0], w->cq, RDMA_SIDE_CLIENT,
                             RDMA_ROLE_WRITE),
             CENOTE_OK);
    rdma_queue_describe(&w->queue, &open.end);
    rdma_port_address(&w->devices->rails[0], &open.from, NULL);
    guest_send_open(w->guest, &open);
    struct said s = guest_hear(w->guest);
    while (s.type == SETUP_CLOSED)
        s = guest_hear(w->guest);
    CHECK_EQ(s.type, SETUP_OPENED);
    CHECK_EQ(s.opened.status, CENOTE_OK);
    w->horizon = s.opened.horizon;
    w->key = w->guest->keys[0];
    CHECK_EQ(rdma_queue_connect(&w->queue, RDMA_SIDE_CLIENT, &s.opened.end, &w->guest->ports.at[0]),
             CENOTE_OK);
}

static void post_write(struct writer *w)
{
    struct rdma_key own;
    CHECK(rdma_region_key(w->source, 0, 0, &own));
    struct ibv_sge piece = {(uintptr_t)w->bytes, BLOCK_BYTES, own.lkey};
    struct ibv_send_wr *bad, wr = {.sg_list = &piece,
                                   .num_sge = 1,
                                   .opcode = IBV_WR_RDMA_WRITE,
                                   .send_flags = IBV_SEND_SIGNALED};
    wr.wr.rdma.remote_addr = w->key.addr + offset_of(w, atomic_load(&w->put));
    wr.wr.rdma.rkey = w->key.rkey;
    CHECK_EQ(ibv_post_send(w->queue.qp, &wr, &bad), 0);
    w->in_flight++;
}

/* False: a request failed. */
static bool reap(struct writer *w)
{
    struct ibv_wc wc;
    bool good = true;
    while (ibv_poll_cq(w->cq, 1, &wc) == 1) {
        w->in_flight--;
        good &= wc.status == IBV_WC_SUCCESS;
        if (wc.status == IBV_WC_SUCCESS)
            atomic_fetch_add(&w->written, 1);
    }
    return good;
}

/* Writes one put until its queue pair is taken away; or gives that up itself, once, and leaves the
 * node's end to be found by what it has sent. */
static void write_put(struct writer *w, bool give_up)
{
    bool good = true;
    while (good || w->in_flight > 0) {
        while (good && w->in_flight < IN_FLIGHT)
            post_write(w);
        good &= reap(w);
        if (good && give_up && atomic_load(&w->written) > WRITES_BEFORE / 2) {
            rdma_queue_fail(&w->queue);
            good = false;
        }
    }
    CHECK(rdma_queue_end(&w->queue));
}

static void *write_all(void *arg)
{
    struct writer *w = arg;
    for (;;) {
        writer_open(w);
        if (w->horizon >= PUTS)
            break;
        atomic_store(&w->written, 0);
        uint64_t before = atomic_exchange(&w->put, w->horizon + 1);
        write_put(w, before != w->horizon + 1 && before % 2 == 0);
    }
    return NULL;
}

/* The memory of a fenced put is somebody else's. */
static void reuse(uint8_t *block)
{
    memset(block, OTHER_USE, BLOCK_BYTES);
    if (host_is_real)
        return;
    mock_forbid(block, BLOCK_BYTES);
    mock_land(); /* what has been sent and isn't there yet */
}

static void check_reused(const uint8_t *block)
{
    for (unsigned i = 0; i < BLOCK_BYTES; i++)
        CHECK_EQ(block[i], OTHER_USE);
}

/* Fences each put in the middle of its writes. */
static void *fence_all(void *arg)
{
    struct writer *w = arg;
    uint8_t *base = host.segments[0].memory.base;
    for (uint64_t put = 1; put <= PUTS; put++) {
        while (atomic_load(&w->put) != put || atomic_load(&w->written) < WRITES_BEFORE)
            usleep(100);
        host_fence(&host, w->session, put);
        uint8_t *block = base + offset_of(w, put);
        reuse(block);
        if (host_is_real) {
            usleep(LANDING_US);
            check_reused(block);
        }
    }
    return NULL;
}

static void *write_and_be_fenced(void *number)
{
    uintptr_t n = (uintptr_t)number - 1;
    struct writer *w = &writers[n / 2];
    return n % 2 == 0 ? write_all(w) : fence_all(w);
}

static void case_writes(void)
{
    for (unsigned i = 0; i < THREADS / 2; i++) {
        writers[i].session = i + 1;
        writer_init(&writers[i]);
    }
    if (!host_is_real) {
        mock_set_quirks(MOCK_LATE | MOCK_STRAY);
        mock_run(SEED);
    }
    run_threads(write_and_be_fenced);
    if (!host_is_real) {
        mock_rest();
        mock_set_quirks(0);
    }
    CHECK(host_report(&host).fenced >= THREADS / 2 * PUTS);
    for (unsigned i = 0; i < THREADS / 2; i++) {
        writer_end(&writers[i]);
        for (uint64_t put = 1; put <= PUTS; put++)
            check_reused((uint8_t *)host.segments[0].memory.base + offset_of(&writers[i], put));
    }
}

/* ---------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {{"connects", case_connects}, {"opens", case_opens}, {"writes", case_writes}};

static bool wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc <= 1 + host_is_real;
}

int main(int argc, char **argv)
{
    log_set_sink(log_to_stderr, NULL);
    log_set_level(LOG_ERROR);
    host_is_real = argc > 1 && strcmp(argv[1], "real") == 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (!wanted(cases[i].name, argc, argv))
            continue;
        uint64_t since_ms = clock_now_ms();
        printf("%s\n", cases[i].name);
        fflush(stdout);
        if (!host_is_real)
            mock_add("mock0");
        host_start(&host);
        cases[i].run();
        host_stop(&host);
        if (!host_is_real)
            mock_reset();
        printf("  %.1f s\n", (double)(clock_now_ms() - since_ms) / 1000);
        fflush(stdout);
    }
    return 0;
}
