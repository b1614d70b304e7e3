/* SPDX-License-Identifier: Apache-2.0 */
#include "server/gateway/workers.h"

#include <assert.h>
#include <cenote/status.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "transport/base/log.h"

struct queue {
    struct job *first, **end;
};

struct workers {
    struct http_server *server;
    bool (*idle)(void *arg);
    void *arg;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    struct queue copying, waiting; /* jobs that may wait */
    unsigned threads, resting, queued;
    unsigned waiting_now; /* threads with a job that may wait */
    bool fresh;           /* something ran since idle() had nothing left */
    bool stopping;
};

static void push(struct queue *q, struct job *job)
{
    job->next = NULL;
    *q->end = job;
    q->end = &job->next;
}

static struct job *pop(struct queue *q)
{
    struct job *job = q->first;
    if (!job)
        return NULL;
    q->first = job->next;
    if (!q->first)
        q->end = &q->first;
    return job;
}

static struct job *take_job(struct workers *w)
{
    struct job *job = pop(&w->copying);
    if (!job && w->waiting_now < WORKERS_WAITING_MAX)
        job = pop(&w->waiting);
    if (job)
        w->queued--;
    if (job && job->may_wait)
        w->waiting_now++;
    return job;
}

/* False: in vain, for so long. */
static bool rest(struct workers *w)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WORKERS_IDLE_MS / 1000;
    w->resting++;
    int error = w->threads == 1 && !w->fresh
                    ? pthread_cond_wait(&w->changed, &w->lock)
                    : pthread_cond_timedwait(&w->changed, &w->lock, &until);
    w->resting--;
    return error == 0;
}

/* Unlocked meanwhile. */
static void run_job(struct workers *w, struct job *job)
{
    bool may_wait = job->may_wait;
    w->fresh = true;
    pthread_mutex_unlock(&w->lock);
    job->work(job);
    http_post(w->server, &job->task); /* its memory may be gone from here on */
    pthread_mutex_lock(&w->lock);
    if (!may_wait)
        return;
    w->waiting_now--;
    if (w->waiting.first)
        pthread_cond_signal(&w->changed);
}

static void look_around(struct workers *w)
{
    w->fresh = false;
    pthread_mutex_unlock(&w->lock);
    bool again = w->idle(w->arg);
    pthread_mutex_lock(&w->lock);
    w->fresh = w->fresh || again;
}

static void *work(void *arg)
{
    struct workers *w = arg;
    bool bored = false;
    pthread_mutex_lock(&w->lock);
    while (!w->stopping) {
        struct job *job = take_job(w);
        if (job) {
            run_job(w, job);
            bored = false;
            continue;
        }
        if (bored) {
            look_around(w);
            if (w->threads > 1)
                break;
        }
        bored = !rest(w);
    }
    w->threads--;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* Locked. False: there can't be another one. */
static bool start_thread(struct workers *w)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    w->threads++;
    int error = pthread_create(&thread, &attr, work, w);
    pthread_attr_destroy(&attr);
    if (error != 0)
        w->threads--;
    return error == 0;
}

static void on_done(struct http_task *task)
{
    struct job *job = (struct job *)task;
    job->done(job);
}

void workers_run(struct workers *w, struct job *job)
{
    job->task.run = on_done;
    pthread_mutex_lock(&w->lock);
    push(job->may_wait ? &w->waiting : &w->copying, job);
    w->queued++;
    bool lacks = w->queued > w->resting && w->threads < WORKERS_MAX &&
                 !(job->may_wait && w->waiting_now >= WORKERS_WAITING_MAX);
    if (lacks && !start_thread(w))
        log_debug("gateway", "no further thread; there are %u", w->threads);
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

int workers_new(struct http_server *server, bool (*idle)(void *arg), void *arg,
                struct workers **out)
{
    struct workers *w = calloc(1, sizeof *w);
    pthread_condattr_t attr;
    if (!w)
        return CENOTE_NO_MEMORY;
    w->server = server;
    w->idle = idle;
    w->arg = arg;
    w->copying.end = &w->copying.first;
    w->waiting.end = &w->waiting.first;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_lock(&w->lock);
    bool started = start_thread(w);
    pthread_mutex_unlock(&w->lock);
    if (!started) {
        workers_free(w);
        return CENOTE_NO_MEMORY;
    }
    *out = w;
    return CENOTE_OK;
}

void workers_free(struct workers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    assert(!w->copying.first && !w->waiting.first);
    w->stopping = true;
    pthread_cond_broadcast(&w->changed);
    while (w->threads > 0)
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
