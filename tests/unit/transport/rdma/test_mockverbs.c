/* SPDX-License-Identifier: Apache-2.0 */
/* What the mock of verbs promises to the tests that rest on it. */
#include "tests/support/mockpair.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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
}

static void tear_down(void)
{
    mock_end_close(&a);
    mock_end_close(&b);
    cr_assert_eq(mock_alive(), 0);
    cr_assert_eq(mock_counts().locked_bytes, 0);
    mock_reset();
}

TestSuite(mockverbs, .init = set_up, .fini = tear_down);

Test(mockverbs, write_and_read__bytes_move)
{
    memcpy(a.bytes, "written", 7);
    memcpy(b.bytes + 100, "read", 4);
    cr_assert_eq(mock_end_post(&a, &b, WRITE, 0, 7, 1, SIGNALED), 0);
    cr_assert_eq(mock_end_post(&a, &b, READ, 100, 4, 2, SIGNALED), 0);
    cr_assert_eq(mock_end_poll(&a, 1), IBV_WC_SUCCESS);
    cr_assert_eq(mock_end_poll(&a, 2), IBV_WC_SUCCESS);
    cr_assert_eq(mock_end_poll(&a, 0), -1);
    cr_assert(memcmp(b.bytes, "written", 7) == 0);
    cr_assert(memcmp(a.bytes + 100, "read", 4) == 0);
    cr_assert_eq(mock_counts().written_bytes, 7);
    cr_assert_eq(mock_counts().read_bytes, 4);
}

Test(mockverbs, gather_and_inline__pieces_in_order)
{
    char inlined[] = "inline";
    memcpy(a.bytes, "first second", 12);
    struct ibv_sge pieces[2] = {{(uintptr_t)a.bytes + 6, 6, a.mr->lkey},
                                {(uintptr_t)a.bytes, 6, a.mr->lkey}};
    struct ibv_sge one = {(uintptr_t)inlined, 6, 0};
    struct ibv_send_wr second = {
        .sg_list = &one,
        .num_sge = 1,
        .opcode = WRITE,
        .send_flags = SIGNALED | IBV_SEND_INLINE,
        .wr.rdma = {(uintptr_t)b.bytes + 12, b.mr->rkey},
    };
    struct ibv_send_wr first = {
        .next = &second,
        .sg_list = pieces,
        .num_sge = 2,
        .opcode = WRITE,
        .wr.rdma = {(uintptr_t)b.bytes, b.mr->rkey},
    };
    struct ibv_send_wr *bad;
    mock_hold(true);
    cr_assert_eq(ibv_post_send(a.qp, &first, &bad), 0);
    memcpy(inlined, "reused", 6);
    mock_hold(false);
    cr_assert_eq(mock_end_poll(&a, 0), IBV_WC_SUCCESS);
    cr_assert(memcmp(b.bytes, "secondfirst inline", 18) == 0);
    cr_assert_eq(mock_counts().doorbells, 1);
    cr_assert_eq(mock_counts().requests, 2);
    cr_assert_eq(mock_counts().inlined, 1);
}

Test(mockverbs, hold__bytes_move_when_stepped)
{
    mock_hold(true);
    a.bytes[0] = 1;
    mock_end_post(&a, &b, WRITE, 0, 1, 1, SIGNALED);
    mock_end_post(&a, &b, WRITE, 1, 1, 2, SIGNALED);
    cr_assert_eq(mock_end_poll(&a, 1), -1);
    a.bytes[0] = 2;
    cr_assert_eq(b.bytes[0], 0);
    cr_assert_eq(mock_step(1), 1);
    cr_assert_eq(b.bytes[0], 2);
    cr_assert_eq(mock_end_poll(&a, 1), IBV_WC_SUCCESS);
    cr_assert_eq(mock_step(10), 1);
    cr_assert_eq(mock_end_poll(&a, 2), IBV_WC_SUCCESS);
    mock_hold(false);
}

Test(mockverbs, unsignalled__slots_come_back_by_polling)
{
    for (uint64_t i = 0; i < MOCK_PAIR_DEPTH; i++)
        cr_assert_eq(mock_end_post(&a, &b, WRITE, 0, 8, i, i == 5 ? SIGNALED : 0), 0);
    cr_assert_eq(mock_end_post(&a, &b, WRITE, 0, 8, 8, 0), ENOMEM);
    cr_assert_eq(mock_counts().full, 1);
    cr_assert_eq(mock_end_poll(&a, 5), IBV_WC_SUCCESS);
    for (uint64_t i = 0; i < 6; i++)
        cr_assert_eq(mock_end_post(&a, &b, WRITE, 0, 8, i, 0), 0);
    cr_assert_eq(mock_end_post(&a, &b, WRITE, 0, 8, 8, 0), ENOMEM);
}

Test(mockverbs, error__what_is_behind_is_flushed_signalled_or_not)
{
    mock_hold(true);
    mock_end_post(&a, &b, WRITE, 0, 8, 1, 0);
    mock_end_post(&a, &b, READ, MOCK_PAIR_BYTES - 4, 8, 2, 0); /* beyond both ends */
    mock_end_post(&a, &b, WRITE, 0, 8, 3, 0);
    mock_end_post(&a, &b, WRITE, 0, 8, 4, SIGNALED);
    mock_hold(false);
    cr_assert_eq(mock_end_poll(&a, 2), IBV_WC_LOC_PROT_ERR);
    cr_assert_eq(mock_end_poll(&a, 3), IBV_WC_WR_FLUSH_ERR);
    cr_assert_eq(mock_end_poll(&a, 4), IBV_WC_WR_FLUSH_ERR);
    cr_assert_eq(mock_end_post(&a, &b, WRITE, 0, 8, 5, 0), 0);
    cr_assert_eq(mock_end_poll(&a, 5), IBV_WC_WR_FLUSH_ERR);
    cr_assert_eq(mock_counts().flushed, 3);
}

static int try_key(uint64_t addr, uint32_t len, uint32_t rkey, enum ibv_wr_opcode opcode)
{
    struct ibv_sge piece = {(uintptr_t)a.bytes, len, a.mr->lkey};
    struct ibv_send_wr wr = {
        .sg_list = &piece, .num_sge = 1, .opcode = opcode, .wr.rdma = {addr, rkey}};
    struct ibv_send_wr *bad;
    cr_assert_eq(ibv_post_send(a.qp, &wr, &bad), 0);
    return mock_end_poll(&a, 0);
}

Test(mockverbs, remote_key__wrong_number)
{
    cr_assert_eq(try_key((uintptr_t)b.bytes, 8, b.mr->lkey, READ), IBV_WC_REM_ACCESS_ERR);
    struct mock_queue_pair remote;
    cr_assert(mock_queue_pair_of(b.qp->qp_num, &remote));
    cr_assert_eq(remote.state, IBV_QPS_ERR);
    struct ibv_async_event event;
    cr_assert_eq(v->get_async_event(b.context, &event), 0);
    cr_assert_eq(event.event_type, IBV_EVENT_QP_ACCESS_ERR);
    cr_assert_eq(event.element.qp, b.qp);
    v->ack_async_event(&event);
}

Test(mockverbs, remote_key__beyond_the_end)
{
    cr_assert_eq(try_key((uintptr_t)b.bytes + MOCK_PAIR_BYTES - 4, 8, b.mr->rkey, WRITE),
                 IBV_WC_REM_ACCESS_ERR);
}

Test(mockverbs, remote_key__read_only)
{
    struct ibv_mr *mr = v->reg_mr(b.pd, b.bytes, 4096, IBV_ACCESS_REMOTE_READ);
    cr_assert_not_null(mr);
    cr_assert_eq(try_key((uintptr_t)b.bytes, 8, mr->rkey, WRITE), IBV_WC_REM_ACCESS_ERR);
    v->dereg_mr(mr);
}

Test(mockverbs, remote_key__of_an_earlier_registration)
{
    struct ibv_mr *mr = v->reg_mr(b.pd, b.bytes, 4096, IBV_ACCESS_REMOTE_READ);
    uint32_t rkey = mr->rkey;
    v->dereg_mr(mr);
    mr = v->reg_mr(b.pd, b.bytes, 4096, IBV_ACCESS_REMOTE_READ);
    cr_assert_neq(mr->rkey, rkey);
    cr_assert_eq(try_key((uintptr_t)b.bytes, 8, rkey, READ), IBV_WC_REM_ACCESS_ERR);
    v->dereg_mr(mr);
}

Test(mockverbs, remote_key__of_another_domain)
{
    struct ibv_pd *pd = v->alloc_pd(b.context);
    struct ibv_mr *mr = v->reg_mr(pd, b.bytes, 4096, IBV_ACCESS_REMOTE_READ);
    cr_assert_eq(try_key((uintptr_t)b.bytes, 8, mr->rkey, READ), IBV_WC_REM_ACCESS_ERR);
    v->dereg_mr(mr);
    v->dealloc_pd(pd);
}

Test(mockverbs, remote_access__queue_pair_forbids_writes)
{
    struct ibv_qp_attr attr = {.qp_access_flags = IBV_ACCESS_REMOTE_READ};
    cr_assert_eq(v->modify_qp(b.qp, &attr, IBV_QP_ACCESS_FLAGS), 0);
    cr_assert_eq(mock_end_post(&a, &b, READ, 0, 8, 1, SIGNALED), 0);
    cr_assert_eq(mock_end_poll(&a, 1), IBV_WC_SUCCESS);
    cr_assert_eq(mock_end_post(&a, &b, WRITE, 0, 8, 2, 0), 0);
    cr_assert_eq(mock_end_poll(&a, 2), IBV_WC_REM_INV_REQ_ERR);
}

Test(mockverbs, destroyed_peer__nothing_lands)
{
    mock_hold(true);
    a.bytes[0] = 1;
    mock_end_post(&a, &b, WRITE, 0, 1, 1, 0);
    v->destroy_qp(b.qp);
    b.qp = NULL;
    mock_forbid(b.bytes, MOCK_PAIR_BYTES);
    mock_hold(false);
    cr_assert_eq(mock_end_poll(&a, 1), IBV_WC_RETRY_EXC_ERR);
    cr_assert_eq(b.bytes[0], 0);
}

Test(mockverbs, forbidden_memory__ends_the_test, .signal = SIGABRT)
{
    mock_forbid(b.bytes + 4, 1);
    mock_end_post(&a, &b, WRITE, 0, 4, 1, 0);
    mock_end_post(&a, &b, WRITE, 0, 5, 1, 0);
}

Test(mockverbs, completion_queue__overrun_ends_the_test, .signal = SIGABRT)
{
    struct ibv_cq *small = v->create_cq(a.context, 2, NULL, NULL, 0);
    struct ibv_cq *usual = a.qp->send_cq;
    a.qp->send_cq = small;
    for (uint64_t i = 0; i < 3; i++)
        mock_end_post(&a, &b, WRITE, 0, 8, i, SIGNALED);
    a.qp->send_cq = usual;
}

Test(mockverbs, silence__fails_and_port_down_fails)
{
    mock_silence(there, true);
    mock_end_post(&a, &b, WRITE, 0, 8, 1, 0);
    cr_assert_eq(mock_end_poll(&a, 1), IBV_WC_RETRY_EXC_ERR);
}

Test(mockverbs, port_down__told_and_unreachable)
{
    mock_set_port_state(here, 1, IBV_PORT_DOWN);
    struct ibv_async_event event;
    cr_assert_eq(v->get_async_event(a.context, &event), 0);
    cr_assert_eq(event.event_type, IBV_EVENT_PORT_ERR);
    cr_assert_eq(event.element.port_num, 1);
    v->ack_async_event(&event);
    mock_end_post(&a, &b, WRITE, 0, 8, 1, 0);
    cr_assert_eq(mock_end_poll(&a, 1), IBV_WC_RETRY_EXC_ERR);
}

static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

Test(mockverbs, notification__once_and_only_after_arming)
{
    struct ibv_cq *cq;
    void *arg;
    fcntl(a.channel->fd, F_SETFL, fcntl(a.channel->fd, F_GETFL) | O_NONBLOCK);
    mock_end_post(&a, &b, WRITE, 0, 8, 1, SIGNALED);
    cr_assert_eq(ibv_req_notify_cq(a.cq, 0), 0);
    cr_assert(!is_readable(a.channel->fd));
    mock_end_post(&a, &b, WRITE, 0, 8, 2, SIGNALED);
    mock_end_post(&a, &b, WRITE, 0, 8, 3, SIGNALED);
    cr_assert(is_readable(a.channel->fd));
    cr_assert_eq(v->get_cq_event(a.channel, &cq, &arg), 0);
    cr_assert_eq(cq, a.cq);
    cr_assert_eq(arg, &a);
    v->ack_cq_events(cq, 1);
    cr_assert(!is_readable(a.channel->fd));
    cr_assert_eq(v->get_cq_event(a.channel, &cq, &arg), -1);
    cr_assert_eq(errno, EAGAIN);
}

Test(mockverbs, notification__goes_with_its_queue)
{
    struct ibv_cq *cq = v->create_cq(a.context, 8, NULL, a.channel, 0);
    struct ibv_cq *usual = a.qp->send_cq;
    a.qp->send_cq = cq;
    ibv_req_notify_cq(cq, 0);
    mock_end_post(&a, &b, WRITE, 0, 8, 1, SIGNALED);
    a.qp->send_cq = usual;
    cr_assert(is_readable(a.channel->fd));
    cr_assert_eq(v->destroy_cq(cq), 0);
    cr_assert(!is_readable(a.channel->fd));
}

Test(mockverbs, transitions__only_as_specified)
{
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RESET};
    struct mock_queue_pair seen;
    cr_assert_eq(v->modify_qp(a.qp, &attr, IBV_QP_STATE), 0);
    attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS};
    cr_assert_eq(v->modify_qp(a.qp, &attr, IBV_QP_STATE), EINVAL);
    attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_INIT, .port_num = 1};
    cr_assert_eq(v->modify_qp(a.qp, &attr, IBV_QP_STATE | IBV_QP_PORT), EINVAL);
    int mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
    attr.port_num = 2;
    cr_assert_eq(v->modify_qp(a.qp, &attr, mask), EINVAL);
    attr.port_num = 1;
    cr_assert_eq(v->modify_qp(a.qp, &attr, mask), 0);
    cr_assert_eq(mock_end_post(&a, &b, WRITE, 0, 8, 1, 0), EINVAL);
    cr_assert_eq(mock_end_connect(&a, &b), 0);
    cr_assert(mock_queue_pair_of(a.qp->qp_num, &seen));
    cr_assert_eq(seen.state, IBV_QPS_RTS);
    cr_assert_eq(seen.attr.ah_attr.grh.hop_limit, 64);
    cr_assert_eq(seen.attr.retry_cnt, 6);
    cr_assert_eq(seen.cap.max_send_wr, MOCK_PAIR_DEPTH);
}

Test(mockverbs, registration__limits)
{
    here->locked_max_bytes = MOCK_PAIR_BYTES + 2 * 4096;
    cr_assert_null(v->reg_mr(a.pd, a.bytes, 32768, IBV_ACCESS_LOCAL_WRITE));
    cr_assert_eq(errno, ENOMEM);
    here->locked_max_bytes = 0;
    cr_assert_null(v->reg_mr(a.pd, a.bytes, 8, IBV_ACCESS_REMOTE_WRITE));
    cr_assert_eq(errno, EINVAL);
    void *constant = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_null(v->reg_mr(a.pd, constant, 4096, IBV_ACCESS_LOCAL_WRITE));
    cr_assert_eq(errno, EFAULT);
    struct ibv_mr *mr = v->reg_mr(a.pd, constant, 4096, 0);
    cr_assert_not_null(mr);
    v->dereg_mr(mr);
    munmap(constant, 4096);
}

Test(mockverbs, dmabuf__by_its_descriptor)
{
    int fd = memfd_create("device", MFD_CLOEXEC);
    cr_assert_eq(ftruncate(fd, 8192), 0);
    cr_assert_null(v->reg_dmabuf_mr(b.pd, 0, 8192, 0x10000, fd, IBV_ACCESS_REMOTE_READ));
    cr_assert_eq(errno, EOPNOTSUPP);
    there->dmabuf = true;
    struct ibv_mr *mr = v->reg_dmabuf_mr(b.pd, 4096, 4096, 0x10000, fd, IBV_ACCESS_REMOTE_READ);
    cr_assert_not_null(mr);
    cr_assert_eq(pwrite(fd, "device", 6, 4096 + 10), 6);
    struct ibv_sge piece = {(uintptr_t)a.bytes, 6, a.mr->lkey};
    struct ibv_send_wr wr = {.sg_list = &piece,
                             .num_sge = 1,
                             .opcode = READ,
                             .send_flags = SIGNALED,
                             .wr.rdma = {0x1000a, mr->rkey}};
    struct ibv_send_wr *bad;
    cr_assert_eq(ibv_post_send(a.qp, &wr, &bad), 0);
    cr_assert_eq(mock_end_poll(&a, 0), IBV_WC_SUCCESS);
    cr_assert(memcmp(a.bytes, "device", 6) == 0);
    v->dereg_mr(mr);
    close(fd);
}

Test(mockverbs, planned__request_and_verb)
{
    mock_fail_request(a.qp->qp_num, 1, IBV_WC_REM_OP_ERR, 3);
    memset(a.bytes, 7, 8);
    mock_end_post(&a, &b, READ, 100, 8, 1, SIGNALED);
    mock_end_post(&a, &b, WRITE, 0, 8, 2, 0);
    cr_assert_eq(mock_end_poll(&a, 1), IBV_WC_SUCCESS);
    cr_assert_eq(mock_end_poll(&a, 2), IBV_WC_REM_OP_ERR);
    cr_assert(memcmp(b.bytes, "\7\7\7\0", 4) == 0);
    mock_fail_verb(MOCK_ALLOC_PD, 0, 1, ENOMEM);
    cr_assert_null(v->alloc_pd(a.context));
    cr_assert_eq(errno, ENOMEM);
    struct ibv_pd *pd = v->alloc_pd(a.context);
    cr_assert_eq(v->dealloc_pd(pd), 0);
}

Test(mockverbs, removed__told_or_not)
{
    struct ibv_async_event event;
    mock_hold(true);
    mock_end_post(&a, &b, WRITE, 0, 8, 1, 0);
    mock_end_post(&b, &a, WRITE, 0, 8, 2, 0);
    mock_remove(here, true);
    mock_remove(there, false);
    mock_hold(false);
    cr_assert_eq(mock_end_poll(&a, 1), IBV_WC_WR_FLUSH_ERR);
    cr_assert_eq(mock_end_poll(&b, 2), -1);
    cr_assert_eq(mock_end_post(&a, &b, WRITE, 0, 8, 1, 0), EIO);
    cr_assert_null(v->alloc_pd(a.context));
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(v->get_async_event(i == 0 ? a.context : b.context, &event), 0);
        cr_assert_eq(event.event_type, IBV_EVENT_DEVICE_FATAL);
        v->ack_async_event(&event);
    }
    int count;
    struct ibv_device **list = v->get_device_list(&count);
    cr_assert_eq(count, 0);
    v->free_device_list(list);
}

Test(mockverbs, removed__what_could_not_be_ended_ends_with_the_event)
{
    struct ibv_async_event event;
    struct ibv_qp *qp = a.qp;
    mock_remove(here, true);
    cr_assert_eq(v->destroy_qp(qp), EIO);
    cr_assert_eq(mock_counts().qps, 2);
    cr_assert_eq(v->get_async_event(a.context, &event), 0);
    v->ack_async_event(&event);
    cr_assert_eq(mock_counts().qps, 1);
    a.qp = NULL; /* or it is ended once more: */
    cr_assert_eq(v->destroy_qp(qp), EIO);
}

Test(mockverbs, run__everything_completes_in_order)
{
    mock_run(42);
    for (uint64_t i = 0; i < 200; i++) {
        while (mock_end_post(&a, &b, WRITE, i, 1, i, SIGNALED) != 0)
            ;
        int status = -1;
        while (status < 0)
            status = mock_end_poll(&a, i);
        cr_assert_eq(status, IBV_WC_SUCCESS);
    }
    mock_rest();
}

Test(mockverbs, close__with_something_alive_ends_the_test, .signal = SIGABRT)
{
    v->close_device(a.context);
}
