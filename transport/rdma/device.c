/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rdma/device.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport/base/log.h"
#include "transport/rdma/find.h"

static_assert(XCOPY_RAILS_MAX <= RDMA_DEVICES_MAX, "each rail may have a device of its own");

/* Takes a device over from the search. CENOTE_OK; else logged, and it is still the search's. */
static int take_device(struct rdma_devices *d, struct find_device *found, struct rdma_device **out)
{
    struct rdma_device *device = &d->at[d->count];
    int fd = found->context->async_fd;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        log_error("rdma", "%s: its events: %s", found->name, strerror(errno));
        return CENOTE_IO;
    }
    errno = 0;
    device->pd = d->verbs->alloc_pd(found->context);
    if (device->pd == NULL) {
        bool memory = errno == ENOMEM || errno == EAGAIN;
        log_error("rdma", "%s: a protection domain: %s", found->name, strerror(errno));
        return memory ? CENOTE_NO_MEMORY : CENOTE_IO;
    }
    memcpy(device->name, found->name, sizeof(device->name));
    device->index = d->count++;
    device->attr = found->attr;
    device->numa_node = found->numa_node;
    device->context = found->context;
    found->context = NULL;
    pthread_mutex_init(&device->address_lock, NULL);
    *out = device;
    return CENOTE_OK;
}

static int add_rail(struct rdma_devices *d, struct find *f, const struct find_port *from)
{
    char text[XCOPY_RAIL_TEXT];
    struct find_device *found = &f->devices[from->device];
    struct rdma_device *device = NULL;
    for (unsigned i = 0; i < d->count && device == NULL; i++)
        if (strcmp(d->at[i].name, found->name) == 0)
            device = &d->at[i];
    if (device == NULL) {
        int status = take_device(d, found, &device);
        if (status != CENOTE_OK)
            return status;
    }
    struct rdma_port *port = &d->rails[d->rail_count++];
    *port = from->port;
    port->device = device;
    rdma_port_text(port, text);
    log_info("rdma", "rail %u: %s", d->rail_count, text);
    return CENOTE_OK;
}

static int add_rails(struct rdma_devices *d, struct find *f)
{
    for (unsigned i = 0; i < f->port_count && d->rail_count < d->settings.rails; i++) {
        int status = add_rail(d, f, &f->ports[i]);
        if (status != CENOTE_OK)
            return status;
    }
    assert(d->rail_count > 0);
    return CENOTE_OK;
}

static int search_and_take(struct rdma_devices *d)
{
    struct find *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        log_error("rdma", "no memory to look for devices");
        return CENOTE_NO_MEMORY;
    }
    f->verbs = d->verbs;
    f->settings = &d->settings;
    int status = find_ports(f);
    if (status == CENOTE_OK) {
        status = add_rails(d, f);
        find_close(f);
    }
    free(f);
    return status;
}

int rdma_devices_open(const struct rdma_settings *settings, struct rdma_devices **out)
{
    if (settings->none) {
        log_info("rdma", "no RDMA: the settings say none");
        return CENOTE_NOT_SUPPORTED;
    }
    const struct rdma_verbs *verbs = rdma_verbs();
    if (verbs == NULL) {
        bool named = settings->named_count > 0;
        LOG_AT(named ? LOG_ERROR : LOG_INFO, "rdma", "no RDMA: libibverbs.so.1 isn't installed");
        return named ? CENOTE_INVALID : CENOTE_NOT_SUPPORTED;
    }
    struct rdma_devices *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        log_error("rdma", "no memory for devices");
        return CENOTE_NO_MEMORY;
    }
    d->verbs = verbs;
    d->settings = *settings;
    pthread_mutex_init(&d->events_lock, NULL);
    int status = search_and_take(d);
    if (status != CENOTE_OK) {
        rdma_devices_close(d);
        return status;
    }
    *out = d;
    return CENOTE_OK;
}

static void close_device(struct rdma_devices *d, struct rdma_device *device)
{
    assert(atomic_load(&device->queue_pairs) == 0);
    assert(atomic_load(&device->regions) == 0);
    /* A device that is gone has let go of everything already, and may say so. */
    int pd = d->verbs->dealloc_pd(device->pd);
    int context = d->verbs->close_device(device->context);
    if ((pd != 0 || context != 0) && !atomic_load(&device->lost))
        log_warn("rdma", "%s can't be closed: something of it is still in use", device->name);
    pthread_mutex_destroy(&device->address_lock);
}

void rdma_devices_close(struct rdma_devices *d)
{
    if (d == NULL)
        return;
    for (unsigned i = 0; i < d->count; i++)
        close_device(d, &d->at[i]);
    pthread_mutex_destroy(&d->events_lock);
    free(d);
}

/* The contexts stay: whatever frees them talks to the device, by the parent's objects. */
void rdma_devices_abandon(struct rdma_devices *d)
{
    if (d == NULL)
        return;
    for (unsigned i = 0; i < d->count; i++) {
        close(d->at[i].context->async_fd);
        close(d->at[i].context->cmd_fd);
    }
    free(d);
}

int rdma_device_event_fd(const struct rdma_device *device)
{
    return device->context->async_fd;
}

void rdma_devices_report(const struct rdma_devices *d, struct xcopy_report *out)
{
    out->rail_count = d->rail_count;
    for (unsigned i = 0; i < d->rail_count; i++)
        rdma_port_text(&d->rails[i], out->rails[i]);
    out->queue_pairs = 0;
    out->regions = 0;
    for (unsigned i = 0; i < d->count; i++) {
        out->queue_pairs += atomic_load(&d->at[i].queue_pairs);
        out->regions += atomic_load(&d->at[i].regions);
    }
    out->errors = atomic_load(&d->errors);
    out->fenced = atomic_load(&d->fenced);
    out->rails_lost = atomic_load(&d->rails_lost);
}
