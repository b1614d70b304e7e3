/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "transport/base/log.h"
#include "transport/base/testswitch.h"
#include "transport/tcp/server.h"

/*
 * A fence visits every loop. The gate refuses the session's writes already, so no new one begins;
 * those that had begun are in STATE_BODY of some connection, and the loop that owns it closes it.
 * Connections that are in the middle of nothing, of a read, or of a newer put may live on: each
 * write that they bring is put to the gate. When all loops have been visited nothing is left that
 * could write.
 */
struct tcp_fence {
    uint64_t session, horizon;
    void (*done)(void *arg);
    void *arg;
    _Atomic unsigned loops_left;
    struct tcp_task tasks[TCP_LOOPS];
};

void tcp_fence_run(struct tcp_loop *l, struct tcp_fence *f)
{
    tcp_connections_close_writers(l, f->session, f->horizon);
    if (atomic_fetch_sub(&f->loops_left, 1) != 1)
        return;
    f->done(f->arg);
    free(f);
}

void tcp_fence_drop(struct tcp_fence *f)
{
    if (atomic_fetch_sub(&f->loops_left, 1) == 1)
        free(f);
}

void tcp_server_fence(struct xcopy_exporter *exporter, uint64_t session, uint64_t horizon,
                      void (*done)(void *arg), void *arg)
{
    struct tcp_server *s = (struct tcp_server *)exporter;
    if (test_off(TEST_FENCE)) {
        done(arg);
        return;
    }
    struct tcp_fence *f = calloc(1, sizeof *f);
    if (f == NULL) {
        log_error("tcp", "no memory for a fence of session %llu: it stays open",
                  (unsigned long long)session);
        return;
    }
    f->session = session;
    f->horizon = horizon;
    f->done = done;
    f->arg = arg;
    atomic_init(&f->loops_left, TCP_LOOPS);
    for (unsigned i = 0; i < TCP_LOOPS; i++)
        f->tasks[i] = (struct tcp_task){.kind = TASK_FENCE, .fence = f};
    /* The last post may be answered, and f freed, before this returns. */
    for (unsigned i = 0; i < TCP_LOOPS; i++)
        tcp_loop_post(&s->loops[i], &f->tasks[i]);
}
