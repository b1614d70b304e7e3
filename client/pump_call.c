/* SPDX-License-Identifier: Apache-2.0 */
/* The pump's calls to the service, and what has to wait for the service. */
#include "client/pump_op.h"

#include <stddef.h>

#include "transport/base/clock.h"

static const struct wire_value nothing = {NULL};

/* ---- calls ----------------------------------------------------------------------------------- */

/* With the connection's lock, on any thread. */
static void answered(struct rpc_pending *pending)
{
    struct op *op = (struct op *)((char *)pending - offsetof(struct op, call.pending));
    struct pump *p = op->pump;

    pthread_mutex_lock(&p->lock);
    op->next_answered = p->answered;
    p->answered = op;
    pump_notify(p);
    pthread_mutex_unlock(&p->lock);
}

static void wake(void *arg)
{
    struct pump *p = arg;

    pthread_mutex_lock(&p->lock);
    pump_notify(p);
    pthread_mutex_unlock(&p->lock);
}

void call_begin(struct op *op)
{
    struct pump *p = op->pump;

    op->until_ms = clock_now_ms() + p->env.machines.timeout_ms;
    op->called_twice = false;
    op->call.pending.done = answered;
    op_trace_stage(op, TALLY_QUEUE, op->count);
    op_enter(op, OP_QUEUED, &p->calls);
    op_set_timer(op);
}

static void call_over(struct op *op, int status)
{
    op->machine->session = op->call.who.session;
    op->machine->name_space = op->call.who.name_space;
    op_leave_list(op);
    op_done(op, status, status == CENOTE_OK ? op->call.pending.answer.msg.result : nothing);
    op_set_timer(op);
}

static void connect_service(struct pump *p)
{
    if (!p->connect.posted)
        p->connect.posted = chores_post(p->chores, CHORE_SERVICE, &p->connect.chore);
    if (!p->connect.posted)
        p->nudge_ms = p->now_ms + PUMP_NUDGE_MS;
}

/* While somebody connects, all wait; if that was in vain, the session says so for a while. */
void calls_start(struct pump *p)
{
    const struct rpc_driver driver = {.wake = wake, .arg = p};

    while (p->calls.first && p->calling < PUMP_CALLS_MAX && !p->connect.posted) {
        struct op *op = p->calls.first;
        int status =
            session_start(p->env.session, &driver, op->step.seq, op->step.request, &op->call);
        if (status == SESSION_AWAY) {
            connect_service(p);
            break;
        }
        if (status == CENOTE_LIMIT) {
            p->nudge_ms = p->now_ms + PUMP_NUDGE_MS;
            break;
        }
        if (status == CENOTE_OK) {
            op_leave_list(op);
            op->doing = OP_CALLING;
            op_trace_step(op);
            p->calling++;
        } else {
            call_over(op, status);
        }
    }
}

/* Two tries: a connection that broke while nobody looked shows it only to the one who writes. */
void call_answered(struct op *op)
{
    struct pump *p = op->pump;
    int status = session_finish(p->env.session, &op->call);

    p->calling--;
    if (status == CENOTE_UNAVAILABLE && !op->called_twice && !op->dropped) {
        op->called_twice = true;
        op_trace_stage(op, TALLY_QUEUE, op->count);
        op_enter(op, OP_QUEUED, &p->calls);
    } else if (!op->dropped) {
        call_over(op, status);
    }
    rpc_answer_free(&op->call.pending.answer);
}

bool call_drop(struct op *op)
{
    bool forgotten = session_forget(op->pump->env.session, &op->call);

    op->pump->calling -= forgotten;
    return forgotten;
}

void call_late(struct op *op)
{
    if (op->doing == OP_QUEUED) {
        call_over(op, CENOTE_UNAVAILABLE);
    } else if (call_drop(op)) {
        call_over(op, CENOTE_TIMED_OUT);
    } else { /* its answer has just come */
        op->until_ms = TIMER_NEVER;
        op_set_timer(op);
    }
}

/* ---- chores ---------------------------------------------------------------------------------- */

static void chore_over(struct service_chore *c, int status)
{
    struct pump *p = c->pump;

    pthread_mutex_lock(&p->lock);
    c->status = status;
    c->over = true;
    pump_notify(p);
    pthread_mutex_unlock(&p->lock);
}

static void run_connect(struct chore *chore, bool too_late)
{
    struct service_chore *c = (struct service_chore *)chore;
    chore_over(c, too_late ? CENOTE_CLOSED : session_connect(c->pump->env.session));
}

static void run_refresh(struct chore *chore, bool too_late)
{
    struct service_chore *c = (struct service_chore *)chore;
    const struct pump_env *env = &c->pump->env;
    chore_over(c, too_late ? CENOTE_CLOSED : env->refresh(env->arg));
}

void service_chores_init(struct pump *p)
{
    p->connect = (struct service_chore){.chore = {.run = run_connect}, .pump = p};
    p->refresh = (struct service_chore){.chore = {.run = run_refresh}, .pump = p};
}

/* Who comes while the map is being asked for waits for the next answer: this one may be older than
 * what he was told. */
static void start_refresh(struct pump *p)
{
    struct op *op;

    if (p->refresh.posted || !p->refresh_next.first)
        return;
    while ((op = p->refresh_next.first)) {
        op_leave_list(op);
        op_enter(op, OP_REFRESHING, &p->refresh_now);
    }
    p->refresh.posted = chores_post(p->chores, CHORE_SERVICE, &p->refresh.chore);
    while (!p->refresh.posted && (op = p->refresh_now.first)) {
        op_leave_list(op);
        op_done(op, CENOTE_NO_MEMORY, nothing);
    }
}

void refresh_begin(struct op *op)
{
    op_trace_step(op);
    op_enter(op, OP_REFRESHING, &op->pump->refresh_next);
    op_set_timer(op);
    start_refresh(op->pump);
}

void service_chores_over(struct pump *p, bool connect, bool refresh)
{
    struct op *op;

    if (connect)
        p->connect.posted = false;
    if (!refresh)
        return;
    p->refresh.posted = false;
    while ((op = p->refresh_now.first)) {
        op_leave_list(op);
        op_done(op, p->refresh.status, nothing);
    }
    start_refresh(p);
}
