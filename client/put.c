/* SPDX-License-Identifier: Apache-2.0 */
#include "client/put.h"

#include <assert.h>
#include <stdlib.h>

struct put {
    struct machine machine;
    struct cenote_put_item *items;
    size_t count, begun; /* items; those in this or an earlier window */
    struct putting putting;
    struct putting_value values[]; /* the window */
};

static void put_next(struct machine *m, uint64_t now_ms, struct step *out);
static void put_done(struct machine *m, uint64_t now_ms, int status, struct wire_value result);
static bool put_cancel(struct machine *m, int status, bool sent);

static const struct machine_ops put_ops = {
    .op = TALLY_PUT, .next = put_next, .done = put_done, .cancel = put_cancel};

struct put *put_begin(const struct machine_env *env, struct cenote_put_item *items, size_t count,
                      unsigned flags)
{
    size_t window = count < PUT_WINDOW ? count : PUT_WINDOW;
    struct put *p = calloc(1, sizeof *p + window * sizeof p->values[0]);

    assert(count > 0 && count <= CENOTE_BATCH_MAX);
    if (!p)
        return NULL;
    p->machine.ops = &put_ops;
    p->items = items;
    p->count = count;
    putting_begin(&p->putting, &p->machine, env, flags, p->values);
    return p;
}

void put_keep(struct put *p, const struct keep *keep)
{
    p->putting.keep = *keep;
}

struct machine *put_machine(struct put *p)
{
    return &p->machine;
}

void put_free(struct put *p)
{
    if (!p)
        return;
    putting_end(&p->putting);
    free(p);
}

static uint64_t length_of(const struct cenote_put_item *item)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < item->buffer_count; i++)
        sum += item->buffers[i].len_bytes;
    return sum;
}

static bool next_window(struct put *p)
{
    uint32_t copies = p->putting.replicas == 0 ? 1 : p->putting.replicas, count = 0;
    uint64_t bytes = 0;

    while (p->begun < p->count && count < PUT_WINDOW && bytes < PUT_WINDOW_BYTES) {
        struct cenote_put_item *item = &p->items[p->begun++];
        uint64_t len = length_of(item);

        p->values[count++] = (struct putting_value){.state = PUTTING_START,
                                                    .key = &item->key,
                                                    .status = &item->status,
                                                    .common = {.len_bytes = len,
                                                               .buffers = item->buffers,
                                                               .buffer_count = item->buffer_count}};
        bytes += len * copies;
    }
    putting_values(&p->putting, count);
    return count > 0;
}

static void put_next(struct machine *m, uint64_t now_ms, struct step *out)
{
    struct put *p = (struct put *)m;

    do
        putting_next(&p->putting, now_ms, out);
    while (out->kind == STEP_DONE && next_window(p));
}

static void put_done(struct machine *m, uint64_t now_ms, int status, struct wire_value result)
{
    struct put *p = (struct put *)m;

    putting_done(&p->putting, now_ms, status, result);
}

static bool put_cancel(struct machine *m, int status, bool sent)
{
    struct put *p = (struct put *)m;

    for (; p->begun < p->count; p->begun++)
        p->items[p->begun].status = status;
    return putting_cancel(&p->putting, status, sent);
}
