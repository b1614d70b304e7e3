/* SPDX-License-Identifier: Apache-2.0 */
/* Mailboxes, asynchronous events, and that they are acknowledged. */
#include "tests/support/mockverbs_world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define ACK_TRIES 5000u /* of a millisecond */

int mock_mailbox_open(struct mock_mailbox *box)
{
    box->first = NULL;
    box->fd = eventfd(0, EFD_CLOEXEC);
    if (box->fd < 0)
        return errno;
    pthread_mutex_init(&box->lock, NULL);
    return 0;
}

static void drop_first_of(struct mock_note **at)
{
    struct mock_note *note = *at;
    *at = note->next;
    free(note);
}

void mock_mailbox_close(struct mock_mailbox *box)
{
    while (box->first != NULL)
        drop_first_of(&box->first);
    pthread_mutex_destroy(&box->lock);
    close(box->fd);
}

/* The descriptor is readable just as long as there are notes; both are called with the lock. */
static void show(struct mock_mailbox *box)
{
    const uint64_t one = 1;
    if (write(box->fd, &one, sizeof(one)) != sizeof(one))
        mock_panic("a descriptor of events is broken");
}

static void hide(struct mock_mailbox *box)
{
    uint64_t count;
    if (read(box->fd, &count, sizeof(count)) != sizeof(count))
        mock_panic("a descriptor of events was read by somebody else");
}

void mock_mailbox_put(struct mock_mailbox *box, const struct mock_note *described)
{
    struct mock_note *note = malloc(sizeof(*note));
    if (note == NULL)
        mock_panic("no memory");
    *note = *described;
    note->next = NULL;
    pthread_mutex_lock(&box->lock);
    if (box->first == NULL)
        show(box);
    struct mock_note **end = &box->first;
    while (*end != NULL)
        end = &(*end)->next;
    *end = note;
    pthread_mutex_unlock(&box->lock);
}

static bool take_one(struct mock_mailbox *box, struct mock_note *out)
{
    pthread_rwlock_rdlock(&mock_world.lock);
    pthread_mutex_lock(&box->lock);
    bool any = box->first != NULL;
    if (any) {
        *out = *box->first;
        atomic_fetch_add(out->taken, 1);
        drop_first_of(&box->first);
        if (box->first == NULL)
            hide(box);
    }
    pthread_mutex_unlock(&box->lock);
    pthread_rwlock_unlock(&mock_world.lock);
    return any;
}

int mock_mailbox_take(struct mock_mailbox *box, struct mock_note *out)
{
    while (!take_one(box, out)) {
        if (fcntl(box->fd, F_GETFL) & O_NONBLOCK) {
            errno = EAGAIN;
            return -1;
        }
        struct pollfd readable = {.fd = box->fd, .events = POLLIN};
        if (poll(&readable, 1, -1) < 0)
            return -1;
    }
    return 0;
}

void mock_mailbox_forget(struct mock_mailbox *box, const void *subject)
{
    pthread_mutex_lock(&box->lock);
    bool any = box->first != NULL;
    struct mock_note **at = &box->first;
    while (*at != NULL) {
        if ((*at)->subject == subject)
            drop_first_of(at);
        else
            at = &(*at)->next;
    }
    if (any && box->first == NULL)
        hide(box);
    pthread_mutex_unlock(&box->lock);
}

bool mock_mailbox_has(struct mock_mailbox *box, enum ibv_event_type type)
{
    bool has = false;
    pthread_mutex_lock(&box->lock);
    for (const struct mock_note *n = box->first; n != NULL && !has; n = n->next)
        has = n->event.event_type == type;
    pthread_mutex_unlock(&box->lock);
    return has;
}

void mock_wait_acked(_Atomic uint32_t *taken, _Atomic uint32_t *acked, const char *what)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (unsigned i = 0; atomic_load(taken) != atomic_load(acked); i++) {
        if (i == ACK_TRIES)
            mock_panic("%s is to end, and %u of its %u events are not acknowledged", what,
                       atomic_load(taken) - atomic_load(acked), atomic_load(taken));
        nanosleep(&pause, NULL);
    }
}

static bool is_of_queue_pair(enum ibv_event_type type)
{
    return type == IBV_EVENT_QP_FATAL || type == IBV_EVENT_QP_REQ_ERR ||
           type == IBV_EVENT_QP_ACCESS_ERR || type == IBV_EVENT_COMM_EST ||
           type == IBV_EVENT_SQ_DRAINED || type == IBV_EVENT_QP_LAST_WQE_REACHED;
}

int mock_get_async_event(struct ibv_context *context, struct ibv_async_event *out)
{
    struct mock_note note;
    int error = mock_mailbox_take(&((struct mock_context *)(void *)context)->mailbox, &note);
    if (error == 0)
        *out = note.event;
    if (error == 0 && note.event.event_type == IBV_EVENT_DEVICE_FATAL)
        mock_end_refused((struct mock_context *)(void *)context);
    return error;
}

/* The library doesn't say which context an event is of, but for those of a queue pair: any that has
 * one to be acknowledged will do. */
void mock_ack_async_event(struct ibv_async_event *event)
{
    if (is_of_queue_pair(event->event_type)) {
        atomic_fetch_add(&((struct mock_qp *)(void *)event->element.qp)->acked, 1);
        return;
    }
    bool done = false;
    pthread_rwlock_rdlock(&mock_world.lock);
    for (struct mock_context *c = mock_world.contexts; c != NULL && !done; c = c->next) {
        uint32_t acked = atomic_load(&c->acked);
        while (acked != atomic_load(&c->taken) && !done)
            done = atomic_compare_exchange_weak(&c->acked, &acked, acked + 1);
    }
    pthread_rwlock_unlock(&mock_world.lock);
    if (!done)
        mock_panic("an event is acknowledged that nobody took");
}

static void raise_for_all(struct mock_hardware *h, enum ibv_event_type type, int port)
{
    for (struct mock_context *c = mock_world.contexts; c != NULL; c = c->next) {
        struct mock_note note = {.subject = c, .taken = &c->taken};
        note.event.event_type = type;
        note.event.element.port_num = port;
        if (c->hardware == h)
            mock_mailbox_put(&c->mailbox, &note);
    }
}

void mock_raise(struct mock_device *device, enum ibv_event_type type, int port)
{
    pthread_rwlock_rdlock(&mock_world.lock);
    raise_for_all((struct mock_hardware *)(void *)device, type, port);
    pthread_rwlock_unlock(&mock_world.lock);
}

void mock_raise_queue_pair(struct ibv_qp *qp, enum ibv_event_type type)
{
    struct mock_note note = {.subject = qp, .taken = &((struct mock_qp *)(void *)qp)->taken};
    note.event.event_type = type;
    note.event.element.qp = qp;
    mock_mailbox_put(&((struct mock_context *)(void *)qp->context)->mailbox, &note);
}

void mock_set_port_state(struct mock_device *device, int port, enum ibv_port_state state)
{
    pthread_rwlock_wrlock(&mock_world.lock);
    device->ports[port - 1].attr.state = state;
    raise_for_all((struct mock_hardware *)(void *)device,
                  state == IBV_PORT_ACTIVE ? IBV_EVENT_PORT_ACTIVE : IBV_EVENT_PORT_ERR, port);
    pthread_rwlock_unlock(&mock_world.lock);
}

/* Nothing of an untold device's requests ever completes: they are forgotten. */
static void end_requests(struct mock_hardware *h)
{
    for (struct mock_qp *qp = mock_world.first; qp != NULL; qp = qp->next) {
        if (mock_hardware_of(qp->verbs.context) != h)
            continue;
        mock_qp_fail(qp);
        if (!h->told) {
            qp->executed = qp->posted;
            atomic_store(&qp->waiting, 0);
        }
        mock_execute_now(qp);
    }
}

void mock_remove(struct mock_device *device, bool told)
{
    struct mock_hardware *h = (struct mock_hardware *)(void *)device;
    pthread_rwlock_wrlock(&mock_world.lock);
    h->removed = true;
    h->told = told;
    end_requests(h);
    raise_for_all(h, IBV_EVENT_DEVICE_FATAL, 0);
    pthread_rwlock_unlock(&mock_world.lock);
}

void mock_silence(struct mock_device *device, bool silent)
{
    atomic_store(&((struct mock_hardware *)(void *)device)->silent, silent);
}
