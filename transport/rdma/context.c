/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rdma/context.h"

#include <stdlib.h>
#include <string.h>

#include "transport/base/log.h"

int rdma_context_open(const struct xcopy_settings *settings, void **out)
{
    char error[256];
    struct rdma_context *c = calloc(1, sizeof *c);
    if (c == NULL)
        return CENOTE_NO_MEMORY;
    int status = rdma_settings_parse(settings != NULL ? settings->rdma : NULL, &c->settings, error,
                                     sizeof error);
    if (status != CENOTE_OK) {
        log_error("rdma", "settings: %s", error);
        goto free_context;
    }
    c->memory = rdma_memory_new();
    if (c->memory == NULL) {
        status = CENOTE_NO_MEMORY;
        goto free_context;
    }
    c->failure = c->settings.none ? CENOTE_NOT_SUPPORTED : CENOTE_OK;
    pthread_mutex_init(&c->lock, NULL);
    *out = c;
    return CENOTE_OK;

free_context:
    free(c);
    return status;
}

void rdma_context_close(void *context)
{
    struct rdma_context *c = context;
    if (c->bounce != NULL)
        rdma_bounce_free(c->bounce);
    rdma_memory_free(c->memory);
    rdma_devices_close(c->devices);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void rdma_context_abandon(void *context)
{
    struct rdma_context *c = context;
    if (c->bounce != NULL)
        rdma_bounce_abandon(c->bounce);
    rdma_memory_abandon(c->memory);
    if (c->devices != NULL)
        rdma_devices_abandon(c->devices);
    free(c);
}

/* Under the lock. */
static int open_devices(struct rdma_context *c)
{
    struct rdma_devices *devices;
    int status = rdma_devices_open(&c->settings, &devices);
    if (status == CENOTE_INVALID) /* what the settings name isn't here, which was logged */
        status = CENOTE_NOT_SUPPORTED;
    if (status == CENOTE_NOT_SUPPORTED)
        c->failure = status;
    if (status != CENOTE_OK)
        return status;
    c->bounce = rdma_bounce_new(devices);
    if (c->bounce == NULL) {
        rdma_devices_close(devices);
        return CENOTE_NO_MEMORY;
    }
    rdma_memory_use(c->memory, devices);
    atomic_store(&c->devices, devices);
    return CENOTE_OK;
}

int rdma_context_prepare(struct rdma_context *c)
{
    if (atomic_load(&c->devices) != NULL)
        return CENOTE_OK;
    pthread_mutex_lock(&c->lock);
    int status = c->failure;
    if (status == CENOTE_OK && c->devices == NULL)
        status = open_devices(c);
    pthread_mutex_unlock(&c->lock);
    return status;
}

bool rdma_context_hopes(const struct rdma_context *c)
{
    return atomic_load(&c->failure) == CENOTE_OK;
}

void rdma_context_report(void *context, struct xcopy_report *out)
{
    struct rdma_context *c = context;
    const struct rdma_devices *devices = atomic_load(&c->devices);
    memset(out, 0, sizeof *out);
    if (devices != NULL)
        rdma_devices_report(devices, out);
    out->connections = atomic_load(&c->connections);
}
