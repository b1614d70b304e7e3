/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference: both ends in one process. A copy is done by the thread that submits it, while it
 * stands in the exporter's list of writers; a fence ends when no writer stands there that it names.
 *
 * Holds stand in a list too. The lock of the lists makes either the hold visible to whoever looks
 * for it after a void, or the void visible to the holder. A view is a pointer into the node's own
 * memory, which must stay until the last one is released.
 *
 * A writer enters the list first and asks the gate then; a fence has closed the gate before it
 * looks at the list. So one of the two sees the other.
 *
 * Peers name their exporter by its address. A list of the exporters that are alive makes an old
 * address harmless.
 */
#include <pthread.h>
#include <stdlib.h>

#include "transport/base/testswitch.h"
#include "transport/copy.h"
#include "transport/segments.h"
#include "transport/transports.h"

struct loop_copy {
    struct loop_copy *next;
    uint64_t session;
    uint64_t put_id; /* 0: not a write */
};

struct loop_fence {
    struct loop_fence *next;
    uint64_t session, horizon;
    void (*done)(void *arg);
    void *arg;
};

struct loop_hold {
    struct loop_hold *next;
    const struct loop_channel *channel;
    uint32_t slot;
    struct gva gva;
};

struct loop_exporter {
    struct xcopy_exporter base;
    struct xcopy_gate gate;
    struct segments segments;
    struct loop_exporter *next; /* in the list of the living */
    pthread_mutex_t lock;       /* of all below */
    pthread_cond_t idle;
    struct loop_copy *copies;
    struct loop_fence *fences;
    struct loop_hold *holds;
    unsigned users; /* channels, and the owner */
    bool stopped;
};

struct loop_channel {
    struct xcopy_channel base;
    struct loop_exporter *exporter;
    struct xcopy_credentials who;
    _Atomic bool broken;
};

static pthread_mutex_t living_lock = PTHREAD_MUTEX_INITIALIZER;
static struct loop_exporter *living;

static struct loop_exporter *exporter_of(struct xcopy_exporter *e)
{
    return (struct loop_exporter *)e;
}

static void exporter_unref(struct loop_exporter *e)
{
    pthread_mutex_lock(&e->lock);
    bool last = --e->users == 0;
    pthread_mutex_unlock(&e->lock);
    if (!last)
        return;
    pthread_cond_destroy(&e->idle);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* ---- copies and fences ----------------------------------------------------------------------- */

static bool copy_enter(struct loop_exporter *e, struct loop_copy *copy)
{
    pthread_mutex_lock(&e->lock);
    bool open = !e->stopped;
    if (open) {
        copy->next = e->copies;
        e->copies = copy;
    }
    pthread_mutex_unlock(&e->lock);
    return open;
}

static bool fence_waits(const struct loop_exporter *e, const struct loop_fence *f)
{
    for (const struct loop_copy *c = e->copies; c != NULL; c = c->next)
        if ((f->session == 0 || c->session == f->session) && c->put_id != 0 &&
            c->put_id <= f->horizon)
            return true;
    return false;
}

/* Takes the fences that wait for nobody any more; under the lock. */
static struct loop_fence *fences_take(struct loop_exporter *e)
{
    struct loop_fence *taken = NULL;
    for (struct loop_fence **at = &e->fences; *at != NULL;) {
        struct loop_fence *f = *at;
        if (fence_waits(e, f)) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        f->next = taken;
        taken = f;
    }
    return taken;
}

static void fences_finish(struct loop_fence *f)
{
    while (f != NULL) {
        struct loop_fence *next = f->next;
        f->done(f->arg);
        free(f);
        f = next;
    }
}

static void copy_leave(struct loop_exporter *e, struct loop_copy *copy)
{
    pthread_mutex_lock(&e->lock);
    struct loop_copy **at = &e->copies;
    while (*at != copy)
        at = &(*at)->next;
    *at = copy->next;
    struct loop_fence *done = fences_take(e);
    if (e->copies == NULL)
        pthread_cond_broadcast(&e->idle);
    pthread_mutex_unlock(&e->lock);
    fences_finish(done);
}

static int run_read(struct loop_channel *ch, struct xcopy_req *req)
{
    struct loop_exporter *e = ch->exporter;
    uint8_t *extent;
    int status = xcopy_admit_read(e->segments.at, segments_count(&e->segments), ch->who.name_space,
                                  req->put_id, req->gva, req->payload_len, &extent);
    if (status == CENOTE_OK)
        copy_read(req, extent);
    return status;
}

static int run_write(struct loop_channel *ch, struct xcopy_req *req)
{
    struct loop_exporter *e = ch->exporter;
    uint8_t *extent = segments_find_extent(&e->segments, req->gva, req->payload_len);
    if (extent == NULL)
        return CENOTE_BAD_RANGE;
    int status = e->gate.admit_write(e->gate.arg, ch->who.session, req->put_id, req->gva,
                                     extent_size(req->payload_len), &req->grant);
    if (status == CENOTE_OK)
        copy_write(req, extent);
    return status;
}

static void loop_submit(struct xcopy_channel *c, struct xcopy_req *req)
{
    struct loop_channel *ch = (struct loop_channel *)c;
    struct loop_copy copy = {.session = ch->who.session,
                             .put_id = req->op == XCOPY_WRITE ? req->put_id : 0};
    req->may_land = false;
    req->started = false;
    req->status = copy_check(req);
    if (req->status != CENOTE_OK)
        return;
    if (ch->broken || !copy_enter(ch->exporter, &copy)) {
        req->status = CENOTE_NODE_DOWN;
        return;
    }
    int status = req->op == XCOPY_READ ? run_read(ch, req) : run_write(ch, req);
    copy_leave(ch->exporter, &copy);
    req->started = status == CENOTE_OK;
    req->status = status;
}

/* ---- holds ----------------------------------------------------------------------------------- */

static void hold_publish(struct loop_exporter *e, struct loop_hold *h)
{
    pthread_mutex_lock(&e->lock);
    h->next = e->holds;
    e->holds = h;
    pthread_mutex_unlock(&e->lock);
}

static void loop_unhold(struct xcopy_channel *c, uint32_t slot)
{
    struct loop_exporter *e = ((struct loop_channel *)c)->exporter;
    pthread_mutex_lock(&e->lock);
    struct loop_hold **at = &e->holds;
    while (&(*at)->channel->base != c || (*at)->slot != slot)
        at = &(*at)->next;
    struct loop_hold *h = *at;
    *at = h->next;
    pthread_mutex_unlock(&e->lock);
    free(h);
}

static int hold_admitted(struct loop_channel *ch, struct xcopy_hold *hold)
{
    struct loop_exporter *e = ch->exporter;
    uint8_t *extent;
    int status = xcopy_admit_read(e->segments.at, segments_count(&e->segments), ch->who.name_space,
                                  hold->put_id, hold->gva, hold->payload_len, &extent);
    if (status != CENOTE_OK)
        return status;
    copy_load(hold->seal, extent + extent_seal_offset(hold->payload_len), SEAL_BYTES);
    hold->data = extent;
    return CENOTE_OK;
}

static int loop_hold(struct xcopy_channel *c, struct xcopy_hold *hold)
{
    struct loop_channel *ch = (struct loop_channel *)c;
    struct loop_copy visit = {0};
    struct loop_hold *h = calloc(1, sizeof *h);
    if (h == NULL)
        return CENOTE_NO_MEMORY;
    *h = (struct loop_hold){.channel = ch, .slot = hold->slot, .gva = hold->gva};
    if (ch->broken || !copy_enter(ch->exporter, &visit)) {
        free(h);
        return CENOTE_NODE_DOWN;
    }
    hold_publish(ch->exporter, h);
    int status = hold_admitted(ch, hold);
    if (status != CENOTE_OK)
        loop_unhold(c, hold->slot);
    copy_leave(ch->exporter, &visit);
    return status;
}

static void loop_held(struct xcopy_exporter *exporter, const struct gva *extents, size_t count,
                      bool *held)
{
    struct loop_exporter *e = exporter_of(exporter);
    pthread_mutex_lock(&e->lock);
    for (const struct loop_hold *h = e->holds; h != NULL; h = h->next)
        for (size_t i = 0; i < count; i++)
            held[i] = held[i] || extents[i].v == h->gva.v;
    pthread_mutex_unlock(&e->lock);
}

static uint32_t loop_hold_count(struct xcopy_exporter *exporter)
{
    struct loop_exporter *e = exporter_of(exporter);
    uint32_t count = 0;
    pthread_mutex_lock(&e->lock);
    for (const struct loop_hold *h = e->holds; h != NULL; h = h->next)
        count++;
    pthread_mutex_unlock(&e->lock);
    return count;
}

static void loop_each_hold(struct xcopy_exporter *exporter,
                           void (*hold)(void *arg, struct gva extent), void *arg)
{
    struct loop_exporter *e = exporter_of(exporter);
    pthread_mutex_lock(&e->lock);
    for (const struct loop_hold *h = e->holds; h != NULL; h = h->next)
        hold(arg, h->gva);
    pthread_mutex_unlock(&e->lock);
}

/* ---- channels -------------------------------------------------------------------------------- */

static bool loop_reaches(void *context, const struct xcopy_peer *peer)
{
    (void)context;
    return peer->loop != NULL;
}

/* The exporter at this address, with one user more; NULL when it has stopped. */
static struct loop_exporter *exporter_find(const struct xcopy_exporter *address)
{
    pthread_mutex_lock(&living_lock);
    struct loop_exporter *e = living;
    while (e != NULL && &e->base != address)
        e = e->next;
    if (e != NULL) {
        pthread_mutex_lock(&e->lock);
        e->users++;
        pthread_mutex_unlock(&e->lock);
    }
    pthread_mutex_unlock(&living_lock);
    return e;
}

static int loop_connect(void *context, const struct xcopy_peer *peer,
                        const struct xcopy_credentials *who, uint32_t timeout_ms,
                        struct xcopy_channel **out)
{
    (void)context;
    (void)timeout_ms;
    int status = CENOTE_NODE_DOWN;
    struct loop_copy visit = {0};
    struct loop_exporter *e = exporter_find(peer->loop);
    if (e == NULL)
        return status;
    if (!copy_enter(e, &visit))
        goto unref;
    status = e->gate.authenticate(e->gate.arg, who);
    if (status == CENOTE_OK && peer->boot != 0 && peer->boot != e->gate.boot &&
        !test_off(TEST_BOOT))
        status = CENOTE_OLD_BOOT;
    copy_leave(e, &visit);
    if (status != CENOTE_OK)
        goto unref;
    struct loop_channel *ch = calloc(1, sizeof *ch);
    if (ch == NULL) {
        status = CENOTE_NO_MEMORY;
        goto unref;
    }
    ch->base = (struct xcopy_channel){.transport = &xcopy_loop, .node = peer->node};
    ch->exporter = e;
    ch->who = *who;
    *out = &ch->base;
    return CENOTE_OK;

unref:
    exporter_unref(e);
    return status;
}

static void loop_disconnect(struct xcopy_channel *c)
{
    struct loop_channel *ch = (struct loop_channel *)c;
    exporter_unref(ch->exporter);
    free(ch);
}

/* The exporter is the parent's, and its lock may be held there. */
static void loop_abandon(struct xcopy_channel *c)
{
    free(c);
}

static bool loop_progress(struct xcopy_channel *c)
{
    (void)c;
    return false;
}

static int loop_poll_fd(struct xcopy_channel *c, short *events)
{
    (void)c;
    *events = 0;
    return -1;
}

static void loop_cancel(struct xcopy_channel *c, int status)
{
    (void)status;
    ((struct loop_channel *)c)->broken = true;
}

static bool loop_alive(const struct xcopy_channel *c)
{
    const struct loop_channel *ch = (const struct loop_channel *)c;
    pthread_mutex_lock(&ch->exporter->lock);
    bool alive = !ch->exporter->stopped;
    pthread_mutex_unlock(&ch->exporter->lock);
    return alive && !ch->broken;
}

const struct xcopy_transport xcopy_loop = {
    .name = "loop",
    .id = CENOTE_TRANSPORT_AUTO,
    .caps = XCOPY_CAP_SHARED | XCOPY_CAP_IMMEDIATE | XCOPY_CAP_CHECKED,
    .reaches = loop_reaches,
    .connect = loop_connect,
    .disconnect = loop_disconnect,
    .abandon = loop_abandon,
    .submit = loop_submit,
    .progress = loop_progress,
    .poll_fd = loop_poll_fd,
    .cancel = loop_cancel,
    .alive = loop_alive,
    .hold = loop_hold,
    .unhold = loop_unhold,
};

/* ---- the exporter ---------------------------------------------------------------------------- */

static int loop_start(const char *endpoint, const struct xcopy_gate *gate,
                      const struct xcopy_settings *settings, struct xcopy_exporter **out,
                      char bound[XCOPY_ENDPOINT_MAX])
{
    (void)settings;
    (void)endpoint;
    struct loop_exporter *e = calloc(1, sizeof *e);
    if (e == NULL)
        return CENOTE_NO_MEMORY;
    e->base.ops = &xcopy_loop_exporter;
    e->gate = *gate;
    e->users = 1;
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->idle, NULL);
    pthread_mutex_lock(&living_lock);
    e->next = living;
    living = e;
    pthread_mutex_unlock(&living_lock);
    bound[0] = '\0';
    *out = &e->base;
    return CENOTE_OK;
}

static int loop_add_segment(struct xcopy_exporter *exporter, const struct xcopy_segment *segment)
{
    struct loop_exporter *e = exporter_of(exporter);
    pthread_mutex_lock(&e->lock);
    int status = segments_add(&e->segments, segment);
    pthread_mutex_unlock(&e->lock);
    return status;
}

static void loop_fence(struct xcopy_exporter *exporter, uint64_t session, uint64_t horizon,
                       void (*done)(void *arg), void *arg)
{
    struct loop_exporter *e = exporter_of(exporter);
    struct loop_fence *f = calloc(1, sizeof *f);
    if (f == NULL || test_off(TEST_FENCE)) {
        free(f);
        if (test_off(TEST_FENCE))
            done(arg);
        return; /* without memory: never fenced, which is safe */
    }
    *f = (struct loop_fence){.session = session, .horizon = horizon, .done = done, .arg = arg};
    pthread_mutex_lock(&e->lock);
    f->next = e->fences;
    e->fences = f;
    struct loop_fence *ready = fences_take(e);
    pthread_mutex_unlock(&e->lock);
    fences_finish(ready);
}

static void loop_stop(struct xcopy_exporter *exporter)
{
    struct loop_exporter *e = exporter_of(exporter);
    pthread_mutex_lock(&living_lock);
    struct loop_exporter **at = &living;
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    pthread_mutex_unlock(&living_lock);

    pthread_mutex_lock(&e->lock);
    e->stopped = true;
    while (e->copies != NULL)
        pthread_cond_wait(&e->idle, &e->lock);
    while (e->fences != NULL) {
        struct loop_fence *f = e->fences;
        e->fences = f->next;
        free(f);
    }
    pthread_mutex_unlock(&e->lock);
    exporter_unref(e);
}

const struct xcopy_exporter_ops xcopy_loop_exporter = {
    .name = "loop",
    .start = loop_start,
    .add_segment = loop_add_segment,
    .fence = loop_fence,
    .held = loop_held,
    .hold_count = loop_hold_count,
    .each_hold = loop_each_hold,
    .stop = loop_stop,
};
