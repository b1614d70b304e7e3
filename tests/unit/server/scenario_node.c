/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's logic under threads: two exporters' threads ask the gate and finish fences while the
 * node's own thread fences, voids and rejoins. Races and leaks are the sanitizers' to find; the
 * program itself checks that nothing is admitted after its fence was answered.
 */
#include <pthread.h>
#include <stdio.h>

#include "tests/unit/server/fake_node.h"

#define ROUNDS 500u

static struct fake_node f;
static uint64_t answered; /* atomic: fences are answered up to this put id */
static unsigned wrong;    /* atomic */
static bool over;         /* atomic */

struct pending {
    pthread_mutex_t lock;
    void (*done[2])(void *arg);
    void *arg[2];
};
static struct pending pending = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void queue_fence(struct xcopy_exporter *e, uint64_t session, uint64_t horizon,
                        void (*done)(void *arg), void *arg)
{
    long i = (struct fake_exporter *)e - f.exporters;
    (void)session;
    (void)horizon;
    pthread_mutex_lock(&pending.lock);
    pending.done[i] = done;
    pending.arg[i] = arg;
    pthread_mutex_unlock(&pending.lock);
}

static const struct xcopy_exporter_ops queueing_ops = {
    .name = "queueing", .add_segment = fake_add_segment, .fence = queue_fence};

static void finish_fence(long i)
{
    pthread_mutex_lock(&pending.lock);
    void (*done)(void *arg) = pending.done[i];
    void *arg = pending.arg[i];
    pending.done[i] = NULL;
    pthread_mutex_unlock(&pending.lock);
    if (done)
        done(arg);
}

static void ask_gate(void)
{
    const struct xcopy_gate *gate = node_gate(f.node);
    struct xcopy_credentials who = {.session = FAKE_SESSION, .name_space = 4};
    uint64_t put_id = __atomic_load_n(&answered, __ATOMIC_ACQUIRE);
    who.token = token_make(&fake_pool_key, FAKE_SESSION, 4);
    struct write_grant grant =
        grant_make(&fake_grant_key, FAKE_BOOT, FAKE_SESSION, put_id, gva_make(FAKE_GVA), 4096);
    if (gate->authenticate(gate->arg, &who) != CENOTE_OK ||
        (put_id != 0 && gate->admit_write(gate->arg, FAKE_SESSION, put_id, gva_make(FAKE_GVA), 4096,
                                          &grant) != CENOTE_FENCED))
        __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
}

static void *exporter_thread(void *arg)
{
    long i = (struct fake_exporter *)arg - f.exporters;
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
        finish_fence(i);
        ask_gate();
    }
    return NULL;
}

static void on_fenced(void *arg, uint64_t tag)
{
    (void)arg;
    __atomic_store_n(&answered, tag, __ATOMIC_RELEASE);
}

static void run_rounds(void)
{
    struct node_join_result r = fake_join_result();
    for (uint64_t put_id = 1; put_id <= ROUNDS; put_id++) {
        struct fence_params p = {FAKE_REIGN, FAKE_SESSION, put_id};
        if (node_fence(f.node, &p, put_id) != CENOTE_OK || node_joined(f.node, &r) != CENOTE_OK ||
            node_void(f.node, gva_make(FAKE_GVA), 0) != CENOTE_OK)
            wrong++;
        while (__atomic_load_n(&answered, __ATOMIC_ACQUIRE) < put_id)
            node_poll(f.node);
        ask_gate(); /* however the threads are scheduled, somebody asks after each fence */
    }
}

static void drop_pending_fence(void)
{
    struct fence_params p = {FAKE_REIGN, FAKE_SESSION, ROUNDS + 1};
    if (node_fence(f.node, &p, p.horizon) != CENOTE_OK)
        wrong++;
}

int main(void)
{
    pthread_t threads[2];
    struct node_join_result r = fake_join_result();
    hash_init();
    fake_node_init(&f);
    node_free(f.node);
    struct node_options o = {.boot = FAKE_BOOT,
                             .grant_key = fake_grant_key,
                             .fenced = on_fenced,
                             .nudge = fake_nudge,
                             .arg = &f};
    f.node = node_new(&o);
    node_add_memory(f.node, &f.memory);
    for (int i = 0; i < 2; i++) {
        f.exporters[i].base.ops = &queueing_ops;
        node_add_exporter(f.node, &f.exporters[i].base);
    }
    if (node_joined(f.node, &r) != CENOTE_OK)
        return 1;
    node_set_populated(f.node, 0, FAKE_LEN);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, exporter_thread, &f.exporters[i]);
    run_rounds();
    __atomic_store_n(&over, true, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    drop_pending_fence(); /* node_free() ends it */
    fake_node_free(&f);
    if (wrong)
        fprintf(stderr, "%u wrong answers\n", wrong);
    return wrong != 0;
}
