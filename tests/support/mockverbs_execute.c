/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executing a request: first what its own end finds wrong with it, then whether it gets to the
 * other end at all, then what that one answers; then bytes move, and the completion tells.
 */
#include "tests/support/mockverbs_world.h"

#include <string.h>

#define CHUNK_BYTES 4096u
#define GARBAGE     0x7eu /* where a failed completion promises nothing */

struct flight {
    struct mock_qp *qp, *remote;
    const struct mock_request *request;
    const struct ibv_send_wr *wr;
    uint64_t len_bytes;
    uint8_t *remote_host;
    bool reads, inlined;
};

static const struct mock_port *port_of(const struct mock_qp *qp)
{
    return &mock_hardware_of(qp->verbs.context)->shown.ports[qp->shown.attr.port_num - 1];
}

static enum ibv_wc_status judge_own(const struct flight *f)
{
    if (f->len_bytes > port_of(f->qp)->attr.max_msg_sz)
        return IBV_WC_LOC_LEN_ERR;
    if (f->reads && f->qp->shown.attr.max_rd_atomic == 0)
        return IBV_WC_LOC_QP_OP_ERR;
    for (int i = 0; !f->inlined && i < f->wr->num_sge; i++) {
        if (f->wr->sg_list[i].length != 0 &&
            mock_region_local(f->qp, &f->wr->sg_list[i], f->reads ? IBV_ACCESS_LOCAL_WRITE : 0) ==
                NULL)
            return IBV_WC_LOC_PROT_ERR;
    }
    return IBV_WC_SUCCESS;
}

/* Does one end's path lead to the port of the other? */
static bool leads_to(const struct mock_qp *from, const struct mock_qp *to)
{
    const struct mock_port *there = port_of(to), *here = port_of(from);
    const struct ibv_ah_attr *ah = &from->shown.attr.ah_attr;
    if (there->attr.link_layer != here->attr.link_layer)
        return false;
    if (here->attr.link_layer == IBV_LINK_LAYER_INFINIBAND && ah->dlid != there->attr.lid)
        return false;
    if (!ah->is_global)
        return true;
    uint8_t index = to->shown.attr.ah_attr.grh.sgid_index;
    const struct ibv_gid_entry *theirs = &there->gids[index],
                               *ours = &here->gids[ah->grh.sgid_index];
    return theirs->gid_type == ours->gid_type &&
           memcmp(&theirs->gid, &ah->grh.dgid, sizeof(theirs->gid)) == 0;
}

static bool is_deaf(const struct mock_qp *qp)
{
    const struct mock_hardware *h = mock_hardware_of(qp->verbs.context);
    int state = atomic_load(&qp->state);
    return h->removed || atomic_load(&h->silent) || atomic_load(&qp->silent) ||
           port_of(qp)->attr.state != IBV_PORT_ACTIVE ||
           (state != IBV_QPS_RTR && state != IBV_QPS_RTS);
}

static bool is_connected(const struct flight *f)
{
    const struct mock_qp *qp = f->qp, *remote = f->remote;
    return remote != NULL && remote->shown.attr.dest_qp_num == qp->verbs.qp_num &&
           remote->shown.attr.rq_psn == qp->shown.attr.sq_psn && leads_to(qp, remote) &&
           leads_to(remote, qp);
}

static bool arrives(const struct flight *f)
{
    return is_connected(f) && port_of(f->qp)->attr.state == IBV_PORT_ACTIVE && !is_deaf(f->remote);
}

static enum ibv_wc_status judge_remote(struct flight *f)
{
    const struct ibv_qp_attr *here = &f->qp->shown.attr, *there = &f->remote->shown.attr;
    int access = f->reads ? IBV_ACCESS_REMOTE_READ : IBV_ACCESS_REMOTE_WRITE;
    if (here->path_mtu != there->path_mtu || !(there->qp_access_flags & (unsigned)access))
        return IBV_WC_REM_INV_REQ_ERR;
    if (f->reads && here->max_rd_atomic > there->max_dest_rd_atomic)
        return IBV_WC_REM_INV_REQ_ERR;
    if (f->len_bytes == 0)
        return IBV_WC_SUCCESS;
    uint64_t addr = f->wr->wr.rdma.remote_addr;
    struct mock_region *r =
        mock_region_remote(f->remote, f->wr->wr.rdma.rkey, addr, f->len_bytes, access);
    if (r == NULL)
        return IBV_WC_REM_ACCESS_ERR;
    f->remote_host = r->host + (addr - r->base);
    return IBV_WC_SUCCESS;
}

/* The other end notices too, and its queue pair is of no use any more. */
static void fail_remote(const struct flight *f, enum ibv_wc_status status)
{
    mock_qp_fail(f->remote);
    mock_raise_queue_pair(&f->remote->verbs, status == IBV_WC_REM_ACCESS_ERR
                                                 ? IBV_EVENT_QP_ACCESS_ERR
                                                 : IBV_EVENT_QP_REQ_ERR);
}

static enum ibv_wc_status judge(struct flight *f)
{
    enum ibv_wc_status status = judge_own(f);
    if (status != IBV_WC_SUCCESS)
        return status;
    if (!arrives(f)) {
        if (f->qp->shown.attr.retry_cnt == 7 || f->qp->shown.attr.timeout == 0)
            mock_panic("a request that nobody answers is tried for ever");
        return IBV_WC_RETRY_EXC_ERR;
    }
    status = judge_remote(f);
    if (status != IBV_WC_SUCCESS)
        fail_remote(f, status);
    return status;
}

/* Not expanded by the compiler, which leaves copies that it expands unseen by ThreadSanitizer. */
static void *(*volatile seen_copy)(void *, const void *, size_t) = memcpy;

static void move_part(const struct flight *f, uint8_t *local, uint8_t *remote, uint64_t len_bytes)
{
    _Alignas(8) uint8_t room[CHUNK_BYTES + 8];
    uint8_t *chunk = room + ((uintptr_t)remote & 7);
    if (mock_is_forbidden(local, f->inlined ? 0 : len_bytes) ||
        mock_is_forbidden(remote, len_bytes))
        mock_panic("a %s touches memory that it must not touch any more",
                   f->reads ? "READ" : "WRITE");
    while (len_bytes > 0) {
        uint64_t n = len_bytes < CHUNK_BYTES ? len_bytes : CHUNK_BYTES;
        if (f->reads) {
            mock_device_copy(chunk, remote, n);
            seen_copy(local, chunk, n);
        } else {
            seen_copy(chunk, local, n);
            mock_device_copy(remote, chunk, n);
        }
        local += n;
        remote += n;
        len_bytes -= n;
    }
}

static void move(const struct flight *f, uint64_t len_bytes)
{
    uint8_t *remote = f->remote_host, *inlined = f->request->inlined;
    for (int i = 0; i < f->wr->num_sge && len_bytes > 0; i++) {
        const struct ibv_sge *piece = &f->wr->sg_list[i];
        uint64_t n = piece->length < len_bytes ? piece->length : len_bytes;
        if (n == 0)
            continue;
        if (f->inlined) {
            move_part(f, inlined, remote, n);
            inlined += n;
        } else {
            const struct mock_region *r = mock_region_local(f->qp, piece, 0);
            move_part(f, r->host + (piece->addr - r->base), remote, n);
        }
        remote += n;
        len_bytes -= n;
    }
}

/* Takes a WRITE's bytes now, for later. */
static void keep(struct flight *f, uint64_t len_bytes, bool stray)
{
    struct mock_landing *landing = mock_landing_new(len_bytes);
    landing->stray = stray;
    landing->rkey = f->wr->wr.rdma.rkey;
    landing->addr = f->wr->wr.rdma.remote_addr;
    f->remote_host = landing->bytes;
    move(f, len_bytes);
    mock_landing_add(f->remote, landing);
}

static void transfer(struct flight *f, uint64_t len_bytes)
{
    if (len_bytes == 0)
        return;
    if (f->reads)
        mock_landings_land(f->remote);
    if (!f->reads && mock_has_quirk(MOCK_LATE))
        keep(f, len_bytes, false);
    else
        move(f, len_bytes);
}

static struct flight flight_of(struct mock_qp *qp, const struct mock_request *request)
{
    struct flight f = {
        .qp = qp,
        .remote = mock_qp_find(qp->shown.attr.dest_qp_num),
        .request = request,
        .wr = &request->wr,
        .reads = request->wr.opcode == IBV_WR_RDMA_READ,
        .inlined = (request->wr.send_flags & IBV_SEND_INLINE) != 0,
    };
    for (int i = 0; i < f.wr->num_sge; i++)
        f.len_bytes += f.wr->sg_list[i].length;
    return f;
}

/* The sender knows nothing of a WRITE that was with its device; it may arrive all the same. */
static void leave_stray(struct mock_qp *qp, const struct mock_request *request)
{
    struct flight f = flight_of(qp, request);
    if (!mock_has_quirk(MOCK_STRAY) || f.reads || f.len_bytes == 0 || !request->sent || qp->stuck)
        return;
    if (judge_own(&f) == IBV_WC_SUCCESS && is_connected(&f) && judge_remote(&f) == IBV_WC_SUCCESS)
        keep(&f, f.len_bytes, true);
}

static struct mock_request *request_at(const struct mock_qp *qp, uint64_t number)
{
    return &qp->ring[number % qp->shown.cap.max_send_wr];
}

void mock_leave_strays(struct mock_qp *qp)
{
    for (uint64_t i = qp->executed; i != qp->posted; i++)
        leave_stray(qp, request_at(qp, i));
    mock_wake();
}

static enum ibv_wc_status fly(struct mock_qp *qp, const struct mock_request *request)
{
    struct flight f = flight_of(qp, request);
    enum ibv_wc_status planned = IBV_WC_SUCCESS;
    uint64_t landed_bytes = f.len_bytes;
    bool fails = mock_request_fails(qp->verbs.qp_num, &planned, &landed_bytes);
    enum ibv_wc_status status = request->answered ? IBV_WC_SUCCESS : judge(&f);
    if (status == IBV_WC_RETRY_EXC_ERR)
        leave_stray(qp, request);
    else if (status != IBV_WC_SUCCESS)
        qp->stuck = true;
    if (status != IBV_WC_SUCCESS)
        return status;
    if (!request->answered)
        transfer(&f, landed_bytes < f.len_bytes ? landed_bytes : f.len_bytes);
    if (!fails)
        mock_count(f.reads ? &mock_world.counts.read_bytes : &mock_world.counts.written_bytes,
                   f.len_bytes);
    return planned;
}

/* ---- the order of READs ---------------------------------------------------------------------- */

static bool may_overtake(const struct mock_request *request)
{
    return request->wr.opcode == IBV_WR_RDMA_READ && !(request->wr.send_flags & IBV_SEND_FENCE);
}

/* What is wrong with a request is found when it is its turn. */
static bool answer(struct mock_qp *qp, struct mock_request *request)
{
    struct flight f = flight_of(qp, request);
    if (request->answered || judge_own(&f) != IBV_WC_SUCCESS || !arrives(&f) ||
        judge_remote(&f) != IBV_WC_SUCCESS)
        return false;
    transfer(&f, f.len_bytes);
    request->answered = true;
    mock_count(&mock_world.counts.swapped, 1);
    return true;
}

/* Of the READs right behind the next one, answers the last that isn't yet. */
static bool answer_later_one(struct mock_qp *qp)
{
    uint64_t next = qp->executed, end = next + 1;
    if (request_at(qp, next)->wr.opcode != IBV_WR_RDMA_READ)
        return false;
    while (end != qp->posted && may_overtake(request_at(qp, end)))
        end++;
    while (--end > next)
        if (answer(qp, request_at(qp, end)))
            return true;
    return false;
}

static void complete(struct mock_qp *qp, const struct mock_request *request,
                     enum ibv_wc_status status)
{
    bool good = status == IBV_WC_SUCCESS, reads = request->wr.opcode == IBV_WR_RDMA_READ;
    if (good && !qp->all_signalled && !(request->wr.send_flags & IBV_SEND_SIGNALED))
        return;
    struct mock_completion c = {.frees = qp->executed};
    memset(&c.wc, GARBAGE, sizeof(c.wc));
    c.wc.wr_id = request->wr.wr_id;
    c.wc.status = status;
    c.wc.qp_num = qp->verbs.qp_num;
    c.wc.vendor_err = good ? 0 : GARBAGE;
    if (good) {
        c.wc.opcode = reads ? IBV_WC_RDMA_READ : IBV_WC_RDMA_WRITE;
        c.wc.wc_flags = 0;
    }
    mock_cq_put((struct mock_cq *)(void *)qp->verbs.send_cq, &c);
}

static void execute_one(struct mock_qp *qp)
{
    const struct mock_request *request = request_at(qp, qp->executed);
    bool broken = atomic_load(&qp->state) == IBV_QPS_ERR;
    enum ibv_wc_status status = IBV_WC_WR_FLUSH_ERR;
    if (broken)
        leave_stray(qp, request);
    else if (mock_has_quirk(MOCK_SWAPPED) && answer_later_one(qp))
        return;
    else
        status = fly(qp, request);
    qp->executed++;
    atomic_fetch_sub(&qp->waiting, 1);
    if (status != IBV_WC_SUCCESS) {
        mock_qp_fail(qp);
        mock_count(broken ? &mock_world.counts.flushed : &mock_world.counts.failed, 1);
    }
    complete(qp, request, status);
}

unsigned mock_execute(struct mock_qp *qp, unsigned count)
{
    unsigned done = 0;
    if (atomic_load_explicit(&qp->waiting, memory_order_relaxed) == 0)
        return 0;
    pthread_mutex_lock(&qp->lock);
    for (; done < count && qp->executed != qp->posted; done++)
        execute_one(qp);
    pthread_mutex_unlock(&qp->lock);
    return done;
}
