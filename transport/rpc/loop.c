/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop: libevent's base, used by one thread and therefore without its locks. Other threads and
 * signal handlers reach it through an eventfd: they leave a post or the order to stop, and write.
 */
#include "transport/rpc/loop.h"

#include <assert.h>
#include <cenote/status.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct post {
    struct post *next;
    void (*fn)(void *arg);
    void *arg;
};

struct rpc_loop {
    struct event_base *base;
    struct wire_arena *arena;
    struct event wake;
    int wake_fd;
    atomic_bool stop;
    bool freeing;
    void (*turn_fn)(void *arg); /* NULL: none */
    void *turn_arg;
    uint64_t sent_ns;
    struct rpc_owned *owned; /* newest first */
    pthread_mutex_t posts_lock;
    struct post *posts, **posts_end;
};

/* A timer of rpc_loop_every() or a descriptor of rpc_loop_watch(). */
struct trigger {
    struct rpc_owned owned; /* first */
    struct event event;
    void (*fn)(void *arg);
    void *arg;
};

/* Async-signal-safe. A counter that can't take more is readable already. */
static void loop_wake(struct rpc_loop *l)
{
    const uint64_t one = 1;
    int saved_errno = errno;
    while (write(l->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
    errno = saved_errno;
}

static struct post *take_posts(struct rpc_loop *l)
{
    pthread_mutex_lock(&l->posts_lock);
    struct post *posts = l->posts;
    l->posts = NULL;
    l->posts_end = &l->posts;
    pthread_mutex_unlock(&l->posts_lock);
    return posts;
}

static void run_posts(struct post *p)
{
    while (p) {
        struct post *next = p->next;
        p->fn(p->arg);
        free(p);
        p = next;
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct rpc_loop *l = arg;
    uint64_t count;
    (void)what;
    if (read(fd, &count, sizeof(count)) < 0)
        assert(errno == EAGAIN || errno == EINTR);
    run_posts(take_posts(l));
    if (atomic_load(&l->stop))
        event_base_loopbreak(l->base);
}

static struct event_base *base_new(void)
{
    struct event_config *config = event_config_new();
    if (!config)
        return NULL;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV |
                                      EVENT_BASE_FLAG_PRECISE_TIMER);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

struct rpc_loop *rpc_loop_new(void)
{
    struct rpc_loop *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->posts_end = &l->posts;
    l->arena = wire_arena_new();
    if (!l->arena)
        goto free_loop;
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->wake_fd < 0)
        goto free_arena;
    l->base = base_new();
    if (!l->base)
        goto close_wake;
    event_assign(&l->wake, l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
    if (event_add(&l->wake, NULL) != 0)
        goto free_base;
    pthread_mutex_init(&l->posts_lock, NULL);
    return l;

free_base:
    event_base_free(l->base);
close_wake:
    close(l->wake_fd);
free_arena:
    wire_arena_free(l->arena);
free_loop:
    free(l);
    return NULL;
}

void rpc_loop_run(struct rpc_loop *l)
{
    while (!atomic_load(&l->stop)) {
        if (l->turn_fn)
            l->turn_fn(l->turn_arg);
        event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
    }
}

void rpc_loop_each_turn(struct rpc_loop *l, void (*fn)(void *arg), void *arg)
{
    l->turn_fn = fn;
    l->turn_arg = arg;
}

void rpc_loop_sent(struct rpc_loop *l, uint64_t now_ns)
{
    l->sent_ns = now_ns;
}

uint64_t rpc_loop_sent_ns(const struct rpc_loop *l)
{
    return l->sent_ns;
}

void rpc_loop_stop(struct rpc_loop *l)
{
    atomic_store(&l->stop, true);
    loop_wake(l);
}

void rpc_loop_free(struct rpc_loop *l)
{
    struct post *posts;
    if (!l)
        return;
    /* What was posted carries memory of its poster; only running it can free that. */
    while ((posts = take_posts(l)) != NULL)
        run_posts(posts);
    l->freeing = true;
    while (l->owned) {
        struct rpc_owned *o = l->owned;
        rpc_loop_disown(l, o);
        o->destroy(o);
    }
    run_posts(take_posts(l));
    event_del(&l->wake);
    event_base_free(l->base);
    close(l->wake_fd);
    wire_arena_free(l->arena);
    pthread_mutex_destroy(&l->posts_lock);
    free(l);
}

bool rpc_loop_post(struct rpc_loop *l, void (*fn)(void *arg), void *arg)
{
    struct post *p = malloc(sizeof(*p));
    if (!p)
        return false;
    *p = (struct post){.fn = fn, .arg = arg};
    pthread_mutex_lock(&l->posts_lock);
    bool first = l->posts == NULL;
    *l->posts_end = p;
    l->posts_end = &p->next;
    pthread_mutex_unlock(&l->posts_lock);
    if (first)
        loop_wake(l);
    return true;
}

struct event_base *rpc_loop_base(struct rpc_loop *l)
{
    return l->base;
}

struct wire_arena *rpc_loop_arena(struct rpc_loop *l)
{
    return l->arena;
}

bool rpc_loop_own(struct rpc_loop *l, struct rpc_owned *o, void (*destroy)(struct rpc_owned *o))
{
    if (l->freeing)
        return false;
    *o = (struct rpc_owned){.next = l->owned, .destroy = destroy};
    if (l->owned)
        l->owned->prev = o;
    l->owned = o;
    return true;
}

void rpc_loop_disown(struct rpc_loop *l, struct rpc_owned *o)
{
    if (o->next)
        o->next->prev = o->prev;
    if (o->prev)
        o->prev->next = o->next;
    else
        l->owned = o->next;
}

static void on_trigger(evutil_socket_t fd, short what, void *arg)
{
    struct trigger *t = arg;
    (void)fd;
    (void)what;
    t->fn(t->arg);
}

static void trigger_destroy(struct rpc_owned *o)
{
    struct trigger *t = (struct trigger *)o;
    event_del(&t->event);
    free(t);
}

static int trigger_add(struct rpc_loop *l, int fd, short what, const struct timeval *period,
                       const struct trigger *kind)
{
    struct trigger *t = malloc(sizeof(*t));
    if (!t)
        return CENOTE_NO_MEMORY;
    *t = *kind;
    event_assign(&t->event, l->base, fd, (short)(what | EV_PERSIST), on_trigger, t);
    if (event_add(&t->event, period) != 0)
        goto free_trigger;
    if (!rpc_loop_own(l, &t->owned, trigger_destroy))
        goto del_event;
    return CENOTE_OK;

del_event:
    event_del(&t->event);
free_trigger:
    free(t);
    return CENOTE_NO_MEMORY;
}

int rpc_loop_every(struct rpc_loop *l, uint32_t period_ms, void (*fn)(void *arg), void *arg)
{
    struct timeval period = {period_ms / 1000, period_ms % 1000 * 1000};
    return trigger_add(l, -1, 0, &period, &(struct trigger){.fn = fn, .arg = arg});
}

void rpc_loop_pace(struct rpc_loop *l, void (*fn)(void *arg), uint32_t period_ms)
{
    struct timeval period = {period_ms / 1000, period_ms % 1000 * 1000};
    for (struct rpc_owned *o = l->owned; o; o = o->next) {
        struct trigger *t = (struct trigger *)o;
        if (o->destroy == trigger_destroy && t->fn == fn)
            event_add(&t->event, &period);
    }
}

int rpc_loop_watch(struct rpc_loop *l, int fd, void (*fn)(void *arg), void *arg)
{
    return trigger_add(l, fd, EV_READ, NULL, &(struct trigger){.fn = fn, .arg = arg});
}
