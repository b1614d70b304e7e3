/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices, their events and queue pairs, from opening to loss, as a client and a node use them in
 * one process, while a thread takes events. One story for the mock of verbs and for real devices:
 *
 *   rdma_queues                  over the mock
 *   rdma_queues DEVICE DEVICE    over these two, which reach each other, without the loss of one:
 *                                software RoCE isn't removed before all have closed it, works on
 *                                until then, and tells nobody
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <cenote/status.h>

#include "tests/scenario/check.h"
#include "tests/support/mockverbs.h"
#include "transport/base/clock.h"
#include "transport/base/hash.h"
#include "transport/base/log.h"
#include "transport/rdma/gid.h"
#include "transport/rdma/queue.h"

#define MEMORY_BYTES 65536u
#define MANY         16u
#define WAIT_MS      20000u
/* A guest's processor may stand still for a tenth of a second. What is answered by nobody is waited
 * for. */
#define PATIENCE     "timeout=14,retry=3"
#define ACCESS       (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE)

/* One of the two sides. */
struct user {
    enum rdma_side side;
    struct rdma_devices *devices;
    struct ibv_cq *cq;
    struct ibv_mr *mr;
    struct rdma_queue queue;
    uint8_t *bytes; /* MEMORY_BYTES */
};
static struct user client = {.side = RDMA_SIDE_CLIENT}, node = {.side = RDMA_SIDE_NODE};
static const char *names[2] = {"mock0", "mock1"};
static struct mock_device *mocks[2]; /* NULL: real devices */

/* ---- the thread that takes events ------------------------------------------------------------ */

static pthread_t watcher;
static int stop_pipe[2];

static void *watch(void *arg)
{
    struct user *users[2] = {&client, &node};
    struct pollfd fds[3] = {{.fd = stop_pipe[0], .events = POLLIN}};
    (void)arg;
    for (;;) {
        for (unsigned i = 0; i < 2; i++) {
            const struct rdma_device *device = &users[i]->devices->at[0];
            int fd = atomic_load(&device->lost) ? -1 : rdma_device_event_fd(device);
            fds[i + 1] = (struct pollfd){.fd = fd, .events = POLLIN};
        }
        CHECK(poll(fds, 3, -1) > 0);
        if (fds[0].revents != 0)
            return NULL;
        for (unsigned i = 0; i < 2; i++)
            rdma_devices_take_events(users[i]->devices);
    }
}

static void watch_begin(void)
{
    CHECK_EQ(pipe(stop_pipe), 0);
    CHECK_EQ(pthread_create(&watcher, NULL, watch, NULL), 0);
}

static void watch_end(void)
{
    CHECK_EQ(write(stop_pipe[1], "", 1), 1);
    pthread_join(watcher, NULL);
    close(stop_pipe[0]);
    close(stop_pipe[1]);
}

/* ---- two sides ------------------------------------------------------------------------------- */

static void open_user(struct user *u, const char *device, unsigned ipv)
{
    char text[256], error[128];
    struct rdma_settings settings;
    snprintf(text, sizeof(text), "%s,ipv=%u,depth=32," PATIENCE, device, ipv);
    CHECK_EQ(rdma_settings_parse(text, &settings, error, sizeof(error)), CENOTE_OK);
    CHECK_EQ(rdma_devices_open(&settings, &u->devices), CENOTE_OK);
    struct rdma_device *d = &u->devices->at[0];
    u->cq = u->devices->verbs->create_cq(d->context, 256, NULL, NULL, 0);
    u->bytes = calloc(1, MEMORY_BYTES);
    CHECK(u->bytes != NULL);
    u->mr = u->devices->verbs->reg_mr(d->pd, u->bytes, MEMORY_BYTES, ACCESS);
    CHECK(u->cq != NULL && u->mr != NULL);
}

/* Of a device that was removed nothing can be given back, and that is no error. */
static void close_user(struct user *u)
{
    const struct rdma_verbs *v = u->devices->verbs;
    CHECK(rdma_queue_end(&u->queue));
    v->dereg_mr(u->mr);
    v->destroy_cq(u->cq);
    rdma_devices_close(u->devices);
    free(u->bytes);
}

static void open_both(unsigned ipv)
{
    open_user(&client, names[0], ipv);
    open_user(&node, names[1], ipv);
    watch_begin();
}

static void close_both(void)
{
    watch_end();
    close_user(&client);
    close_user(&node);
}

static int lead(struct user *from, const struct user *to)
{
    struct rdma_end end;
    struct rdma_remote_port port;
    rdma_queue_describe(&to->queue, &end);
    rdma_port_address(&to->devices->rails[0], &port, NULL);
    return rdma_queue_connect(&from->queue, from->side, &end, &port);
}

static void make(struct user *u, enum rdma_role role)
{
    CHECK_EQ(rdma_queue_make(&u->queue, u->devices, &u->devices->rails[0], u->cq, u->side, role),
             CENOTE_OK);
}

static void connect_both(enum rdma_role role)
{
    make(&client, role);
    make(&node, role);
    CHECK_EQ(lead(&node, &client), CENOTE_OK);
    CHECK_EQ(lead(&client, &node), CENOTE_OK);
}

static void end_both(void)
{
    CHECK(rdma_queue_end(&client.queue));
    CHECK(rdma_queue_end(&node.queue));
}

/* ---- requests -------------------------------------------------------------------------------- */

struct request {
    enum ibv_wr_opcode opcode;
    uint64_t remote_offset;
    uint32_t len_bytes, key_change; /* of the remote key */
    uint32_t own_key_change;
};

static int post(const struct request *r, uint64_t id)
{
    struct ibv_sge piece = {(uintptr_t)client.bytes, r->len_bytes,
                            client.mr->lkey ^ r->own_key_change};
    struct ibv_send_wr wr = {.wr_id = id,
                             .sg_list = &piece,
                             .num_sge = 1,
                             .opcode = r->opcode,
                             .send_flags = IBV_SEND_SIGNALED};
    struct ibv_send_wr *bad;
    wr.wr.rdma.remote_addr = (uintptr_t)node.bytes + r->remote_offset;
    wr.wr.rdma.rkey = node.mr->rkey ^ r->key_change;
    return ibv_post_send(client.queue.qp, &wr, &bad);
}

static enum ibv_wc_status finish(uint64_t id)
{
    struct ibv_wc wc;
    uint64_t until_ms = clock_now_ms() + WAIT_MS;
    while (ibv_poll_cq(client.cq, 1, &wc) != 1) {
        CHECK(clock_now_ms() < until_ms);
        usleep(100);
    }
    CHECK_EQ(wc.wr_id, id);
    CHECK_EQ(wc.qp_num, client.queue.qp->qp_num);
    return wc.status;
}

static enum ibv_wc_status run(const struct request *r)
{
    CHECK_EQ(post(r, 7), 0);
    return finish(7);
}

static const struct request read_all = {.opcode = IBV_WR_RDMA_READ, .len_bytes = MEMORY_BYTES};
static const struct request write_all = {.opcode = IBV_WR_RDMA_WRITE, .len_bytes = MEMORY_BYTES};

/* A request that fails for this reason; the queue pair is of no use afterwards, and flushes. */
static void fails(enum rdma_role role, const struct request *r, enum ibv_wc_status want)
{
    connect_both(role);
    memset(client.bytes, 1, MEMORY_BYTES);
    memset(node.bytes, 2, MEMORY_BYTES);
    CHECK_EQ(run(r), want);
    CHECK_EQ(run(&read_all), IBV_WC_WR_FLUSH_ERR);
    for (unsigned i = 0; i < MEMORY_BYTES; i++) {
        CHECK_EQ(client.bytes[i], 1);
        CHECK_EQ(node.bytes[i], 2);
    }
    end_both();
}

/* ---- the story ------------------------------------------------------------------------------- */

static void good_requests(void)
{
    connect_both(RDMA_ROLE_WRITE);
    memset(client.bytes, 0x5a, MEMORY_BYTES);
    CHECK_EQ(run(&write_all), IBV_WC_SUCCESS);
    CHECK_EQ(node.bytes[MEMORY_BYTES - 1], 0x5a);
    memset(node.bytes, 0xa5, MEMORY_BYTES);
    CHECK_EQ(run(&read_all), IBV_WC_SUCCESS);
    CHECK_EQ(client.bytes[MEMORY_BYTES - 1], 0xa5);
    end_both();
}

static void bad_requests(void)
{
    struct request beyond = write_all, wrong_key = read_all, wrong_own_key = read_all;
    beyond.remote_offset = 1;
    wrong_key.key_change = 0xff;
    wrong_own_key.own_key_change = 0xff;
    fails(RDMA_ROLE_READ, &write_all, IBV_WC_REM_INV_REQ_ERR);
    fails(RDMA_ROLE_WRITE, &beyond, IBV_WC_REM_ACCESS_ERR);
    fails(RDMA_ROLE_WRITE, &wrong_key, IBV_WC_REM_ACCESS_ERR);
    fails(RDMA_ROLE_WRITE, &wrong_own_key, IBV_WC_LOC_PROT_ERR);
}

/* All that was posted completes, what the end came before as flushed. */
static void fail_in_flight(void)
{
    unsigned flushed = 0;
    connect_both(RDMA_ROLE_READ);
    for (unsigned i = 0; i < MANY; i++)
        CHECK_EQ(post(&read_all, i), 0);
    rdma_queue_fail(&client.queue);
    for (unsigned i = 0; i < MANY; i++) {
        enum ibv_wc_status status = finish(i);
        CHECK(status == IBV_WC_WR_FLUSH_ERR || (status == IBV_WC_SUCCESS && flushed == 0));
        flushed += status == IBV_WC_WR_FLUSH_ERR;
    }
    rdma_queue_fail(&client.queue);
    CHECK_EQ(run(&read_all), IBV_WC_WR_FLUSH_ERR);
    end_both();
}

/* What a fence does: afterwards the client's requests have nobody to answer them. */
static void node_ends(void)
{
    connect_both(RDMA_ROLE_WRITE);
    CHECK_EQ(run(&write_all), IBV_WC_SUCCESS);
    CHECK(rdma_queue_end(&node.queue));
    memset(node.bytes, 3, MEMORY_BYTES);
    CHECK_EQ(run(&write_all), IBV_WC_RETRY_EXC_ERR);
    CHECK_EQ(node.bytes[0], 3);
    end_both();
}

/* A queue pair that is destroyed with requests in flight touches nothing any more; whether their
 * completions come is the device's affair. */
static void client_ends_in_flight(void)
{
    struct ibv_wc wc;
    connect_both(RDMA_ROLE_READ);
    for (unsigned i = 0; i < MANY; i++)
        CHECK_EQ(post(&read_all, i), 0);
    CHECK(rdma_queue_end(&client.queue));
    memset(client.bytes, 9, MEMORY_BYTES);
    memset(node.bytes, 8, MEMORY_BYTES);
    unsigned left = 0;
    while (ibv_poll_cq(client.cq, 1, &wc) == 1)
        left++;
    CHECK(left <= MANY);
    printf("of %u requests in flight %u completions outlived their queue pair\n", MANY, left);
    CHECK(rdma_queue_end(&node.queue));
    for (unsigned i = 0; i < MEMORY_BYTES; i++)
        CHECK_EQ(client.bytes[i], 9);
}

/* The node's device is taken away under a client that reads from it. */
static void lose_device(void)
{
    char text[XCOPY_RAIL_TEXT];
    struct rdma_queue more;
    struct rdma_device *device = &node.devices->at[0];
    struct rdma_port *port = &node.devices->rails[0];
    connect_both(RDMA_ROLE_READ);
    CHECK_EQ(run(&read_all), IBV_WC_SUCCESS);
    mock_remove(mocks[1], true);
    uint64_t until_ms = clock_now_ms() + WAIT_MS;
    while (!atomic_load(&device->lost)) {
        CHECK(clock_now_ms() < until_ms);
        usleep(1000);
    }
    CHECK(!rdma_port_is_up(port));
    rdma_port_text(port, text);
    puts(text);
    CHECK_EQ(run(&read_all), IBV_WC_RETRY_EXC_ERR);
    CHECK_EQ(rdma_queue_make(&more, node.devices, port, node.cq, RDMA_SIDE_NODE, RDMA_ROLE_READ),
             CENOTE_NODE_DOWN);
    CHECK(rdma_queue_end(&node.queue));
    CHECK(rdma_queue_end(&client.queue));
    struct xcopy_report report = {0};
    rdma_devices_report(node.devices, &report);
    CHECK_EQ(report.rails_lost, 1);
    CHECK_EQ(report.queue_pairs, 0);
}

static void tell(unsigned ipv)
{
    char text[XCOPY_RAIL_TEXT];
    for (unsigned i = 0; i < 2; i++) {
        struct rdma_port *port = &(i == 0 ? &client : &node)->devices->rails[0];
        CHECK_EQ(gid_is_ipv4(&port->gid), ipv == 4);
        rdma_port_text(port, text);
        puts(text);
    }
}

static void set_up(int argc, char **argv)
{
    static const char *const addresses[2] = {"fd00::1", "fd00::2"};
    if (argc > 2) {
        names[0] = argv[1];
        names[1] = argv[2];
        return;
    }
    rdma_verbs_replace(mock_verbs());
    for (unsigned i = 0; i < 2; i++) {
        mocks[i] = mock_add(names[i]);
        mock_set_gid(&mocks[i]->ports[0], 5, IBV_GID_TYPE_ROCE_V2, addresses[i]);
    }
    mock_run(20261122);
}

static void story(unsigned ipv)
{
    open_both(ipv);
    tell(ipv);
    good_requests();
    bad_requests();
    fail_in_flight();
    node_ends();
    client_ends_in_flight();
    if (ipv == 4 && mocks[1] != NULL)
        lose_device();
    close_both();
}

int main(int argc, char **argv)
{
    hash_init();
    log_set_level(LOG_INFO);
    log_set_sink(log_to_stderr, NULL);
    set_up(argc, argv);
    story(6);
    story(4);
    if (mocks[0] != NULL) {
        mock_rest();
        CHECK_EQ(mock_alive(), 0);
        mock_reset();
    }
    return 0;
}
