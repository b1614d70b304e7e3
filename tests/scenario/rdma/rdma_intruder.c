/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client that a node has let in, and that then names memory which isn't its own: wrong keys,
 * ranges beyond a region, keys for reading to write with, keys of an earlier life. The device
 * refuses each of them, nothing changes in the node's memory, and others are served meanwhile.
 * Usage: rdma_intruder [real] [CASE...]
 * real: over the devices of this machine, not the mock's.
 */
#include <string.h>

#include "tests/scenario/rdma/host.h"
#include "tests/support/mockverbs.h"
#include "tests/support/softrdma.h"
#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/rdma/region.h"

#define SETTINGS    "timeout=16,retry=6" /* all is answered, on a busy machine too */
#define LOCAL_BYTES (2 * HOST_SEGMENT_BYTES)
#define PATTERN     0x5a
#define NODE_BYTE   0x33

static struct host host;

/* A client's end: devices, memory, a connection, and a queue pair at a time. */
struct line {
    struct rdma_devices *devices;
    struct ibv_cq *cq;
    struct rdma_region *local;
    uint8_t *bytes;
    struct guest *guest;
    struct rdma_queue queue;
    uint32_t tag;
};

static void line_begin(struct line *l, uint64_t session)
{
    struct rdma_settings settings;
    char error[128];
    memset(l, 0, sizeof *l);
    CHECK_EQ(rdma_settings_parse(SETTINGS, &settings, error, sizeof error), CENOTE_OK);
    CHECK_EQ(rdma_devices_open(&settings, &l->devices), CENOTE_OK);
    l->cq = l->devices->verbs->create_cq(l->devices->at[0].context, 16, NULL, NULL, 0);
    l->bytes = malloc(LOCAL_BYTES);
    CHECK(l->cq != NULL && l->bytes != NULL);
    memset(l->bytes, PATTERN, LOCAL_BYTES);
    CHECK_EQ(
        rdma_region_make(l->devices, l->bytes, LOCAL_BYTES, RDMA_ACCESS_LOCAL, -1, true, &l->local),
        CENOTE_OK);
    l->guest = guest_connect(&host, session);
}

static void line_end(struct line *l)
{
    guest_free(l->guest);
    rdma_region_free(l->local);
    l->devices->verbs->destroy_cq(l->cq);
    rdma_devices_close(l->devices);
    free(l->bytes);
}

/* Opens a queue pair from the first port here to one of the node's; its keys are in the guest's. */
static void open_queue(struct line *l, enum rdma_role role, uint32_t port)
{
    struct setup_open open = guest_open_of(l->guest, ++l->tag, role);
    CHECK_EQ(rdma_queue_make(&l->queue, l->devices, &l->devices->rails[0], l->cq, RDMA_SIDE_CLIENT,
                             role),
             CENOTE_OK);
    open.port = port;
    rdma_queue_describe(&l->queue, &open.end);
    rdma_port_address(&l->devices->rails[0], &open.from, NULL);
    guest_send_open(l->guest, &open);
    struct said s = guest_hear(l->guest);
    CHECK_EQ(s.type, SETUP_OPENED);
    CHECK_EQ(s.opened.status, CENOTE_OK);
    CHECK_EQ(
        rdma_queue_connect(&l->queue, RDMA_SIDE_CLIENT, &s.opened.end, &l->guest->ports.at[port]),
        CENOTE_OK);
}

static void close_queue(struct line *l)
{
    CHECK(rdma_queue_end(&l->queue));
    guest_send_close(l->guest, l->tag);
    guest_expect_closed(l->guest, l->tag);
}

static struct setup_key key_for(struct line *l, enum rdma_role role, uint32_t port)
{
    open_queue(l, role, port);
    struct setup_key key = l->guest->keys[0];
    close_queue(l);
    return key;
}

/* One request by the queue pair; how it completes. */
static enum ibv_wc_status request(struct line *l, enum ibv_wr_opcode opcode, uint64_t addr,
                                  uint32_t rkey, uint32_t len_bytes)
{
    struct rdma_key own;
    struct ibv_wc wc;
    uint64_t deadline_ms = clock_now_ms() + HOST_PATIENCE_MS;
    CHECK(len_bytes <= LOCAL_BYTES && rdma_region_key(l->local, 0, 0, &own));
    struct ibv_sge piece = {(uintptr_t)l->bytes, len_bytes, own.lkey};
    struct ibv_send_wr *bad,
        wr = {.sg_list = &piece, .num_sge = 1, .opcode = opcode, .send_flags = IBV_SEND_SIGNALED};
    if (opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
        wr.wr.atomic.remote_addr = addr;
        wr.wr.atomic.rkey = rkey;
        wr.wr.atomic.compare_add = 1;
    } else {
        wr.wr.rdma.remote_addr = addr;
        wr.wr.rdma.rkey = rkey;
    }
    CHECK_EQ(ibv_post_send(l->queue.qp, &wr, &bad), 0);
    while (ibv_poll_cq(l->cq, 1, &wc) == 0)
        CHECK(clock_now_ms() < deadline_ms);
    return wc.status;
}

/* The same by a queue pair of its own, as a mistake ends it. */
static enum ibv_wc_status attempt(struct line *l, enum rdma_role role, enum ibv_wr_opcode opcode,
                                  uint64_t addr, uint32_t rkey, uint32_t len_bytes)
{
    open_queue(l, role, 0);
    enum ibv_wc_status status = request(l, opcode, addr, rkey, len_bytes);
    close_queue(l);
    return status;
}

static bool is_refusal(enum ibv_wc_status status)
{
    return status == IBV_WC_REM_ACCESS_ERR || status == IBV_WC_REM_INV_REQ_ERR;
}

static void expect_refusal(struct line *l, enum rdma_role role, enum ibv_wr_opcode opcode,
                           uint64_t addr, uint32_t rkey, uint32_t len_bytes)
{
    enum ibv_wc_status status = attempt(l, role, opcode, addr, rkey, len_bytes);
    if (is_refusal(status))
        return;
    fprintf(stderr, "role %d, opcode %d, address %#llx, key %#x, %u bytes: status %d\n", role,
            opcode, (unsigned long long)addr, rkey, len_bytes, status);
    CHECK(!"it is refused");
}

/* ---- the node and the others ------------------------------------------------------------------*/

/* The last kilobyte is for the others. */
#define OTHERS_BYTES 1024u
#define KEPT_BYTES   (HOST_SEGMENT_BYTES - OTHERS_BYTES)

static uint8_t *memory(void)
{
    return host.segments[0].memory.base;
}

static void begin(struct line *l, uint64_t session)
{
    memset(memory(), NODE_BYTE, HOST_SEGMENT_BYTES);
    line_begin(l, session);
}

static void check_memory(void)
{
    for (uint64_t i = 0; i < KEPT_BYTES; i++)
        if (memory()[i] != NODE_BYTE)
            CHECK(!"the node's memory is as it was");
}

/* One who is honest, by queue pairs that have been there all the time. */
struct other {
    struct line reads, writes;
    struct setup_key read_key, write_key;
};

static void other_begin(struct other *o)
{
    line_begin(&o->reads, 2);
    open_queue(&o->reads, RDMA_ROLE_READ, 0);
    o->read_key = o->reads.guest->keys[0];
    line_begin(&o->writes, 2);
    open_queue(&o->writes, RDMA_ROLE_WRITE, 0);
    o->write_key = o->writes.guest->keys[0];
}

static void other_is_served(struct other *o)
{
    static uint8_t turn;
    memset(o->writes.bytes, ++turn, OTHERS_BYTES);
    CHECK_EQ(request(&o->writes, IBV_WR_RDMA_WRITE, o->write_key.addr + KEPT_BYTES,
                     o->write_key.rkey, OTHERS_BYTES),
             IBV_WC_SUCCESS);
    CHECK_EQ(request(&o->reads, IBV_WR_RDMA_READ, o->read_key.addr + KEPT_BYTES, o->read_key.rkey,
                     OTHERS_BYTES),
             IBV_WC_SUCCESS);
    CHECK(memcmp(o->reads.bytes, o->writes.bytes, OTHERS_BYTES) == 0);
}

static void other_end(struct other *o)
{
    other_is_served(o);
    close_queue(&o->reads);
    close_queue(&o->writes);
    line_end(&o->reads);
    line_end(&o->writes);
}

/* ---- cases ------------------------------------------------------------------------------------*/

/* What is right passes: the rest would prove nothing otherwise. */
static void case_control(void)
{
    static struct line l;
    begin(&l, 1);
    struct setup_key r = key_for(&l, RDMA_ROLE_READ, 0), w = key_for(&l, RDMA_ROLE_WRITE, 0);
    CHECK_EQ(attempt(&l, RDMA_ROLE_READ, IBV_WR_RDMA_READ, r.addr, r.rkey, HOST_SEGMENT_BYTES),
             IBV_WC_SUCCESS);
    CHECK(l.bytes[0] == NODE_BYTE && l.bytes[HOST_SEGMENT_BYTES - 1] == NODE_BYTE);
    CHECK_EQ(l.bytes[HOST_SEGMENT_BYTES], PATTERN);
    memset(l.bytes, PATTERN, LOCAL_BYTES);
    CHECK_EQ(attempt(&l, RDMA_ROLE_WRITE, IBV_WR_RDMA_WRITE, w.addr + HOST_SEGMENT_BYTES - 8192,
                     w.rkey, 8192),
             IBV_WC_SUCCESS);
    CHECK(memory()[HOST_SEGMENT_BYTES - 8193] == NODE_BYTE);
    CHECK(memory()[HOST_SEGMENT_BYTES - 8192] == PATTERN);
    CHECK(memory()[HOST_SEGMENT_BYTES - 1] == PATTERN);
    CHECK_EQ(attempt(&l, RDMA_ROLE_WRITE, IBV_WR_RDMA_READ, w.addr, w.rkey, 64), IBV_WC_SUCCESS);
    line_end(&l);
}

static void case_wrong_key(void)
{
    static struct line l;
    static struct other o;
    begin(&l, 1);
    other_begin(&o);
    struct setup_key r = key_for(&l, RDMA_ROLE_READ, 0), w = key_for(&l, RDMA_ROLE_WRITE, 0);
    struct rdma_key own;
    CHECK(rdma_region_key(l.local, 0, 0, &own));
    const uint32_t wrong[] = {
        w.rkey + 1, w.rkey - 1, w.rkey ^ 0x80, w.rkey + 0x100, w.rkey ^ 0x80000000,
        0,          UINT32_MAX, own.lkey,      own.rkey};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (wrong[i] == r.rkey || wrong[i] == w.rkey)
            continue;
        expect_refusal(&l, RDMA_ROLE_READ, IBV_WR_RDMA_READ, r.addr, wrong[i], 64);
        expect_refusal(&l, RDMA_ROLE_WRITE, IBV_WR_RDMA_WRITE, w.addr, wrong[i], 8192);
    }
    check_memory();
    other_end(&o);
    line_end(&l);
}

/* Nothing arrives of a request that only ends where it must not, either. */
static void case_range(void)
{
    static struct line l;
    static struct other o;
    begin(&l, 1);
    other_begin(&o);
    struct setup_key w = key_for(&l, RDMA_ROLE_WRITE, 0);
    const struct {
        uint64_t addr;
        uint32_t len_bytes;
    } wrong[] = {
        {w.addr + HOST_SEGMENT_BYTES, 1},
        {w.addr + HOST_SEGMENT_BYTES - 8192, 8193},
        {w.addr - 1, 8192},
        {w.addr - 1, 1},
        {w.addr, HOST_SEGMENT_BYTES + 1},
        {w.addr + (UINT64_C(1) << 40), 64},
        {0, 64},
        {UINT64_MAX - 31, 64},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        expect_refusal(&l, RDMA_ROLE_WRITE, IBV_WR_RDMA_WRITE, wrong[i].addr, w.rkey,
                       wrong[i].len_bytes);
        expect_refusal(&l, RDMA_ROLE_WRITE, IBV_WR_RDMA_READ, wrong[i].addr, w.rkey,
                       wrong[i].len_bytes);
    }
    for (uint64_t i = 0; i < LOCAL_BYTES; i++)
        CHECK_EQ(l.bytes[i], PATTERN);
    check_memory();
    other_end(&o);
    line_end(&l);
}

/* Neither a key for reading nor a queue pair for reading lets a WRITE through. */
static void case_read_only(void)
{
    static struct line l;
    static struct other o;
    begin(&l, 1);
    other_begin(&o);
    struct setup_key r = key_for(&l, RDMA_ROLE_READ, 0), w = key_for(&l, RDMA_ROLE_WRITE, 0);
    CHECK(r.rkey != w.rkey);
    expect_refusal(&l, RDMA_ROLE_WRITE, IBV_WR_RDMA_WRITE, r.addr, r.rkey, 8192);
    expect_refusal(&l, RDMA_ROLE_READ, IBV_WR_RDMA_WRITE, w.addr, w.rkey, 8192);
    expect_refusal(&l, RDMA_ROLE_READ, IBV_WR_RDMA_WRITE, r.addr, r.rkey, 8192);
    if (host_is_real) {
        expect_refusal(&l, RDMA_ROLE_WRITE, IBV_WR_ATOMIC_FETCH_AND_ADD, w.addr, w.rkey, 8);
        expect_refusal(&l, RDMA_ROLE_READ, IBV_WR_ATOMIC_FETCH_AND_ADD, r.addr, r.rkey, 8);
    }
    check_memory();
    other_end(&o);
    line_end(&l);
}

/* Keys belong to one device of the node's. */
static void case_other_device(void)
{
    static struct line l;
    static struct other o;
    begin(&l, 1);
    other_begin(&o);
    CHECK_EQ(l.guest->ports.count, 2);
    struct setup_key w = key_for(&l, RDMA_ROLE_WRITE, 0), x = key_for(&l, RDMA_ROLE_WRITE, 1);
    if (x.rkey != w.rkey) { /* devices number theirs by themselves */
        expect_refusal(&l, RDMA_ROLE_WRITE, IBV_WR_RDMA_WRITE, x.addr, x.rkey, 8192);
        expect_refusal(&l, RDMA_ROLE_READ, IBV_WR_RDMA_READ, x.addr, x.rkey, 8192);
    }
    check_memory();
    other_end(&o);
    line_end(&l);
}

/* The exporter's next life has the same memory at the same address. */
static void restart(void)
{
    struct xcopy_segment segment = host.segments[0];
    host_stop_exporter(&host);
    CHECK_EQ(host_try_start(&host, NULL, "127.0.0.1:0"), CENOTE_OK);
    host.segments[host.segment_count++] = segment;
    CHECK_EQ(host.exporter->ops->add_segment(host.exporter, &segment), CENOTE_OK);
}

static void case_earlier_life(void)
{
    static struct line l;
    static struct other o;
    enum { LIVES = 20 };
    uint32_t old[LIVES][2];
    begin(&l, 1);
    for (unsigned i = 0; i < LIVES; i++) {
        old[i][0] = key_for(&l, RDMA_ROLE_READ, 0).rkey;
        old[i][1] = key_for(&l, RDMA_ROLE_WRITE, 0).rkey;
        guest_free(l.guest);
        restart();
        l.guest = guest_connect(&host, 1);
    }
    other_begin(&o);
    struct setup_key r = key_for(&l, RDMA_ROLE_READ, 0), w = key_for(&l, RDMA_ROLE_WRITE, 0);
    for (unsigned i = 0; i < LIVES; i++) {
        expect_refusal(&l, RDMA_ROLE_READ, IBV_WR_RDMA_READ, r.addr, old[i][0], 8192);
        expect_refusal(&l, RDMA_ROLE_WRITE, IBV_WR_RDMA_WRITE, w.addr, old[i][1], 8192);
    }
    check_memory();
    other_end(&o);
    line_end(&l);
}

/* ---------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"control", case_control},
    {"wrong_key", case_wrong_key},
    {"range", case_range},
    {"read_only", case_read_only},
    {"other_device", case_other_device},
    {"earlier_life", case_earlier_life},
};

static bool wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc <= 1 + host_is_real;
}

static void run_mocked(void (*run)(void))
{
    mock_add("mock0");
    mock_add("mock1");
    host_start(&host);
    run();
    host_stop(&host);
    mock_reset();
}

static void run_real(void (*run)(void))
{
    struct softrdma_counts before = softrdma_counts();
    host_start(&host);
    run();
    host_stop(&host);
    softrdma_await(&before);
}

int main(int argc, char **argv)
{
    softrdma_watch_log();
    log_set_level(LOG_ERROR);
    host_is_real = argc > 1 && strcmp(argv[1], "real") == 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (!wanted(cases[i].name, argc, argv))
            continue;
        printf("%s\n", cases[i].name);
        fflush(stdout);
        (host_is_real ? run_real : run_mocked)(cases[i].run);
        CHECK_EQ(softrdma_errors(), 0);
    }
    return 0;
}
