/* SPDX-License-Identifier: Apache-2.0 */
/* A pool's life: it starts, clients work, faults happen, all heals, and everything must be in
 * order. */
#include "tests/sim/scene.h"

#include <string.h>

#include "meta/service/peer.h"
#include "server/node/node.h"

#define STARTS_NS    (300 * NS_PER_MS)
#define LOOK_NS      (50 * NS_PER_MS)
#define WORK_MAX_NS  (240000 * NS_PER_MS)
#define SETTLES_NS   (1000 * NS_PER_MS)
#define LOSE_LOOK_NS (NS_PER_MS / 4)
#define RESTORE_NS   (30 * NS_PER_MS)
#define DISOWN_NS    (1500 * NS_PER_MS)
#define DISK_MAX     4u
#define MEMORY_MAX   96u

struct scene scene;

/* The one that looks at every key when all is over. */
#define JUDGE (PLAN_CLIENTS_MAX - 1)

static struct plan_op judge_ops[PLAN_KEYS_MAX];

/* ---- faults ---------------------------------------------------------------------------------- */

/* When all is well there is one service. */
static void meta_again(void *arg)
{
    struct meta *m = arg;
    if (!m->process->alive && !(scene.calm && m == &scene.twin))
        meta_start(m);
}

static void donor_again(void *arg)
{
    struct donor *d = arg;
    if (!d->process->alive)
        donor_start(d);
}

static void app_again(void *arg)
{
    struct app *a = arg;
    if (!a->process->alive)
        app_start(a);
}

static void resume(void *arg)
{
    struct process *p = arg;
    if (p->stopped)
        process_resume(p);
}

static void stop(struct process *p, uint64_t ns)
{
    if (!p->alive || p->stopped)
        return;
    process_stop(p);
    world_after(NULL, ns, resume, p);
}

/* In both directions, or in one. */
static void set_cut(const struct plan_fault *f, bool cut)
{
    for (unsigned i = 0; i < HOSTS_MAX; i++) {
        if (i == f->target)
            continue;
        if (f->kind != FAULT_CUT_OUT)
            world.cut[i][f->target] = cut;
        if (f->kind != FAULT_CUT_IN)
            world.cut[f->target][i] = cut;
    }
}

static void heal(void *arg)
{
    const struct plan_fault *f = arg;
    TRACE("host %u is reached again", f->target);
    set_cut(f, false);
}

static void speed_up(void *arg)
{
    (void)arg;
    world.slow = 1;
}

static struct donor *donor_of(const struct plan_fault *f)
{
    return f->target == TARGET_THERE ? scene.there[f - scene.plan->faults].donor
                                     : &scene.donors[f->target];
}

static struct meta *meta_of(const struct plan_fault *f)
{
    return f->target == TARGET_TWIN ? &scene.twin : &scene.meta;
}

static struct app *app_of(const struct plan_fault *f)
{
    const struct process *there = NULL;
    if (f->target != TARGET_THERE)
        return &scene.apps[f->target];
    there = scene.there[f - scene.plan->faults].client;
    for (unsigned i = 0; i < scene.plan->clients; i++) {
        if (scene.apps[i].process == there)
            return &scene.apps[i];
    }
    return NULL;
}

static struct process *process_of(const struct plan_fault *f)
{
    const struct plan *p = scene.plan;
    const struct donor *d = f->target == TARGET_THERE ? donor_of(f) : NULL;
    if (f->target == TARGET_THERE && app_of(f) != NULL)
        return app_of(f)->process;
    if (f->target == TARGET_THERE)
        return d != NULL ? d->process : scene.meta.process;
    if (f->target == 0)
        return scene.meta.process;
    return f->target <= p->nodes ? scene.donors[f->target - 1].process
                                 : scene.apps[f->target - 1 - p->nodes].process;
}

static void restart_machine(unsigned host, uint64_t ns)
{
    TRACE("machine %u restarts", host);
    for (unsigned i = 0; i < scene.plan->nodes; i++) {
        struct donor *d = &scene.donors[i];
        if (d->process->host != host || !d->process->alive)
            continue;
        d->kept = false;
        donor_kill(d);
        world_after(NULL, ns, donor_again, d);
    }
    for (unsigned i = 0; i < scene.plan->clients; i++) {
        struct app *a = &scene.apps[i];
        if (a->process->host != host || !a->process->alive)
            continue;
        app_kill(a);
        world_after(NULL, ns, app_again, a);
    }
}

static void break_one(const struct plan_fault *f)
{
    struct process *p = process_of(f);
    struct net_end *e = net_some_of(p, &world.chance);
    if (!p->alive || e == NULL)
        return;
    if (f->kind == FAULT_BREAK)
        net_break(e);
    else if (f->kind == FAULT_HALF)
        net_halve(e, f->lasts_ms * NS_PER_MS);
    else
        net_leave_late(e, f->lasts_ms * NS_PER_MS);
}

static void close_all(struct app *a)
{
    if (a == NULL || !a->process->alive)
        return;
    TRACE("%s closes its descriptors", a->process->name);
    net_closed(a->process);
    copies_closed(a->process);
}

static void kill(const struct plan_fault *f, uint64_t ns)
{
    struct donor *d = f->kind == FAULT_KILL_NODE ? donor_of(f) : NULL;
    struct app *a = f->kind == FAULT_KILL_CLIENT ? app_of(f) : NULL;
    struct meta *m = f->kind == FAULT_KILL_META ? meta_of(f) : NULL;
    if (m != NULL && m->process != NULL && m->process->alive) {
        meta_kill(m);
        world_after(NULL, ns, meta_again, m);
    } else if (d != NULL && d->process->alive) {
        donor_kill(d);
        world_after(NULL, ns, donor_again, d);
    } else if (a != NULL && a->process->alive) {
        app_kill(a);
        world_after(NULL, ns, app_again, a);
    }
}

/* As soon as nothing is under way that documents say may be undone. */
static void lose(void *arg)
{
    const struct plan_fault *f = arg;
    if (scene.calm || !scene.meta.process->alive)
        return;
    if (!meta_may_be_lost()) {
        world_after(NULL, LOSE_LOOK_NS, lose, arg);
        return;
    }
    TRACE("the database is lost%s", f->kind == FAULT_CRASH_META ? " in a crash" : "");
    rules_lost();
    if (f->kind == FAULT_CRASH_META)
        meta_crash();
    else
        meta_lose();
    world_after(NULL, f->lasts_ms * NS_PER_MS, meta_again, &scene.meta);
}

static void disown(void *arg)
{
    (void)arg;
    if (!scene.meta.restored)
        return;
    history_doubt(false);
    meta_disown();
    meta_again(&scene.meta);
}

/* A node that has met none of the lives that came after the copy can't know of them. */
static bool all_know(void)
{
    const struct meta *m = &scene.meta;
    for (unsigned i = 0; i < scene.plan->nodes && m->ready; i++) {
        const struct donor *d = &scene.donors[i];
        if (!d->process->alive || d->node == NULL ||
            node_highest_reign(d->node) != m->service->core.ids.reign)
            return false;
    }
    return m->ready;
}

/* At a moment at which a rebuild loses nothing that documents don't say: that's what it ends in. */
static void restore(void *arg)
{
    if (scene.calm || scene.meta.restored)
        return;
    if (!scene.meta.process->alive || !meta_may_be_lost() || !all_know()) {
        world_after(NULL, LOSE_LOOK_NS, restore, arg);
        return;
    }
    TRACE("the operator puts an older database back");
    rules_lost();
    history_doubt(true);
    meta_restore();
    world_after(NULL, RESTORE_NS, meta_again, &scene.meta);
    world_after(NULL, chance_between(&world.chance, RESTORE_NS, DISOWN_NS), disown, NULL);
}

/* Somebody starts it beside the service, when all nodes have met that since. */
static void split(void *arg)
{
    if (scene.calm)
        return;
    if (!scene.meta.process->alive || !all_know()) {
        world_after(NULL, LOSE_LOOK_NS, split, arg);
        return;
    }
    TRACE("a twin of the service begins with the copy");
    meta_copy();
}

/* There is one service again: what stays of the twin is nodes that have met it first, and that the
 * operator starts anew. */
static void unite(void)
{
    if (scene.twin.process != NULL && scene.twin.process->alive)
        meta_kill(&scene.twin);
    for (unsigned i = 0; i < scene.plan->nodes; i++)
        donor_discard(&scene.donors[i]);
}

static void back_up(struct plan_fault *f)
{
    if (!scene.meta.ready || scene.meta.options.rebuild || scene.meta.restored ||
        scene.twin.process != NULL)
        return;
    TRACE("the service is stopped in order, and its database is copied");
    meta_backup();
    world_after(NULL, RESTORE_NS, meta_again, &scene.meta);
    world_after(NULL, RESTORE_NS + f->lasts_ms * NS_PER_MS,
                f->kind == FAULT_TWIN_META ? split : restore, f);
}

static void fault(void *arg)
{
    struct plan_fault *f = arg;
    uint64_t ns = f->lasts_ms * NS_PER_MS;
    if (scene.calm)
        return;
    switch ((enum plan_fault_kind)f->kind) {
    case FAULT_KILL_META:
    case FAULT_KILL_NODE:
    case FAULT_KILL_CLIENT:
        kill(f, ns);
        break;
    case FAULT_STOP_META:
        stop(scene.meta.process, ns);
        break;
    case FAULT_STOP_NODE:
        if (donor_of(f) != NULL)
            stop(donor_of(f)->process, ns);
        break;
    case FAULT_STOP_CLIENT:
        if (app_of(f) != NULL)
            stop(app_of(f)->process, ns);
        break;
    case FAULT_CLOSEFROM:
        close_all(app_of(f));
        break;
    case FAULT_BREAK:
    case FAULT_HALF:
    case FAULT_LATE:
        break_one(f);
        break;
    case FAULT_CUT:
    case FAULT_CUT_IN:
    case FAULT_CUT_OUT:
        TRACE("host %u is cut off%s", f->target,
              f->kind == FAULT_CUT      ? ""
              : f->kind == FAULT_CUT_IN ? ", and can talk"
                                        : ", and can listen");
        set_cut(f, true);
        world_after(NULL, ns, heal, f);
        break;
    case FAULT_SLOW:
        world.slow = 50;
        world_after(NULL, ns, speed_up, NULL);
        break;
    case FAULT_DISK:
        TRACE("the disk refuses %u changes", 1 + f->lasts_ms % DISK_MAX);
        memstore_fail(scene.meta.disk, 1 + f->lasts_ms % DISK_MAX, CENOTE_META_FULL);
        break;
    case FAULT_MEMORY:
        TRACE("%s will lack memory", process_of(f)->name);
        process_of(f)->fails_in = 1 + f->lasts_ms % MEMORY_MAX;
        break;
    case FAULT_FLIP:
        scene.flipped = rules_flip(f->lasts_ms) || scene.flipped;
        break;
    case FAULT_MACHINE:
        restart_machine(f->target, ns);
        break;
    case FAULT_LOSE_META:
    case FAULT_CRASH_META:
        lose(f);
        break;
    case FAULT_RESTORE_META:
    case FAULT_TWIN_META:
        back_up(f);
        break;
    case FAULT_KINDS:
        break;
    }
}

void scene_moment(enum plan_moment moment, struct process *client, struct donor *donor)
{
    for (unsigned i = 0; i < scene.plan->fault_count; i++) {
        const struct plan_fault *f = &scene.plan->faults[i];
        if (f->moment != moment || ++scene.there[i].seen != f->nth)
            continue;
        scene.there[i].client = client;
        scene.there[i].donor = donor;
        world_after(NULL, f->after_us * NS_PER_US, fault, (void *)(uintptr_t)f);
    }
}

/* ---- the phases ------------------------------------------------------------------------------ */

static void add_judge(const struct plan *plan)
{
    struct app *a = &scene.apps[JUDGE];
    app_add(plan, JUDGE);
    for (unsigned key = 0; key < plan->keys; key++) {
        judge_ops[key] = (struct plan_op){.kind = OP_GET, .key = (uint8_t)key};
        a->threads[0].ops[a->threads[0].count++] = &judge_ops[key];
    }
}

static void set_up(const struct plan *plan)
{
    metas_add(plan);
    for (unsigned i = 0; i < plan->nodes; i++)
        donor_add(plan, i);
    for (unsigned i = 0; i < plan->clients; i++)
        app_add(plan, i);
    add_judge(plan);
    meta_start(&scene.meta);
    for (unsigned i = 0; i < plan->nodes; i++)
        donor_start(&scene.donors[i]);
    for (unsigned i = 0; i < plan->clients; i++)
        world_after(NULL, chance_below(&world.chance, STARTS_NS), app_again, &scene.apps[i]);
    for (unsigned i = 0; i < plan->fault_count; i++) {
        if (plan->faults[i].moment != AT_TIME)
            continue;
        world_after(NULL, plan->faults[i].at_ms * NS_PER_MS, fault,
                    (void *)(uintptr_t)&plan->faults[i]);
    }
}

static bool work_over(void)
{
    for (unsigned i = 0; i < scene.plan->clients; i++) {
        if (!app_over(&scene.apps[i]))
            return false;
    }
    return true;
}

static bool judged(void)
{
    return app_over(&scene.apps[JUDGE]);
}

static bool all_left(void)
{
    for (unsigned i = 0; i < scene.plan->clients; i++) {
        if (!scene.apps[i].left)
            return false;
    }
    return scene.apps[JUDGE].left;
}

static bool all_given_back(void)
{
    const struct meta *m = &scene.meta;
    return m->service != NULL && m->ready && rules_settled();
}

static void run_until(bool (*over)(void), const char *what)
{
    uint64_t limit_ns = world.now_ns + WORK_MAX_NS;
    while (!over() && !violated()) {
        world_run(world.now_ns + LOOK_NS);
        if (world.now_ns > limit_ns)
            violation("%s", what);
    }
}

static void heal_all(void)
{
    scene.calm = true;
    memset(world.cut, 0, sizeof world.cut);
    world.slow = 1;
    memstore_fail(scene.meta.disk, 0, CENOTE_OK);
    for (unsigned i = 0; i < world.process_count; i++) {
        world.processes[i].fails_in = 0;
        resume(&world.processes[i]);
    }
    disown(NULL);
    meta_again(&scene.meta);
    unite();
    for (unsigned i = 0; i < scene.plan->nodes; i++)
        donor_again(&scene.donors[i]);
}

void scene_run(const struct plan *plan, bool tracing)
{
    world_begin(plan->seed, tracing);
    copies_reset();
    net_reset();
    history_reset();
    rules_reset();
    donors_reset();
    scene.plan = plan;
    scene.calm = scene.flipped = false;
    memset(scene.there, 0, sizeof scene.there);
    set_up(plan);
    world.checked = rules_step;
    run_until(work_over, "the clients' operations don't end");
    heal_all();
    world_run(world.now_ns + SETTLES_NS + 2 * plan->dead_ms * NS_PER_MS);
    app_again(&scene.apps[JUDGE]);
    run_until(judged, "a last look at the keys doesn't end");
    for (unsigned i = 0; i < plan->clients && !violated(); i++)
        app_leave(&scene.apps[i]);
    if (!violated())
        app_leave(&scene.apps[JUDGE]);
    run_until(all_left, "a client doesn't close");
    run_until(all_given_back, "space isn't given back");
    if (!violated())
        rules_end();
    if (!violated())
        history_judge(plan->keys);
}
