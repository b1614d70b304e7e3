/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mock of verbs under threads: pairs of queue pairs on which requests are posted, fail, are
 * cancelled and ended while the mock executes them at random. With "early" a program looks at a
 * READ's buffer before it has completed, and with "apart" two threads use one variable that only
 * their posting could order: ThreadSanitizer must see both.
 */
#include "tests/scenario/check.h"
#include "tests/support/mockpair.h"

#include <pthread.h>
#include <string.h>

#define PAIRS    3
#define ROUNDS   60
#define IN_ROUND 6u

static struct pair {
    struct mock_end near, far;
    unsigned seed;
} pairs[PAIRS];
static struct mock_device *device;
static volatile unsigned shared, used;

static void open_pair(struct pair *p)
{
    mock_end_open(&p->near, device);
    mock_end_open(&p->far, device);
    mock_ends_connect(&p->near, &p->far);
}

static void close_pair(struct pair *p)
{
    mock_end_close(&p->near);
    mock_end_close(&p->far);
}

static int wait_for(struct pair *p, uint64_t id)
{
    int status = -1;
    while (status < 0)
        status = mock_end_poll(&p->near, id);
    return status;
}

/* Writes, and reads back after them, with one signal for all. */
static void round_of(struct pair *p, unsigned round)
{
    uint8_t *bytes = p->near.bytes;
    memset(bytes, (int)round, 4096);
    for (unsigned i = 1; i < IN_ROUND; i++)
        CHECK_EQ(mock_end_post(&p->near, &p->far, IBV_WR_RDMA_WRITE, 0, 4096, i, 0), 0);
    CHECK_EQ(mock_end_post(&p->near, &p->far, IBV_WR_RDMA_READ, 0, 4096, 0, IBV_SEND_SIGNALED), 0);
    CHECK_EQ(wait_for(p, 0), IBV_WC_SUCCESS);
    CHECK_EQ(bytes[4095], round & 0xff);
}

/* What was posted completes as flushed, or before; then the buffer is the program's again. */
static void cancel(struct pair *p)
{
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_ERR};
    for (unsigned i = 0; i < IN_ROUND; i++)
        mock_end_post(&p->near, &p->far, IBV_WR_RDMA_READ, 0, 4096, i, IBV_SEND_SIGNALED);
    CHECK_EQ(mock_verbs()->modify_qp(p->near.qp, &attr, IBV_QP_STATE), 0);
    for (unsigned i = 0; i < IN_ROUND; i++)
        wait_for(p, i);
    mock_forbid(p->near.bytes, MOCK_PAIR_BYTES);
    memset(p->near.bytes, 0xee, 4096);
    mock_permit(p->near.bytes);
}

static void *use_pair(void *arg)
{
    struct pair *p = arg;
    open_pair(p);
    for (unsigned i = 0; i < ROUNDS; i++) {
        round_of(p, i);
        if (i % 20 != 19)
            continue;
        cancel(p);
        close_pair(p);
        open_pair(p);
    }
    close_pair(p);
    return NULL;
}

static void run_threads(void *(*body)(void *))
{
    pthread_t threads[PAIRS];
    for (int i = 0; i < PAIRS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, body, &pairs[i]), 0);
    for (int i = 0; i < PAIRS; i++)
        pthread_join(threads[i], NULL);
}

static void look_early(void)
{
    open_pair(&pairs[0]);
    struct pair *p = &pairs[0];
    mock_end_post(&p->near, &p->far, IBV_WR_RDMA_READ, 0, 4096, 0, IBV_SEND_SIGNALED);
    used += *(volatile uint8_t *)p->near.bytes;
    wait_for(p, 0);
    close_pair(p);
}

static void *post_and_count(void *arg)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        round_of(arg, i);
        shared++;
    }
    return NULL;
}

static void count_apart(void)
{
    for (int i = 0; i < PAIRS; i++)
        open_pair(&pairs[i]);
    run_threads(post_and_count);
    for (int i = 0; i < PAIRS; i++)
        close_pair(&pairs[i]);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "all";
    device = mock_add("mock0");
    mock_run(20261122);
    if (strcmp(what, "early") == 0)
        look_early();
    else if (strcmp(what, "apart") == 0)
        count_apart();
    else
        run_threads(use_pair);
    mock_rest();
    CHECK_EQ(mock_alive(), 0);
    mock_reset();
    return 0;
}
