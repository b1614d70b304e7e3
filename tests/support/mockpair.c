/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/mockpair.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ACCESS (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE)
#define CQE    64
#define PSN    0x1234u

static void make_queue_pair(struct mock_end *end)
{
    const struct rdma_verbs *v = mock_verbs();
    struct ibv_qp_init_attr init = {
        .send_cq = end->cq,
        .recv_cq = end->cq,
        .cap = {.max_send_wr = MOCK_PAIR_DEPTH, .max_send_sge = 4, .max_inline_data = 64},
        .qp_type = IBV_QPT_RC,
    };
    end->qp = v->create_qp(end->pd, &init);
    assert(end->qp != NULL);
    struct ibv_qp_attr attr = {
        .qp_state = IBV_QPS_INIT,
        .port_num = 1,
        .qp_access_flags = IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE,
    };
    int error = v->modify_qp(end->qp, &attr,
                             IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
    assert(error == 0);
}

void mock_end_open(struct mock_end *end, struct mock_device *device)
{
    const struct rdma_verbs *v = mock_verbs();
    int count;
    struct ibv_device **list = v->get_device_list(&count);
    *end = (struct mock_end){.device = device};
    for (int i = 0; i < count; i++) {
        if (strcmp(v->get_device_name(list[i]), device->name) == 0)
            end->context = v->open_device(list[i]);
    }
    v->free_device_list(list);
    assert(end->context != NULL);
    end->pd = v->alloc_pd(end->context);
    end->channel = v->create_comp_channel(end->context);
    end->cq = v->create_cq(end->context, CQE, end, end->channel, 0);
    end->bytes = calloc(1, MOCK_PAIR_BYTES);
    end->mr = v->reg_mr(end->pd, end->bytes, MOCK_PAIR_BYTES, ACCESS);
    assert(end->cq != NULL && end->mr != NULL);
    make_queue_pair(end);
}

void mock_end_close(struct mock_end *end)
{
    const struct rdma_verbs *v = mock_verbs();
    if (end->qp != NULL)
        v->destroy_qp(end->qp);
    v->destroy_cq(end->cq);
    v->destroy_comp_channel(end->channel);
    v->dereg_mr(end->mr);
    v->dealloc_pd(end->pd);
    v->close_device(end->context);
    free(end->bytes);
}

int mock_end_connect(struct mock_end *end, const struct mock_end *other)
{
    const unsigned gid = 3;
    struct ibv_qp_attr attr = {
        .qp_state = IBV_QPS_RTR,
        .path_mtu = IBV_MTU_4096,
        .dest_qp_num = other->qp->qp_num,
        .rq_psn = PSN,
        .max_dest_rd_atomic = 16,
        .min_rnr_timer = 12,
        .ah_attr = {.is_global = 1, .port_num = 1, .grh = {.sgid_index = gid, .hop_limit = 64}},
    };
    attr.ah_attr.grh.dgid = other->device->ports[0].gids[gid].gid;
    int error = mock_verbs()->modify_qp(end->qp, &attr,
                                        IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU |
                                            IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                                            IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
    if (error != 0)
        return error;
    attr = (struct ibv_qp_attr){
        .qp_state = IBV_QPS_RTS,
        .timeout = 14,
        .retry_cnt = 6,
        .rnr_retry = 6,
        .sq_psn = PSN,
        .max_rd_atomic = 16,
    };
    return mock_verbs()->modify_qp(end->qp, &attr,
                                   IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
                                       IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
}

void mock_ends_connect(struct mock_end *a, struct mock_end *b)
{
    int there = mock_end_connect(a, b), back = mock_end_connect(b, a);
    assert(there == 0 && back == 0);
}

void mock_pair_open(struct mock_end *a, struct mock_end *b)
{
    mock_end_open(a, mock_add("mock0"));
    mock_end_open(b, mock_add("mock1"));
    mock_ends_connect(a, b);
}

int mock_end_post(struct mock_end *end, const struct mock_end *other, enum ibv_wr_opcode opcode,
                  uint64_t offset, uint32_t len_bytes, uint64_t id, unsigned flags)
{
    struct ibv_sge piece = {(uintptr_t)end->bytes + offset, len_bytes, end->mr->lkey};
    struct ibv_send_wr wr = {
        .wr_id = id,
        .sg_list = &piece,
        .num_sge = 1,
        .opcode = opcode,
        .send_flags = flags,
        .wr.rdma = {(uintptr_t)other->bytes + offset, other->mr->rkey},
    };
    struct ibv_send_wr *bad;
    return ibv_post_send(end->qp, &wr, &bad);
}

int mock_end_poll(struct mock_end *end, uint64_t id)
{
    struct ibv_wc wc;
    if (ibv_poll_cq(end->cq, 1, &wc) != 1)
        return -1;
    assert(wc.wr_id == id && wc.qp_num == end->qp->qp_num);
    return (int)wc.status;
}
