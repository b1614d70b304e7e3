/* SPDX-License-Identifier: Apache-2.0 */
/* The mock's quirks: what real devices may do with WRITEs and READs. */
#include "tests/support/mockpair.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#define READ     IBV_WR_RDMA_READ
#define WRITE    IBV_WR_RDMA_WRITE
#define SIGNALED IBV_SEND_SIGNALED

static const struct rdma_verbs *v;
static struct mock_device *here, *there;
static struct mock_end a, b;

static void set_up(void)
{
    v = mock_verbs();
    mock_pair_open(&a, &b);
    here = a.device;
    there = b.device;
    memset(a.bytes, 1, MOCK_PAIR_BYTES);
}

static void tear_down(void)
{
    mock_end_close(&a);
    mock_end_close(&b);
    cr_assert_eq(mock_alive(), 0);
    struct mock_counts n = mock_counts();
    cr_assert_eq(n.late + n.strays, n.landed + n.lost);
    mock_reset();
}

TestSuite(mockverbs_late, .init = set_up, .fini = tear_down);

static void write_one(uint64_t offset, unsigned flags)
{
    cr_assert_eq(mock_end_post(&a, &b, WRITE, offset, 8, 1, flags), 0);
}

static void end_of(struct mock_end *end)
{
    v->destroy_qp(end->qp);
    end->qp = NULL;
}

static void fail(struct mock_end *end)
{
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_ERR};
    cr_assert_eq(v->modify_qp(end->qp, &attr, IBV_QP_STATE), 0);
}

Test(mockverbs_late, kept_back__completed_and_not_visible)
{
    mock_set_quirks(MOCK_LATE);
    write_one(0, SIGNALED);
    cr_assert_eq(mock_end_poll(&a, 1), IBV_WC_SUCCESS);
    memset(a.bytes, 9, 8); /* it has been sent: no matter */
    cr_assert_eq(b.bytes[0], 0);
    mock_land();
    cr_assert_eq(b.bytes[0], 1);
}

Test(mockverbs_late, kept_back__a_read_behind_it_flushes_all)
{
    mock_set_quirks(MOCK_LATE);
    write_one(0, 0);
    write_one(8, 0);
    cr_assert_eq(mock_end_post(&a, &b, READ, 4096, 0, 2, SIGNALED), 0); /* of nothing: doesn't */
    cr_assert_eq(mock_end_poll(&a, 2), IBV_WC_SUCCESS);
    cr_assert_eq(b.bytes[0], 0);
    cr_assert_eq(mock_end_post(&a, &b, READ, 4096, 8, 3, SIGNALED), 0);
    write_one(16, 0);
    cr_assert_eq(mock_end_poll(&a, 3), IBV_WC_SUCCESS);
    cr_assert(b.bytes[0] == 1 && b.bytes[8] == 1 && b.bytes[16] == 0);
}

Test(mockverbs_late, kept_back__a_read_by_another_queue_pair_does_not_flush)
{
    struct mock_end c, d;
    mock_end_open(&c, here);
    mock_end_open(&d, there);
    mock_ends_connect(&c, &d);
    mock_set_quirks(MOCK_LATE);
    write_one(0, 0);
    cr_assert_eq(mock_end_post(&c, &d, READ, 0, 8, 2, SIGNALED), 0);
    cr_assert_eq(mock_end_poll(&c, 2), IBV_WC_SUCCESS);
    cr_assert_eq(b.bytes[0], 0);
    mock_end_close(&c);
    mock_end_close(&d);
}

Test(mockverbs_late, kept_back__lands_in_the_order_of_writes)
{
    mock_set_quirks(MOCK_LATE);
    write_one(0, 0);
    memset(a.bytes, 2, 8);
    write_one(0, 0);
    mock_set_quirks(0);
    cr_assert_eq(b.bytes[0], 2);
}

Test(mockverbs_late, kept_back__survives_states_and_its_sender)
{
    mock_set_quirks(MOCK_LATE);
    write_one(0, 0);
    fail(&b);
    end_of(&a);
    cr_assert_eq(b.bytes[0], 0);
    mock_land();
    cr_assert_eq(b.bytes[0], 1);
}

Test(mockverbs_late, kept_back__lost_with_the_receiver)
{
    mock_set_quirks(MOCK_LATE);
    write_one(0, 0);
    end_of(&b);
    mock_forbid(b.bytes, MOCK_PAIR_BYTES);
    mock_land();
    cr_assert_eq(mock_counts().lost, 1);
}

Test(mockverbs_late, kept_back__lost_with_the_registration)
{
    mock_set_quirks(MOCK_LATE);
    struct ibv_mr *usual = b.mr;
    b.mr = v->reg_mr(b.pd, b.bytes, 4096, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
    write_one(0, 0);
    v->dereg_mr(b.mr);
    b.mr = usual;
    mock_land();
    cr_assert_eq(mock_counts().lost, 1);
    cr_assert_eq(b.bytes[0], 0);
}

Test(mockverbs_late, kept_back__forbidden_memory_ends_the_test, .signal = SIGABRT)
{
    mock_set_quirks(MOCK_LATE);
    write_one(0, 0);
    mock_forbid(b.bytes, 8);
    mock_land();
}

static void leave_two(void)
{
    mock_set_quirks(MOCK_STRAY);
    mock_hold(true);
    write_one(0, 0);
    cr_assert_eq(mock_end_post(&a, &b, READ, 4096, 8, 2, 0), 0);
    write_one(8, 0);
}

Test(mockverbs_late, stray__of_a_failed_queue_pair)
{
    leave_two();
    fail(&a);
    write_one(16, 0); /* after it: isn't sent */
    mock_hold(false);
    for (uint64_t i = 0; i < 4; i++)
        cr_assert_eq(mock_end_poll(&a, i == 1 ? 2 : 1), IBV_WC_WR_FLUSH_ERR);
    memset(a.bytes, 9, 32); /* completed: nothing touches them any more */
    cr_assert_eq(b.bytes[0], 0);
    mock_land();
    cr_assert(b.bytes[0] == 1 && b.bytes[8] == 1 && b.bytes[16] == 0);
    cr_assert_eq(mock_counts().strays, 2);
}

Test(mockverbs_late, stray__of_a_destroyed_queue_pair)
{
    leave_two();
    end_of(&a);
    memset(a.bytes, 9, 32);
    mock_land();
    cr_assert(b.bytes[0] == 1 && b.bytes[8] == 1);
    mock_hold(false);
}

Test(mockverbs_late, stray__lost_with_the_receiver)
{
    leave_two();
    end_of(&a);
    end_of(&b);
    mock_forbid(b.bytes, MOCK_PAIR_BYTES);
    mock_land();
    cr_assert_eq(mock_counts().lost, 2);
    mock_hold(false);
}

Test(mockverbs_late, stray__not_taken_in_state_err)
{
    leave_two();
    fail(&b);
    end_of(&a);
    mock_land();
    cr_assert_eq(b.bytes[0], 0);
    mock_hold(false);
}

Test(mockverbs_late, stray__nobody_answered)
{
    mock_set_quirks(MOCK_STRAY);
    mock_silence(there, true);
    write_one(0, 0);
    cr_assert_eq(mock_end_poll(&a, 1), IBV_WC_RETRY_EXC_ERR);
    cr_assert_eq(b.bytes[0], 0);
    mock_land();
    cr_assert_eq(b.bytes[0], 1);
}

Test(mockverbs_late, stray__nothing_behind_a_wrong_request)
{
    mock_set_quirks(MOCK_STRAY);
    mock_hold(true);
    cr_assert_eq(mock_end_post(&a, &b, WRITE, MOCK_PAIR_BYTES - 4, 8, 2, 0), 0);
    write_one(0, 0);
    mock_hold(false);
    cr_assert_eq(mock_end_poll(&a, 2), IBV_WC_LOC_PROT_ERR);
    cr_assert_eq(mock_counts().strays, 0);
}

Test(mockverbs_late, stray__arrives_by_the_thread)
{
    mock_silence(there, true);
    mock_set_quirks(MOCK_STRAY);
    mock_run(7);
    write_one(0, 0);
    while (mock_counts().landed == 0)
        ;
    mock_rest();
    cr_assert_eq(b.bytes[0], 1);
}

static void read_two(unsigned flags)
{
    mock_set_quirks(MOCK_SWAPPED);
    mock_hold(true);
    memset(b.bytes, 1, 16);
    cr_assert_eq(mock_end_post(&a, &b, READ, 0, 8, 1, SIGNALED), 0);
    cr_assert_eq(mock_end_post(&a, &b, READ, 8, 8, 2, SIGNALED | flags), 0);
    cr_assert_eq(mock_step(1), 1);
    memset(b.bytes, 2, 16);
    mock_hold(false);
    cr_assert_eq(mock_end_poll(&a, 1), IBV_WC_SUCCESS);
    cr_assert_eq(mock_end_poll(&a, 2), IBV_WC_SUCCESS);
}

Test(mockverbs_late, swapped__the_second_read_looks_first)
{
    memset(a.bytes, 0, 16);
    read_two(0);
    cr_assert(a.bytes[0] == 2 && a.bytes[8] == 1);
    cr_assert_eq(mock_counts().swapped, 1);
}

Test(mockverbs_late, swapped__not_beyond_a_fence)
{
    memset(a.bytes, 0, 16);
    read_two(IBV_SEND_FENCE);
    cr_assert(a.bytes[0] == 1 && a.bytes[8] == 2);
    cr_assert_eq(mock_counts().swapped, 0);
}

Test(mockverbs_late, swapped__not_beyond_a_write_nor_an_error)
{
    mock_set_quirks(MOCK_SWAPPED);
    mock_hold(true);
    cr_assert_eq(mock_end_post(&a, &b, READ, 64, 8, 1, 0), 0);
    write_one(0, 0);
    cr_assert_eq(mock_end_post(&a, &b, READ, 0, 8, 2, 0), 0);
    cr_assert_eq(mock_end_post(&a, &b, READ, MOCK_PAIR_BYTES - 4, 8, 3, 0), 0);
    mock_hold(false);
    cr_assert_eq(mock_end_poll(&a, 3), IBV_WC_LOC_PROT_ERR);
    cr_assert_eq(a.bytes[0], 1); /* what the WRITE brought there */
    cr_assert_eq(mock_counts().swapped, 0);
}
