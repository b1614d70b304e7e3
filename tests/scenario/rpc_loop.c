/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The evented side from both ends: a peer with a loop of its own calls the service and is called
 * back on the same connection; posts, timers, watches and stopping; connections that fail, time out
 * or are closed with calls in flight.
 */
#include <cenote/status.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/scenario/check.h"
#include "tests/scenario/rpc_host.h"

#define CALL_MS 10000u

/* A peer: a loop on the main thread that ends when a case is done. */
struct peer {
    struct rpc_loop *loop;
    struct rpc_conn *conn;
    void (*begin)(struct peer *p); /* when connected */
    unsigned opened, closed, done;
    int status; /* of the last call */
    uint64_t result;
};

static void *peer_opened(void *arg, struct rpc_conn *conn)
{
    struct peer *p = arg;
    p->opened++;
    p->conn = conn;
    p->begin(p);
    return p;
}

/* "twice" [n]: 2 n. */
static void peer_message(void *arg, struct rpc_conn *conn, const struct wire_msg *m)
{
    struct wire_buf b = {0};
    uint64_t n;
    (void)arg;
    CHECK(strcmp(m->method, "twice") == 0 && wire_uint(wire_at(m->params, 0), &n));
    wire_put_result(&b, m->msgid);
    wire_put_uint(&b, 2 * n);
    rpc_conn_send(conn, b.data, b.len);
    rpc_conn_answered(conn);
    wire_buf_free(&b);
}

static void peer_closed(void *arg, struct rpc_conn *conn)
{
    struct peer *p = arg;
    CHECK(p->conn == NULL || p->conn == conn);
    p->conn = NULL;
    p->closed++;
    rpc_loop_stop(p->loop);
}

static void peer_call(struct peer *p, const char *method, uint64_t n, uint32_t timeout_ms,
                      rpc_done_fn done)
{
    struct wire_buf b = {0};
    wire_put_request(&b, 0, method);
    wire_put_array(&b, 1);
    wire_put_uint(&b, n);
    rpc_conn_call(p->conn, b.data, b.len, timeout_ms, done, p);
    wire_buf_free(&b);
}

/* Connects, runs until the case stops the loop, frees. */
static void peer_run(struct peer *p, const struct endpoint *e, void (*begin)(struct peer *p))
{
    const struct rpc_handler handler = {peer_opened, peer_message, peer_closed};
    *p = (struct peer){.loop = rpc_loop_new(), .begin = begin};
    CHECK(p->loop);
    CHECK_EQ(rpc_connect(p->loop, e, NULL, &handler, p), CENOTE_OK);
    rpc_loop_run(p->loop);
    rpc_loop_free(p->loop);
    CHECK_EQ(p->closed, 1);
}

static void done_stop(void *arg, int status, struct wire_value result)
{
    struct peer *p = arg;
    p->done++;
    p->status = status;
    wire_uint(result, &p->result);
    rpc_loop_stop(p->loop);
}

static void done_count(void *arg, int status, struct wire_value result)
{
    struct peer *p = arg;
    p->done++;
    p->status = status;
    CHECK(status == CENOTE_OK || result.node == NULL);
}

/* ---- calls --------------------------------------------------------------------------------- */

static void begin_back(struct peer *p)
{
    peer_call(p, "back", 21, CALL_MS, done_stop);
}

static void case_call_back(const struct rpc_host *h)
{
    struct peer p;
    peer_run(&p, &h->at, begin_back);
    CHECK_EQ(p.status, CENOTE_OK);
    CHECK_EQ(p.result, 42);
}

static void begin_fail(struct peer *p)
{
    peer_call(p, "fail", 0, 0, done_stop);
}

static void case_error(const struct rpc_host *h)
{
    struct peer p;
    peer_run(&p, &h->at, begin_fail);
    CHECK_EQ(p.status, CENOTE_NOT_FOUND);
}

/* Both held calls time out, then their late answers come, then the one that was waited for. */
static void begin_late(struct peer *p)
{
    peer_call(p, "hold", 0, 10, done_count);
    peer_call(p, "hold", 0, 20, done_count);
}

static void release_when_late(void *arg)
{
    struct peer *p = arg;
    if (p->done < 2)
        return;
    CHECK_EQ(p->done, 2);
    CHECK_EQ(p->status, CENOTE_TIMED_OUT);
    p->done = 0;
    peer_call(p, "release", 0, CALL_MS, done_stop);
}

static void begin_late_and_watch(struct peer *p)
{
    CHECK_EQ(rpc_loop_every(p->loop, 40, release_when_late, p), CENOTE_OK);
    begin_late(p);
}

static void case_late_answers(const struct rpc_host *h)
{
    struct peer p;
    peer_run(&p, &h->at, begin_late_and_watch);
    CHECK_EQ(p.done, 1);
    CHECK_EQ(p.status, CENOTE_OK);
}

/* ---- endings ------------------------------------------------------------------------------- */

static void begin_and_close(struct peer *p)
{
    for (int i = 0; i < 5; i++)
        peer_call(p, "hold", 0, 0, done_count);
    rpc_conn_close(p->conn);
    rpc_conn_close(p->conn);
    CHECK_EQ(p->done, 0);                           /* not from here */
    peer_call(p, "hold", 0, 0, done_count);         /* nor this one, */
    rpc_conn_send(p->conn, "\x93\x02\xa1n\x90", 5); /* and this is dropped */
}

static void case_close_with_calls(const struct rpc_host *h)
{
    struct peer p;
    peer_run(&p, &h->at, begin_and_close);
    CHECK_EQ(p.done, 6);
    CHECK_EQ(p.status, CENOTE_UNAVAILABLE);
}

static void begin_hangup(struct peer *p)
{
    peer_call(p, "hold", 0, 0, done_count);
    peer_call(p, "hangup", 0, 0, done_count);
}

static void case_hangup(const struct rpc_host *h)
{
    struct peer p;
    peer_run(&p, &h->at, begin_hangup);
    CHECK_EQ(p.done, 2);
    CHECK_EQ(p.status, CENOTE_UNAVAILABLE);
}

static void begin_stop_at_once(struct peer *p)
{
    peer_call(p, "hold", 0, 0, done_count);
    rpc_loop_stop(p->loop);
}

/* The loop is freed under a live connection. */
static void case_free_with_calls(const struct rpc_host *h)
{
    struct peer p;
    peer_run(&p, &h->at, begin_stop_at_once);
    CHECK_EQ(p.opened, 1);
    CHECK_EQ(p.done, 1);
    CHECK_EQ(p.status, CENOTE_UNAVAILABLE);
}

static void begin_too_many(struct peer *p)
{
    for (int i = 0; i < 16384 + 1; i++)
        peer_call(p, "hold", 0, 0, done_count);
    CHECK_EQ(p->done, 1);
    CHECK_EQ(p->status, CENOTE_LIMIT);
    rpc_loop_stop(p->loop);
}

static void case_too_many_calls(const char *where)
{
    struct rpc_host h;
    struct peer p;
    host_start(&h, where, &(struct rpc_limits){.in_flight_max = 8});
    peer_run(&p, &h.at, begin_too_many);
    CHECK_EQ(p.done, 16384 + 1);
    CHECK_EQ(p.status, CENOTE_UNAVAILABLE);
    host_stop(&h);
}

static void begin_never(struct peer *p)
{
    (void)p;
    CHECK(false);
}

static void case_refused_connection(const struct endpoint *nobody)
{
    struct peer p;
    peer_run(&p, nobody, begin_never);
    CHECK_EQ(p.opened, 0);
}

/* ---- the loop itself ----------------------------------------------------------------------- */

#define POSTERS          4
#define POSTS_PER_POSTER 500

struct posts {
    struct rpc_loop *loop;
    unsigned last[POSTERS], seen;
};

struct one_post {
    struct posts *posts;
    unsigned poster, number;
};

static void run_post(void *arg)
{
    struct one_post *one = arg;
    struct posts *s = one->posts;
    CHECK_EQ(one->number, s->last[one->poster] + 1);
    s->last[one->poster] = one->number;
    if (++s->seen == POSTERS * POSTS_PER_POSTER)
        rpc_loop_stop(s->loop);
    free(one);
}

static void *poster_main(void *arg)
{
    const struct one_post *kind = arg;
    for (unsigned i = 1; i <= POSTS_PER_POSTER; i++) {
        struct one_post *one = malloc(sizeof(*one));
        *one = *kind;
        one->number = i;
        CHECK(rpc_loop_post(kind->posts->loop, run_post, one));
    }
    return NULL;
}

static void case_posts(void)
{
    struct posts s = {.loop = rpc_loop_new()};
    struct one_post kinds[POSTERS];
    pthread_t threads[POSTERS];
    for (unsigned i = 0; i < POSTERS; i++) {
        kinds[i] = (struct one_post){&s, i, 0};
        CHECK_EQ(pthread_create(&threads[i], NULL, poster_main, &kinds[i]), 0);
    }
    rpc_loop_run(s.loop);
    for (unsigned i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(s.seen, POSTERS * POSTS_PER_POSTER);
    rpc_loop_free(s.loop);
}

static void count_post(void *arg)
{
    ++*(unsigned *)arg;
}

/* What is posted to a loop that never runs again is run by free, for its memory's sake. */
static void case_post_and_free(void)
{
    unsigned count = 0;
    struct rpc_loop *l = rpc_loop_new();
    rpc_loop_stop(l);
    rpc_loop_run(l);
    CHECK(rpc_loop_post(l, count_post, &count) && rpc_loop_post(l, count_post, &count));
    rpc_loop_free(l);
    CHECK_EQ(count, 2);
    rpc_loop_free(NULL);
}

static struct rpc_loop *signalled_loop;

static void on_signal(int number)
{
    (void)number;
    rpc_loop_stop(signalled_loop);
}

static void raise_signal(void *arg)
{
    (void)arg;
    raise(SIGUSR1);
}

static void case_stop_by_signal(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    signalled_loop = rpc_loop_new();
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(rpc_loop_every(signalled_loop, 5, raise_signal, NULL), CENOTE_OK);
    rpc_loop_run(signalled_loop);
    rpc_loop_free(signalled_loop);
}

struct piped {
    struct rpc_loop *loop;
    int fd;
    unsigned bytes;
};

static void read_byte(void *arg)
{
    struct piped *s = arg;
    char byte;
    CHECK_EQ(read(s->fd, &byte, 1), 1);
    if (++s->bytes == 3)
        rpc_loop_stop(s->loop);
}

static void case_watch(void)
{
    int fds[2];
    CHECK_EQ(pipe(fds), 0);
    struct piped s = {.loop = rpc_loop_new(), .fd = fds[0]};
    CHECK_EQ(rpc_loop_watch(s.loop, fds[0], read_byte, &s), CENOTE_OK);
    CHECK_EQ(write(fds[1], "abc", 3), 3);
    rpc_loop_run(s.loop);
    rpc_loop_free(s.loop);
    close(fds[0]);
    close(fds[1]);
}

/* A socket file goes with its listener. */
static void case_socket_file(void)
{
    char where[64];
    struct rpc_host h;
    struct stat st;
    snprintf(where, sizeof(where), "unix:/tmp/cenote-rpc-loop-%d", (int)getpid());
    host_start(&h, where, NULL);
    CHECK_EQ(stat(where + 5, &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0600);
    host_stop(&h);
    CHECK(stat(where + 5, &st) != 0);
}

static void run_cases(const char *where)
{
    struct rpc_host h;
    host_start(&h, where, NULL);
    case_call_back(&h);
    case_error(&h);
    case_late_answers(&h);
    case_close_with_calls(&h);
    case_hangup(&h);
    case_free_with_calls(&h);
    host_stop(&h);
    case_refused_connection(&h.at);
    case_too_many_calls(where);
}

int main(void)
{
    char path[64];
    snprintf(path, sizeof(path), "unix:@cenote-rpc-loop-%d", (int)getpid());
    run_cases(path);
    run_cases("127.0.0.1:0");
    case_posts();
    case_post_and_free();
    case_stop_by_signal();
    case_watch();
    case_socket_file();
    return 0;
}
