/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/contract/half.h"

#include <poll.h>
#include <string.h>

static bool immediate(const struct half *h)
{
    return (h->rig->transport->caps & XCOPY_CAP_IMMEDIATE) != 0;
}

static void stop_before_seal(struct xcopy_req *req)
{
    struct half *h = (struct half *)((char *)req - offsetof(struct half, req));
    sem_post(&h->reached);
    sem_wait(&h->resume);
    rig_seal(&h->value);
}

static void *write_main(void *arg)
{
    struct half *h = arg;
    h->channel->transport->submit(h->channel, &h->req);
    return NULL;
}

/* Looks while the exporter may be writing: a race, on purpose. */
__attribute__((no_sanitize("thread"))) static uint8_t peek(const uint8_t *byte)
{
    return *(volatile const uint8_t *)byte;
}

/* Until the first byte has arrived; the last can't have. */
static void move_first_bytes(struct half *h)
{
    const uint8_t *first = rig_memory(h->rig, 0);
    uint8_t wanted = h->value.data[0];
    h->channel->transport->submit(h->channel, &h->req);
    CHECK_STATUS(h->req.status, XCOPY_IN_PROGRESS);
    for (int i = 0; i < 10000 && peek(first) != wanted; i++) {
        h->channel->transport->progress(h->channel);
        rig_land(h->rig);
        (void)poll(NULL, 0, 1);
    }
    CHECK(peek(first) == wanted);
    CHECK_STATUS(h->req.status, XCOPY_IN_PROGRESS);
}

void half_begin(struct half *h, struct rig *r, uint64_t session)
{
    memset(h, 0, sizeof *h);
    h->rig = r;
    h->channel = rig_connect(r, session);
    sem_init(&h->reached, 0, 0);
    sem_init(&h->resume, 0, 0);
    rig_value_make(&h->value, session, rig_next_put(), 0, HALF_BYTES);
    h->value.data[0] |= 1; /* not what is there already */
    h->whole = (struct cenote_buffer){h->value.data, HALF_BYTES};
    h->req = rig_write_req(&h->value, &h->whole, 1);
    if (!immediate(h)) {
        move_first_bytes(h);
        return;
    }
    h->req.seal_it = stop_before_seal;
    CHECK(pthread_create(&h->thread, NULL, write_main, h) == 0);
    sem_wait(&h->reached);
}

void half_resume(struct half *h)
{
    if (immediate(h)) {
        sem_post(&h->resume);
        pthread_join(h->thread, NULL);
    } else {
        rig_finish(h->channel, &h->req);
    }
}

void half_free(struct half *h)
{
    rig_disconnect(h->channel);
    rig_value_free(&h->value);
    sem_destroy(&h->reached);
    sem_destroy(&h->resume);
}
