/* SPDX-License-Identifier: Apache-2.0 */
#include "client/chores.h"

#include <cenote/status.h>
#include <stdlib.h>

#include "client/thread.h"

#define THREADS_MAX CHORE_NODE_THREADS

struct kind {
    struct chores *all;
    pthread_cond_t posted;
    struct chore *first, **end;
    unsigned idle, count, max;
    pthread_t threads[THREADS_MAX];
};

struct chores {
    pthread_mutex_t lock;
    bool stopping;
    struct kind kinds[CHORE_KINDS];
};

struct chores *chores_new(void)
{
    static const unsigned max[CHORE_KINDS] = {[CHORE_SERVICE] = CHORE_SERVICE_THREADS,
                                              [CHORE_NODE] = CHORE_NODE_THREADS,
                                              [CHORE_ROUTE] = CHORE_ROUTE_THREADS};
    struct chores *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    for (int i = 0; i < CHORE_KINDS; i++) {
        struct kind *k = &c->kinds[i];
        k->all = c;
        k->max = max[i];
        k->end = &k->first;
        pthread_cond_init(&k->posted, NULL);
    }
    return c;
}

/* Under the lock. */
static struct chore *take(struct kind *k)
{
    struct chore *chore = k->first;

    k->first = chore->next;
    if (!k->first)
        k->end = &k->first;
    return chore;
}

static void *work(void *arg)
{
    struct kind *k = arg;
    struct chores *c = k->all;

    pthread_mutex_lock(&c->lock);
    while (!c->stopping) {
        if (!k->first) {
            k->idle++;
            pthread_cond_wait(&k->posted, &c->lock);
            k->idle--;
            continue;
        }
        struct chore *chore = take(k);
        pthread_mutex_unlock(&c->lock);
        chore->run(chore, false);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* Under the lock. A thread that has been signalled counts as idle until it runs: then there may be
 * one less than could be used, never none. */
static bool has_thread(struct kind *k)
{
    if (k->idle == 0 && k->count < k->max &&
        thread_start(&k->threads[k->count], work, k, "cenote-connect") == CENOTE_OK)
        k->count++;
    return k->count > 0;
}

bool chores_post(struct chores *c, enum chore_kind kind, struct chore *chore)
{
    struct kind *k = &c->kinds[kind];

    pthread_mutex_lock(&c->lock);
    bool posted = has_thread(k);
    if (posted) {
        chore->next = NULL;
        *k->end = chore;
        k->end = &chore->next;
        pthread_cond_signal(&k->posted);
    }
    pthread_mutex_unlock(&c->lock);
    return posted;
}

void chores_free(struct chores *c)
{
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    for (int i = 0; i < CHORE_KINDS; i++)
        pthread_cond_broadcast(&c->kinds[i].posted);
    pthread_mutex_unlock(&c->lock);
    for (int i = 0; i < CHORE_KINDS; i++) {
        struct kind *k = &c->kinds[i];
        while (k->count > 0)
            pthread_join(k->threads[--k->count], NULL);
        while (k->first) {
            struct chore *chore = take(k);
            chore->run(chore, true);
        }
        pthread_cond_destroy(&k->posted);
    }
    pthread_mutex_destroy(&c->lock);
    free(c);
}
