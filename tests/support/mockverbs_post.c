/* SPDX-License-Identifier: Apache-2.0 */
/* Posting: what a driver checks, and the queue in which requests wait. */
#include "tests/support/mockverbs_world.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static uint64_t bytes_of(const struct ibv_send_wr *wr)
{
    uint64_t sum = 0;
    for (int i = 0; i < wr->num_sge; i++)
        sum += wr->sg_list[i].length;
    return sum;
}

static int check(const struct mock_qp *qp, const struct ibv_send_wr *wr)
{
    const struct ibv_device_attr *device = &mock_hardware_of(qp->verbs.context)->shown.attr;
    bool reads = wr->opcode == IBV_WR_RDMA_READ;
    if (!reads && wr->opcode != IBV_WR_RDMA_WRITE)
        return EINVAL;
    if (wr->num_sge < 0 || (uint32_t)wr->num_sge > qp->shown.cap.max_send_sge)
        return EINVAL;
    if (reads && (wr->num_sge > device->max_sge_rd || (wr->send_flags & IBV_SEND_INLINE)))
        return EINVAL;
    if ((wr->send_flags & IBV_SEND_INLINE) && bytes_of(wr) > qp->shown.cap.max_inline_data)
        return EINVAL;
    if (qp->posted - atomic_load(&qp->freed) >= qp->shown.cap.max_send_wr) {
        mock_count(&mock_world.counts.full, 1);
        return ENOMEM;
    }
    return 0;
}

static void note_counts(const struct ibv_send_wr *wr)
{
    mock_count(&mock_world.counts.requests, 1);
    mock_count(
        wr->opcode == IBV_WR_RDMA_READ ? &mock_world.counts.reads : &mock_world.counts.writes, 1);
    if (wr->send_flags & IBV_SEND_SIGNALED)
        mock_count(&mock_world.counts.signalled, 1);
    if (wr->send_flags & IBV_SEND_INLINE)
        mock_count(&mock_world.counts.inlined, 1);
}

/* Inline bytes are taken now, whatever their key; the others when the request is executed. */
static void take(struct mock_qp *qp, const struct ibv_send_wr *wr)
{
    struct mock_request *r = &qp->ring[qp->posted % qp->shown.cap.max_send_wr];
    r->wr = *wr;
    if (wr->num_sge > 0)
        memcpy(r->pieces, wr->sg_list, (size_t)wr->num_sge * sizeof(*r->pieces));
    r->wr.sg_list = r->pieces;
    r->wr.next = NULL;
    r->sent = atomic_load(&qp->state) == IBV_QPS_RTS;
    r->answered = false;
    uint8_t *to = r->inlined;
    for (int i = 0; (wr->send_flags & IBV_SEND_INLINE) && i < wr->num_sge; i++) {
        memcpy(to, (const void *)(uintptr_t)wr->sg_list[i].addr, wr->sg_list[i].length);
        to += wr->sg_list[i].length;
    }
    qp->posted++;
    atomic_fetch_add(&qp->waiting, 1);
    note_counts(wr);
}

static int post(struct mock_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
    int error = 0;
    pthread_mutex_lock(&qp->lock);
    for (; wr != NULL && error == 0; wr = wr->next) {
        int state = atomic_load(&qp->state);
        error = state == IBV_QPS_RTS || state == IBV_QPS_ERR ? check(qp, wr) : EINVAL;
        if (error == 0)
            take(qp, wr);
        else
            *bad = wr;
    }
    pthread_mutex_unlock(&qp->lock);
    mock_count(&mock_world.counts.doorbells, 1);
    return error;
}

int mock_post_send(struct ibv_qp *verbs, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
    struct mock_qp *qp = (struct mock_qp *)(void *)verbs;
    int error = mock_verb_fails(verbs->context, MOCK_POST_SEND);
    if (error != 0) {
        *bad = wr;
        return error;
    }
    pthread_rwlock_rdlock(&mock_world.lock);
    error = post(qp, wr, bad);
    mock_execute_now(qp);
    pthread_rwlock_unlock(&mock_world.lock);
    return error;
}

/* Nobody receives by these queue pairs: theirs are as good as full. */
int mock_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
    (void)qp;
    *bad = wr;
    return ENOMEM;
}
