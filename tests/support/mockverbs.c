/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/mockverbs_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_NUMBER 0x11u
#define FIRST_KEY    0x1000u

struct mock_world mock_world = {
    .lock = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP,
    .next_number = FIRST_NUMBER,
    .next_key = FIRST_KEY,
};

void mock_panic(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("mockverbs: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

static const char *status_text(enum ibv_wc_status status)
{
    static const char *const texts[] = {
        [IBV_WC_SUCCESS] = "success",
        [IBV_WC_LOC_LEN_ERR] = "local length error",
        [IBV_WC_LOC_QP_OP_ERR] = "local operation error",
        [IBV_WC_LOC_PROT_ERR] = "local protection error",
        [IBV_WC_WR_FLUSH_ERR] = "flushed",
        [IBV_WC_REM_INV_REQ_ERR] = "remote invalid request",
        [IBV_WC_REM_ACCESS_ERR] = "remote access error",
        [IBV_WC_REM_OP_ERR] = "remote operation error",
        [IBV_WC_RETRY_EXC_ERR] = "retries exceeded",
    };
    size_t i = (size_t)status;
    return i < sizeof(texts) / sizeof(*texts) && texts[i] != NULL ? texts[i] : "other error";
}

static const char *event_text(enum ibv_event_type type)
{
    switch (type) {
    case IBV_EVENT_DEVICE_FATAL:
        return "device fatal";
    case IBV_EVENT_PORT_ACTIVE:
        return "port active";
    case IBV_EVENT_PORT_ERR:
        return "port error";
    case IBV_EVENT_GID_CHANGE:
        return "GID change";
    case IBV_EVENT_QP_FATAL:
        return "queue pair fatal";
    default:
        return "other event";
    }
}

const struct rdma_verbs *mock_verbs(void)
{
    static const struct rdma_verbs verbs = {
        .get_device_list = mock_get_device_list,
        .free_device_list = mock_free_device_list,
        .get_device_name = mock_get_device_name,
        .open_device = mock_open_device,
        .close_device = mock_close_device,
        .query_device = mock_query_device,
        .query_port = mock_query_port,
        .query_gid = mock_query_gid,
        .get_async_event = mock_get_async_event,
        .ack_async_event = mock_ack_async_event,
        .alloc_pd = mock_alloc_pd,
        .dealloc_pd = mock_dealloc_pd,
        .reg_mr = mock_reg_mr,
        .reg_dmabuf_mr = mock_reg_dmabuf_mr,
        .dereg_mr = mock_dereg_mr,
        .create_comp_channel = mock_create_comp_channel,
        .destroy_comp_channel = mock_destroy_comp_channel,
        .create_cq = mock_create_cq,
        .destroy_cq = mock_destroy_cq,
        .get_cq_event = mock_get_cq_event,
        .ack_cq_events = mock_ack_cq_events,
        .create_qp = mock_create_qp,
        .modify_qp = mock_modify_qp,
        .destroy_qp = mock_destroy_qp,
        .wc_status_str = status_text,
        .event_type_str = event_text,
    };
    return &verbs;
}

const struct ibv_context_ops mock_context_ops = {
    .poll_cq = mock_poll_cq,
    .req_notify_cq = mock_req_notify_cq,
    .post_send = mock_post_send,
    .post_recv = mock_post_recv,
};

static uint64_t counted(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

struct mock_counts mock_counts(void)
{
    struct mock_world *w = &mock_world;
    pthread_rwlock_rdlock(&w->lock);
    struct mock_counts out = {
        .lists = w->counts.lists,
        .contexts = w->counts.contexts,
        .pds = w->counts.pds,
        .mrs = w->counts.mrs,
        .channels = w->counts.channels,
        .cqs = w->counts.cqs,
        .qps = w->counts.qps,
        .doorbells = counted(&w->counts.doorbells),
        .requests = counted(&w->counts.requests),
        .reads = counted(&w->counts.reads),
        .writes = counted(&w->counts.writes),
        .signalled = counted(&w->counts.signalled),
        .inlined = counted(&w->counts.inlined),
        .read_bytes = counted(&w->counts.read_bytes),
        .written_bytes = counted(&w->counts.written_bytes),
        .failed = counted(&w->counts.failed),
        .flushed = counted(&w->counts.flushed),
        .late = counted(&w->counts.late),
        .strays = counted(&w->counts.strays),
        .landed = counted(&w->counts.landed),
        .lost = counted(&w->counts.lost),
        .swapped = counted(&w->counts.swapped),
        .full = counted(&w->counts.full),
        .polls = counted(&w->counts.polls),
        .empty_polls = counted(&w->counts.empty_polls),
        .armed = counted(&w->counts.armed),
        .cq_events = counted(&w->counts.cq_events),
    };
    for (unsigned i = 0; i < w->hardware_count; i++)
        out.locked_bytes += w->hardware[i]->locked_bytes;
    pthread_rwlock_unlock(&w->lock);
    return out;
}

uint32_t mock_alive(void)
{
    struct mock_counts n = mock_counts();
    return n.lists + n.contexts + n.pds + n.mrs + n.channels + n.cqs + n.qps;
}

void mock_reset(void)
{
    struct mock_world *w = &mock_world;
    mock_rest();
    if (mock_alive() != 0)
        mock_panic("mock_reset(): something is alive still");
    for (unsigned i = 0; i < w->hardware_count; i++)
        free(w->hardware[i]);
    w->hardware_count = 0;
    w->quirks = 0;
    memset(&w->counts, 0, sizeof(w->counts));
    mock_faults_reset();
}
