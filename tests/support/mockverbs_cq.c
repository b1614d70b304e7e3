/* SPDX-License-Identifier: Apache-2.0 */
/* Completion queues and their channels. */
#include "tests/support/mockverbs_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct mock_cq *cq_at(struct ibv_cq *cq)
{
    return (struct mock_cq *)(void *)cq;
}

static struct mock_channel *channel_at(struct ibv_comp_channel *channel)
{
    return (struct mock_channel *)(void *)channel;
}

/* What belongs to a context; with the lock for writing. */
static uint32_t *children_of(struct ibv_context *context)
{
    return &((struct mock_context *)(void *)context)->children;
}

struct ibv_comp_channel *mock_create_comp_channel(struct ibv_context *context)
{
    errno = mock_verb_fails(context, MOCK_CREATE_COMP_CHANNEL);
    struct mock_channel *ch = errno == 0 ? calloc(1, sizeof(*ch)) : NULL;
    if (ch == NULL)
        return NULL;
    errno = mock_mailbox_open(&ch->mailbox);
    if (errno != 0) {
        free(ch);
        return NULL;
    }
    ch->verbs.context = context;
    ch->verbs.fd = ch->mailbox.fd;
    pthread_rwlock_wrlock(&mock_world.lock);
    (*children_of(context))++;
    mock_world.counts.channels++;
    pthread_rwlock_unlock(&mock_world.lock);
    return &ch->verbs;
}

int mock_destroy_comp_channel(struct ibv_comp_channel *channel)
{
    struct mock_channel *ch = channel_at(channel);
    pthread_rwlock_wrlock(&mock_world.lock);
    if (ch->children != 0)
        mock_panic("a channel ends that %u completion queues use", ch->children);
    (*children_of(channel->context))--;
    mock_world.counts.channels--;
    pthread_rwlock_unlock(&mock_world.lock);
    mock_mailbox_close(&ch->mailbox);
    free(ch);
    return 0;
}

struct ibv_cq *mock_create_cq(struct ibv_context *context, int entries, void *arg,
                              struct ibv_comp_channel *channel, int vector)
{
    errno = mock_verb_fails(context, MOCK_CREATE_CQ);
    if (errno == 0 && (entries < 1 || entries > mock_hardware_of(context)->shown.attr.max_cqe ||
                       vector < 0 || vector >= context->num_comp_vectors))
        errno = EINVAL;
    struct mock_cq *cq = errno == 0 ? calloc(1, sizeof(*cq)) : NULL;
    if (cq == NULL)
        return NULL;
    cq->ring = calloc((size_t)entries, sizeof(*cq->ring));
    if (cq->ring == NULL) {
        free(cq);
        return NULL;
    }
    cq->size = (uint32_t)entries;
    cq->verbs.context = context;
    cq->verbs.channel = channel;
    cq->verbs.cq_context = arg;
    cq->verbs.cqe = entries;
    pthread_mutex_init(&cq->lock, NULL);
    pthread_rwlock_wrlock(&mock_world.lock);
    (*children_of(context))++;
    if (channel != NULL)
        channel_at(channel)->children++;
    mock_world.counts.cqs++;
    pthread_rwlock_unlock(&mock_world.lock);
    return &cq->verbs;
}

int mock_destroy_cq(struct ibv_cq *verbs)
{
    struct mock_cq *cq = cq_at(verbs);
    pthread_rwlock_wrlock(&mock_world.lock);
    if (cq->children != 0)
        mock_panic("a completion queue ends that %u queue pairs use", cq->children);
    if (verbs->channel != NULL) {
        mock_mailbox_forget(&channel_at(verbs->channel)->mailbox, cq);
        channel_at(verbs->channel)->children--;
    }
    (*children_of(verbs->context))--;
    mock_world.counts.cqs--;
    int error = mock_hardware_of(verbs->context)->removed ? EIO : 0;
    pthread_rwlock_unlock(&mock_world.lock);
    mock_wait_acked(&cq->taken, &cq->acked, "a completion queue");
    pthread_mutex_destroy(&cq->lock);
    free(cq->ring);
    free(cq);
    return error;
}

int mock_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **arg)
{
    struct mock_note note;
    if (mock_mailbox_take(&channel_at(channel)->mailbox, &note) != 0)
        return -1;
    struct mock_cq *found = note.subject;
    *cq = &found->verbs;
    *arg = found->verbs.cq_context;
    return 0;
}

void mock_ack_cq_events(struct ibv_cq *cq, unsigned count)
{
    uint32_t acked = atomic_fetch_add(&cq_at(cq)->acked, count) + count;
    if (acked > atomic_load(&cq_at(cq)->taken))
        mock_panic("%u events of a completion queue are acknowledged, %u were taken", acked,
                   atomic_load(&cq_at(cq)->taken));
}

int mock_req_notify_cq(struct ibv_cq *verbs, int solicited_only)
{
    int error = mock_verb_fails(verbs->context, MOCK_REQ_NOTIFY_CQ);
    if (error != 0)
        return error;
    if (verbs->channel == NULL || solicited_only)
        mock_panic("a completion queue without a channel is armed, or for what nobody sends");
    struct mock_cq *cq = cq_at(verbs);
    pthread_mutex_lock(&cq->lock);
    cq->armed = true;
    pthread_mutex_unlock(&cq->lock);
    mock_count(&mock_world.counts.armed, 1);
    return 0;
}

void mock_cq_put(struct mock_cq *cq, const struct mock_completion *completion)
{
    pthread_mutex_lock(&cq->lock);
    if (cq->count == cq->size)
        mock_panic("a completion queue of %u is overrun", cq->size);
    cq->ring[(cq->first + cq->count++) % cq->size] = *completion;
    bool tell = cq->armed;
    cq->armed = false;
    if (tell) {
        struct mock_note note = {.subject = cq, .taken = &cq->taken};
        mock_mailbox_put(&channel_at(cq->verbs.channel)->mailbox, &note);
    }
    pthread_mutex_unlock(&cq->lock);
    if (tell)
        mock_count(&mock_world.counts.cq_events, 1);
}

void mock_cq_purge(struct mock_cq *cq, uint32_t number)
{
    pthread_mutex_lock(&cq->lock);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < cq->count; i++) {
        struct mock_completion *at = &cq->ring[(cq->first + i) % cq->size];
        if (at->wc.qp_num != number)
            cq->ring[(cq->first + kept++) % cq->size] = *at;
    }
    cq->count = kept;
    pthread_mutex_unlock(&cq->lock);
}

/* Whoever polled a completion may use its slot, and those of unsignalled requests before it. */
static void give_slots_back(const struct mock_completion *completion)
{
    struct mock_qp *qp = mock_qp_find(completion->wc.qp_num);
    if (qp == NULL)
        return;
    uint64_t freed = atomic_load(&qp->freed);
    while (freed < completion->frees &&
           !atomic_compare_exchange_weak(&qp->freed, &freed, completion->frees))
        ;
}

int mock_poll_cq(struct ibv_cq *verbs, int count, struct ibv_wc *out)
{
    struct mock_cq *cq = cq_at(verbs);
    int taken = 0;
    if (mock_verb_fails(NULL, MOCK_POLL_CQ) != 0)
        return -1;
    pthread_rwlock_rdlock(&mock_world.lock);
    pthread_mutex_lock(&cq->lock);
    while (taken < count && cq->count > 0) {
        const struct mock_completion *c = &cq->ring[cq->first];
        cq->first = (cq->first + 1) % cq->size;
        cq->count--;
        out[taken++] = c->wc;
        give_slots_back(c);
    }
    pthread_mutex_unlock(&cq->lock);
    pthread_rwlock_unlock(&mock_world.lock);
    mock_count(taken != 0 ? &mock_world.counts.polls : &mock_world.counts.empty_polls, 1);
    return taken;
}
