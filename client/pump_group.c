/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Submissions with keys of several services. Such an operation is the home pump's, with one id, one
 * deadline and one completion; it has no machine of its own but parts, each an operation of the
 * pump of one service, with copies of its items.
 *
 *   route --> parts begin, all at once --> each lands --> what was refused teaches us another map
 *     ^                                                    |
 *     '---- some items are another service's, after all ---'
 *
 * An operation that the home began alone, because no other service was known, becomes one when an
 * item was refused. Nothing of a group is touched but by the home pump's thread: a part that lands
 * on its own pump's thread, or a chore that has ended, is put into the inbox. What waits is done by
 * chores of their own kind. A group that is to end before its time cancels its parts and lands when
 * they have landed, which never takes long; chores it leaves behind.
 */
#include "client/pump_op.h"

#include <assert.h>
#include <stdlib.h>

#include "transport/base/clock.h"

static int *status_at(const struct op *op, size_t i)
{
    return op->gets ? &op->gets[i].status : &op->puts[i].status;
}

static struct cenote_key key_at(const struct op *op, size_t i)
{
    return op->gets ? op->gets[i].key : op->puts[i].key;
}

static bool any_refused(const struct op *op)
{
    for (size_t i = 0; i < op->count; i++) {
        if (*status_at(op, i) == CENOTE_WRONG_SHARD)
            return true;
    }
    return false;
}

void op_end_refused(struct op *op, int status)
{
    for (size_t i = 0; i < op->count; i++) {
        if (*status_at(op, i) == CENOTE_WRONG_SHARD)
            *status_at(op, i) = status;
    }
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void part_free(struct part *part)
{
    free(part->gets);
    free(part->puts);
    free(part->items);
    free(part);
}

/* Which items it has: those that are refused, and whose owner it is. NULL: no memory. */
static struct part *part_new(struct op *op, uint32_t owner, const uint32_t *owners, size_t count)
{
    struct part *part = calloc(1, sizeof *part);

    if (!part)
        return NULL;
    part->op = op;
    part->home = op->pump;
    part->owner = owner;
    part->items = malloc((count + 1) * sizeof *part->items);
    if (op->gets)
        part->gets = malloc((count + 1) * sizeof *part->gets);
    else
        part->puts = malloc((count + 1) * sizeof *part->puts);
    if (!part->items || !(part->gets || part->puts)) {
        part_free(part);
        return NULL;
    }
    for (size_t i = 0; owners && i < op->count; i++) {
        if (owners[i] != owner || *status_at(op, i) != CENOTE_WRONG_SHARD)
            continue;
        if (op->gets)
            part->gets[part->count] = op->gets[i];
        else
            part->puts[part->count] = op->puts[i];
        part->items[part->count++] = (uint16_t)i;
    }
    assert(part->count == count);
    return part;
}

static void part_enter(struct part *part, enum part_doing doing)
{
    struct group *g = part->op->group;

    part->doing = doing;
    part->next = g->parts;
    g->parts = part;
}

static void part_leave(struct part *part)
{
    struct part **at = &part->op->group->parts;

    while (*at != part)
        at = &(*at)->next;
    *at = part->next;
}

static void part_fail(const struct part *part, int status)
{
    for (size_t i = 0; i < part->count; i++)
        *status_at(part->op, part->items[i]) = status;
}

/* Any thread: to the home's. */
static void part_post(struct part *part)
{
    struct pump *home = part->home;

    pthread_mutex_lock(&home->lock);
    part->next_over = home->parts_over;
    home->parts_over = part;
    pump_notify(home);
    pthread_mutex_unlock(&home->lock);
}

/* On the thread of the part's pump. */
void part_landed(struct flight *f)
{
    struct op *op = (struct op *)f;

    op->part->epoch = op->machine ? op->machine->wrong_epoch : 0;
    part_post(op->part);
}

static void run_open(struct chore *chore, bool too_late)
{
    struct part *part = (struct part *)chore;
    const struct pump_routes *r = part->home->env.routes;

    part->status = too_late ? CENOTE_CLOSED : r->pump(r->arg, part->owner, true, &part->pump);
    part_post(part);
}

static void run_learn(struct chore *chore, bool too_late)
{
    struct part *part = (struct part *)chore;
    const struct pump_routes *r = part->home->env.routes;

    if (!too_late)
        r->learn(r->arg, part->owner, part->epoch);
    part_post(part);
}

/* The last one makes the operation ready. */
static void part_detach(struct part *part)
{
    struct op *op = part->op;

    part_leave(part);
    part->op = NULL;
    if (!op->group->parts) {
        op_enter(op, OP_READY, &op->pump->ready);
        op_set_timer(op);
    }
}

static void part_over(struct part *part)
{
    part_detach(part);
    part_free(part);
}

static bool post_learn(struct part *part)
{
    part->doing = PART_LEARNING;
    part->chore.run = run_learn;
    return chores_post(part->home->chores, CHORE_ROUTE, &part->chore);
}

/* There is a map newer than ours: the operation waits for it. */
static void part_learn(struct part *part)
{
    if (!post_learn(part))
        part_over(part);
}

/* The service is away, and may have moved: others are asked, but nobody waits for that. */
static void part_away(struct part *part)
{
    struct pump *home = part->home;

    part_detach(part);
    part->epoch = 0;
    if (home->now_ms < home->asked_ms + PUMP_ROUTE_ASK_MS || !post_learn(part)) {
        part_free(part);
        return;
    }
    home->asked_ms = home->now_ms;
}

static void part_submit(struct part *part)
{
    part->doing = PART_FLYING;
    int status = pump_part(part->pump, part);

    if (status == CENOTE_OK)
        return;
    part_fail(part, status);
    part_over(part);
}

static void part_begin(struct part *part)
{
    const struct pump_routes *r = part->home->env.routes;
    int status = r->pump(r->arg, part->owner, false, &part->pump);

    if (status == CENOTE_OK && part->pump) {
        part_submit(part);
        return;
    }
    part->doing = PART_OPENING;
    part->chore.run = run_open;
    if (status == CENOTE_OK && chores_post(part->home->chores, CHORE_ROUTE, &part->chore))
        return;
    part_fail(part, CENOTE_NO_MEMORY);
    part_over(part);
}

/* What became of its items, which are the group's again. */
static void part_take(struct part *part)
{
    struct op *op = part->op;
    bool away = false;

    for (size_t i = 0; i < part->count; i++) {
        if (op->gets)
            op->gets[part->items[i]] = part->gets[i];
        else
            op->puts[part->items[i]].status = part->puts[i].status;
        away = away || *status_at(op, part->items[i]) == CENOTE_UNAVAILABLE;
    }
    flights_discard(pump_flights(part->pump), part->flight);
    if (op->group->ending == CENOTE_OK && part->epoch != 0)
        part_learn(part);
    else if (op->group->ending == CENOTE_OK && away)
        part_away(part);
    else
        part_over(part);
}

static void part_opened(struct part *part)
{
    if (part->status == CENOTE_OK) {
        part_submit(part);
        return;
    }
    part_fail(part, part->status);
    if (part->status == CENOTE_UNAVAILABLE)
        part_away(part);
    else
        part_over(part);
}

void parts_over(struct part *list)
{
    while (list) {
        struct part *part = list;

        list = list->next_over;
        if (!part->op) /* it was left behind */
            part_free(part);
        else if (part->doing == PART_FLYING)
            part_take(part);
        else if (part->doing == PART_OPENING)
            part_opened(part);
        else
            part_over(part);
    }
}

/* ---- groups ---------------------------------------------------------------------------------- */

bool group_begin(struct op *op, uint64_t epoch)
{
    struct part *part;

    assert(!op->group);
    op->group = calloc(1, sizeof *op->group);
    if (!op->group)
        return false;
    if (epoch == 0)
        return true;
    part = part_new(op, PUMP_ROUTE_HOME, NULL, 0);
    if (!part) {
        free(op->group);
        op->group = NULL;
        return false;
    }
    part->epoch = epoch;
    op->doing = OP_PARTED;
    op->group->begun = true;
    part_enter(part, PART_LEARNING);
    op_set_timer(op);
    part_learn(part);
    return true;
}

static void begin_items(struct op *op)
{
    for (size_t i = 0; !op->group->begun && i < op->count; i++)
        *status_at(op, i) = CENOTE_WRONG_SHARD;
    op->group->begun = true;
}

/* One part for each service. They begin when all are there: one that fails at once ends. */
static bool make_parts(struct op *op)
{
    const struct pump_routes *r = op->pump->env.routes;
    uint32_t *owners = malloc(op->count * sizeof *owners);
    size_t counts[PUMP_ROUTES_MAX] = {0};
    bool made = owners != NULL;

    for (size_t i = 0; owners && i < op->count; i++) {
        struct cenote_key key = key_at(op, i);
        if (*status_at(op, i) == CENOTE_WRONG_SHARD)
            counts[owners[i] = r->owner(r->arg, &key)]++;
    }
    for (uint32_t owner = 0; made && owner < PUMP_ROUTES_MAX; owner++) {
        if (counts[owner] == 0)
            continue;
        struct part *part = part_new(op, owner, owners, counts[owner]);
        made = part != NULL;
        if (part)
            part_enter(part, PART_NEW);
    }
    free(owners);
    return made;
}

static void drop_parts(struct op *op)
{
    while (op->group->parts) {
        struct part *part = op->group->parts;
        part_leave(part);
        part_free(part);
    }
}

static void route(struct op *op)
{
    struct group *g = op->group;

    op->doing = OP_PARTED;
    op_set_timer(op);
    if (!make_parts(op)) {
        drop_parts(op);
        op_end_refused(op, CENOTE_NO_MEMORY);
        op_enter(op, OP_READY, &op->pump->ready);
        return;
    }
    /* The last one that ends at once makes the operation ready, and none is left to begin. */
    for (struct part *next, *part = g->parts; part; part = next) {
        next = part->next;
        part_begin(part);
    }
}

/* Nothing was learnt: somebody has not been told of the newest map yet. */
static void pause_round(struct op *op)
{
    op->until_ms = clock_now_ms() + ((uint64_t)PUMP_ROUTE_PAUSE_MS << (op->group->rounds - 1));
    op_trace_stage(op, TALLY_WAIT, op->count);
    op_enter(op, OP_WAITING, &op->pump->waiting);
    op_set_timer(op);
    op->group->paused = true;
}

bool group_step(struct op *op)
{
    const struct pump_routes *r = op->pump->env.routes;
    struct group *g = op->group;

    begin_items(op);
    if (g->ending != CENOTE_OK) {
        op_end_refused(op, g->ending);
        return false;
    }
    if (g->rounds == PUMP_ROUTE_ROUNDS_MAX || !any_refused(op))
        return false;
    uint64_t epoch = r->epoch(r->arg);
    if (g->rounds > 0 && epoch == g->epoch && !g->paused) {
        pause_round(op);
        return true;
    }
    g->paused = false;
    g->epoch = epoch;
    g->rounds++;
    route(op);
    return true;
}

/* Parts have the same deadline, and end by themselves when it is over. */
void group_end(struct op *op, int status)
{
    struct group *g = op->group;

    begin_items(op);
    if (g->ending == CENOTE_OK)
        g->ending = status;
    op->deadline_ms = TIMER_NEVER;
    for (struct part *next, *part = g->parts; part; part = next) {
        next = part->next;
        if (part->doing == PART_FLYING) {
            if (status != CENOTE_TIMED_OUT)
                flights_cancel_part(pump_flights(part->pump), part->flight);
        } else {
            part_leave(part);
            part->op = NULL; /* the chore's end frees it */
        }
    }
    op_leave_list(op);
    op->doing = OP_PARTED;
    if (!g->parts)
        op_enter(op, OP_READY, &op->pump->ready);
    op_set_timer(op);
}
