/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rdma/queue.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "transport/base/hash.h"
#include "transport/base/log.h"
#include "transport/rdma/gid.h"

#define INLINE_BYTES_MAX 256u
#define DEPTH_MIN        16u
#define NUMBER_MASK      0xffffffu /* queue pairs' and packets' numbers have 24 bits */
/* Nobody sends what needs a receive request, so a receiver is never unready; 12: 0.64 ms. */
#define RNR_TIMER        12u

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* What a device says about itself, where "less than nothing" would be a driver's fault. */
static uint32_t positive(int value)
{
    return value > 0 ? (uint32_t)value : 0;
}

static bool count_queue_pair(const struct rdma_queue *q)
{
    struct rdma_device *device = q->port->device;
    uint32_t most = q->devices->settings.queue_pairs_max;
    if (atomic_fetch_add(&device->queue_pairs, 1) < most)
        return true;
    atomic_fetch_sub(&device->queue_pairs, 1);
    log_warn("rdma", "%s: its %u queue pairs are in use (qps=)", device->name, most);
    return false;
}

/* Queue pairs of the node never post anything, but some drivers refuse queues without a slot. */
static void ask_for_little(struct ibv_qp_cap *cap)
{
    *cap = (struct ibv_qp_cap){
        .max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1};
}

/* READs have their own limit on some devices. */
static uint32_t pieces_of(const struct ibv_device_attr *attr)
{
    uint32_t pieces = least(RDMA_SGE_MAX, positive(attr->max_sge));
    if (attr->max_sge_rd > 0)
        pieces = least(pieces, (uint32_t)attr->max_sge_rd);
    return pieces > 0 ? pieces : 1;
}

static void ask_for_much(const struct rdma_queue *q, struct ibv_qp_cap *cap)
{
    const struct ibv_device_attr *attr = &q->port->device->attr;
    uint32_t depth = least(q->devices->settings.depth, positive(attr->max_qp_wr));
    *cap = (struct ibv_qp_cap){.max_send_wr = depth > 0 ? depth : 1,
                               .max_recv_wr = 1,
                               .max_send_sge = pieces_of(attr),
                               .max_recv_sge = 1,
                               .max_inline_data = INLINE_BYTES_MAX};
}

/* Devices have limits on the sum of it all that they don't tell: less inline, then less depth. */
static bool ask_for_less(struct ibv_qp_cap *cap)
{
    if (cap->max_inline_data > 0)
        cap->max_inline_data = cap->max_inline_data > 16 ? cap->max_inline_data / 2 : 0;
    else if (cap->max_send_wr / 2 >= DEPTH_MIN)
        cap->max_send_wr /= 2;
    else
        return false;
    return true;
}

static struct ibv_qp *create(struct rdma_queue *q, struct ibv_cq *cq, struct ibv_qp_cap *asked)
{
    const struct rdma_device *device = q->port->device;
    for (;;) {
        struct ibv_qp_init_attr attr = {
            .send_cq = cq, .recv_cq = cq, .cap = *asked, .qp_type = IBV_QPT_RC};
        errno = 0;
        struct ibv_qp *qp = q->devices->verbs->create_qp(device->pd, &attr);
        if (qp != NULL) {
            /* Devices round up; some of them don't tell how far. */
            q->inline_max = least(asked->max_inline_data, attr.cap.max_inline_data);
            return qp;
        }
        if ((errno != ENOMEM && errno != EINVAL) || !ask_for_less(asked))
            return NULL;
    }
}

static int status_of_errno(const struct rdma_queue *q, int error)
{
    if (atomic_load(&q->port->device->lost))
        return CENOTE_NODE_DOWN;
    switch (error) {
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return CENOTE_NO_MEMORY;
    case ENOSPC:
        return CENOTE_LIMIT;
    /* No route, nobody at the address, the link or the device gone. */
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:
    case ENODATA:
    case ENODEV:
    case ENXIO:
        return CENOTE_NODE_DOWN;
    case EINVAL:
        return CENOTE_INVALID;
    default:
        return CENOTE_IO;
    }
}

static int failed(const struct rdma_queue *q, int error, const char *what)
{
    log_warn("rdma", "%s:%u: %s: %s", q->port->device->name, q->port->number, what,
             error != 0 ? strerror(error) : "its driver refuses");
    return status_of_errno(q, error);
}

static int create_failed(const struct rdma_queue *q, int error)
{
    int status = failed(q, error, "making a queue pair");
    return status == CENOTE_INVALID ? CENOTE_IO : status;
}

static int to_init(const struct rdma_queue *q, unsigned access)
{
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT,
                               .pkey_index = q->devices->settings.pkey,
                               .port_num = q->port->number,
                               .qp_access_flags = access};
    int mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
    int error = q->devices->verbs->modify_qp(q->qp, &attr, mask);
    return error == 0 ? CENOTE_OK : create_failed(q, error);
}

static unsigned access_of(enum rdma_side side, enum rdma_role role)
{
    if (side == RDMA_SIDE_CLIENT)
        return 0;
    /* A writer reads to make sure that what it wrote is there. */
    return role == RDMA_ROLE_WRITE ? IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE
                                   : IBV_ACCESS_REMOTE_READ;
}

int rdma_queue_make(struct rdma_queue *q, const struct rdma_devices *devices,
                    struct rdma_port *port, struct ibv_cq *cq, enum rdma_side side,
                    enum rdma_role role)
{
    struct rdma_device *device = port->device;
    struct ibv_qp_cap cap;
    *q = (struct rdma_queue){.devices = devices, .port = port};
    if (atomic_load(&device->lost))
        return failed(q, ENODEV, "making a queue pair");
    if (!count_queue_pair(q))
        return CENOTE_LIMIT;
    if (side == RDMA_SIDE_NODE)
        ask_for_little(&cap);
    else
        ask_for_much(q, &cap);
    q->qp = create(q, cq, &cap);
    if (q->qp == NULL) {
        atomic_fetch_sub(&device->queue_pairs, 1);
        return create_failed(q, errno);
    }
    int status = to_init(q, access_of(side, role));
    if (status != CENOTE_OK) {
        rdma_queue_end(q);
        return status;
    }
    q->depth = cap.max_send_wr;
    q->sge_max = cap.max_send_sge;
    q->psn = (uint32_t)hash_random_u64() & NUMBER_MASK;
    int reads =
        side == RDMA_SIDE_CLIENT ? device->attr.max_qp_init_rd_atom : device->attr.max_qp_rd_atom;
    q->read_depth = (uint8_t)least(positive(reads), UINT8_MAX);
    return CENOTE_OK;
}

void rdma_queue_describe(const struct rdma_queue *q, struct rdma_end *out)
{
    *out = (struct rdma_end){.number = q->qp->qp_num,
                             .psn = q->psn,
                             .mtu_bytes = q->port->mtu_bytes,
                             .read_depth = q->read_depth};
}

/* The largest of the five that isn't larger; 0: none. */
static unsigned mtu_code(uint32_t bytes)
{
    unsigned code = IBV_MTU_4096;
    while (code >= IBV_MTU_256 && (UINT32_C(128) << code) > bytes)
        code--;
    return code;
}

/* RoCE has nothing but GIDs; InfiniBand needs them between subnets, and where LIDs don't do. */
static bool needs_grh(const struct rdma_queue *q, const struct rdma_remote_port *own,
                      const struct rdma_remote_port *remote)
{
    return remote->link != RDMA_LINK_IB || q->port->grh_required || remote->lid == 0 ||
           own->gid.global.subnet_prefix != remote->gid.global.subnet_prefix;
}

static void path_to(const struct rdma_queue *q, const struct rdma_remote_port *remote,
                    struct ibv_ah_attr *out)
{
    const struct rdma_settings *s = &q->devices->settings;
    struct rdma_remote_port own;
    uint8_t gid_index = 0;
    rdma_port_address(q->port, &own, &gid_index);
    *out = (struct ibv_ah_attr){.sl = s->service_level, .port_num = q->port->number};
    if (remote->link == RDMA_LINK_IB)
        out->dlid = remote->lid;
    if (!needs_grh(q, &own, remote))
        return;
    out->is_global = 1;
    out->grh = (struct ibv_global_route){.dgid = remote->gid,
                                         .sgid_index = gid_index,
                                         .hop_limit = s->hop_limit,
                                         .traffic_class = s->traffic_class};
}

/* Ready to receive: the other end is known, and may begin. */
static int to_rtr(const struct rdma_queue *q, enum rdma_side side, const struct rdma_end *end,
                  const struct rdma_remote_port *remote)
{
    char gid[GID_TEXT_MAX], what[GID_TEXT_MAX + 32];
    struct ibv_qp_attr attr = {
        .qp_state = IBV_QPS_RTR,
        .path_mtu = (enum ibv_mtu)mtu_code(least(q->port->mtu_bytes, end->mtu_bytes)),
        .dest_qp_num = end->number & NUMBER_MASK,
        .rq_psn = end->psn & NUMBER_MASK,
        /* Nobody reads from a client; some devices want a slot for it all the same. */
        .max_dest_rd_atomic = side == RDMA_SIDE_NODE ? q->read_depth : 1,
        .min_rnr_timer = RNR_TIMER};
    path_to(q, remote, &attr.ah_attr);
    int mask = IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
               IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
    int error = q->devices->verbs->modify_qp(q->qp, &attr, mask);
    if (error == 0)
        return CENOTE_OK;
    gid_text(&remote->gid, gid);
    snprintf(what, sizeof(what), "connecting to %s", gid);
    return failed(q, error, what);
}

/* Ready to send. */
static int to_rts(const struct rdma_queue *q)
{
    const struct rdma_settings *s = &q->devices->settings;
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RTS,
                               .timeout = s->timeout,
                               .retry_cnt = s->retry,
                               .rnr_retry = s->retry,
                               .sq_psn = q->psn,
                               .max_rd_atomic = q->read_depth};
    int mask = IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
               IBV_QP_MAX_QP_RD_ATOMIC;
    int error = q->devices->verbs->modify_qp(q->qp, &attr, mask);
    return error == 0 ? CENOTE_OK : failed(q, error, "starting a queue pair");
}

int rdma_queue_connect(struct rdma_queue *q, enum rdma_side side, const struct rdma_end *end,
                       const struct rdma_remote_port *remote)
{
    assert(q->qp != NULL);
    if (q->port->link != remote->link)
        return failed(q, EINVAL, "connecting to a port with another kind of link");
    if (mtu_code(least(q->port->mtu_bytes, end->mtu_bytes)) < IBV_MTU_256)
        return failed(q, EINVAL, "connecting to a port with an MTU below 256");
    q->read_depth = (uint8_t)least(q->read_depth, end->read_depth);
    if (q->read_depth == 0)
        return failed(q, EINVAL, "connecting two ends that can't READ");
    int status = to_rtr(q, side, end, remote);
    if (status == CENOTE_OK && side == RDMA_SIDE_CLIENT)
        status = to_rts(q);
    return status;
}

void rdma_queue_fail(struct rdma_queue *q)
{
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_ERR};
    if (q->qp == NULL)
        return;
    int error = q->devices->verbs->modify_qp(q->qp, &attr, IBV_QP_STATE);
    if (error != 0 && !atomic_load(&q->port->device->lost))
        failed(q, error, "stopping a queue pair");
}

/* When a device is removed, the kernel destroys what was made by it, and then sends the event. So
 * "no such device" means that the queue pair is no more, once the event has come. */
static bool went_with_device(const struct rdma_queue *q, int error)
{
    return (error == EIO || error == ENODEV) && atomic_load(&q->port->device->lost);
}

static void forget(struct rdma_queue *q)
{
    q->qp = NULL;
    atomic_fetch_sub(&q->port->device->queue_pairs, 1);
}

bool rdma_queue_end(struct rdma_queue *q)
{
    if (q->qp == NULL)
        return true;
    int error = q->devices->verbs->destroy_qp(q->qp);
    if (error != 0 && !went_with_device(q, error)) {
        failed(q, error, "destroying a queue pair");
        return false;
    }
    forget(q);
    return true;
}

int rdma_status_of(enum ibv_wc_status status, bool *flushed)
{
    *flushed = status == IBV_WC_WR_FLUSH_ERR;
    switch (status) {
    case IBV_WC_SUCCESS:
        return CENOTE_OK;
    /* The client's own memory: a key that doesn't cover the piece (deregistered meanwhile, say), or
     * doesn't let a READ write to it; a request longer than the port's longest message. */
    case IBV_WC_LOC_PROT_ERR:
    case IBV_WC_LOC_LEN_ERR:
    case IBV_WC_LOC_ACCESS_ERR:
        return CENOTE_BAD_ADDRESS;
    /* The node's memory: a key of an earlier life of the segment, a range that isn't the segment's,
     * or a WRITE by a key that only reads. */
    case IBV_WC_REM_ACCESS_ERR:
        return CENOTE_STALE;
    /* Nobody acknowledges: the node or its host is dead or stopped, its queue pair was destroyed
     * (which a fence does), or the way is broken. RNR and RESP_TIMEOUT don't come by READ and WRITE
     * over RC, unless a driver says so instead. */
    case IBV_WC_RETRY_EXC_ERR:
    case IBV_WC_RNR_RETRY_EXC_ERR:
    case IBV_WC_RESP_TIMEOUT_ERR:
        return CENOTE_NODE_DOWN;
    /* An earlier request of this queue pair failed, or it was stopped: that one's status, or the
     * reason of the stop, holds for this one too. */
    case IBV_WC_WR_FLUSH_ERR:
        return CENOTE_CANCELLED;
    /* REM_INV_REQ: the node's end doesn't allow this kind of request at all (a WRITE where it was
     * opened to READ), or it was too long for it: ours was a wrong request. REM_OP: the node's
     * device couldn't do it. LOC_QP_OP, FATAL, GENERAL: a wrong request or a broken device here.
     * BAD_RESP: an answer that fits no request. REM_ABORT: the other end gave up. The rest belongs
     * to kinds of service and of requests that aren't used here. */
    case IBV_WC_REM_INV_REQ_ERR:
    case IBV_WC_REM_OP_ERR:
    case IBV_WC_LOC_QP_OP_ERR:
    case IBV_WC_FATAL_ERR:
    case IBV_WC_GENERAL_ERR:
    case IBV_WC_BAD_RESP_ERR:
    case IBV_WC_REM_ABORT_ERR:
    case IBV_WC_LOC_EEC_OP_ERR:
    case IBV_WC_MW_BIND_ERR:
    case IBV_WC_LOC_RDD_VIOL_ERR:
    case IBV_WC_REM_INV_RD_REQ_ERR:
    case IBV_WC_INV_EECN_ERR:
    case IBV_WC_INV_EEC_STATE_ERR:
    case IBV_WC_TM_ERR:
    case IBV_WC_TM_RNDV_INCOMPLETE:
        return CENOTE_IO;
    }
    return CENOTE_IO; /* of a newer library */
}
