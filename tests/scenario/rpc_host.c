/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenario/rpc_host.h"

#include <cenote/status.h>
#include <string.h>
#include <unistd.h>

#include "tests/scenario/check.h"

#define AWAIT_STEP_US 1000
#define AWAIT_STEPS   10000

static void answer(struct rpc_conn *conn, struct wire_buf *b)
{
    CHECK(!b->failed);
    rpc_conn_send(conn, b->data, b->len);
    rpc_conn_answered(conn);
    wire_buf_free(b);
}

static void answer_nil(struct rpc_conn *conn, uint32_t msgid)
{
    struct wire_buf b = {0};
    wire_put_result(&b, msgid);
    wire_put_nil(&b);
    answer(conn, &b);
}

static void answer_status(struct rpc_conn *conn, uint32_t msgid, int status)
{
    struct wire_buf b = {0};
    wire_put_error(&b, msgid, status, NULL);
    answer(conn, &b);
}

static void do_echo(struct rpc_conn *conn, const struct wire_msg *m)
{
    struct wire_buf b = {0};
    const uint8_t *data;
    size_t len_bytes;
    if (!wire_bin(wire_at(m->params, 0), &data, &len_bytes)) {
        answer_status(conn, m->msgid, CENOTE_INVALID);
        return;
    }
    wire_put_result(&b, m->msgid);
    wire_put_bin(&b, data, len_bytes);
    answer(conn, &b);
}

static void do_big(struct rpc_conn *conn, const struct wire_msg *m)
{
    struct wire_buf b = {0};
    uint32_t len_bytes;
    CHECK(wire_u32(wire_at(m->params, 0), &len_bytes));
    uint8_t *zeros = calloc(1, len_bytes);
    wire_put_result(&b, m->msgid);
    wire_put_bin(&b, zeros, len_bytes);
    free(zeros);
    answer(conn, &b);
}

static void do_hold(struct rpc_host *h, struct rpc_conn *conn, const struct wire_msg *m)
{
    unsigned n = atomic_load(&h->held_count);
    CHECK(n < HOST_HELD_MAX);
    h->held[n].conn = conn;
    h->held[n].msgid = m->msgid;
    atomic_store(&h->held_count, n + 1);
}

static void do_release(struct rpc_host *h, struct rpc_conn *conn, const struct wire_msg *m)
{
    unsigned n = atomic_load(&h->held_count);
    for (unsigned i = 0; i < n; i++)
        answer_nil(h->held[i].conn, h->held[i].msgid);
    atomic_store(&h->held_count, 0);
    answer_nil(conn, m->msgid);
}

static void do_stray(struct rpc_conn *conn, const struct wire_msg *m)
{
    struct wire_buf b = {0};
    wire_put_result(&b, m->msgid + 1000);
    wire_put_nil(&b);
    rpc_conn_send(conn, b.data, b.len);
    wire_buf_free(&b);
    answer_nil(conn, m->msgid);
}

/* An answer that waits for one of the caller's. */
struct back {
    struct rpc_conn *conn;
    uint32_t msgid;
};

static void back_done(void *arg, int status, struct wire_value result)
{
    struct back *back = arg;
    struct wire_buf b = {0};
    uint64_t v;
    if (status != CENOTE_OK) {
        answer_status(back->conn, back->msgid, status);
    } else {
        CHECK(wire_uint(result, &v));
        wire_put_result(&b, back->msgid);
        wire_put_uint(&b, v);
        answer(back->conn, &b);
    }
    free(back);
}

static void do_back(struct rpc_conn *conn, const struct wire_msg *m)
{
    struct wire_buf b = {0};
    struct back *back = malloc(sizeof(*back));
    uint64_t v;
    CHECK(back && wire_uint(wire_at(m->params, 0), &v));
    *back = (struct back){conn, m->msgid};
    wire_put_request(&b, 0, "twice");
    wire_put_array(&b, 1);
    wire_put_uint(&b, v);
    rpc_conn_call(conn, b.data, b.len, 5000, back_done, back);
    wire_buf_free(&b);
}

static void *on_opened(void *arg, struct rpc_conn *conn)
{
    struct rpc_host *h = arg;
    CHECK(strlen(rpc_conn_name(conn)) > 0 && rpc_conn_is_local(conn));
    atomic_fetch_add(&h->opened, 1);
    return h;
}

static void on_message(void *arg, struct rpc_conn *conn, const struct wire_msg *m)
{
    struct rpc_host *h = arg;
    if (m->kind == WIRE_NOTIFICATION) {
        atomic_fetch_add(&h->notifications, 1);
        return;
    }
    if (strcmp(m->method, "echo") == 0)
        do_echo(conn, m);
    else if (strcmp(m->method, "big") == 0)
        do_big(conn, m);
    else if (strcmp(m->method, "hold") == 0)
        do_hold(h, conn, m);
    else if (strcmp(m->method, "release") == 0)
        do_release(h, conn, m);
    else if (strcmp(m->method, "back") == 0)
        do_back(conn, m);
    else if (strcmp(m->method, "stray") == 0)
        do_stray(conn, m);
    else if (strcmp(m->method, "hangup") == 0)
        rpc_conn_close(conn);
    else if (strcmp(m->method, "fail") == 0)
        answer_status(conn, m->msgid, CENOTE_NOT_FOUND);
    else
        answer_status(conn, m->msgid, CENOTE_NO_METHOD);
    atomic_fetch_add(&h->requests, 1);
}

static void on_closed(void *arg, struct rpc_conn *conn)
{
    struct rpc_host *h = arg;
    unsigned kept = 0;
    for (unsigned i = 0; i < atomic_load(&h->held_count); i++)
        if (h->held[i].conn != conn)
            h->held[kept++] = h->held[i];
    atomic_store(&h->held_count, kept);
    atomic_fetch_add(&h->closed, 1);
}

static void *host_main(void *arg)
{
    struct rpc_host *h = arg;
    rpc_loop_run(h->loop);
    return NULL;
}

void host_start(struct rpc_host *h, const char *where, const struct rpc_limits *limits)
{
    static const struct rpc_handler handler = {on_opened, on_message, on_closed};
    struct endpoint e;
    memset(h, 0, sizeof(*h));
    h->loop = rpc_loop_new();
    CHECK(h->loop);
    CHECK_EQ(endpoint_parse(where, &e), CENOTE_OK);
    CHECK_EQ(rpc_listen(h->loop, &e, limits, &handler, h, &h->at), CENOTE_OK);
    CHECK_EQ(pthread_create(&h->thread, NULL, host_main, h), 0);
}

void host_stop(struct rpc_host *h)
{
    rpc_loop_stop(h->loop);
    pthread_join(h->thread, NULL);
    rpc_loop_free(h->loop);
    CHECK_EQ(atomic_load(&h->opened), atomic_load(&h->closed));
}

void host_await(const atomic_uint *counter, unsigned value)
{
    for (int i = 0; i < AWAIT_STEPS && atomic_load(counter) < value; i++)
        usleep(AWAIT_STEP_US);
    CHECK(atomic_load(counter) >= value);
}
