/* SPDX-License-Identifier: Apache-2.0 */
/* What devices tell unasked. */
#include <errno.h>
#include <string.h>

#include "transport/base/log.h"
#include "transport/rdma/port.h"

/* Events of one device taken in one go; more wait for the next. */
#define EVENTS_MAX 256u

/* A rail of this device with this port number. */
static struct rdma_port *rail_of(struct rdma_devices *d, const struct rdma_device *device,
                                 int number)
{
    for (unsigned i = 0; i < d->rail_count; i++)
        if (d->rails[i].device == device && d->rails[i].number == number)
            return &d->rails[i];
    return NULL;
}

/* Under the lock of events. Who sees that the device is lost finds its rails counted. */
static void lose(struct rdma_devices *d, struct rdma_device *device, const char *why)
{
    if (atomic_load(&device->lost))
        return;
    log_error("rdma", "%s is lost: %s", device->name, why);
    for (unsigned i = 0; i < d->rail_count; i++)
        if (d->rails[i].device == device)
            atomic_fetch_add(&d->rails_lost, 1);
    atomic_store(&device->lost, true);
}

static void port_event(struct rdma_devices *d, const struct rdma_device *device,
                       const struct ibv_async_event *event, const char *text)
{
    struct rdma_port *port = rail_of(d, device, event->element.port_num);
    if (port == NULL)
        return;
    if (event->event_type == IBV_EVENT_PORT_ERR)
        port_set_down(port, true, text);
    else
        port_refresh(d, port);
}

static void handle(struct rdma_devices *d, struct rdma_device *device,
                   const struct ibv_async_event *event)
{
    const char *text = d->verbs->event_type_str(event->event_type);
    switch (event->event_type) {
    case IBV_EVENT_DEVICE_FATAL:
        lose(d, device, text);
        break;
    case IBV_EVENT_PORT_ERR:
    case IBV_EVENT_PORT_ACTIVE:
    case IBV_EVENT_LID_CHANGE:
    case IBV_EVENT_GID_CHANGE:
    case IBV_EVENT_PKEY_CHANGE:
    case IBV_EVENT_SM_CHANGE:
    case IBV_EVENT_CLIENT_REREGISTER:
        port_event(d, device, event, text);
        break;
    case IBV_EVENT_CQ_ERR:
        log_error("rdma", "%s: a completion queue: %s", device->name, text);
        break;
    /* The queue pair is in its error state; its completions, or the peer's, tell the rest. */
    case IBV_EVENT_QP_FATAL:
    case IBV_EVENT_QP_REQ_ERR:
    case IBV_EVENT_QP_ACCESS_ERR:
        log_info("rdma", "%s: queue pair %u: %s", device->name, event->element.qp->qp_num, text);
        break;
    default:
        log_debug("rdma", "%s: %s", device->name, text);
        break;
    }
}

static void take_from(struct rdma_devices *d, struct rdma_device *device)
{
    struct ibv_async_event event;
    for (unsigned i = 0; i < EVENTS_MAX; i++) {
        errno = 0;
        if (d->verbs->get_async_event(device->context, &event) != 0) {
            /* Of a device that was removed nothing can be read any more. */
            if (errno == EIO || errno == ENODEV)
                lose(d, device, strerror(errno));
            return;
        }
        handle(d, device, &event);
        d->verbs->ack_async_event(&event);
    }
}

void rdma_devices_take_events(struct rdma_devices *d)
{
    pthread_mutex_lock(&d->events_lock);
    for (unsigned i = 0; i < d->count; i++)
        take_from(d, &d->at[i]);
    pthread_mutex_unlock(&d->events_lock);
}
