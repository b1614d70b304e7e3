/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata service under hostile clients and nodes: its real handlers over a store in memory,
 * asked by connections without a session, with one, and of nodes, in any order, with any
 * parameters. At the end the service agrees with its store.
 *
 * A record's aim chooses a connection (enum fuzz_who), its tag what happens: a method by its number
 * is called with the body as parameters; the rest is in enum deed. The pool is the same each time,
 * so that session and put ids in a corpus mean something.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/pool.h"

#define METHODS fuzz_method_count

enum deed {
    DEED_PASS = 64, /* some time passes: aim * 10 ms */
    DEED_REPLY,     /* a node answers the oldest call with the body */
    DEED_REFUSE,    /* ... with an error */
    DEED_LATER,     /* a node's calls wait from now on */
    DEED_AGAIN,     /* the connection breaks, and comes back without its session */
    DEED_NOTIFY,    /* the method of the last record, as a notification */
    DEED_FRAME,     /* the body is a whole message */
    DEED_CRASH      /* the service starts anew, with what was durable */
};

struct play {
    struct fuzz_pool pool;
    const char *last;
};

static void drop_answers(struct end *e)
{
    while (e->answer_count > 0)
        answer_drop(e, &e->answers[e->answer_count - 1]);
}

/* Answers may come later, but never two for one question. */
static void send_frame(struct end *e, const uint8_t *frame, size_t len)
{
    struct wire_msg m;
    if (e->peer == NULL || wire_scan(frame, len, WIRE_FRAME_MAX, NULL) != (int64_t)len ||
        wire_parse(frame, len, &m) != CENOTE_OK)
        return;
    drop_answers(e);
    in_service = true;
    service_peer_message(e->peer, &m);
    in_service = false;
    wire_msg_free(&m);
    world_run(e->world);
}

static void ask(struct end *e, const char *method, const struct fuzz_record *r, bool notify)
{
    struct wire_buf b = {0};
    if (notify)
        wire_put_notification(&b, method);
    else
        wire_put_request(&b, ++e->next_msgid, method);
    if (!b.failed && b.len + r->len <= WIRE_FRAME_MAX) {
        uint8_t *frame = malloc(b.len + r->len);
        assert(frame != NULL);
        memcpy(frame, b.data, b.len);
        if (r->len > 0)
            memcpy(frame + b.len, r->body, r->len);
        send_frame(e, frame, b.len + r->len);
        free(frame);
    }
    wire_buf_free(&b);
}

/* What a node answers to the oldest call: anything. */
static void reply(struct end *e, const struct fuzz_record *r, bool refuse)
{
    struct wire_msg holder;
    struct wire_value v;
    if (e->call_count == 0)
        return;
    if (refuse) {
        end_reply(e, NULL, -(int)(r->body == NULL || r->len == 0 ? 1 : 1 + r->body[0] % 70));
    } else if (fuzz_value(r, &holder, &v)) {
        struct call call = e->calls[0];
        memmove(&e->calls[0], &e->calls[1], --e->call_count * sizeof call);
        wire_msg_free(&call.msg);
        free(call.frame);
        in_service = true;
        call.done(call.arg, CENOTE_OK, v);
        in_service = false;
        wire_msg_free(&holder);
    }
    world_run(e->world);
}

static void crash(struct play *p, unsigned applied)
{
    world_crash(p->pool.world, applied);
    for (unsigned i = 0; i < WHOS; i++)
        end_close(p->pool.ends[i]);
    if (world_start(p->pool.world) != CENOTE_OK)
        abort();
    for (unsigned i = 0; i < WHOS; i++)
        p->pool.ends[i] = end_open(p->pool.world);
}

static void play_record(struct play *p, const struct fuzz_record *r)
{
    struct end **end = &p->pool.ends[r->aim % WHOS], *e = *end;
    switch (r->tag) {
    case DEED_PASS:
        world_pass(p->pool.world, r->aim * 10u);
        break;
    case DEED_REPLY:
    case DEED_REFUSE:
        reply(e, r, r->tag == DEED_REFUSE);
        break;
    case DEED_LATER:
        e->holds_calls = !e->holds_calls;
        break;
    case DEED_AGAIN:
        end_close(e);
        *end = end_open(p->pool.world);
        break;
    case DEED_NOTIFY:
        ask(e, p->last, r, true);
        break;
    case DEED_FRAME:
        send_frame(e, r->body, r->len);
        break;
    case DEED_CRASH:
        crash(p, r->aim);
        break;
    default:
        p->last = fuzz_methods[r->tag % METHODS];
        ask(e, p->last, r, false);
        break;
    }
}

static void check(struct play *p)
{
    for (unsigned i = 0; i < WHOS; i++)
        p->pool.ends[i]->holds_calls = false;
    world_run(p->pool.world);
    if (service_check(p->pool.world->service) != 0) {
        fprintf(stderr, "the service disagrees with its store\n");
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct play p;
    struct fuzz_record r;
    struct fuzz_input in = fuzz_input(data, size);
    fuzz_pool_up(&p.pool);
    p.last = METHOD_STATUS;
    while (fuzz_next(&in, &r))
        play_record(&p, &r);
    check(&p);
    world_free(p.pool.world);
    return 0;
}
