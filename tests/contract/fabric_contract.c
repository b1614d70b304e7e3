/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of the fabric (transport/fabric.h), over every transport.
 * Usage: fabric_contract TRANSPORT
 */
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/contract/rig.h"
#include "tests/support/mockverbs.h"
#include "transport/base/clock.h"
#include "transport/base/endpoint.h"
#include "transport/base/log.h"
#include "transport/fabric_link.h"
#include "transport/hello.h"
#include "transport/rdma/exporter.h"
#include "transport/transfer.h"

enum { LEN = 300000, BATCH = 20 };

static struct fabric *fabric_for(struct rig *r, uint64_t session)
{
    struct xcopy_credentials who = rig_who(session);
    const struct xcopy_settings settings = {0};
    struct fabric *f;
    CHECK_STATUS(fabric_new(CENOTE_TRANSPORT_AUTO, &settings, NULL, &f), CENOTE_OK);
    fabric_set_credentials(f, &who);
    CHECK_STATUS(fabric_set_peer(f, &r->peer), CENOTE_OK);
    return f;
}

static int run_one(struct fabric *f, struct rig_value *v, enum xcopy_op op)
{
    struct cenote_buffer whole = {v->data, v->len_bytes};
    struct fabric_req req = {.node = 1};
    sums_reset(v->sums);
    req.x = op == XCOPY_WRITE ? rig_write_req(v, &whole, 1)
                              : rig_read_req(v, &whole, 1, v->tail, v->tail_len);
    fabric_run(f, &req, 1, 2000);
    CHECK(req.x.status == CENOTE_OK || !req.x.may_land);
    return req.x.status;
}

static void batches(struct fabric *f, struct rig *r, uint64_t session, uint64_t offset)
{
    struct rig_value v[BATCH];
    struct cenote_buffer whole[BATCH];
    struct fabric_req reqs[BATCH];
    for (size_t i = 0; i < BATCH; i++) {
        rig_value_make(&v[i], session, rig_next_put(), offset + i * 512 * 1024, LEN);
        whole[i] = (struct cenote_buffer){v[i].data, LEN};
        reqs[i].node = i % 7 == 3 ? 99 : 1; /* 99: nobody knows it */
        reqs[i].x = rig_write_req(&v[i], &whole[i], 1);
    }
    fabric_run(f, reqs, BATCH, RIG_TIMEOUT_MS);
    for (size_t i = 0; i < BATCH; i++) {
        CHECK_STATUS(reqs[i].x.status, reqs[i].node == 1 ? CENOTE_OK : CENOTE_NODE_DOWN);
        CHECK(!reqs[i].x.may_land);
        CHECK(rig_holds(r, &v[i]) == (reqs[i].node == 1));
        rig_value_free(&v[i]);
    }
}

static void case_batches(const char *name)
{
    static struct rig r;
    rig_start(&r, name);
    struct fabric *f = fabric_for(&r, 1);
    batches(f, &r, 1, 0);
    batches(f, &r, 1, 0);
    CHECK(strcmp(fabric_transport_to(f, 1, 2000), r.transport->name) == 0);
    CHECK(fabric_transport_to(f, 99, 2000) == NULL);
    fabric_drop_peer(f, 1);
    CHECK(fabric_transport_to(f, 1, 2000) == NULL);
    fabric_free(f);
    rig_stop(&r);
}

struct worker {
    pthread_t thread;
    struct fabric *fabric;
    struct rig *rig;
    uint64_t offset;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < 5; i++)
        batches(w->fabric, w->rig, 1, w->offset);
    return NULL;
}

/* Threads share a fabric while its peers change. */
static void case_threads(const char *name)
{
    static struct rig r;
    struct worker w[4];
    struct xcopy_credentials who = rig_who(1);
    rig_start(&r, name);
    struct fabric *f = fabric_for(&r, 1);
    for (size_t i = 0; i < 4; i++) {
        w[i] = (struct worker){.fabric = f, .rig = &r, .offset = i * (RIG_SEGMENT / 4)};
        CHECK(pthread_create(&w[i].thread, NULL, work, &w[i]) == 0);
    }
    for (int i = 0; i < 20; i++) {
        struct xcopy_peer other = r.peer, same = r.peer;
        other.node = 2 + (uint64_t)i % 3;
        fabric_set_credentials(f, &who);
        /* an endpoint that isn't used changes */
        snprintf(same.tcp[0] != '\0' ? same.shm : same.tcp, sizeof same.tcp, "%d", i);
        CHECK_STATUS(fabric_set_peer(f, &same), CENOTE_OK);
        CHECK_STATUS(fabric_set_peer(f, &other), CENOTE_OK);
        CHECK(fabric_transport_to(f, other.node, 2000) != NULL);
        fabric_drop_peer(f, other.node);
    }
    for (size_t i = 0; i < 4; i++)
        pthread_join(w[i].thread, NULL);
    fabric_free(f);
    rig_stop(&r);
}

/* The node stops, and comes back: first at the same endpoints, then with another boot. */
static void case_restart(const char *name)
{
    static struct rig r;
    struct rig_value v;
    rig_start(&r, name);
    struct fabric *f = fabric_for(&r, 1);
    rig_value_make(&v, 1, rig_next_put(), 4096, LEN);
    CHECK_STATUS(run_one(f, &v, XCOPY_WRITE), CENOTE_OK);
    r.ops->stop(r.exporter);
    /* over shared memory the news takes a moment */
    for (int i = 0; i < 1000 && run_one(f, &v, XCOPY_READ) == CENOTE_OK; i++)
        usleep(1000);
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(run_one(f, &v, XCOPY_READ), CENOTE_NODE_DOWN);
        CHECK_STATUS(run_one(f, &v, XCOPY_WRITE), CENOTE_NODE_DOWN);
    }
    rig_start_again(&r);
    CHECK_STATUS(fabric_set_peer(f, &r.peer), CENOTE_OK);
    CHECK_STATUS(run_one(f, &v, XCOPY_READ), CENOTE_OK);
    /* between two calls this time: a pooled channel is dead, and is replaced */
    rig_restart(&r);
    CHECK_STATUS(fabric_set_peer(f, &r.peer), CENOTE_OK);
    CHECK_STATUS(run_one(f, &v, XCOPY_WRITE), CENOTE_OK);
    r.peer.boot++;
    CHECK_STATUS(fabric_set_peer(f, &r.peer), CENOTE_OK);
    CHECK_STATUS(run_one(f, &v, XCOPY_READ), CENOTE_OLD_BOOT);
    rig_value_free(&v);
    fabric_free(f);
    rig_stop(&r);
}

static bool has_channel(struct fabric *f)
{
    struct fabric_link *link;
    bool reused;
    int status = fabric_link_take(f, 1, FABRIC_OPEN, 2000, &link, &reused);
    if (status == CENOTE_OK)
        fabric_link_give(f, link, false);
    return status == CENOTE_OK;
}

/* Channels outlive credentials that are given again, not those of another session. */
static void case_credentials(const char *name)
{
    static struct rig r;
    struct xcopy_credentials who = rig_who(1), next = rig_who(2);
    rig_start(&r, name);
    struct fabric *f = fabric_for(&r, 1);
    CHECK(!has_channel(f));
    CHECK(fabric_transport_to(f, 1, 2000) != NULL);
    fabric_set_credentials(f, &who);
    CHECK(has_channel(f));
    fabric_set_credentials(f, &next);
    CHECK(!has_channel(f));
    fabric_free(f);
    rig_stop(&r);
}

/* A child gives back what it got by fork(); its parent's channel doesn't feel it. */
static void case_fork(const char *name)
{
    static struct rig r;
    struct rig_value v;
    int status;
    rig_start(&r, name);
    struct fabric *f = fabric_for(&r, 1);
    rig_value_make(&v, 1, rig_next_put(), 4096, LEN);
    CHECK_STATUS(run_one(f, &v, XCOPY_WRITE), CENOTE_OK);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        fabric_abandon(f);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(has_channel(f));
    CHECK_STATUS(run_one(f, &v, XCOPY_READ), CENOTE_OK);
    fabric_free(f);
    rig_value_free(&v);
    rig_stop(&r);
}

/* The first transport that connects is taken; what isn't allowed is left alone. */
static void case_choice(const char *name)
{
    static struct rig r;
    struct xcopy_credentials who = rig_who(1);
    rig_start(&r, name);
    struct fabric *f = fabric_for(&r, 1);
    struct xcopy_peer peer = r.peer;
    if (peer.tcp[0] != '\0') {
        snprintf(peer.shm, sizeof peer.shm, "unix:/nonexistent/socket");
        CHECK_STATUS(fabric_set_peer(f, &peer), CENOTE_OK);
        CHECK(strcmp(fabric_transport_to(f, 1, 2000), r.transport->name) == 0);
    } else if (peer.shm[0] != '\0') {
        snprintf(peer.host, sizeof peer.host, "another machine");
        CHECK_STATUS(fabric_set_peer(f, &peer), CENOTE_OK);
        CHECK(fabric_transport_to(f, 1, 2000) == NULL);
    }
    fabric_free(f);
    CHECK_STATUS(fabric_new(strcmp(name, "tcp") == 0 ? CENOTE_TRANSPORT_SHM : CENOTE_TRANSPORT_TCP,
                            &(struct xcopy_settings){0}, NULL, &f),
                 CENOTE_OK);
    fabric_set_credentials(f, &who);
    CHECK_STATUS(fabric_set_peer(f, &r.peer), CENOTE_OK);
    CHECK(fabric_transport_to(f, 1, 2000) == NULL);
    fabric_free(f);
    rig_stop(&r);
}

/* A node that says hello and nothing more. */
static void *mute(void *arg)
{
    int listener = *(int *)arg, fd;
    uint8_t raw[HELLO_BYTES];
    struct hello_answer a = {.status = CENOTE_OK, .boot = RIG_BOOT};
    do
        fd = accept(listener, NULL, NULL);
    while (fd < 0 && usleep(1000) == 0);
    CHECK(recv(fd, raw, sizeof raw, MSG_WAITALL) == HELLO_BYTES);
    hello_answer_encode(&a, raw);
    CHECK(send(fd, raw, HELLO_ANSWER_BYTES, 0) == HELLO_ANSWER_BYTES);
    while (recv(fd, raw, sizeof raw, 0) > 0)
        ;
    close(fd);
    return NULL;
}

static void case_silent_node(void)
{
    static struct rig r;
    struct endpoint at, bound;
    pthread_t thread;
    struct rig_value v;
    rig_start(&r, "tcp");
    struct fabric *f = fabric_for(&r, 1);
    CHECK_STATUS(endpoint_parse("127.0.0.1:0", &at), CENOTE_OK);
    int listener = endpoint_listen(&at, 5, &bound);
    CHECK(listener >= 0);
    CHECK(pthread_create(&thread, NULL, mute, &listener) == 0);
    struct xcopy_peer peer = r.peer;
    peer.node = 2;
    endpoint_format(&bound, peer.tcp, sizeof peer.tcp);
    CHECK_STATUS(fabric_set_peer(f, &peer), CENOTE_OK);
    rig_value_make(&v, 1, rig_next_put(), 4096, 50000);
    struct cenote_buffer whole = {v.data, v.len_bytes};
    struct fabric_req reqs[2] = {{.node = 2, .x = rig_write_req(&v, &whole, 1)},
                                 {.node = 1, .x = rig_write_req(&v, &whole, 1)}};
    reqs[0].x.sums = NULL;
    reqs[0].x.seal_it = NULL;
    fabric_run(f, reqs, 2, 300);
    CHECK_STATUS(reqs[0].x.status, CENOTE_TIMED_OUT);
    CHECK(reqs[0].x.may_land);
    CHECK_STATUS(reqs[1].x.status, CENOTE_OK);
    fabric_free(f);
    pthread_join(thread, NULL);
    close(listener);
    rig_value_free(&v);
    rig_stop(&r);
}

enum { NAP_MS = 600, NODE_MS = 200, PATIENCE_MS = 300 };

static int admit_slowly(void *arg, uint64_t session, uint64_t put_id, struct gva gva,
                        uint64_t extent_len, const struct write_grant *grant)
{
    (void)arg, (void)session, (void)put_id, (void)gva, (void)extent_len, (void)grant;
    usleep(NODE_MS * 1000);
    return CENOTE_OK;
}

static void nap(int signal_number)
{
    (void)signal_number;
    usleep(NAP_MS * 1000);
}

/* This process stands still for longer than its patience, in the middle of a copy: that says
 * nothing about the node. */
static void case_own_nap(void)
{
    static struct rig r;
    struct rig_value v;
    const struct sigaction act = {.sa_handler = nap};
    const struct itimerval soon = {.it_value = {.tv_usec = NODE_MS * 1000 / 2}};
    rig_start(&r, "tcp");
    r.gate.admit_write = admit_slowly;
    rig_restart(&r);
    struct fabric *f = fabric_for(&r, 1);
    CHECK(fabric_transport_to(f, 1, 2000) != NULL);
    rig_value_make(&v, 1, rig_next_put(), 4096, 500);
    struct cenote_buffer whole = {v.data, v.len_bytes};
    struct fabric_req req = {.node = 1, .x = rig_write_req(&v, &whole, 1)};
    CHECK(sigaction(SIGALRM, &act, NULL) == 0 && setitimer(ITIMER_REAL, &soon, NULL) == 0);
    fabric_run(f, &req, 1, PATIENCE_MS);
    CHECK_STATUS(req.x.status, CENOTE_OK);
    fabric_free(f);
    rig_value_free(&v);
    rig_stop(&r);
}

static uint64_t sealed_ms;

static void note_seal(struct xcopy_req *req)
{
    sealed_ms = clock_now_ms();
    rig_seal(req->owner);
}

/* A node that accepts and doesn't answer holds up nobody else's copy. */
static void case_deaf_node(void)
{
    static struct rig r;
    struct endpoint at, bound;
    struct rig_value v;
    rig_start(&r, "tcp");
    struct fabric *f = fabric_for(&r, 1);
    CHECK(fabric_transport_to(f, 1, 2000) != NULL);
    CHECK_STATUS(endpoint_parse("127.0.0.1:0", &at), CENOTE_OK);
    int listener = endpoint_listen(&at, 5, &bound);
    CHECK(listener >= 0);
    struct xcopy_peer peer = r.peer;
    peer.node = 2;
    endpoint_format(&bound, peer.tcp, sizeof peer.tcp);
    CHECK_STATUS(fabric_set_peer(f, &peer), CENOTE_OK);
    rig_value_make(&v, 1, rig_next_put(), 4096, 32 << 20);
    struct cenote_buffer whole = {v.data, v.len_bytes};
    struct fabric_req reqs[2] = {{.node = 2, .x = rig_write_req(&v, &whole, 1)},
                                 {.node = 1, .x = rig_write_req(&v, &whole, 1)}};
    reqs[1].x.seal_it = note_seal;
    uint64_t begun_ms = clock_now_ms();
    fabric_run(f, reqs, 2, 1500);
    CHECK_STATUS(reqs[0].x.status, CENOTE_TIMED_OUT);
    CHECK(!reqs[0].x.may_land);
    CHECK_STATUS(reqs[1].x.status, CENOTE_OK);
    CHECK(sealed_ms < begun_ms + 1500);
    fabric_free(f);
    close(listener);
    rig_value_free(&v);
    rig_stop(&r);
}

/* ---- transfers: a driver of the test's own --------------------------------------------------- */

enum { PARTS = 3, PART = 3 << 20, SLICE = 1 << 20 };

struct trip {
    struct rig_value values[PARTS];
    struct cenote_buffer whole[PARTS];
    struct fabric_req reqs[PARTS];
    struct transfer_lane lane;
    struct transfer t;
};

static void trip_begin(struct trip *p, struct fabric *f, uint64_t offset)
{
    struct fabric_link *link;
    bool reused;
    for (size_t i = 0; i < PARTS; i++) {
        struct rig_value *v = &p->values[i];
        rig_value_make(v, 1, rig_next_put(), offset + i * 2 * PART, PART);
        p->whole[i] = (struct cenote_buffer){v->data, PART};
        p->reqs[i] = (struct fabric_req){.node = 1, .x = rig_write_req(v, &p->whole[i], 1)};
    }
    transfer_begin(&p->t, f, p->reqs, PARTS, &p->lane, 1);
    p->t.slice_bytes = SLICE;
    CHECK(transfer_goes_on(&p->t));
    CHECK(p->t.lane_count == 1 && p->lane.state == LANE_WAITS);
    CHECK_STATUS(fabric_link_take(f, 1, p->lane.want, 2000, &link, &reused), CENOTE_OK);
    transfer_lend(&p->t, &p->lane, link, reused, clock_now_ms());
    CHECK(p->lane.state == LANE_RUNS);
}

static void trip_end(struct trip *p)
{
    for (size_t i = 0; i < PARTS; i++)
        rig_value_free(&p->values[i]);
}

static void trip_run(struct trip *p)
{
    while (p->lane.state == LANE_RUNS)
        (void)transfer_progress(&p->t, &p->lane, clock_now_ms());
    CHECK(!transfer_goes_on(&p->t));
}

/* In small bits, two at a time; ending one of them is nothing to the other. */
static void case_transfers(const char *name)
{
    static struct rig r;
    struct trip a, b;
    rig_start(&r, name);
    struct fabric *f = fabric_for(&r, 1);
    trip_begin(&a, f, 0);
    trip_begin(&b, f, 32 << 20);
    (void)transfer_progress(&a.t, &a.lane, clock_now_ms());
    (void)transfer_progress(&b.t, &b.lane, clock_now_ms());
    CHECK(a.lane.state == LANE_RUNS && b.lane.state == LANE_RUNS);
    transfer_cancel(&a.t, CENOTE_CANCELLED);
    CHECK(a.lane.state == LANE_OVER && !transfer_goes_on(&a.t));
    CHECK_STATUS(a.reqs[PARTS - 1].x.status, CENOTE_CANCELLED);
    CHECK(!a.reqs[PARTS - 1].x.started || a.reqs[PARTS - 1].x.may_land);
    trip_run(&b);
    for (size_t i = 0; i < PARTS; i++) {
        CHECK_STATUS(b.reqs[i].x.status, CENOTE_OK);
        CHECK(rig_holds(&r, &b.values[i]));
        CHECK(a.reqs[i].x.status == CENOTE_OK || a.reqs[i].x.status == CENOTE_CANCELLED);
    }
    CHECK(!rig_holds(&r, &a.values[PARTS - 1]));
    trip_end(&a);
    trip_end(&b);
    fabric_free(f);
    rig_stop(&r);
}

/* ---- a node that is dropped meanwhile -------------------------------------------------------- */

struct asker {
    pthread_t thread;
    struct fabric *fabric;
    const char *found;
};

static sem_t asked, may_answer;
static atomic_uint admissions;

static int authenticate_late(void *arg, const struct xcopy_credentials *who)
{
    (void)arg, (void)who;
    if (atomic_fetch_add(&admissions, 1) == 0) {
        sem_post(&asked);
        while (sem_wait(&may_answer) != 0)
            ;
    }
    return CENOTE_OK;
}

static void *ask(void *arg)
{
    struct asker *a = arg;
    a->found = fabric_transport_to(a->fabric, 1, RIG_TIMEOUT_MS);
    return NULL;
}

/* One thread connects and another one waits for it, while the node is dropped: nobody connects from
 * then on, and what is open is closed. */
static void case_dropped(const char *name)
{
    static struct rig r;
    struct asker first, second;
    rig_start(&r, name);
    r.gate.authenticate = authenticate_late;
    rig_restart(&r);
    struct fabric *f = fabric_for(&r, 1);
    first = second = (struct asker){.fabric = f};
    CHECK(sem_init(&asked, 0, 0) == 0 && sem_init(&may_answer, 0, 0) == 0);
    CHECK(pthread_create(&first.thread, NULL, ask, &first) == 0);
    while (sem_wait(&asked) != 0)
        ;
    CHECK(pthread_create(&second.thread, NULL, ask, &second) == 0);
    usleep(20000); /* if it takes longer to begin, it finds no such node, which is as well */
    fabric_drop_peer(f, 1);
    sem_post(&may_answer);
    pthread_join(first.thread, NULL);
    pthread_join(second.thread, NULL);
    CHECK(first.found != NULL && second.found == NULL);
    fabric_free(f);
    rig_stop(&r);
}

/* A lane that never gets a channel. */
static void case_refused(const char *name)
{
    static struct rig r;
    struct transfer_lane lane;
    struct transfer t;
    struct rig_value v;
    rig_start(&r, name);
    struct fabric *f = fabric_for(&r, 1);
    rig_value_make(&v, 1, rig_next_put(), 0, LEN);
    struct cenote_buffer whole = {v.data, LEN};
    struct fabric_req reqs[2] = {{.node = 1, .x = rig_write_req(&v, &whole, 1)},
                                 {.node = 2, .x = rig_write_req(&v, &whole, 1)}};
    transfer_begin(&t, f, reqs, 2, &lane, 1);
    CHECK(transfer_goes_on(&t) && t.lane_count == 1);
    transfer_refuse(&t, &lane, CENOTE_NODE_DOWN);
    CHECK_STATUS(reqs[0].x.status, CENOTE_NODE_DOWN);
    CHECK(!reqs[0].x.may_land && !reqs[0].x.started);
    CHECK(transfer_goes_on(&t) && lane.node == 2);
    transfer_cancel(&t, CENOTE_CANCELLED);
    CHECK_STATUS(reqs[1].x.status, CENOTE_CANCELLED);
    CHECK(!transfer_goes_on(&t));
    rig_value_free(&v);
    fabric_free(f);
    rig_stop(&r);
}

/* Queue pairs for one node at a time: links that nobody uses make room for another node's. */
static void case_limit(const char *name)
{
    static struct rig r;
    struct xcopy_credentials who = rig_who(1);
    const struct xcopy_settings few = {.rdma = "rails=1,qps=2"};
    struct rig_value v;
    uint8_t tail[SEAL_BYTES];
    rig_start(&r, name);
    struct fabric *f;
    CHECK_STATUS(fabric_new(CENOTE_TRANSPORT_RDMA, &few, NULL, &f), CENOTE_OK);
    fabric_set_credentials(f, &who);
    rig_value_make(&v, 1, rig_next_put(), 4096, LEN);
    CHECK_STATUS(fabric_set_peer(f, &r.peer), CENOTE_OK);
    CHECK_STATUS(run_one(f, &v, XCOPY_WRITE), CENOTE_OK);
    for (uint64_t node = 2; node < 5; node++) {
        struct xcopy_peer peer = r.peer;
        struct cenote_buffer whole = {v.data, LEN};
        peer.node = node;
        CHECK_STATUS(fabric_set_peer(f, &peer), CENOTE_OK);
        struct fabric_req req = {.node = node, .x = rig_read_req(&v, &whole, 1, tail, sizeof tail)};
        fabric_run(f, &req, 1, 2000);
        CHECK_STATUS(req.x.status, CENOTE_OK);
    }
    rig_value_free(&v);
    fabric_free(f);
    rig_stop(&r);
}

uint64_t __real_clock_tick_ms(void);
uint64_t __wrap_clock_tick_ms(void);
static _Atomic uint64_t skipped_ms;

/* The linker puts it in place of the clock. */
uint64_t __wrap_clock_tick_ms(void)
{
    return __real_clock_tick_ms() + atomic_load(&skipped_ms);
}

/* A segment more that the devices have only when the mock lets them. */
static void register_slowly(struct rig *r)
{
    struct xcopy_segment second = r->segment;
    second.gva = gva_add(r->segment.gva, RIG_SEGMENT);
    ((struct exporter *)r->exporter)->segments.patience_ms = 1;
    mock_hold_registering(true);
    CHECK_STATUS(r->ops->add_segment(r->exporter, &second), CENOTE_OK);
}

static void expect_transport(struct fabric *f, const char *name)
{
    const char *used = fabric_transport_to(f, 1, 2000);
    CHECK(used != NULL && strcmp(used, name) == 0);
}

/* A node that has RDMA a little later: who took TCP meanwhile, and is busy, goes over some time. */
static void case_second_best(const char *name)
{
    static struct rig r;
    struct xcopy_exporter *tcp;
    rig_start(&r, name);
    CHECK_STATUS(xcopy_tcp_exporter.start("127.0.0.1:0", &r.gate, &(struct xcopy_settings){0}, &tcp,
                                          r.peer.tcp),
                 CENOTE_OK);
    CHECK_STATUS(xcopy_tcp_exporter.add_segment(tcp, &r.segment), CENOTE_OK);
    register_slowly(&r);
    struct fabric *f = fabric_for(&r, 1);
    expect_transport(f, "tcp");
    mock_hold_registering(false);
    while (!exporter_segments_ready((struct exporter *)r.exporter))
        usleep(200);
    atomic_fetch_add(&skipped_ms, 200000);
    expect_transport(f, "tcp");
    atomic_fetch_add(&skipped_ms, 200000);
    expect_transport(f, "tcp"); /* for the last time */
    expect_transport(f, "rdma");
    atomic_fetch_add(&skipped_ms, 10000000);
    expect_transport(f, "rdma");
    fabric_free(f);
    xcopy_tcp_exporter.stop(tcp);
    rig_stop(&r);
}

/* The same where no queue pair finds a way just then: a link was down, an address was missing. */
static void case_no_way(const char *name)
{
    static struct rig r;
    struct xcopy_exporter *tcp;
    rig_start(&r, name);
    CHECK_STATUS(xcopy_tcp_exporter.start("127.0.0.1:0", &r.gate, &(struct xcopy_settings){0}, &tcp,
                                          r.peer.tcp),
                 CENOTE_OK);
    CHECK_STATUS(xcopy_tcp_exporter.add_segment(tcp, &r.segment), CENOTE_OK);
    struct fabric *f = fabric_for(&r, 1);
    mock_fail_verb(MOCK_MODIFY_QP, 0, 2, ETIMEDOUT); /* on either rail */
    expect_transport(f, "tcp");
    atomic_fetch_add(&skipped_ms, 400000);
    expect_transport(f, "tcp"); /* for the last time */
    expect_transport(f, "rdma");
    fabric_free(f);
    xcopy_tcp_exporter.stop(tcp);
    rig_stop(&r);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s TRANSPORT\n", argv[0]);
        return 2;
    }
    log_set_sink(log_to_stderr, NULL);
    log_set_level(LOG_ERROR);
    case_batches(argv[1]);
    case_threads(argv[1]);
    case_restart(argv[1]);
    case_credentials(argv[1]);
    case_fork(argv[1]);
    case_choice(argv[1]);
    case_transfers(argv[1]);
    case_refused(argv[1]);
    case_dropped(argv[1]);
    if (strcmp(argv[1], "mockrdma") == 0) {
        case_limit(argv[1]);
        case_second_best(argv[1]);
        case_no_way(argv[1]);
    }
    if (strcmp(argv[1], "tcp") == 0) {
        case_silent_node();
        case_own_nap();
        case_deaf_node();
    }
    return 0;
}
