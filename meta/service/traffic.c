/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/service/traffic.h"

#include <string.h>

static struct slow_call *fastest_of(struct slow_list *l)
{
    struct slow_call *fastest = &l->calls[0];
    for (uint32_t i = 1; i < l->count; i++)
        if (l->calls[i].ns < fastest->ns)
            fastest = &l->calls[i];
    return fastest;
}

/* So that a call is compared with one number. */
static void set_notable(struct traffic *t)
{
    for (uint32_t i = 0; i < TRAFFIC_METHODS_MAX; i++) {
        uint64_t longest_ns = metric_get(&t->methods[i].durations.max);
        t->methods[i].notable_ns = longest_ns < t->slow_ns ? longest_ns : t->slow_ns;
    }
}

void traffic_note_slow(struct traffic *t, const struct traffic_call *call, uint64_t ns,
                       uint64_t wall_ms)
{
    struct slow_list *l = &t->slow;
    metric_peak(&t->methods[call->method].durations, ns);
    if (ns > t->slow_ns) {
        struct slow_call *place = l->count < TRAFFIC_SLOW ? &l->calls[l->count++] : fastest_of(l);
        *place = (struct slow_call){
            .ended_ms = wall_ms, .ns = ns, .method = call->method, .keys = call->keys};
        t->slow_ns = l->count < TRAFFIC_SLOW ? 0 : fastest_of(l)->ns;
    }
    set_notable(t);
}

void traffic_tick(struct traffic *t, uint64_t now_ms)
{
    if (now_ms - t->slow_since_ms < TRAFFIC_WHILE_MS)
        return;
    t->slow_since_ms = now_ms;
    t->slow_before = t->slow;
    t->slow.count = 0;
    t->slow_ns = 0;
    set_notable(t);
}

static uint32_t insert(struct slow_call *out, uint32_t count, const struct slow_call *call)
{
    uint32_t at = count;
    while (at > 0 && out[at - 1].ns < call->ns) {
        out[at] = out[at - 1];
        at--;
    }
    out[at] = *call;
    return count + 1;
}

uint32_t traffic_slowest(const struct traffic *t, struct slow_call out[2 * TRAFFIC_SLOW])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->slow.count; i++)
        count = insert(out, count, &t->slow.calls[i]);
    for (uint32_t i = 0; i < t->slow_before.count; i++)
        count = insert(out, count, &t->slow_before.calls[i]);
    return count;
}
