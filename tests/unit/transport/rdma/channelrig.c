/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/transport/rdma/channelrig.h"

#include <string.h>

static struct mock_device *devices[2];

struct mock_device *channelrig_device(unsigned i)
{
    return devices[i];
}

void channelrig_start(struct channelrig *r, const char *settings, void (*change)(void))
{
    const struct xcopy_settings text = {.rdma = settings};
    memset(r, 0, sizeof *r);
    rig_start_mocked(&r->node, devices, change);
    rig_leave(&r->node);
    CHECK_STATUS(r->node.transport->open(&text, &r->node.context), CENOTE_OK);
    r->c = rig_connect(&r->node, 1);
    r->ch = (struct rdma_channel *)r->c;
}

void channelrig_stop(struct channelrig *r)
{
    rig_disconnect(r->c);
    rig_stop(&r->node);
}

static void *registered(struct channelrig *r, void *addr, uint64_t len)
{
    void *handle = NULL;
    CHECK_STATUS(
        r->node.transport->register_memory(r->node.context, addr, len, MEMORY_HOST, &handle),
        CENOTE_OK);
    return handle;
}

void channelvalue_make(struct channelrig *r, struct channelvalue *x, uint64_t offset, uint64_t len,
                       bool in_place)
{
    memset(x, 0, sizeof *x);
    rig_value_make(&x->v, 1, rig_next_put(), offset, len);
    x->out = calloc(1, len + 1);
    x->tail = calloc(1, x->v.tail_len);
    x->sums = sums_new(len);
    CHECK(x->out != NULL && x->tail != NULL && x->sums != NULL);
    x->whole = (struct cenote_buffer){x->v.data, len};
    x->to = (struct cenote_buffer){x->out, len};
    if (!in_place)
        return;
    x->from_handle = registered(r, x->v.data, len);
    x->to_handle = registered(r, x->out, len);
}

void channelvalue_free(struct channelrig *r, struct channelvalue *x)
{
    if (x->from_handle != NULL)
        r->node.transport->forget_memory(r->node.context, x->from_handle);
    if (x->to_handle != NULL)
        r->node.transport->forget_memory(r->node.context, x->to_handle);
    rig_value_free(&x->v);
    free(x->out);
    free(x->tail);
    sums_free(x->sums);
}

struct xcopy_req channelvalue_read(struct channelvalue *x)
{
    return rig_read_req(&x->v, &x->to, 1, x->tail, x->v.tail_len);
}

struct xcopy_req channelvalue_write(struct channelvalue *x)
{
    return rig_write_req(&x->v, &x->whole, 1);
}

bool channelvalue_came(const struct channelvalue *x)
{
    return memcmp(x->out, x->v.data, x->v.len_bytes) == 0 &&
           memcmp(x->tail, x->v.tail, x->v.tail_len) == 0;
}

void channelrig_settle(struct channelrig *r)
{
    while (r->c->transport->progress(r->c))
        ;
}
