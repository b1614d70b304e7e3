/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How near the transports come to the bare copies below them, as ratios of throughput:
 *   shm read    against a memcpy from the same segment into the same scattered pieces
 *   tcp         against one blocking sendmsg()/recvmsg() pair that moves the same bytes between the
 *               same memories over a loopback connection, without any protocol
 * The two are measured in turns, and the medians compared. Usage: xcopy_bench [seconds per line]
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "transport/base/clock.h"
#include "transport/base/endpoint.h"
#include "transport/base/log.h"
#include "transport/fabric.h"

#define PIECE_BYTES (UINT64_C(72) << 10) /* one layer's part of a KV-cache block ... */
#define PIECES      122u                 /* ... of a model with 61 layers, keys and values */
#define EXTENTS     24u                  /* more than the caches hold */
#define ROUNDS_MIN  5u
#define ROUNDS_MAX  200u
#define TIMEOUT_MS  10000u
#define INCARNATION 1u
#define SESSION     1u
#define NODE        1u

static const struct hash_key key = {{1}};

/* ---- a node ---------------------------------------------------------------------------------- */

static int admit_client(void *arg, const struct xcopy_credentials *who)
{
    (void)arg;
    return token_valid(&key, who->session, who->name_space, &who->token) ? CENOTE_OK
                                                                         : CENOTE_DENIED;
}

static int admit_write(void *arg, uint64_t session, uint64_t put_id, struct gva gva,
                       uint64_t extent_len, const struct write_grant *grant)
{
    (void)arg;
    return grant_check(&key, 1, session, put_id, gva, extent_len, grant);
}

static uint64_t no_horizon(void *arg, uint64_t session)
{
    (void)arg;
    (void)session;
    return 0;
}

struct bench {
    struct memory memory;
    struct fabric *fabric;
    uint8_t *local; /* EXTENTS values */
    uint64_t len_bytes;
    uint64_t stride;
    size_t pieces;
    struct cenote_buffer *parts; /* of all values, EXTENTS * pieces */
    struct iovec *iov;           /* the same */
    int bare[2];                 /* both ends of the bare connection */
    bool verify;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "xcopy_bench: %s failed\n", what);
    exit(1);
}

static void start_node(struct bench *b, struct xcopy_exporter **exporter, const char *transport)
{
    static const struct xcopy_gate gate = {
        .boot = 1, .authenticate = admit_client, .admit_write = admit_write, .horizon = no_horizon};
    bool shm = strcmp(transport, "shm") == 0;
    const struct xcopy_exporter_ops *ops = shm ? &xcopy_shm_exporter : &xcopy_tcp_exporter;
    struct xcopy_peer peer = {.node = NODE, .boot = 1};
    char endpoint[XCOPY_ENDPOINT_MAX], bound[XCOPY_ENDPOINT_MAX];
    snprintf(endpoint, sizeof endpoint, shm ? "unix:/tmp/xcopy-bench-%d" : "127.0.0.1:0",
             (int)getpid());
    struct xcopy_segment segment = {
        .gva = gva_make(GVA_FIRST), .incarnation = INCARNATION, .memory = b->memory};
    must(ops->start(endpoint, &gate, exporter, bound) == CENOTE_OK, "start");
    must(ops->add_segment(*exporter, &segment) == CENOTE_OK, "add_segment");
    xcopy_this_host(peer.host);
    memcpy(shm ? peer.shm : peer.tcp, bound, sizeof bound);
    struct xcopy_credentials who = {.session = SESSION, .token = token_make(&key, SESSION, 0)};
    b->fabric = fabric_new(CENOTE_TRANSPORT_AUTO);
    must(b->fabric != NULL, "fabric_new");
    fabric_set_credentials(b->fabric, &who);
    must(fabric_set_peer(b->fabric, &peer) == CENOTE_OK, "fabric_set_peer");
}

/* ---- what is measured: each moves all values once -------------------------------------------- */

static void seal_value(struct xcopy_req *req)
{
    struct seal seal = {.put_id = req->put_id,
                        .gva = req->gva,
                        .incarnation = INCARNATION,
                        .stripes = 1,
                        .payload_len = req->payload_len,
                        .root = req->sums != NULL ? sums_root(req->sums) : 0,
                        .state = SEAL_STATE_LIVE};
    seal_encode(&seal, req->tail + req->tail_len - SEAL_BYTES);
}

static void move_values(struct bench *b, enum xcopy_op op)
{
    uint64_t tail_len = op == XCOPY_WRITE ? extent_size(b->len_bytes) - b->len_bytes : SEAL_BYTES;
    uint8_t *tail = calloc(1, tail_len);
    struct sums *sums = b->verify ? sums_new(b->len_bytes) : NULL;
    must(tail != NULL && (!b->verify || sums != NULL), "memory");
    for (size_t i = 0; i < EXTENTS; i++) {
        struct gva gva = gva_make(GVA_FIRST + i * b->stride);
        struct fabric_req req = {
            .node = NODE,
            .x = {.op = op,
                  .gva = gva,
                  .payload_len = b->len_bytes,
                  .put_id = i + 1,
                  .grant = grant_make(&key, 1, SESSION, i + 1, gva, extent_size(b->len_bytes)),
                  .len_bytes = b->len_bytes,
                  .local = {.pieces = b->parts + i * b->pieces, .count = b->pieces},
                  .sums = sums,
                  .tail = tail,
                  .tail_len = tail_len,
                  .seal_it = op == XCOPY_WRITE ? seal_value : NULL}};
        if (sums != NULL)
            sums_reset(sums);
        fabric_run(b->fabric, &req, 1, TIMEOUT_MS);
        must(req.x.status == CENOTE_OK, cenote_status_text(req.x.status));
        if (sums != NULL)
            (void)sums_root(sums);
    }
    sums_free(sums);
    free(tail);
}

static void run_read(struct bench *b)
{
    move_values(b, XCOPY_READ);
}

static void run_write(struct bench *b)
{
    move_values(b, XCOPY_WRITE);
}

static void run_memcpy(struct bench *b)
{
    for (size_t i = 0; i < EXTENTS; i++) {
        const uint8_t *from = (const uint8_t *)b->memory.base + i * b->stride;
        for (size_t k = 0; k < b->pieces; k++) {
            const struct cenote_buffer *part = &b->parts[i * b->pieces + k];
            memcpy(part->addr, from, part->len_bytes);
            from += part->len_bytes;
        }
    }
}

/* Moves all of an iovec over a blocking socket. */
static void bare_move(int fd, const struct iovec *iov, size_t count, bool out)
{
    struct iovec rest[PIECES];
    struct msghdr msg = {.msg_iov = rest, .msg_iovlen = count};
    memcpy(rest, iov, count * sizeof *iov);
    while (msg.msg_iovlen > 0) {
        ssize_t n = out ? sendmsg(fd, &msg, MSG_NOSIGNAL) : recvmsg(fd, &msg, MSG_WAITALL);
        must(n > 0, "bare copy");
        while (msg.msg_iovlen > 0 && (size_t)n >= msg.msg_iov->iov_len) {
            n -= (ssize_t)msg.msg_iov->iov_len;
            msg.msg_iov++;
            msg.msg_iovlen--;
        }
        if (msg.msg_iovlen > 0) {
            msg.msg_iov->iov_base = (uint8_t *)msg.msg_iov->iov_base + n;
            msg.msg_iov->iov_len -= (size_t)n;
        }
    }
}

struct bare {
    struct bench *bench;
    bool to_local;
};

/* The side of the segment. */
static void *bare_remote(void *arg)
{
    const struct bare *bare = arg;
    struct bench *b = bare->bench;
    for (size_t i = 0; i < EXTENTS; i++) {
        struct iovec whole = {(uint8_t *)b->memory.base + i * b->stride, b->len_bytes};
        bare_move(b->bare[1], &whole, 1, bare->to_local);
    }
    return NULL;
}

static void bare_both(struct bench *b, bool to_local)
{
    pthread_t thread;
    struct bare bare = {b, to_local};
    must(pthread_create(&thread, NULL, bare_remote, &bare) == 0, "thread");
    for (size_t i = 0; i < EXTENTS; i++)
        bare_move(b->bare[0], b->iov + i * b->pieces, b->pieces, !to_local);
    pthread_join(thread, NULL);
}

static void run_bare_read(struct bench *b)
{
    bare_both(b, true);
}

static void run_bare_write(struct bench *b)
{
    bare_both(b, false);
}

/* ---- measuring ------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double gib_s(struct bench *b, void (*run)(struct bench *))
{
    uint64_t began_ns = clock_now_ns();
    run(b);
    double seconds = (double)(clock_now_ns() - began_ns) / 1e9;
    return (double)(EXTENTS * b->len_bytes) / seconds / (double)(UINT64_C(1) << 30);
}

static void compare(struct bench *b, const char *what, void (*run)(struct bench *),
                    void (*bare)(struct bench *), uint64_t budget_ms)
{
    double ours[ROUNDS_MAX], theirs[ROUNDS_MAX];
    unsigned n = 0;
    uint64_t until_ms = clock_now_ms() + budget_ms;
    run(b);
    bare(b);
    while (n < ROUNDS_MIN || (n < ROUNDS_MAX && clock_now_ms() < until_ms)) {
        ours[n] = gib_s(b, run);
        theirs[n] = gib_s(b, bare);
        n++;
    }
    qsort(ours, n, sizeof *ours, by_value);
    qsort(theirs, n, sizeof *theirs, by_value);
    printf("%-10s %-5s %6llu KiB in %3zu pieces: %6.2f GiB/s, bare %6.2f GiB/s, ratio %.2f\n", what,
           b->verify ? "full" : "seal", (unsigned long long)(b->len_bytes >> 10), b->pieces,
           ours[n / 2], theirs[n / 2], ours[n / 2] / theirs[n / 2]);
    fflush(stdout);
}

static void connect_bare(struct bench *b)
{
    struct endpoint at, bound;
    must(endpoint_parse("127.0.0.1:0", &at) == CENOTE_OK, "endpoint");
    int listener = endpoint_listen(&at, 1, &bound);
    must(listener >= 0, "listen");
    b->bare[0] = endpoint_connect(&bound, TIMEOUT_MS);
    b->bare[1] = accept(listener, NULL, NULL);
    must(b->bare[0] >= 0 && b->bare[1] >= 0, "connect");
    close(listener);
}

static void set_shape(struct bench *b, uint64_t len_bytes, size_t pieces)
{
    uint64_t piece = len_bytes / pieces;
    b->len_bytes = len_bytes;
    b->pieces = pieces;
    b->stride = (extent_size(len_bytes) + 4095) / 4096 * 4096;
    for (size_t i = 0; i < EXTENTS * pieces; i++) {
        uint8_t *at = b->local + i * piece;
        b->parts[i] = (struct cenote_buffer){at, piece};
        b->iov[i] = (struct iovec){at, piece};
    }
}

static void bench_shape(struct bench *b, const char *transport, uint64_t len, size_t pieces,
                        uint64_t budget_ms)
{
    struct xcopy_exporter *exporter;
    bool shm = strcmp(transport, "shm") == 0;
    set_shape(b, len, pieces);
    start_node(b, &exporter, transport);
    for (int full = 0; full < 2; full++) {
        b->verify = full != 0;
        run_write(b);
        compare(b, shm ? "shm read" : "tcp read", run_read, shm ? run_memcpy : run_bare_read,
                budget_ms);
        compare(b, shm ? "shm write" : "tcp write", run_write, shm ? run_memcpy : run_bare_write,
                budget_ms);
    }
    fabric_free(b->fabric);
    exporter->ops->stop(exporter);
}

int main(int argc, char **argv)
{
    static struct bench b;
    const struct memory_ops *host = memory_ops_of(MEMORY_HOST);
    uint64_t budget_ms = argc > 1 ? (uint64_t)(atof(argv[1]) * 1000) : 1000;
    uint64_t largest = PIECES * PIECE_BYTES;
    uint64_t room = EXTENTS * (largest + (UINT64_C(64) << 10));
    log_set_sink(log_to_stderr, NULL);
    hash_init();
    must(host->make(room, &b.memory) == CENOTE_OK, "make");
    must(host->populate(&b.memory, 0, room) == CENOTE_OK, "populate");
    b.local = malloc(room);
    b.parts = calloc(EXTENTS * PIECES, sizeof *b.parts);
    b.iov = calloc(EXTENTS * PIECES, sizeof *b.iov);
    must(b.local != NULL && b.parts != NULL && b.iov != NULL, "memory");
    memset(b.local, 1, room);
    connect_bare(&b);
    bench_shape(&b, "shm", largest, PIECES, budget_ms);
    bench_shape(&b, "shm", 64 << 10, 1, budget_ms);
    bench_shape(&b, "tcp", largest, PIECES, budget_ms);
    bench_shape(&b, "tcp", 1 << 20, 1, budget_ms);
    bench_shape(&b, "tcp", 64 << 10, 1, budget_ms);
    close(b.bare[0]);
    close(b.bare[1]);
    free(b.iov);
    free(b.parts);
    free(b.local);
    host->destroy(&b.memory);
    return 0;
}
