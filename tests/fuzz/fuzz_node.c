/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node under a hostile service: everything that a service can call at it, and every answer that
 * it gets. The node's seals are its own to void, so none outside its memory may change, and the
 * directory holds only extents that lie in that memory.
 *
 * A record's tag says what comes: below METHODS a call with the body as parameters, beyond see enum
 * deed. What the node asked meanwhile is answered with DEED_ANSWER, oldest first.
 */
#include <assert.h>
#include <stdlib.h>

#include "meta/stub/rebuild.h"
#include "server/node/member.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/server/fake_node.h"

/* New ones at the end: corpora know them by their numbers. */
static const char *const methods[] = {METHOD_FENCE,          METHOD_VOID,   METHOD_DIRECTORY,
                                      METHOD_DIRECTORY_READ, "unknown",     METHOD_NOTES,
                                      METHOD_NOTES_READ,     METHOD_SETTLE, METHOD_DIRECTORY_LOOK};
#define METHODS (sizeof methods / sizeof *methods)

enum deed {
    DEED_ANSWER = 16, /* the body answers the node's oldest call, aim 0: as success */
    DEED_PASS,        /* aim * 10 ms pass */
    DEED_BREAK,       /* the connection breaks */
    DEED_CONNECT,     /* the next one is there */
    DEED_FENCED,      /* an exporter (aim's lowest bit) has done its oldest fence */
    DEED_HOLD,        /* somebody looks at the extent aim * 16 */
    DEED_LEAVE,
    DEED_JOINED /* the node's call is answered as a service would */
};

#define CALLS_MAX 64u

struct asked {
    void (*done)(void *arg, int status, struct wire_value result);
    void *arg;
};

struct play {
    struct fake_node fake;
    struct member *member;
    struct directory *directory;
    struct asked asked[CALLS_MAX];
    unsigned asked_count;
    bool connected, connecting, close_asked;
    unsigned fences_done[2];
    uint64_t now_ms;
};

static void on_connect(void *arg)
{
    ((struct play *)arg)->connecting = true;
}

static void on_answer(void *arg, const void *frame, size_t len)
{
    struct wire_msg m;
    (void)arg;
    assert(wire_scan(frame, len, WIRE_FRAME_MAX, NULL) == (int64_t)len);
    int status = wire_parse(frame, len, &m);
    assert(status == CENOTE_OK && m.kind == WIRE_RESPONSE);
    wire_msg_free(&m);
}

static void on_call(void *arg, const void *frame, size_t len, uint32_t timeout_ms,
                    void (*done)(void *done_arg, int status, struct wire_value result),
                    void *done_arg)
{
    struct play *p = arg;
    (void)timeout_ms;
    assert(wire_scan(frame, len, WIRE_FRAME_MAX, NULL) == (int64_t)len);
    assert(p->asked_count < CALLS_MAX && p->connected);
    p->asked[p->asked_count++] = (struct asked){done, done_arg};
}

static void on_close(void *arg)
{
    ((struct play *)arg)->close_asked = true;
}

static void on_joined(void *arg)
{
    (void)arg;
}

static int on_noted(void *arg)
{
    struct play *p = arg;
    return p->now_ms % 7 == 0 ? CENOTE_IO : CENOTE_OK;
}

static uint64_t on_now(void *arg)
{
    return ((struct play *)arg)->now_ms;
}

static void on_fenced(void *arg, uint64_t tag)
{
    struct play *p = arg;
    if (p->connected)
        member_fenced(p->member, tag);
}

static void on_nudge(void *arg)
{
    (void)arg;
}

static void answer_oldest(struct play *p, int status, struct wire_value v)
{
    struct asked a = p->asked[0];
    memmove(&p->asked[0], &p->asked[1], --p->asked_count * sizeof a);
    a.done(a.arg, status, v);
}

static void break_connection(struct play *p)
{
    if (!p->connected && !p->connecting)
        return;
    p->connected = p->connecting = p->close_asked = false;
    while (p->asked_count > 0)
        answer_oldest(p, CENOTE_UNAVAILABLE, (struct wire_value){NULL});
    member_disconnected(p->member);
}

static void connect_now(struct play *p)
{
    if (!p->connecting)
        return;
    p->connecting = false;
    p->connected = true;
    member_connected(p->member);
}

static void settle(struct play *p)
{
    if (p->close_asked)
        break_connection(p);
}

/* As a service would answer the join. */
static void answer_join(struct play *p)
{
    struct node_join_result r = fake_join_result();
    struct wire_buf b = {0};
    struct wire_msg holder;
    struct wire_value v;
    if (p->asked_count == 0)
        return;
    node_join_result_put(&b, &r);
    if (wire_parse_value(b.data, b.len, &holder, &v) != CENOTE_OK)
        abort();
    answer_oldest(p, CENOTE_OK, v);
    wire_msg_free(&holder);
    wire_buf_free(&b);
}

static void set_up(struct play *p)
{
    struct node_options o = {.boot = FAKE_BOOT,
                             .grant_key = fake_grant_key,
                             .highest_reign = FAKE_REIGN,
                             .fenced = on_fenced,
                             .nudge = on_nudge,
                             .arg = p};
    struct member_env env = {.arg = p,
                             .connect = on_connect,
                             .answer = on_answer,
                             .call = on_call,
                             .close = on_close,
                             .joined = on_joined,
                             .noted = on_noted,
                             .now_ms = on_now};
    struct member_identity who = {.name = "n", .host = "h", .tcp = "127.0.0.1:1"};
    struct fake_node *f = &p->fake;
    f->memory = (struct memory){.len_bytes = FAKE_LEN, .fd = -1, .base = calloc(1, FAKE_LEN)};
    f->node = node_new(&o);
    int status = directory_open(-1, DIRECTORY_BYTES_MIN, NULL, 0, &p->directory);
    assert(f->node != NULL && f->memory.base != NULL && status == CENOTE_OK);
    node_add_memory(f->node, &f->memory);
    for (int i = 0; i < 2; i++) {
        f->exporters[i].base.ops = &fake_ops;
        node_add_exporter(f->node, &f->exporters[i].base);
    }
    node_set_directory(f->node, p->directory);
    node_set_populated(f->node, 0, FAKE_LEN);
    p->member = member_new(&env, &who, f->node);
    assert(p->member != NULL);
    member_tick(p->member);
    connect_now(p);
}

static void serve(struct play *p, const char *method, const struct fuzz_record *r)
{
    struct wire_msg m, holder;
    struct wire_value v;
    uint32_t count;
    if (!p->connected || !fuzz_value(r, &holder, &v))
        return;
    if (wire_array(v, &count)) {
        m = (struct wire_msg){
            .kind = r->aim & 0x80 ? WIRE_NOTIFICATION : WIRE_REQUEST, .msgid = r->aim, .params = v};
        strcpy(m.method, method);
        member_message(p->member, &m);
    }
    wire_msg_free(&holder);
}

static void answer(struct play *p, const struct fuzz_record *r)
{
    struct wire_msg holder;
    struct wire_value v;
    if (p->asked_count == 0)
        return;
    if (r->aim != 0) {
        answer_oldest(p, -(int)(r->aim % 70), (struct wire_value){NULL});
    } else if (fuzz_value(r, &holder, &v)) {
        answer_oldest(p, CENOTE_OK, v);
        wire_msg_free(&holder);
    }
}

static void fence_done(struct play *p, unsigned which)
{
    struct fake_exporter *e = &p->fake.exporters[which];
    if (p->fences_done[which] < e->fences) {
        fake_done(e, p->fences_done[which]++);
        node_poll(p->fake.node);
    }
}

static void play_record(struct play *p, const struct fuzz_record *r)
{
    switch (r->tag) {
    case DEED_ANSWER:
        answer(p, r);
        break;
    case DEED_JOINED:
        answer_join(p);
        break;
    case DEED_PASS:
        p->now_ms += r->aim * 10u;
        member_tick(p->member);
        break;
    case DEED_BREAK:
        break_connection(p);
        break;
    case DEED_CONNECT:
        connect_now(p);
        break;
    case DEED_FENCED:
        fence_done(p, r->aim & 1);
        break;
    case DEED_HOLD:
        p->fake.exporters[0].held = FAKE_GVA + r->aim * 16u;
        break;
    case DEED_LEAVE:
        member_leave(p->member);
        break;
    default:
        serve(p, methods[r->tag % METHODS], r);
        break;
    }
    settle(p);
}

static void check(const struct play *p)
{
    struct directory_entry e;
    struct directory_sum sum = {0};
    for (uint64_t cursor = 0; directory_next(p->directory, &cursor, &e);) {
        assert(node_has_extent(p->fake.node, e.gva, e.payload_len));
        directory_sum_add(&sum, e.gva, e.put_id);
    }
    struct directory_sum told = directory_sum(p->directory);
    assert(sum.entries == told.entries && sum.digest == told.digest);
}

static void tear_down(struct play *p)
{
    break_connection(p);
    for (unsigned i = 0; i < 2; i++)
        while (p->fences_done[i] < p->fake.exporters[i].fences)
            fence_done(p, i);
    member_free(p->member);
    fake_node_free(&p->fake);
    directory_close(p->directory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct play p;
    struct fuzz_record r;
    struct fuzz_input in = fuzz_input(data, size);
    p = (struct play){.now_ms = 1000};
    set_up(&p);
    while (fuzz_next(&in, &r))
        play_record(&p, &r);
    check(&p);
    tear_down(&p);
    return 0;
}
