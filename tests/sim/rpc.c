/* SPDX-License-Identifier: Apache-2.0 */
/* The client's end of the control RPC: what transport/rpc/client.c does, over simulated
 * connections. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/scene.h"
#include "transport/rpc/rpc.h"

#define CONNECT_LOOK_NS (10 * NS_PER_MS)

/* A call that waits; it lies on its thread's stack. */
struct waiting {
    struct waiting *next;
    uint32_t msgid;
    const uint8_t *frame; /* of the answer */
    size_t len_bytes;
    struct nap *nap; /* outlives the thread */
};

struct rpc_client {
    const struct meta *at;
    struct net_end *end;
    struct waiting *calls;
    uint32_t msgid;
    bool broken;
};

int __wrap_rpc_client_open(const struct endpoint *e, uint32_t timeout_ms, struct rpc_client **out);
void __wrap_rpc_client_close(struct rpc_client *c);
int __wrap_rpc_client_call(struct rpc_client *c, const void *frame, size_t len_bytes,
                           uint32_t timeout_ms, struct rpc_answer *answer);
void __wrap_rpc_client_interrupt(struct rpc_client *c);
bool __wrap_rpc_client_alive(const struct rpc_client *c);

static void answered(void *arg, const uint8_t *frame, size_t len_bytes, uint32_t msgid)
{
    struct rpc_client *c = arg;
    struct wire_msg m;
    (void)msgid;
    int status = wire_parse(frame, len_bytes, &m);
    assert(status == CENOTE_OK && m.kind == WIRE_RESPONSE);
    for (struct waiting *w = c->calls; w != NULL; w = w->next) {
        if (w->msgid != m.msgid)
            continue;
        w->frame = frame;
        w->len_bytes = len_bytes;
        thread_wake(w->nap);
    }
    wire_msg_free(&m);
}

static void broken(void *arg)
{
    struct rpc_client *c = arg;
    c->broken = true;
    for (struct waiting *w = c->calls; w != NULL; w = w->next)
        thread_wake(w->nap);
}

static const struct net_handler handler = {answered, broken};

int __wrap_rpc_client_open(const struct endpoint *e, uint32_t timeout_ms, struct rpc_client **out)
{
    (void)e;
    struct process *me = world.self;
    struct meta *at = meta_reached();
    uint64_t deadline_ns = process_ns(me) + timeout_ms * NS_PER_MS;
    thread_sleep(net_delay_ns(&me->chance) * 2);
    /* A stopped service accepts by way of its kernel's backlog, and says nothing. */
    while (net_is_apart(me, at->process)) {
        if (process_ns(me) >= deadline_ns)
            return CENOTE_TIMED_OUT;
        thread_sleep(CONNECT_LOOK_NS);
    }
    struct rpc_client *c = calloc(1, sizeof *c);
    if (c == NULL)
        return CENOTE_NO_MEMORY;
    c->at = at;
    c->end = meta_connect(at, &handler, c);
    if (c->end == NULL) {
        free(c);
        return CENOTE_UNAVAILABLE;
    }
    *out = c;
    return CENOTE_OK;
}

void __wrap_rpc_client_close(struct rpc_client *c)
{
    if (c == NULL)
        return;
    assert(c->calls == NULL);
    net_close(c->end);
    c->end->open = false;
    free(c);
}

static void uncall(struct rpc_client *c, const struct waiting *call)
{
    struct waiting **at = &c->calls;
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
}

/* Want of memory for this is another matter: here it doesn't come. */
static int take_answer(const struct waiting *w, struct rpc_answer *answer)
{
    world.self->fails_in += world.self->fails_in > 0;
    *answer = (struct rpc_answer){.frame = malloc(w->len_bytes)};
    if (answer->frame == NULL)
        return CENOTE_NO_MEMORY;
    memcpy(answer->frame, w->frame, w->len_bytes);
    int status = wire_parse(answer->frame, w->len_bytes, &answer->msg);
    if (status != CENOTE_OK) {
        free(answer->frame);
        return status;
    }
    status = answer->msg.error;
    if (status != CENOTE_OK)
        rpc_answer_free(answer);
    return status;
}

static void tell_moment(struct process *me, const void *frame, size_t len_bytes)
{
    static const char *const methods[MOMENTS] = {[AT_LOOKUP] = METHOD_LOOKUP,
                                                 [AT_START] = METHOD_PUT_START,
                                                 [AT_COMMIT] = METHOD_PUT_COMMIT,
                                                 [AT_REMOVE] = METHOD_REMOVE};
    struct wire_msg m;
    if (wire_parse(frame, len_bytes, &m) != CENOTE_OK)
        return;
    room_asked(me, &m);
    for (unsigned i = AT_LOOKUP; i <= AT_REMOVE; i++) {
        if (strcmp(m.method, methods[i]) == 0)
            scene_moment((enum plan_moment)i, me, NULL);
    }
    wire_msg_free(&m);
}

/* What a twin of the service tells is of no consequence. */
static void note(const struct rpc_client *c, uint64_t asked_ns, uint64_t asked_ms,
                 const struct waiting *w, const void *frame, size_t len_bytes)
{
    bool twin = c->at == &scene.twin;
    history_asks(world.self, twin);
    if (!twin && w->frame != NULL)
        rules_answered(world.self, frame, len_bytes, asked_ms, w->frame, w->len_bytes,
                       history_doubts(asked_ns));
}

/* Leases begin before the question is sent. */
int __wrap_rpc_client_call(struct rpc_client *c, const void *frame, size_t len_bytes,
                           uint32_t timeout_ms, struct rpc_answer *answer)
{
    struct process *me = world.self;
    struct waiting w = {.next = c->calls, .msgid = ++c->msgid};
    uint64_t asked_ms = process_ns(me) / NS_PER_MS, asked_ns = world.now_ns;
    if (c->broken)
        return CENOTE_UNAVAILABLE;
    w.nap = world_alloc(sizeof *w.nap);
    c->calls = &w;
    net_send(c->end, frame, len_bytes, w.msgid);
    tell_moment(me, frame, len_bytes);
    uint64_t deadline_ns = process_ns(me) + timeout_ms * NS_PER_MS;
    while (w.frame == NULL && !c->broken && process_ns(me) < deadline_ns)
        thread_nap(w.nap, process_delay_ns(me, deadline_ns - process_ns(me)) + 1);
    uncall(c, &w);
    note(c, asked_ns, asked_ms, &w, frame, len_bytes);
    if (w.frame == NULL)
        return c->broken ? CENOTE_UNKNOWN : CENOTE_TIMED_OUT;
    return take_answer(&w, answer);
}

void __wrap_rpc_client_interrupt(struct rpc_client *c)
{
    broken(c);
}

bool __wrap_rpc_client_alive(const struct rpc_client *c)
{
    return !c->broken;
}
