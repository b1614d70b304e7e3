/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/net.h"

#include <string.h>

#define CUT_LOOK_NS    (20 * NS_PER_MS)
#define HALF_OPEN_ONE  8u /* in so many ends learns late */
#define HALF_OPEN_NS   (3000 * NS_PER_MS)
#define LEARNS_NS      (2 * NS_PER_MS)
#define LONG_DELAY_ONE 24u

static struct net_end *ends;

void net_reset(void)
{
    ends = NULL;
}

uint64_t net_delay_ns(struct chance *c)
{
    uint64_t ns = chance_between(c, 5, 60) * NS_PER_US;
    if (chance_in(c, LONG_DELAY_ONE))
        ns += chance_below(c, 20 * NS_PER_MS);
    return ns * world.slow;
}

bool net_is_cut(const struct process *from, const struct process *to)
{
    return world.cut[from->host][to->host];
}

bool net_is_apart(const struct process *a, const struct process *b)
{
    return net_is_cut(a, b) || net_is_cut(b, a);
}

static struct net_end *end_new(struct process *p, const struct net_handler *h)
{
    struct net_end *e = world_alloc(sizeof *e);
    *e = (struct net_end){.who = p, .life = p->life, .handler = h, .open = true, .next = ends};
    ends = e;
    return e;
}

void net_make(struct process *a, const struct net_handler *at_a, struct process *b,
              const struct net_handler *at_b, struct net_end **end_a, struct net_end **end_b)
{
    *end_a = end_new(a, at_a);
    *end_b = end_new(b, at_b);
    (*end_a)->other = *end_b;
    (*end_b)->other = *end_a;
}

static void closed_now(struct net_end *e)
{
    if (!e->open)
        return;
    e->open = false;
    e->first = NULL;
    e->handler->closed(e->arg);
}

static void closed_later(void *arg)
{
    closed_now(arg);
}

/* The next message has come, unless nothing passes between the hosts. */
static void arrive(void *arg)
{
    struct net_end *e = arg;
    struct net_message *m = e->first;
    if (!e->open || m == NULL)
        return;
    if (net_is_cut(e->other->who, e->who) || world.now_ns < e->late_ns) {
        world_after(e->who, CUT_LOOK_NS, arrive, e);
        return;
    }
    e->first = m->next;
    toll(e->who->number * 1000 + m->len_bytes);
    if (m->frame == NULL)
        closed_now(e);
    else
        e->handler->message(e->arg, m->frame, m->len_bytes, m->msgid);
}

static void post(struct net_end *from, const uint8_t *frame, size_t len_bytes, uint32_t msgid)
{
    struct net_end *to = from->other;
    if (from->severed || !to->open || !to->who->alive || to->who->life != to->life)
        return;
    struct net_message *m = world_alloc(sizeof *m);
    *m = (struct net_message){.frame = frame, .len_bytes = len_bytes, .msgid = msgid};
    if (to->first == NULL)
        to->first = m;
    else
        to->last->next = m;
    to->last = m;
    uint64_t at_ns = world.now_ns + net_delay_ns(&from->who->chance);
    if (at_ns < to->last_ns)
        at_ns = to->last_ns;
    to->last_ns = at_ns;
    world_after(to->who, at_ns - world.now_ns, arrive, to);
}

void net_send(struct net_end *e, const void *frame, size_t len_bytes, uint32_t msgid)
{
    if (!e->open)
        return;
    uint8_t *copy = world_alloc(len_bytes);
    memcpy(copy, frame, len_bytes);
    post(e, copy, len_bytes, msgid);
}

void net_close(struct net_end *e)
{
    if (!e->open)
        return;
    post(e, NULL, 0, 0);
    e->severed = true;
    world_after(e->who, 0, closed_later, e);
}

/* Of what is on its way to there all arrives, or nothing. */
static void learn_after(struct net_end *e, struct chance *c, uint64_t ns)
{
    if (chance_in(c, 2))
        e->first = NULL;
    e->severed = true;
    if (e->open && e->who->alive && e->who->life == e->life)
        world_after(e->who, ns, closed_later, e);
}

static void learn(struct net_end *e, struct chance *c)
{
    uint64_t ns = chance_below(c, LEARNS_NS);
    if (chance_in(c, HALF_OPEN_ONE))
        ns = chance_below(c, HALF_OPEN_NS);
    learn_after(e, c, ns);
}

void net_break(struct net_end *e)
{
    TRACE("the connection of %s and %s breaks", e->who->name, e->other->who->name);
    learn(e, &world.chance);
    learn(e->other, &world.chance);
}

void net_halve(struct net_end *e, uint64_t ns)
{
    bool mine = chance_in(&world.chance, 2);
    TRACE("the connection of %s and %s is half-open: %s believes in it", e->who->name,
          e->other->who->name, mine ? e->who->name : e->other->who->name);
    learn_after(e, &world.chance, mine ? ns : chance_below(&world.chance, LEARNS_NS));
    learn_after(e->other, &world.chance, mine ? chance_below(&world.chance, LEARNS_NS) : ns);
}

void net_leave_late(struct net_end *e, uint64_t ns)
{
    TRACE("%s loses its connection to %s, what it has sent is late", e->who->name,
          e->other->who->name);
    e->other->late_ns = world.now_ns + ns;
    net_close(e);
}

struct net_end *net_some_of(const struct process *p, struct chance *c)
{
    struct net_end *found = NULL;
    unsigned count = 0;
    for (struct net_end *e = ends; e != NULL; e = e->next) {
        if (e->who == p && e->life == p->life && e->open && chance_in(c, ++count))
            found = e;
    }
    return found;
}

void net_closed(struct process *p)
{
    for (struct net_end *e = ends; e != NULL; e = e->next) {
        if (e->who != p || !e->open || e->life != p->life)
            continue;
        if (chance_in(&world.chance, 3))
            e->other->first = NULL; /* unread data: the connection is reset */
        post(e, NULL, 0, 0);
        e->severed = true;
        world_after(p, 0, closed_later, e);
    }
}

void net_vanished(struct process *p)
{
    for (struct net_end *e = ends; e != NULL; e = e->next) {
        if (e->who != p || !e->open || e->life != p->life)
            continue;
        e->open = false;
        learn(e->other, &world.chance);
    }
}

void net_died(struct process *p)
{
    for (struct net_end *e = ends; e != NULL; e = e->next) {
        if (e->who != p || !e->open)
            continue;
        e->open = false;
        if (chance_in(&world.chance, 3))
            e->other->first = NULL; /* unread data: the connection is reset */
        post(e, NULL, 0, 0);
    }
}
