/* SPDX-License-Identifier: Apache-2.0 */
/* Queue pairs: made, modified as the specification's table of transitions has it, ended. */
#include "tests/support/mockverbs_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 0xffffffu

/* What a reliable connected queue pair takes on its way; the states in between and transitions
 * that the transport has no use for are left out. */
static const struct transition {
    enum ibv_qp_state from, to;
    int needed, allowed;
} transitions[] = {
    {IBV_QPS_RESET, IBV_QPS_INIT, IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS, 0},
    {IBV_QPS_INIT, IBV_QPS_INIT, 0, IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS},
    {IBV_QPS_INIT, IBV_QPS_RTR,
     IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
         IBV_QP_MIN_RNR_TIMER,
     IBV_QP_ACCESS_FLAGS | IBV_QP_PKEY_INDEX},
    {IBV_QPS_RTR, IBV_QPS_RTS,
     IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC,
     IBV_QP_CUR_STATE | IBV_QP_ACCESS_FLAGS | IBV_QP_MIN_RNR_TIMER},
    {IBV_QPS_RTS, IBV_QPS_RTS, 0, IBV_QP_CUR_STATE | IBV_QP_ACCESS_FLAGS | IBV_QP_MIN_RNR_TIMER},
};

static struct mock_qp *qp_at(struct ibv_qp *qp)
{
    return (struct mock_qp *)(void *)qp;
}

struct mock_qp *mock_qp_find(uint32_t number)
{
    struct mock_qp *qp = mock_world.by_number[number % MOCK_BUCKETS];
    while (qp != NULL && qp->verbs.qp_num != number)
        qp = qp->same_bucket;
    return qp;
}

static int check_made(const struct mock_device *d, const struct ibv_pd *pd,
                      const struct ibv_qp_init_attr *attr)
{
    if (attr->qp_type != IBV_QPT_RC || attr->send_cq == NULL || attr->recv_cq == NULL ||
        attr->srq != NULL)
        return EINVAL;
    if (attr->send_cq->context != pd->context || attr->recv_cq->context != pd->context)
        return EINVAL;
    if (attr->cap.max_send_wr > (uint32_t)d->attr.max_qp_wr ||
        attr->cap.max_recv_wr > (uint32_t)d->attr.max_qp_wr ||
        attr->cap.max_send_sge > (uint32_t)d->attr.max_sge ||
        attr->cap.max_recv_sge > (uint32_t)d->attr.max_sge ||
        attr->cap.max_inline_data > d->inline_max)
        return EINVAL;
    return 0;
}

static void free_ring(struct mock_qp *qp)
{
    for (uint32_t i = 0; qp->ring != NULL && i < qp->shown.cap.max_send_wr; i++) {
        free(qp->ring[i].pieces);
        free(qp->ring[i].inlined);
    }
    free(qp->ring);
}

static void free_queue_pair(struct mock_qp *qp)
{
    free_ring(qp);
    pthread_mutex_destroy(&qp->late_lock);
    pthread_mutex_destroy(&qp->lock);
    free(qp);
}

static bool make_ring(struct mock_qp *qp)
{
    const struct ibv_qp_cap *cap = &qp->shown.cap;
    qp->ring = calloc((size_t)cap->max_send_wr + 1, sizeof(*qp->ring));
    for (uint32_t i = 0; qp->ring != NULL && i < cap->max_send_wr; i++) {
        qp->ring[i].pieces = calloc((size_t)cap->max_send_sge + 1, sizeof(struct ibv_sge));
        qp->ring[i].inlined = malloc((size_t)cap->max_inline_data + 1);
        if (qp->ring[i].pieces == NULL || qp->ring[i].inlined == NULL)
            return false;
    }
    return qp->ring != NULL;
}

/* With the lock for writing. */
static int admit(struct mock_hardware *h, struct mock_qp *qp)
{
    struct mock_world *w = &mock_world;
    if (h->qps >= (uint32_t)h->shown.attr.max_qp)
        return ENOMEM;
    if (w->next_number > NUMBER_MAX)
        mock_panic("queue pairs have run out of numbers");
    qp->verbs.qp_num = qp->shown.number = w->next_number++;
    struct mock_qp **end = &w->first;
    while (*end != NULL)
        end = &(*end)->next;
    *end = qp;
    qp->same_bucket = w->by_number[qp->verbs.qp_num % MOCK_BUCKETS];
    w->by_number[qp->verbs.qp_num % MOCK_BUCKETS] = qp;
    h->qps++;
    ((struct mock_pd *)(void *)qp->verbs.pd)->children++;
    ((struct mock_cq *)(void *)qp->verbs.send_cq)->children++;
    ((struct mock_cq *)(void *)qp->verbs.recv_cq)->children++;
    w->counts.qps++;
    return 0;
}

struct ibv_qp *mock_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
    struct mock_hardware *h = mock_hardware_of(pd->context);
    errno = mock_verb_fails(pd->context, MOCK_CREATE_QP);
    if (errno == 0)
        errno = check_made(&h->shown, pd, attr);
    struct mock_qp *qp = errno == 0 ? calloc(1, sizeof(*qp)) : NULL;
    if (qp == NULL)
        return NULL;
    qp->verbs.context = pd->context;
    qp->verbs.qp_context = attr->qp_context;
    qp->verbs.pd = pd;
    qp->verbs.send_cq = attr->send_cq;
    qp->verbs.recv_cq = attr->recv_cq;
    qp->verbs.qp_type = attr->qp_type;
    qp->all_signalled = attr->sq_sig_all != 0;
    qp->shown.cap = attr->cap;
    pthread_mutex_init(&qp->lock, NULL);
    pthread_mutex_init(&qp->late_lock, NULL);
    qp->late_end = &qp->late;
    bool made = make_ring(qp);
    pthread_rwlock_wrlock(&mock_world.lock);
    errno = made ? admit(h, qp) : ENOMEM;
    pthread_rwlock_unlock(&mock_world.lock);
    if (errno == 0)
        return &qp->verbs;
    free_queue_pair(qp);
    return NULL;
}

static int check_path(const struct mock_device *d, const struct mock_qp *qp,
                      const struct ibv_qp_attr *attr)
{
    const struct ibv_ah_attr *ah = &attr->ah_attr;
    const struct mock_port *port = &d->ports[qp->shown.attr.port_num - 1];
    static const union ibv_gid none;
    if (ah->port_num != qp->shown.attr.port_num)
        return EINVAL;
    if (port->attr.link_layer == IBV_LINK_LAYER_ETHERNET && !ah->is_global)
        return EINVAL;
    if (ah->is_global && (ah->grh.sgid_index >= MOCK_GIDS_MAX ||
                          memcmp(&port->gids[ah->grh.sgid_index].gid, &none, sizeof(none)) == 0))
        return EINVAL;
    return 0;
}

static int check_values(const struct mock_device *d, const struct mock_qp *qp,
                        const struct ibv_qp_attr *attr, int mask)
{
    if ((mask & IBV_QP_PORT) && (attr->port_num < 1 || attr->port_num > d->attr.phys_port_cnt))
        return EINVAL;
    if ((mask & IBV_QP_PKEY_INDEX) && attr->pkey_index >= d->attr.max_pkeys)
        return EINVAL;
    if ((mask & IBV_QP_DEST_QPN) && attr->dest_qp_num > NUMBER_MAX)
        return EINVAL;
    if (((mask & IBV_QP_RQ_PSN) && attr->rq_psn > NUMBER_MAX) ||
        ((mask & IBV_QP_SQ_PSN) && attr->sq_psn > NUMBER_MAX))
        return EINVAL;
    if ((mask & IBV_QP_PATH_MTU) &&
        (attr->path_mtu < IBV_MTU_256 ||
         attr->path_mtu > d->ports[qp->shown.attr.port_num - 1].attr.active_mtu))
        return EINVAL;
    if ((mask & IBV_QP_MAX_DEST_RD_ATOMIC) && attr->max_dest_rd_atomic > d->attr.max_qp_rd_atom)
        return EINVAL;
    if ((mask & IBV_QP_MAX_QP_RD_ATOMIC) && attr->max_rd_atomic > d->attr.max_qp_init_rd_atom)
        return EINVAL;
    if (((mask & IBV_QP_TIMEOUT) && attr->timeout > 31) ||
        ((mask & IBV_QP_RETRY_CNT) && attr->retry_cnt > 7) ||
        ((mask & IBV_QP_RNR_RETRY) && attr->rnr_retry > 7))
        return EINVAL;
    return mask & IBV_QP_AV ? check_path(d, qp, attr) : 0;
}

static int check_transition(enum ibv_qp_state from, enum ibv_qp_state to, int mask)
{
    if (to == IBV_QPS_ERR || to == IBV_QPS_RESET)
        return (mask & ~(IBV_QP_STATE | IBV_QP_CUR_STATE)) == 0 ? 0 : EINVAL;
    for (size_t i = 0; i < sizeof(transitions) / sizeof(*transitions); i++) {
        const struct transition *t = &transitions[i];
        if (t->from == from && t->to == to)
            return (mask & t->needed) == t->needed &&
                           (mask & ~(IBV_QP_STATE | t->needed | t->allowed)) == 0
                       ? 0
                       : EINVAL;
    }
    return EINVAL;
}

static void keep_attributes(struct ibv_qp_attr *kept, const struct ibv_qp_attr *attr, int mask)
{
#define KEEP(bit, field)                                                                           \
    do {                                                                                           \
        if (mask & (bit))                                                                          \
            kept->field = attr->field;                                                             \
    } while (0)
    KEEP(IBV_QP_ACCESS_FLAGS, qp_access_flags);
    KEEP(IBV_QP_PKEY_INDEX, pkey_index);
    KEEP(IBV_QP_PORT, port_num);
    KEEP(IBV_QP_AV, ah_attr);
    KEEP(IBV_QP_PATH_MTU, path_mtu);
    KEEP(IBV_QP_TIMEOUT, timeout);
    KEEP(IBV_QP_RETRY_CNT, retry_cnt);
    KEEP(IBV_QP_RNR_RETRY, rnr_retry);
    KEEP(IBV_QP_RQ_PSN, rq_psn);
    KEEP(IBV_QP_SQ_PSN, sq_psn);
    KEEP(IBV_QP_MAX_QP_RD_ATOMIC, max_rd_atomic);
    KEEP(IBV_QP_MAX_DEST_RD_ATOMIC, max_dest_rd_atomic);
    KEEP(IBV_QP_MIN_RNR_TIMER, min_rnr_timer);
    KEEP(IBV_QP_DEST_QPN, dest_qp_num);
#undef KEEP
}

static int modify(struct mock_qp *qp, const struct ibv_qp_attr *attr, int mask)
{
    const struct mock_device *d = &mock_hardware_of(qp->verbs.context)->shown;
    enum ibv_qp_state from = (enum ibv_qp_state)atomic_load(&qp->state);
    enum ibv_qp_state to = mask & IBV_QP_STATE ? attr->qp_state : from;
    if ((mask & IBV_QP_CUR_STATE) && attr->cur_qp_state != from)
        return EINVAL;
    int error = check_transition(from, to, mask);
    if (error == 0)
        error = check_values(d, qp, attr, mask);
    if (error != 0)
        return error;
    keep_attributes(&qp->shown.attr, attr, mask);
    if (to == IBV_QPS_RESET) { /* forgets what was posted, without completions */
        mock_leave_strays(qp);
        mock_landings_drop(qp);
        qp->stuck = false;
        qp->executed = qp->posted;
        atomic_store(&qp->freed, qp->posted);
        atomic_store(&qp->waiting, 0);
    }
    atomic_store(&qp->state, to);
    qp->verbs.state = to;
    mock_execute_now(qp);
    return 0;
}

int mock_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask)
{
    int error = mock_verb_fails(qp->context, MOCK_MODIFY_QP);
    if (error != 0)
        return error;
    pthread_rwlock_wrlock(&mock_world.lock);
    error = modify(qp_at(qp), attr, mask);
    pthread_rwlock_unlock(&mock_world.lock);
    return error;
}

void mock_qp_fail(struct mock_qp *qp)
{
    if (atomic_load(&qp->state) != IBV_QPS_RESET)
        atomic_store(&qp->state, IBV_QPS_ERR);
}

static void take_out(struct mock_qp *qp)
{
    struct mock_qp **at = &mock_world.first;
    while (*at != qp)
        at = &(*at)->next;
    *at = qp->next;
    at = &mock_world.by_number[qp->verbs.qp_num % MOCK_BUCKETS];
    while (*at != qp)
        at = &(*at)->same_bucket;
    *at = qp->same_bucket;
}

/* It is no more, but for its memory. The world's lock is held for writing. */
static void end(struct mock_qp *qp)
{
    struct mock_hardware *h = mock_hardware_of(qp->verbs.context);
    struct mock_cq *sends = (struct mock_cq *)(void *)qp->verbs.send_cq;
    struct mock_cq *receives = (struct mock_cq *)(void *)qp->verbs.recv_cq;
    mock_leave_strays(qp);
    mock_landings_drop(qp);
    take_out(qp);
    h->qps--;
    ((struct mock_pd *)(void *)qp->verbs.pd)->children--;
    sends->children--;
    receives->children--;
    mock_world.counts.qps--;
    mock_mailbox_forget(&((struct mock_context *)(void *)qp->verbs.context)->mailbox, qp);
    if (!h->shown.keeps_completions) {
        mock_cq_purge(sends, qp->verbs.qp_num);
        mock_cq_purge(receives, qp->verbs.qp_num);
    }
}

void mock_end_refused(struct mock_context *c)
{
    struct mock_qp *next;
    pthread_rwlock_wrlock(&mock_world.lock);
    for (struct mock_qp *qp = mock_world.first; qp != NULL; qp = next) {
        next = qp->next;
        if (!qp->refused || qp->verbs.context != &c->verbs)
            continue;
        end(qp);
        qp->next = c->ended;
        c->ended = qp;
    }
    pthread_rwlock_unlock(&mock_world.lock);
}

void mock_free_ended(struct mock_context *c)
{
    struct mock_qp *next;
    for (struct mock_qp *qp = c->ended; qp != NULL; qp = next) {
        next = qp->next;
        free_queue_pair(qp);
    }
}

static bool take_from_ended(struct mock_context *c, const struct mock_qp *qp)
{
    struct mock_qp **at = &c->ended;
    while (*at != NULL && *at != qp)
        at = &(*at)->next;
    if (*at == NULL)
        return false;
    *at = qp->next;
    return true;
}

int mock_destroy_qp(struct ibv_qp *verbs)
{
    struct mock_qp *qp = qp_at(verbs);
    struct mock_hardware *h = mock_hardware_of(verbs->context);
    struct mock_context *c = (struct mock_context *)(void *)verbs->context;
    int planned = mock_verb_fails(NULL, MOCK_DESTROY_QP);
    if (planned != 0)
        return planned;
    pthread_rwlock_wrlock(&mock_world.lock);
    qp->refused = h->removed && mock_mailbox_has(&c->mailbox, IBV_EVENT_DEVICE_FATAL);
    bool refused = qp->refused;
    if (!refused && !take_from_ended(c, qp))
        end(qp);
    int error = h->removed ? EIO : 0;
    pthread_rwlock_unlock(&mock_world.lock);
    if (refused)
        return EIO;
    mock_wait_acked(&qp->taken, &qp->acked, "a queue pair");
    free_queue_pair(qp);
    return error;
}

bool mock_queue_pair_of(uint32_t number, struct mock_queue_pair *out)
{
    pthread_rwlock_rdlock(&mock_world.lock);
    const struct mock_qp *qp = mock_qp_find(number);
    if (qp != NULL) {
        *out = qp->shown;
        out->state = (enum ibv_qp_state)atomic_load(&qp->state);
        out->waiting = atomic_load(&qp->waiting);
    }
    pthread_rwlock_unlock(&mock_world.lock);
    return qp != NULL;
}

unsigned mock_queue_pairs(uint32_t *numbers, unsigned max)
{
    unsigned count = 0;
    pthread_rwlock_rdlock(&mock_world.lock);
    for (const struct mock_qp *qp = mock_world.first; qp != NULL && count < max; qp = qp->next)
        numbers[count++] = qp->verbs.qp_num;
    pthread_rwlock_unlock(&mock_world.lock);
    return count;
}

void mock_silence_queue_pair(uint32_t number)
{
    pthread_rwlock_rdlock(&mock_world.lock);
    struct mock_qp *qp = mock_qp_find(number);
    if (qp != NULL)
        atomic_store(&qp->silent, true);
    pthread_rwlock_unlock(&mock_world.lock);
}

void mock_fail_queue_pair(uint32_t number)
{
    pthread_rwlock_rdlock(&mock_world.lock);
    struct mock_qp *qp = mock_qp_find(number);
    if (qp != NULL) {
        mock_qp_fail(qp);
        mock_execute_now(qp);
        mock_raise_queue_pair(&qp->verbs, IBV_EVENT_QP_FATAL);
    }
    pthread_rwlock_unlock(&mock_world.lock);
}
