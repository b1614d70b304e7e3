/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cenote/status.h>

#include "tests/support/mockverbs.h"
#include "transport/base/hash.h"
#include "transport/rdma/queue.h"

/* Two users of devices in one process: a client by mock0, a node by mock1. */
static struct mock_device *m0, *m1;
static struct rdma_devices *client, *node;
static struct ibv_cq *client_cq, *node_cq;
static struct rdma_queue here, there;

static struct rdma_devices *devices_of(const char *text)
{
    struct rdma_devices *d = NULL;
    struct rdma_settings settings;
    char error[128];
    cr_assert_eq(rdma_settings_parse(text, &settings, error, sizeof(error)), CENOTE_OK, "%s",
                 error);
    cr_assert_eq(rdma_devices_open(&settings, &d), CENOTE_OK);
    return d;
}

static struct ibv_cq *cq_of(const struct rdma_devices *d)
{
    struct ibv_cq *cq = d->verbs->create_cq(d->at[0].context, 1024, NULL, NULL, 0);
    cr_assert_not_null(cq);
    return cq;
}

static void open_with(const char *settings)
{
    char text[256];
    snprintf(text, sizeof(text), "mock0,%s", settings);
    client = devices_of(text);
    snprintf(text, sizeof(text), "mock1,%s", settings);
    node = devices_of(text);
    client_cq = cq_of(client);
    node_cq = cq_of(node);
}

static void begin(void)
{
    hash_init();
    rdma_verbs_replace(mock_verbs());
    m0 = mock_add("mock0");
    m1 = mock_add("mock1");
}

static void close_all(struct rdma_devices *d, struct ibv_cq *cq)
{
    if (d == NULL)
        return;
    d->verbs->destroy_cq(cq);
    rdma_devices_close(d);
}

static void end(void)
{
    cr_assert(rdma_queue_end(&here));
    cr_assert(rdma_queue_end(&there));
    close_all(client, client_cq);
    close_all(node, node_cq);
    cr_assert_eq(mock_alive(), 0);
    mock_reset();
}

TestSuite(rdma_queue, .init = begin, .fini = end);

static int make_here(enum rdma_role role)
{
    return rdma_queue_make(&here, client, &client->rails[0], client_cq, RDMA_SIDE_CLIENT, role);
}

static int make_there(enum rdma_role role)
{
    return rdma_queue_make(&there, node, &node->rails[0], node_cq, RDMA_SIDE_NODE, role);
}

static int connect_there(void)
{
    struct rdma_end end;
    struct rdma_remote_port port;
    rdma_queue_describe(&here, &end);
    rdma_port_address(&client->rails[0], &port, NULL);
    return rdma_queue_connect(&there, RDMA_SIDE_NODE, &end, &port);
}

static int connect_here(void)
{
    struct rdma_end end;
    struct rdma_remote_port port;
    rdma_queue_describe(&there, &end);
    rdma_port_address(&node->rails[0], &port, NULL);
    return rdma_queue_connect(&here, RDMA_SIDE_CLIENT, &end, &port);
}

static void connect_both(enum rdma_role role)
{
    cr_assert_eq(make_here(role), CENOTE_OK);
    cr_assert_eq(make_there(role), CENOTE_OK);
    cr_assert_eq(connect_there(), CENOTE_OK);
    cr_assert_eq(connect_here(), CENOTE_OK);
}

static struct mock_queue_pair pair_of(const struct rdma_queue *q)
{
    struct mock_queue_pair pair;
    cr_assert(mock_queue_pair_of(q->qp->qp_num, &pair));
    return pair;
}

Test(rdma_queue, connect__everything_from_settings_and_devices)
{
    m0->attr.max_qp_init_rd_atom = 16;
    m0->attr.max_qp_rd_atom = 1;
    m1->attr.max_qp_init_rd_atom = 2;
    m1->attr.max_qp_rd_atom = 64;
    m1->ports[0].attr.active_mtu = IBV_MTU_1024;
    m0->ports[0].attr.pkey_tbl_len = m1->ports[0].attr.pkey_tbl_len = 8;
    m0->attr.max_pkeys = m1->attr.max_pkeys = 8;
    open_with("tc=106,sl=3,hops=9,timeout=18,retry=5,pkey=2,depth=64");
    connect_both(RDMA_ROLE_READ);
    struct mock_queue_pair c = pair_of(&here), n = pair_of(&there);
    cr_assert_eq(c.state, IBV_QPS_RTS);
    cr_assert_eq(n.state, IBV_QPS_RTR);
    cr_assert_eq(c.attr.path_mtu, IBV_MTU_1024);
    cr_assert_eq(n.attr.path_mtu, IBV_MTU_1024);
    cr_assert_eq(c.attr.timeout, 18);
    cr_assert_eq(c.attr.retry_cnt, 5);
    cr_assert_eq(c.attr.rnr_retry, 5);
    cr_assert_eq(c.attr.pkey_index, 2);
    cr_assert_eq(c.attr.max_rd_atomic, 16);
    cr_assert_eq(n.attr.max_dest_rd_atomic, 16);
    cr_assert_eq(here.read_depth, 16);
    cr_assert_eq(c.attr.sq_psn, here.psn);
    cr_assert_eq(n.attr.rq_psn, here.psn);
    cr_assert_eq(c.attr.rq_psn, there.psn);
    cr_assert_eq(c.attr.dest_qp_num, there.qp->qp_num);
    const struct ibv_ah_attr *to = &c.attr.ah_attr;
    cr_assert_eq(to->is_global, 1);
    cr_assert_eq(to->sl, 3);
    cr_assert_eq(to->grh.hop_limit, 9);
    cr_assert_eq(to->grh.traffic_class, 106);
    cr_assert_eq(to->grh.sgid_index, 3);
    cr_assert(memcmp(&to->grh.dgid, &node->rails[0].gid, sizeof(to->grh.dgid)) == 0);
    cr_assert_eq(here.depth, 64);
}

Test(rdma_queue, connect__the_node_answers_fewer_reads)
{
    m0->attr.max_qp_init_rd_atom = 128;
    m1->attr.max_qp_rd_atom = 4;
    open_with("retry=6");
    connect_both(RDMA_ROLE_READ);
    cr_assert_eq(pair_of(&here).attr.max_rd_atomic, 4);
    cr_assert_eq(pair_of(&there).attr.max_dest_rd_atomic, 4);
}

Test(rdma_queue, make__access_by_role)
{
    open_with("retry=6");
    connect_both(RDMA_ROLE_READ);
    cr_assert_eq(pair_of(&here).attr.qp_access_flags, 0);
    cr_assert_eq(pair_of(&there).attr.qp_access_flags, IBV_ACCESS_REMOTE_READ);
    cr_assert(rdma_queue_end(&there));
    cr_assert_eq(make_there(RDMA_ROLE_WRITE), CENOTE_OK);
    cr_assert_eq(pair_of(&there).attr.qp_access_flags,
                 IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE);
    cr_assert_eq(pair_of(&there).cap.max_send_wr, 1);
}

Test(rdma_queue, make__random_packet_numbers)
{
    open_with("retry=6");
    uint32_t all = 0, first = 0;
    bool differ = false;
    for (unsigned i = 0; i < 32; i++) {
        cr_assert_eq(make_here(RDMA_ROLE_READ), CENOTE_OK);
        if (i == 0)
            first = here.psn;
        differ = differ || here.psn != first;
        all |= here.psn;
        cr_assert(rdma_queue_end(&here));
    }
    cr_assert(differ);
    cr_assert_eq(all & 0xff000000u, 0);
}

Test(rdma_queue, make__inline_as_much_as_there_is)
{
    m0->inline_max = 1024;
    open_with("retry=6");
    cr_assert_eq(make_here(RDMA_ROLE_WRITE), CENOTE_OK);
    cr_assert_eq(here.inline_max, 256);
    cr_assert(rdma_queue_end(&here));
    m0->inline_max = 100;
    cr_assert_eq(make_here(RDMA_ROLE_WRITE), CENOTE_OK);
    cr_assert_eq(here.inline_max, 64);
    cr_assert(rdma_queue_end(&here));
    m0->inline_max = 0;
    cr_assert_eq(make_here(RDMA_ROLE_WRITE), CENOTE_OK);
    cr_assert_eq(here.inline_max, 0);
}

Test(rdma_queue, make__less_when_it_is_too_much)
{
    open_with("depth=128");
    mock_fail_verb(MOCK_CREATE_QP, 0, 7, EINVAL);
    cr_assert_eq(make_here(RDMA_ROLE_READ), CENOTE_OK);
    cr_assert_eq(here.inline_max, 0);
    cr_assert_eq(here.depth, 32, "%u", here.depth);
    cr_assert(rdma_queue_end(&here));
    mock_fail_verb(MOCK_CREATE_QP, 0, 100, ENOMEM);
    cr_assert_eq(make_here(RDMA_ROLE_READ), CENOTE_NO_MEMORY);
    mock_fail_verb(MOCK_CREATE_QP, 0, 100, EINVAL);
    cr_assert_eq(make_here(RDMA_ROLE_READ), CENOTE_IO);
    mock_fail_verb(MOCK_CREATE_QP, 0, 1, ENOSPC);
    cr_assert_eq(make_here(RDMA_ROLE_READ), CENOTE_LIMIT);
    cr_assert_eq(atomic_load(&client->at[0].queue_pairs), 0);
}

Test(rdma_queue, make__limits_of_the_device)
{
    m0->attr.max_qp_wr = 50;
    m0->attr.max_sge = 30;
    m0->attr.max_sge_rd = 16;
    m0->attr.max_qp_init_rd_atom = 300;
    open_with("retry=6");
    cr_assert_eq(make_here(RDMA_ROLE_READ), CENOTE_OK);
    cr_assert_eq(here.depth, 50);
    cr_assert_eq(here.sge_max, 16);
    cr_assert_eq(here.read_depth, 255);
    cr_assert(rdma_queue_end(&here));
    m0->attr.max_sge_rd = 0;
    client->at[0].attr.max_sge_rd = 0;
    client->at[0].attr.max_sge = 64;
    m0->attr.max_sge = 64;
    cr_assert_eq(make_here(RDMA_ROLE_READ), CENOTE_OK);
    cr_assert_eq(here.sge_max, RDMA_SGE_MAX);
}

Test(rdma_queue, make__so_many_and_no_more)
{
    open_with("qps=1");
    cr_assert_eq(make_here(RDMA_ROLE_READ), CENOTE_OK);
    struct rdma_queue second;
    cr_assert_eq(rdma_queue_make(&second, client, &client->rails[0], client_cq, RDMA_SIDE_CLIENT,
                                 RDMA_ROLE_READ),
                 CENOTE_LIMIT);
    cr_assert_null(second.qp);
    cr_assert_eq(atomic_load(&client->at[0].queue_pairs), 1);
    cr_assert(rdma_queue_end(&second));
    cr_assert(rdma_queue_end(&here));
    cr_assert_eq(make_here(RDMA_ROLE_READ), CENOTE_OK);
}

Test(rdma_queue, make__no_init)
{
    open_with("retry=6");
    mock_fail_verb(MOCK_MODIFY_QP, 0, 1, EINVAL);
    cr_assert_eq(make_here(RDMA_ROLE_READ), CENOTE_IO);
    cr_assert_null(here.qp);
    cr_assert_eq(mock_counts().qps, 0);
    cr_assert_eq(atomic_load(&client->at[0].queue_pairs), 0);
}

Test(rdma_queue, connect__no_way)
{
    open_with("retry=6");
    cr_assert_eq(make_here(RDMA_ROLE_READ), CENOTE_OK);
    cr_assert_eq(make_there(RDMA_ROLE_READ), CENOTE_OK);
    mock_fail_verb(MOCK_MODIFY_QP, 0, 1, ETIMEDOUT);
    cr_assert_eq(connect_here(), CENOTE_NODE_DOWN);
    mock_fail_verb(MOCK_MODIFY_QP, 0, 1, EINVAL);
    cr_assert_eq(connect_here(), CENOTE_INVALID);
    mock_fail_verb(MOCK_MODIFY_QP, 1, 1, ENOMEM);
    cr_assert_eq(connect_here(), CENOTE_NO_MEMORY);
}

Test(rdma_queue, connect__what_does_not_fit)
{
    open_with("retry=6");
    cr_assert_eq(make_here(RDMA_ROLE_READ), CENOTE_OK);
    struct rdma_end end = {.number = 1, .mtu_bytes = 4096, .read_depth = 1};
    struct rdma_remote_port port;
    rdma_port_address(&node->rails[0], &port, NULL);
    port.link = RDMA_LINK_ROCE_V1;
    cr_assert_eq(rdma_queue_connect(&here, RDMA_SIDE_CLIENT, &end, &port), CENOTE_INVALID);
    port.link = RDMA_LINK_ROCE_V2;
    end.mtu_bytes = 255;
    cr_assert_eq(rdma_queue_connect(&here, RDMA_SIDE_CLIENT, &end, &port), CENOTE_INVALID);
    end.mtu_bytes = 4096;
    end.read_depth = 0;
    cr_assert_eq(rdma_queue_connect(&here, RDMA_SIDE_CLIENT, &end, &port), CENOTE_INVALID);
}

Test(rdma_queue, connect__infiniband)
{
    mock_make_infiniband(&m0->ports[0], 17);
    mock_make_infiniband(&m1->ports[0], 18);
    open_with("retry=6");
    connect_both(RDMA_ROLE_READ);
    const struct mock_queue_pair c = pair_of(&here);
    cr_assert_eq(c.attr.ah_attr.dlid, 18);
    cr_assert_eq(c.attr.ah_attr.is_global, 0);
}

Test(rdma_queue, connect__infiniband_with_grh)
{
    mock_make_infiniband(&m0->ports[0], 17);
    mock_make_infiniband(&m1->ports[0], 18);
    open_with("retry=6");
    struct rdma_end end = {.number = 1, .mtu_bytes = 4096, .read_depth = 1};
    struct rdma_remote_port port;
    rdma_port_address(&node->rails[0], &port, NULL);
    port.gid.raw[7] = 9; /* another subnet */
    cr_assert_eq(make_here(RDMA_ROLE_READ), CENOTE_OK);
    cr_assert_eq(rdma_queue_connect(&here, RDMA_SIDE_CLIENT, &end, &port), CENOTE_OK);
    cr_assert_eq(pair_of(&here).attr.ah_attr.is_global, 1);
    cr_assert_eq(pair_of(&here).attr.ah_attr.dlid, 18);
    cr_assert(rdma_queue_end(&here));
    client->rails[0].grh_required = true;
    rdma_port_address(&node->rails[0], &port, NULL);
    cr_assert_eq(make_here(RDMA_ROLE_READ), CENOTE_OK);
    cr_assert_eq(rdma_queue_connect(&here, RDMA_SIDE_CLIENT, &end, &port), CENOTE_OK);
    cr_assert_eq(pair_of(&here).attr.ah_attr.is_global, 1);
}

Test(rdma_queue, fail)
{
    open_with("retry=6");
    rdma_queue_fail(&here);
    connect_both(RDMA_ROLE_READ);
    rdma_queue_fail(&here);
    rdma_queue_fail(&here);
    cr_assert_eq(pair_of(&here).state, IBV_QPS_ERR);
}

Test(rdma_queue, bytes_move)
{
    open_with("retry=6");
    connect_both(RDMA_ROLE_READ);
    static uint8_t from[64] = "what the node has", to[64];
    struct ibv_mr *theirs = node->verbs->reg_mr(node->at[0].pd, from, 64, IBV_ACCESS_REMOTE_READ);
    struct ibv_mr *ours = client->verbs->reg_mr(client->at[0].pd, to, 64, IBV_ACCESS_LOCAL_WRITE);
    struct ibv_sge sge = {.addr = (uintptr_t)to, .length = 64, .lkey = ours->lkey};
    struct ibv_send_wr wr = {.sg_list = &sge,
                             .num_sge = 1,
                             .opcode = IBV_WR_RDMA_READ,
                             .send_flags = IBV_SEND_SIGNALED,
                             .wr.rdma = {.remote_addr = (uintptr_t)from, .rkey = theirs->rkey}};
    struct ibv_send_wr *bad;
    struct ibv_wc wc;
    cr_assert_eq(ibv_post_send(here.qp, &wr, &bad), 0);
    cr_assert_eq(ibv_poll_cq(client_cq, 1, &wc), 1);
    cr_assert_eq(wc.status, IBV_WC_SUCCESS);
    cr_assert_str_eq((char *)to, "what the node has");
    wr.opcode = IBV_WR_RDMA_WRITE;
    cr_assert_eq(ibv_post_send(here.qp, &wr, &bad), 0);
    cr_assert_eq(ibv_poll_cq(client_cq, 1, &wc), 1);
    bool flushed = true;
    cr_assert_neq(rdma_status_of(wc.status, &flushed), CENOTE_OK, "its role is to READ");
    cr_assert(!flushed);
    client->verbs->dereg_mr(ours);
    node->verbs->dereg_mr(theirs);
}

Test(rdma_queue, end__device_removed)
{
    open_with("retry=6");
    connect_both(RDMA_ROLE_READ);
    mock_remove(m0, true);
    cr_assert(!rdma_queue_end(&here), "nothing is known before the event");
    cr_assert_not_null(here.qp);
    rdma_devices_take_events(client);
    cr_assert(rdma_queue_end(&here));
    cr_assert_eq(atomic_load(&client->at[0].queue_pairs), 0);
    cr_assert_eq(make_here(RDMA_ROLE_READ), CENOTE_NODE_DOWN);
}
