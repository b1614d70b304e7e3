/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rdma/exporter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport/base/log.h"

#define ERROR_MAX 256 /* of a line about settings */

/* ---- devices --------------------------------------------------------------------------------- */

static void destroy_cqs(struct exporter *e)
{
    for (unsigned i = 0; i < RDMA_DEVICES_MAX; i++)
        if (e->cqs[i] != NULL)
            (void)e->devices->verbs->destroy_cq(e->cqs[i]);
}

static int create_cqs(struct exporter *e)
{
    for (unsigned i = 0; i < e->devices->count; i++) {
        const struct rdma_device *d = &e->devices->at[i];
        e->cqs[i] = e->devices->verbs->create_cq(d->context, 1, NULL, NULL, 0);
        if (e->cqs[i] == NULL) {
            log_error("rdma", "%s: no completion queue: %s", d->name, strerror(errno));
            destroy_cqs(e);
            return CENOTE_NO_MEMORY;
        }
    }
    return CENOTE_OK;
}

static int open_devices(struct exporter *e, const char *text)
{
    struct rdma_settings settings;
    char error[ERROR_MAX];
    if (rdma_settings_parse(text, &settings, error, sizeof error) != CENOTE_OK) {
        log_error("rdma", "%s", error);
        return CENOTE_INVALID;
    }
    int status = rdma_devices_open(&settings, &e->devices);
    if (status != CENOTE_OK)
        return status;
    status = create_cqs(e);
    if (status != CENOTE_OK)
        rdma_devices_close(e->devices);
    return status;
}

static void close_devices(struct exporter *e)
{
    destroy_cqs(e);
    rdma_devices_close(e->devices);
}

/* ---- operations ------------------------------------------------------------------------------ */

static struct exporter *new_exporter(const struct xcopy_gate *gate)
{
    struct exporter *e = calloc(1, sizeof *e);
    if (e == NULL)
        return NULL;
    e->base.ops = &xcopy_rdma_exporter;
    e->gate = *gate;
    e->listener = e->wake = -1;
    e->mail.fences_end = &e->mail.fences;
    pthread_mutex_init(&e->mail.lock, NULL);
    exporter_segments_init(&e->segments);
    return e;
}

static void free_exporter(struct exporter *e)
{
    pthread_cond_destroy(&e->segments.changed);
    pthread_mutex_destroy(&e->segments.lock);
    pthread_mutex_destroy(&e->mail.lock);
    free(e);
}

static int rdma_start(const char *endpoint, const struct xcopy_gate *gate,
                      const struct xcopy_settings *settings, struct xcopy_exporter **out,
                      char bound[XCOPY_ENDPOINT_MAX])
{
    struct exporter *e = new_exporter(gate);
    if (e == NULL)
        return CENOTE_NO_MEMORY;
    e->trace = settings->trace;
    e->trace_register = trace_point(e->trace, "rdma", "register");
    e->trace_open = trace_point(e->trace, "rdma", "open");
    e->trace_close = trace_point(e->trace, "rdma", "close");
    int status = open_devices(e, settings->rdma);
    if (status != CENOTE_OK)
        goto free_e;
    status = exporter_listen(e, endpoint, bound);
    if (status != CENOTE_OK)
        goto close_devices;
    status = exporter_loop_make(e);
    if (status == CENOTE_OK)
        status = exporter_loop_run(e);
    if (status != CENOTE_OK)
        goto free_loop;
    *out = &e->base;
    return CENOTE_OK;

free_loop:
    exporter_loop_free(e);
    close(e->listener);
close_devices:
    close_devices(e);
free_e:
    free_exporter(e);
    return status;
}

static int rdma_add_segment(struct xcopy_exporter *exporter, const struct xcopy_segment *segment)
{
    return exporter_segment_add((struct exporter *)exporter, segment);
}

static void rdma_report(struct xcopy_exporter *exporter, struct xcopy_report *out)
{
    const struct exporter *e = (struct exporter *)exporter;
    memset(out, 0, sizeof *out);
    rdma_devices_report(e->devices, out);
    out->connections = atomic_load(&e->connection_count);
}

/* The queue pairs go before the regions, so that nobody is in the memory when it stops being
 * registered. */
static void rdma_stop(struct xcopy_exporter *exporter)
{
    struct exporter *e = (struct exporter *)exporter;
    exporter_segments_stop(e); /* fences are answered meanwhile */
    exporter_loop_stop(e);
    exporter_connections_close_all(e);
    exporter_queues_leave(e);
    exporter_fences_drop(e);
    exporter_segments_free(e);
    exporter_loop_free(e);
    close(e->listener);
    close_devices(e);
    free_exporter(e);
}

const struct xcopy_exporter_ops xcopy_rdma_exporter = {
    .name = "rdma",
    .start = rdma_start,
    .add_segment = rdma_add_segment,
    .fence = exporter_fence,
    .report = rdma_report,
    .stop = rdma_stop,
};
