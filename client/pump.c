/* SPDX-License-Identifier: Apache-2.0 */
#include "client/pump_op.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client/policy.h"
#include "client/thread.h"
#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

#define MODULE "pump"

static const struct wire_value nothing = {NULL};

/* ---- lists ----------------------------------------------------------------------------------- */

void op_enter(struct op *op, enum op_doing doing, struct op_list *list)
{
    assert(!op->in);
    op->doing = doing;
    op->in = list;
    op->next = NULL;
    op->prev = list->last;
    if (list->last)
        list->last->next = op;
    else
        list->first = op;
    list->last = op;
}

void op_leave_list(struct op *op)
{
    struct op_list *list = op->in;

    if (!list)
        return;
    if (op->prev)
        op->prev->next = op->next;
    else
        list->first = op->next;
    if (op->next)
        op->next->prev = op->prev;
    else
        list->last = op->prev;
    op->in = NULL;
}

/* ---- one operation --------------------------------------------------------------------------- */

void op_set_timer(struct op *op)
{
    bool timed = op->doing == OP_WAITING || op->doing == OP_QUEUED || op->doing == OP_CALLING;
    uint64_t due_ms = op->landed ? TIMER_NEVER : op->deadline_ms;

    if (timed && op->until_ms < due_ms)
        due_ms = op->until_ms;
    timers_set(&op->pump->timers, &op->timer, due_ms);
}

static int status_of(const struct op *op)
{
    for (size_t i = 0; i < op->count; i++) {
        int status = op->gets ? op->gets[i].status : op->puts[i].status;
        if (status != CENOTE_OK && !(op->puts && status == CENOTE_EXISTS))
            return status;
    }
    return CENOTE_OK;
}

/* Parts are counted as the group that they belong to. */
static void tally_op(const struct op *op)
{
    struct tally *tally = op->pump->env.machines.tally;
    enum tally_op what = op->gets ? TALLY_GET : TALLY_PUT;

    tally_took(tally, what, op->begun_ns);
    for (size_t i = 0; i < op->count; i++)
        tally_ended(tally, what, op->gets ? op->gets[i].status : op->puts[i].status);
}

/* From here on the items are the submitter's. */
static void land(struct op *op)
{
    if (op->landed)
        return;
    op->landed = true;
    if (!op->part)
        tally_op(op);
    op_trace_end(op);
    for (size_t i = 0; op->puts && i < op->count; i++)
        cache_drop(op->pump->env.machines.cache, &op->puts[i].key, 0);
    flights_land(op->pump->flights, &op->flight, status_of(op));
}

static void free_machine(struct op *op)
{
    get_free(op->get);
    put_free(op->put);
    if (op->lanes != &op->lane)
        free(op->lanes);
    op->get = NULL;
    op->put = NULL;
    op->lanes = &op->lane;
    op->machine = NULL;
}

static void release(struct flight *f)
{
    struct op *op = (struct op *)f;

    op_trace_drop(op);
    free_machine(op);
    free(op->group);
    free(op->keep);
    free(op);
}

/* The machine is done. */
static void leave(struct op *op)
{
    struct pump *p = op->pump;

    assert(op->landed && !op->in);
    op_trace_stage_over(op);
    p->numbered -= op->numbered;
    timers_set(&p->timers, &op->timer, TIMER_NEVER);
    if (op->prev_all)
        op->prev_all->next_all = op->next_all;
    else
        p->all = op->next_all;
    if (op->next_all)
        op->next_all->prev_all = op->prev_all;
    free_machine(op);
    flights_leave(p->flights, &op->flight);
}

/* The clock is read anew: a lease may have run out while bytes were copied. What has come by a copy
 * is verified here. */
void op_done(struct op *op, int status, struct wire_value result)
{
    if (op->step.kind == STEP_COPY)
        op_trace_stage(op, TALLY_VERIFY, op->step.copy_count);
    else
        op_trace_stage_over(op);
    op->machine->ops->done(op->machine, clock_now_ms(), status, result);
    op_trace_stage_over(op);
    op_enter(op, OP_READY, &op->pump->ready);
}

/* A put takes the number of a changing call when it encodes it, and keeps it while it may send the
 * call again. */
static void count_number(struct op *op)
{
    struct pump *p = op->pump;
    bool numbered = (op->step.kind == STEP_CALL && op->step.seq != 0) ||
                    (op->step.kind == STEP_WAIT && op->numbered);

    if (numbered && !op->numbered)
        p->numbered++;
    if (!numbered && op->numbered)
        p->numbered--;
    op->numbered = numbered;
}

static bool may_number(struct pump *p)
{
    return p->numbered < PUMP_NUMBERS_MAX && session_may_number(p->env.session);
}

/* The machine has done what it could. True: some items are another service's. */
static bool routed(struct op *op)
{
    uint64_t epoch = op->machine->wrong_epoch;

    if (epoch == 0 || op->landed || !op->pump->env.routes || op->part)
        return false;
    if (!group_begin(op, epoch)) {
        op_end_refused(op, CENOTE_NO_MEMORY);
        return false;
    }
    free_machine(op);
    return true;
}

static void op_step(struct op *op)
{
    struct pump *p = op->pump;

    op_trace_stage_over(op);
    if (op->group) {
        if (!group_step(op)) {
            land(op);
            leave(op);
        }
        return;
    }
    if (op->put && !op->numbered && !may_number(p)) {
        op_trace_stage(op, TALLY_QUEUE, op->count);
        op_enter(op, OP_PARKED, &p->parked);
        return;
    }
    op->machine->ops->next(op->machine, clock_now_ms(), &op->step);
    count_number(op);
    switch (op->step.kind) {
    case STEP_CALL:
        call_begin(op);
        break;
    case STEP_COPY:
        copy_begin(op);
        break;
    case STEP_REFRESH_MAP:
        refresh_begin(op);
        break;
    case STEP_WAIT:
        op->until_ms = op->step.until_ms;
        op_trace_step(op);
        op_enter(op, OP_WAITING, &p->waiting);
        op_set_timer(op);
        break;
    case STEP_HOLD:
    case STEP_UNHOLD:
        assert(!"nothing is held in the background");
        break;
    case STEP_DONE:
        if (routed(op))
            break;
        land(op);
        leave(op);
    }
}

/* ---- ending before the end ------------------------------------------------------------------- */

/* Brings the machine to where it can be cancelled. True: a call is under way. */
static bool interrupt(struct op *op, int status)
{
    op_leave_list(op);
    switch (op->doing) {
    case OP_COPYING:
        copy_cancel(op, status);
        op_leave_list(op);
        break;
    case OP_REFRESHING:
    case OP_WAITING:
        op_done(op, status, nothing);
        op_leave_list(op);
        break;
    default:
        break;
    }
    return op->doing == OP_CALLING;
}

/* Tells the submitter; a put may have something to tell the service first of all. */
static void op_end(struct op *op, int status, bool farewell)
{
    struct pump *p = op->pump;

    if (op->group) {
        group_end(op, status);
        return;
    }
    if (op->doing == OP_COPYING && !op->landed && test_off(TEST_CANCEL)) {
        for (size_t i = 0; i < op->count; i++)
            *(op->gets ? &op->gets[i].status : &op->puts[i].status) = status;
        land(op);
        op_set_timer(op);
        return;
    }
    bool calling = interrupt(op, status);
    bool more = op->landed || op->machine->ops->cancel(op->machine, status, calling);
    if (p->env.routes && !op->part && !op->landed)
        op_end_refused(op, status);
    land(op);
    if (more && farewell) {
        op_set_timer(op);
        if (!calling)
            op_enter(op, OP_READY, &p->ready);
    } else if (calling && !call_drop(op)) {
        op->dropped = true;
        timers_set(&p->timers, &op->timer, TIMER_NEVER);
    } else {
        leave(op);
    }
}

/* ---- the inbox ------------------------------------------------------------------------------- */

void pump_notify(struct pump *p)
{
    const uint64_t one = 1;

    p->news = true;
    if (p->sleeping)
        (void)!write(p->wake_fd, &one, sizeof one);
    p->sleeping = false;
}

static void wake(void *arg)
{
    struct pump *p = arg;

    pthread_mutex_lock(&p->lock);
    pump_notify(p);
    pthread_mutex_unlock(&p->lock);
}

static void take_submitted(struct pump *p, struct flight *list, size_t count)
{
    bool fits = timers_reserve(&p->timers, count);

    while (list) {
        struct op *op = (struct op *)list;

        list = list->next;
        op->next_all = p->all;
        if (p->all)
            p->all->prev_all = op;
        p->all = op;
        op_enter(op, OP_READY, &p->ready);
        if (fits)
            op_set_timer(op);
        else
            op_end(op, CENOTE_NO_MEMORY, false);
    }
}

static void take_answers(struct op *list)
{
    while (list) {
        struct op *op = list;

        list = op->next_answered;
        call_answered(op);
        if (op->dropped) {
            op_leave_list(op);
            leave(op);
        }
    }
}

/* Answers first: what has an answer isn't under way any more. */
static bool take_news(struct pump *p)
{
    struct flight *submitted, *to_cancel;

    pthread_mutex_lock(&p->lock);
    p->news = false;
    p->sleeping = false;
    struct op *answered = p->answered;
    struct connect_chore *connected = p->connected;
    struct part *over = p->parts_over;
    bool connect = p->connect.over, refresh = p->refresh.over;
    bool stopping = p->stopping;
    p->answered = NULL;
    p->connected = NULL;
    p->parts_over = NULL;
    p->connect.over = p->refresh.over = false;
    pthread_mutex_unlock(&p->lock);

    size_t count = flights_take(p->flights, &submitted, &to_cancel);
    take_answers(answered);
    service_chores_over(p, connect, refresh);
    copies_connected(p, connected);
    parts_over(over);
    take_submitted(p, submitted, count);
    while (to_cancel) {
        struct op *op = (struct op *)to_cancel;
        to_cancel = to_cancel->next_cancelled;
        if (!op->landed)
            op_end(op, CENOTE_CANCELLED, true);
    }
    return !stopping;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void on_time(struct op *op)
{
    if (!op->landed && op->pump->now_ms >= op->deadline_ms) {
        op_end(op, CENOTE_TIMED_OUT, true);
    } else if (op->doing == OP_WAITING) {
        op_leave_list(op);
        if (op->group)
            op_enter(op, OP_READY, &op->pump->ready);
        else
            op_done(op, CENOTE_OK, nothing);
        op_set_timer(op);
    } else {
        call_late(op);
    }
}

static void expire(struct pump *p)
{
    struct timer *first;

    while ((first = timers_first(&p->timers)) && first->due_ms <= p->now_ms)
        on_time((struct op *)((char *)first - offsetof(struct op, timer)));
}

static void run_ready(struct pump *p)
{
    struct op_list now = p->ready;

    for (struct op *op = now.first; op; op = op->next)
        op->in = &now;
    p->ready = (struct op_list){0};
    while (now.first) {
        struct op *op = now.first;
        op_leave_list(op);
        op_step(op);
    }
}

/* Those that wait for a number, as many as there are numbers. */
static void unpark(struct pump *p)
{
    uint32_t unused = p->numbered < PUMP_NUMBERS_MAX ? PUMP_NUMBERS_MAX - p->numbered : 0;

    if (p->parked.first && unused > 0 && !session_may_number(p->env.session)) {
        p->nudge_ms = p->now_ms + PUMP_NUDGE_MS;
        unused = 0;
    }
    for (; p->parked.first && unused > 0; unused--) {
        struct op *op = p->parked.first;
        op_leave_list(op);
        op_enter(op, OP_READY, &p->ready);
    }
}

static uint64_t time_left(const struct pump *p)
{
    const struct timer *first = timers_first(&p->timers);
    uint64_t due_ms = first ? first->due_ms : TIMER_NEVER;

    if (p->nudge_ms != 0 && p->nudge_ms < due_ms)
        due_ms = p->nudge_ms;
    return due_ms > p->now_ms ? due_ms - p->now_ms : 0;
}

/* False: there is news already. */
static bool fall_asleep(struct pump *p)
{
    pthread_mutex_lock(&p->lock);
    p->sleeping = !p->news;
    bool asleep = p->sleeping;
    pthread_mutex_unlock(&p->lock);
    return asleep;
}

/* fds: the wake-up, the service's connections, lanes. */
static void wait_for_something(struct pump *p)
{
    struct pollfd first[1 + SESSION_LINKS_MAX];
    struct pollfd *fds = p->fds ? p->fds : first;
    uint64_t wait_ms = time_left(p), count;
    size_t links, lanes;

    fds[0] = (struct pollfd){.fd = p->wake_fd, .events = POLLIN};
    lanes = copies_poll(p, &fds[1 + SESSION_LINKS_MAX], &wait_ms);
    if (p->ready.first || p->busy || !fall_asleep(p))
        wait_ms = 0;
    links = session_lead(p->env.session, &fds[1]);
    int n = poll(fds, 1 + links + lanes, wait_ms > INT32_MAX ? -1 : (int)wait_ms);
    if (n < 0 && errno != EINTR)
        log_error(MODULE, "cannot poll: %s", strerror(errno));
    for (size_t i = 0; n <= 0 && i < 1 + links + lanes; i++)
        fds[i].revents = 0;
    session_follow(p->env.session, &fds[1], links);
    copies_polled(p, &fds[1 + links], lanes);
    if (fds[0].revents)
        (void)!read(p->wake_fd, &count, sizeof count);
}

static bool turn(struct pump *p)
{
    p->now_ms = clock_now_ms();
    p->nudge_ms = 0;
    if (!take_news(p))
        return false;
    expire(p);
    run_ready(p);
    copies_move(p);
    run_ready(p); /* what was copied at once */
    unpark(p);
    calls_start(p);
    session_flush(p->env.session);
    wait_for_something(p);
    return true;
}

/* Operations end without a word to the service: it hears that the session ends. */
static void end_all(struct pump *p)
{
    struct op *op = p->all;
    uint64_t count;

    while (op) {
        struct op *next = op->next_all;
        if (!op->dropped)
            op_end(op, CENOTE_CANCELLED, false);
        op = next;
    }
    while (p->all) { /* answers are in the inbox by now; parts land at once, here or elsewhere */
        struct pollfd woken = {.fd = p->wake_fd, .events = POLLIN};
        pthread_mutex_lock(&p->lock);
        struct op *answered = p->answered;
        struct part *over = p->parts_over;
        p->answered = NULL;
        p->parts_over = NULL;
        p->news = false;
        pthread_mutex_unlock(&p->lock);
        take_answers(answered);
        parts_over(over);
        run_ready(p); /* groups that have ended */
        if (p->all && fall_asleep(p) && poll(&woken, 1, -1) > 0)
            (void)!read(p->wake_fd, &count, sizeof count);
    }
}

static void *run(void *arg)
{
    struct pump *p = arg;

    while (turn(p))
        ;
    end_all(p);
    return NULL;
}

/* ---- opening and closing --------------------------------------------------------------------- */

int pump_open(const struct pump_env *env, struct pump **out)
{
    struct pump *p = calloc(1, sizeof *p);

    if (!p)
        return CENOTE_NO_MEMORY;
    p->env = *env;
    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->wake_fd < 0)
        goto free_pump;
    p->flights = flights_new(wake, p);
    if (!p->flights)
        goto close_wake;
    p->chores = chores_new();
    if (!p->chores)
        goto free_flights;
    pthread_mutex_init(&p->lock, NULL);
    service_chores_init(p);
    if (thread_start(&p->thread, run, p, "cenote-pump") != CENOTE_OK)
        goto free_chores;
    *out = p;
    return CENOTE_OK;

free_chores:
    pthread_mutex_destroy(&p->lock);
    chores_free(p->chores);
free_flights:
    flights_free(p->flights);
close_wake:
    close(p->wake_fd);
free_pump:
    free(p);
    return CENOTE_NO_MEMORY;
}

struct flights *pump_flights(struct pump *p)
{
    return p->flights;
}

void pump_stop(struct pump *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pump_notify(p);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
}

void pump_settle(struct pump *p)
{
    chores_free(p->chores);
    copies_connected(p, p->connected);
    parts_over(p->parts_over); /* left behind, all of them */
}

void pump_free(struct pump *p)
{
    flights_free(p->flights);
    timers_free(&p->timers);
    copies_free(p);
    close(p->wake_fd);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* Its thread isn't here, and what it was doing is half done. */
void pump_abandon(struct pump *p)
{
    flights_abandon(p->flights);
    close(p->wake_fd);
}

/* ---- submitting ------------------------------------------------------------------------------ */

static struct op *op_new(struct pump *p, size_t count)
{
    struct op *op = calloc(1, sizeof *op);

    if (!op)
        return NULL;
    op->flight.release = release;
    op->pump = p;
    op->lanes = &op->lane;
    op->deadline_ms = TIMER_NEVER;
    op->begun_ns = tally_begin();
    op->count = count;
    return op;
}

/* How its values are kept: NULL is nothing. False: no memory. */
static bool op_keep(struct op *op, const struct keep *keep)
{
    if (!keep || !keep_asks(keep))
        return true;
    op->keep = malloc(sizeof *op->keep);
    if (op->keep)
        *op->keep = *keep;
    return op->keep != NULL;
}

/* Its machine, unless its parts are to have theirs. */
static bool op_equip(struct op *op, bool by_key)
{
    const struct machine_env *env = &op->pump->env.machines;

    if (by_key)
        return group_begin(op, 0);
    if (op->gets)
        op->get = get_begin(env, op->gets, op->count);
    else
        op->put = put_begin(env, op->puts, op->count, op->flags);
    if (op->put && op->keep)
        put_keep(op->put, op->keep);
    if (op->get)
        op->machine = get_machine(op->get);
    if (op->put)
        op->machine = put_machine(op->put);
    return op->machine != NULL;
}

static int submit(struct pump *p, struct op *op, bool by_key, const struct cenote_submit *options,
                  uint64_t *id)
{
    uint64_t unused;
    int status = CENOTE_NO_MEMORY;

    op->flight.user_data = options->user_data;
    if (options->deadline_ms != 0)
        op->deadline_ms = clock_now_ms() + options->deadline_ms;
    op_trace_begin(op);
    if (op_equip(op, by_key))
        status = flights_submit(p->flights, &op->flight, id ? id : &unused);
    if (status != CENOTE_OK)
        release(&op->flight);
    return status;
}

int pump_get(struct pump *p, struct cenote_get_item *items, size_t count, bool by_key,
             const struct cenote_submit *options, uint64_t *id)
{
    struct op *op = op_new(p, count);

    if (!op)
        return CENOTE_NO_MEMORY;
    op->gets = items;
    return submit(p, op, by_key, options, id);
}

int pump_put(struct pump *p, struct cenote_put_item *items, size_t count, unsigned flags,
             bool by_key, const struct cenote_submit *options, uint64_t *id)
{
    struct keep keep;
    int status = policy_keep(options->policy, &keep);
    struct op *op = status == CENOTE_OK ? op_new(p, count) : NULL;

    if (!op)
        return status != CENOTE_OK ? status : CENOTE_NO_MEMORY;
    op->puts = items;
    op->flags = flags;
    if (!op_keep(op, &keep)) {
        release(&op->flight);
        return CENOTE_NO_MEMORY;
    }
    return submit(p, op, by_key, options, id);
}

int pump_part(struct pump *p, struct part *part)
{
    struct op *op = op_new(p, part->count);

    if (!op)
        return CENOTE_NO_MEMORY;
    op->part = part;
    op->gets = part->gets;
    op->puts = part->puts;
    op->flags = part->op->flags;
    op->deadline_ms = part->op->deadline_ms;
    op->flight.part_landed = part_landed;
    if (!op_keep(op, part->op->keep) || !op_equip(op, false)) {
        release(&op->flight);
        return CENOTE_NO_MEMORY;
    }
    part->flight = &op->flight;
    op_trace_begin(op);
    flights_submit_part(p->flights, &op->flight);
    return CENOTE_OK;
}
