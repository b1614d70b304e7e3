/* SPDX-License-Identifier: Apache-2.0 */
/* Faults of the peers, and of those who ask for too much. */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/contract/rdma_faults.h"
#include "transport/base/clock.h"

#define VALUE_BYTES (UINT64_C(300) << 10)
#define SOON_MS     20000u
#define LINGER_MS   150u

static struct rig rig;
static struct traffic traffic;

/* ---- a node in another process --------------------------------------------------------------- */

struct node {
    pid_t pid;
    int hold; /* it lives until this is closed */
};

/* Before this process has opened a device. */
static void node_begin(struct node *n)
{
    int hold[2], told[2];
    char endpoint[XCOPY_ENDPOINT_MAX] = "";
    CHECK(pipe(hold) == 0 && pipe(told) == 0);
    n->pid = fork();
    CHECK(n->pid >= 0);
    if (n->pid == 0) {
        close(hold[1]);
        rig_start_rdma(&rig, FAULTS_NODE, FAULTS_NODE);
        CHECK(write(told[1], rig.peer.rdma, sizeof endpoint) == sizeof endpoint);
        CHECK(read(hold[0], endpoint, 1) == 0);
        rig_stop(&rig);
        _exit(0);
    }
    close(hold[0]);
    close(told[1]);
    CHECK(read(told[0], endpoint, sizeof endpoint) == sizeof endpoint);
    close(told[0]);
    n->hold = hold[1];
    memset(&rig, 0, sizeof rig);
    rig.client_rdma = FAULTS_CLIENT;
    rig_point_at(&rig, "rdma", endpoint);
}

static void node_end(struct node *n)
{
    int status;
    close(n->hold);
    CHECK(waitpid(n->pid, &status, 0) == n->pid);
    rig_leave(&rig);
}

/* ---- requests in flight ---------------------------------------------------------------------- */

#define FLIGHTS      8u
#define FLIGHT_BYTES (UINT64_C(700) << 10)

struct flight {
    struct rig_value value;
    struct cenote_buffer whole;
    struct xcopy_req req;
    uint8_t *out, tail[SEAL_BYTES];
};

/* Every other one a READ. */
static void flights_submit(struct flight *f, struct xcopy_channel *c)
{
    for (unsigned i = 0; i < FLIGHTS; i++) {
        rig_value_make(&f[i].value, 1, rig_next_put(), (uint64_t)i << 21, FLIGHT_BYTES);
        f[i].out = calloc(1, FLIGHT_BYTES);
        CHECK(f[i].out != NULL);
        f[i].whole = (struct cenote_buffer){i % 2 == 0 ? f[i].value.data : f[i].out, FLIGHT_BYTES};
        f[i].req = i % 2 == 0 ? rig_write_req(&f[i].value, &f[i].whole, 1)
                              : rig_read_req(&f[i].value, &f[i].whole, 1, f[i].tail, SEAL_BYTES);
        c->transport->submit(c, &f[i].req);
    }
}

static void flights_finish(struct flight *f, struct xcopy_channel *c)
{
    for (unsigned i = 0; i < FLIGHTS; i++)
        rig_finish(c, &f[i].req);
}

static void flights_free(struct flight *f)
{
    for (unsigned i = 0; i < FLIGHTS; i++) {
        rig_value_free(&f[i].value);
        free(f[i].out);
    }
}

/* Moves the channel for so long. */
static void move(struct xcopy_channel *c, uint64_t time_ms)
{
    for (uint64_t end_ms = clock_now_ms() + time_ms; clock_now_ms() < end_ms;)
        c->transport->progress(c);
}

/* ---- killed ---------------------------------------------------------------------------------- */

/* All in flight fail in the time that their tries take, and nothing comes after that. */
void fault_node_killed(void)
{
    static struct flight f[FLIGHTS];
    struct node n;
    node_begin(&n);
    struct xcopy_channel *c = rig_connect(&rig, 1);
    flights_submit(f, c);
    flights_finish(f, c);
    flights_free(f);
    softrdma_net("delay 20ms"); /* or all of it is there before the node is dead */
    flights_submit(f, c);
    move(c, 100);
    CHECK(kill(n.pid, SIGKILL) == 0);
    uint64_t since_ms = clock_now_ms();
    flights_finish(f, c);
    CHECK(clock_now_ms() - since_ms < FAULTS_LIMIT_MS);
    CHECK_STATUS(f[FLIGHTS - 1].req.status, CENOTE_NODE_DOWN);
    CHECK(!c->transport->alive(c));
    for (unsigned i = 1; i < FLIGHTS; i += 2)
        memset(f[i].out, 0x77, FLIGHT_BYTES);
    usleep(1000 * LINGER_MS);
    for (unsigned i = 1; i < FLIGHTS; i += 2)
        for (uint64_t k = 0; k < FLIGHT_BYTES; k++)
            if (f[i].out[k] != 0x77)
                CHECK(!"nothing comes after the end");
    flights_free(f);
    rig_disconnect(c);
    node_end(&n);
    softrdma_net("wire ''");
}

/* A client in another process, which puts and gets without a pause. */
static pid_t client_begin(void)
{
    static struct rig remote;
    rig_start_rdma(&rig, FAULTS_NODE, FAULTS_CLIENT);
    int told[2];
    char word;
    CHECK(pipe(told) == 0);
    /* Neither the exporter's thread nor its locks are in the child, which doesn't touch them. */
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        remote.client_rdma = FAULTS_CLIENT;
        rig_point_at(&remote, "rdma", rig.peer.rdma);
        struct xcopy_channel *c = rig_connect(&remote, 1);
        for (unsigned i = 0;; i++) {
            struct rig_value v;
            rig_value_make(&v, 1, rig_next_put(), 0, VALUE_BYTES);
            struct cenote_buffer whole = {v.data, v.len_bytes};
            struct xcopy_req put = rig_write_req(&v, &whole, 1);
            int status = rig_run(c, &put);
            rig_value_free(&v);
            if (status != CENOTE_OK)
                _exit(status == CENOTE_FENCED ? 0 : 1);
            if (i == 3)
                CHECK(write(told[1], "x", 1) == 1);
        }
    }
    close(told[1]);
    CHECK(read(told[0], &word, 1) == 1);
    close(told[0]);
    return pid;
}

static void expect_queue_pairs(uint64_t count)
{
    struct xcopy_report report;
    uint64_t deadline_ms = clock_now_ms() + SOON_MS;
    do {
        rig.ops->report(rig.exporter, &report);
        CHECK(clock_now_ms() < deadline_ms);
        usleep(1000);
    } while (report.queue_pairs != count || (count == 0 && report.connections != 0));
}

/* Fences all that the client has put or will, and puts its memory to another use. */
static void fence_and_reuse(void)
{
    struct rig_fence f;
    uint64_t since_ms = clock_now_ms();
    rig_fence_begin(&rig, &f, 1, UINT64_MAX / 2);
    CHECK(rig_fence_ended(&f, SOON_MS));
    printf("  fenced in %u ms\n", (unsigned)(clock_now_ms() - since_ms));
    rig_fence_free(&f);
    memset(rig_memory(&rig, 0), 0x77, 2 * VALUE_BYTES);
}

static void expect_reused(void)
{
    const uint8_t *memory = rig_memory(&rig, 0);
    for (uint64_t i = 0; i < 2 * VALUE_BYTES; i++)
        if (memory[i] != 0x77)
            CHECK(!"nothing of the old writer lands");
}

static void expect_service(void)
{
    traffic_start(&traffic, &rig, 2, VALUE_BYTES, FAULTS_WAIT_MS);
    traffic_await_rounds(&traffic, 2);
    traffic_stop(&traffic, FAULTS_LIMIT_MS);
    CHECK(traffic.failed + traffic.refused == 0);
}

void fault_client_killed(void)
{
    int status;
    pid_t pid = client_begin();
    expect_queue_pairs(2);
    CHECK(kill(pid, SIGKILL) == 0);
    expect_queue_pairs(0);
    fence_and_reuse();
    CHECK(waitpid(pid, &status, 0) == pid);
    expect_service();
    expect_reused();
    rig_stop(&rig);
}

/* ---- stopped --------------------------------------------------------------------------------- */

/* A fence doesn't wait for a client that stands still; when it goes on, it is refused. */
void fault_client_stopped(void)
{
    int status;
    pid_t pid = client_begin();
    CHECK(kill(pid, SIGSTOP) == 0);
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    fence_and_reuse();
    expect_service();
    expect_reused();
    CHECK(kill(pid, SIGCONT) == 0);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    expect_queue_pairs(0);
    expect_reused();
    rig_stop(&rig);
}

/* A node that stands still answers READs and WRITEs by its device; what its thread would have to
 * say doesn't come, and who waits for that can give up at any time. */
void fault_node_stopped(void)
{
    struct node n;
    struct rig_value v, w;
    int status;
    node_begin(&n);
    struct xcopy_channel *c = rig_connect(&rig, 1), *reads = rig_connect(&rig, 1), *late = NULL;
    rig_value_make(&v, 1, rig_next_put(), 0, VALUE_BYTES);
    rig_value_make(&w, 1, rig_next_put(), 1 << 20, VALUE_BYTES);
    uint8_t *out = malloc(VALUE_BYTES);
    CHECK(out != NULL);
    rig_put(c, &v);
    CHECK(kill(n.pid, SIGSTOP) == 0);
    CHECK(waitpid(n.pid, &status, WUNTRACED) == n.pid && WIFSTOPPED(status));
    sums_reset(v.sums);
    rig_put(c, &v);
    CHECK_STATUS(rig_get(c, &v, out), CENOTE_OK);
    CHECK_STATUS(rig_get(reads, &v, out), CENOTE_OK);
    CHECK(memcmp(out, v.data, VALUE_BYTES) == 0);

    struct xcopy_credentials who = rig_who(1);
    uint64_t since_ms = clock_now_ms();
    CHECK_STATUS(rig.transport->connect(rig.context, &rig.peer, &who, 300, &late),
                 CENOTE_TIMED_OUT);
    CHECK(clock_now_ms() - since_ms < 5000);
    struct cenote_buffer whole = {w.data, w.len_bytes};
    struct xcopy_req put = rig_write_req(&w, &whole, 1);
    reads->transport->submit(reads, &put); /* its first: it needs a queue pair */
    move(reads, 300);
    CHECK_STATUS(put.status, XCOPY_IN_PROGRESS);
    reads->transport->cancel(reads, CENOTE_TIMED_OUT);
    CHECK_STATUS(put.status, CENOTE_TIMED_OUT);
    CHECK(!put.may_land && !put.started);

    CHECK(kill(n.pid, SIGCONT) == 0);
    rig_disconnect(reads);
    reads = rig_connect(&rig, 1);
    rig_put(reads, &w);
    CHECK_STATUS(rig_get(c, &w, out), CENOTE_OK);
    free(out);
    rig_value_free(&v);
    rig_value_free(&w);
    rig_disconnect(c);
    rig_disconnect(reads);
    node_end(&n);
}

/* ---- too much -------------------------------------------------------------------------------- */

#define CROWD  400u
#define PIECES 4000u

/* More requests than all queues have room for, one of them in more pieces than any of them. */
void fault_queue_full(void)
{
    static struct rig_value v[CROWD];
    static struct cenote_buffer whole[CROWD];
    static struct xcopy_req put[CROWD], get[CROWD];
    static uint8_t tail[CROWD][SEAL_BYTES];
    size_t count;
    rig_start_rdma(&rig, FAULTS_NODE, FAULTS_CLIENT ",depth=16");
    struct xcopy_channel *c = rig_connect(&rig, 1);
    struct rig_value big;
    rig_value_make(&big, 1, rig_next_put(), UINT64_C(32) << 20, PIECES * 1100);
    struct cenote_buffer *pieces = rig_cut(big.data, big.len_bytes, 1100, &count);
    struct xcopy_req scattered = rig_write_req(&big, pieces, count);
    for (unsigned i = 0; i < CROWD; i++) {
        rig_value_make(&v[i], 1, rig_next_put(), (uint64_t)i << 16, 1 + i * 61);
        whole[i] = (struct cenote_buffer){v[i].data, v[i].len_bytes};
        put[i] = rig_write_req(&v[i], &whole[i], 1);
        c->transport->submit(c, &put[i]);
        if (i == CROWD / 2)
            c->transport->submit(c, &scattered);
    }
    rig_finish(c, &put[CROWD - 1]);
    CHECK_STATUS(scattered.status, CENOTE_OK);
    CHECK(rig_holds(&rig, &big));
    for (unsigned i = 0; i < CROWD; i++) {
        CHECK_STATUS(put[i].status, CENOTE_OK);
        CHECK(rig_holds(&rig, &v[i]));
        memset(v[i].data, 0, v[i].len_bytes);
        get[i] = rig_read_req(&v[i], &whole[i], 1, tail[i], SEAL_BYTES);
        c->transport->submit(c, &get[i]);
    }
    rig_finish(c, &get[CROWD - 1]);
    for (unsigned i = 0; i < CROWD; i++) {
        CHECK_STATUS(get[i].status, CENOTE_OK);
        CHECK(rig_holds(&rig, &v[i]));
        rig_value_free(&v[i]);
    }
    rig_value_free(&big);
    free(pieces);
    rig_disconnect(c);
    rig_stop(&rig);
}

/* ---- a client that frees its buffer ---------------------------------------------------------- */

#define BUFFER_BYTES (UINT64_C(2) << 20)

static uint8_t *map_buffer(void *at)
{
    uint8_t *memory =
        mmap(at, BUFFER_BYTES, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | (at != NULL ? MAP_FIXED_NOREPLACE : 0), -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

/* What comes at the place of a freed buffer isn't touched, and serves the next request. */
static void unmap_under_read(struct xcopy_channel *c, const struct rig_value *v)
{
    uint8_t tail[SEAL_BYTES];
    uint8_t *memory = map_buffer(NULL);
    memset(memory, 1, BUFFER_BYTES);
    struct cenote_buffer whole = {memory, v->len_bytes};
    struct xcopy_req get = rig_read_req(v, &whole, 1, tail, SEAL_BYTES);
    c->transport->submit(c, &get);
    move(c, 10);
    CHECK_STATUS(get.status, XCOPY_IN_PROGRESS);
    CHECK(munmap(memory, BUFFER_BYTES) == 0);
    CHECK(map_buffer(memory) == memory);
    memset(memory, 0x77, BUFFER_BYTES);
    rig_finish(c, &get);
    CHECK_STATUS(get.status, CENOTE_OK);
    for (uint64_t i = 0; i < BUFFER_BYTES; i++)
        if (memory[i] != 0x77)
            CHECK(!"others' memory isn't touched");
    CHECK_STATUS(rig_get(c, v, memory), CENOTE_OK);
    CHECK(memcmp(memory, v->data, v->len_bytes) == 0);
    CHECK(munmap(memory, BUFFER_BYTES) == 0);
}

/* The value is the old one or the new memory's; a sum that doesn't fit tells if it is neither. */
static void unmap_under_write(struct xcopy_channel *c)
{
    struct rig_value v;
    uint8_t *memory = map_buffer(NULL);
    rig_value_make(&v, 1, rig_next_put(), UINT64_C(8) << 20, BUFFER_BYTES);
    memcpy(memory, v.data, BUFFER_BYTES);
    struct cenote_buffer whole = {memory, v.len_bytes};
    struct xcopy_req put = rig_write_req(&v, &whole, 1);
    c->transport->submit(c, &put);
    move(c, 10);
    CHECK_STATUS(put.status, XCOPY_IN_PROGRESS);
    CHECK(munmap(memory, BUFFER_BYTES) == 0);
    CHECK(map_buffer(memory) == memory);
    rig_finish(c, &put);
    CHECK_STATUS(put.status, CENOTE_OK);
    int status = rig_get(c, &v, v.data);
    CHECK(status == CENOTE_OK || status == CENOTE_CORRUPT);
    printf("  a put whose buffer was freed: %s\n", cenote_status_name(status));
    CHECK(munmap(memory, BUFFER_BYTES) == 0);
    rig_value_free(&v);
}

void fault_buffer_unmapped(void)
{
    struct rig_value v;
    rig_start_rdma(&rig, FAULTS_NODE, FAULTS_CLIENT);
    struct xcopy_channel *c = rig_connect(&rig, 1);
    rig_value_make(&v, 1, rig_next_put(), 0, BUFFER_BYTES);
    rig_put(c, &v);
    softrdma_net("delay 20ms");
    for (unsigned i = 0; i < 2; i++)
        unmap_under_read(c, &v);
    for (unsigned i = 0; i < 2; i++)
        unmap_under_write(c);
    softrdma_net("wire ''");
    rig_value_free(&v);
    rig_disconnect(c);
    rig_stop(&rig);
}

/* ---- connects -------------------------------------------------------------------------------- */

#define CONNECTORS 8u
#define CONNECTS   64u

static void *connect_again_and_again(void *arg)
{
    uint64_t session = (uintptr_t)arg;
    for (unsigned i = 0; i < CONNECTS / CONNECTORS; i++)
        rig_disconnect(rig_connect(&rig, session));
    return NULL;
}

void fault_connects_at_once(void)
{
    pthread_t threads[CONNECTORS];
    rig_start_rdma(&rig, FAULTS_NODE, FAULTS_CLIENT);
    for (uintptr_t i = 0; i < CONNECTORS; i++)
        CHECK(pthread_create(&threads[i], NULL, connect_again_and_again, (void *)(i + 1)) == 0);
    for (unsigned i = 0; i < CONNECTORS; i++)
        pthread_join(threads[i], NULL);
    expect_queue_pairs(0);
    expect_service();
    rig_stop(&rig);
}
