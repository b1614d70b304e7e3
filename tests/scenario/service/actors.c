/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenario/service/actors.h"

#include <string.h>

#include "tests/scenario/check.h"

#define STEP_MS   100u
#define TRIES_MAX 400u /* of STEP_MS each: 40 s without what was wanted is never */

#define DIRECTORY_BYTES (UINT64_C(1) << 20)

bool actor_trouble(int status)
{
    return status == CENOTE_NO_MEMORY || status == CENOTE_IO || status == CENOTE_META_FULL ||
           status == CENOTE_UNAVAILABLE || status == CENOTE_NODE_DOWN;
}

/* ---- answers ---- */

static bool connected(const struct end *e)
{
    return e != NULL && e->peer != NULL;
}

static void copy_buf(const struct wire_buf *from, struct wire_buf *to)
{
    *to = (struct wire_buf){.data = malloc(from->len), .len = from->len, .cap = from->len};
    CHECK(!from->failed && to->data != NULL);
    memcpy(to->data, from->data, from->len);
}

/* Of a connection whose loss ends the matter: 1: lost. */
static int ask_once(struct end *e, struct wire_buf *b, uint32_t msgid, struct answer **out)
{
    end_send(e, b);
    world_run(e->world);
    *out = end_answer(e, msgid);
    if (*out == NULL)
        return 1;
    int status = (*out)->msg.error;
    if (status != CENOTE_OK)
        answer_drop(e, *out);
    return status;
}

/* ---- nodes ---- */

static void node_drop(struct actors *a, unsigned n)
{
    if (a->nodes[n] != NULL)
        end_close(a->nodes[n]);
    a->nodes[n] = NULL;
}

static void joined(struct actors *a, unsigned n, struct end *e, struct answer *answer)
{
    struct node_join_params *p = &a->params[n];
    bool good = node_join_result_get(answer->msg.result, &e->joined);
    CHECK(good && e->joined.segment_count == p->segment_count);
    answer_drop(e, answer);
    for (uint32_t i = 0; i < p->segment_count; i++) {
        if (p->segments[i].incarnation == e->joined.segments[i].incarnation)
            continue;
        CHECK(p->segments[i].incarnation == 0);
        p->segments[i].incarnation = e->joined.segments[i].incarnation;
        directory_close(a->directories[n]);
        int status = directory_open(-1, DIRECTORY_BYTES, NULL, 0, &a->directories[n]);
        CHECK(status == CENOTE_OK);
    }
    e->directory = a->directories[n];
}

static void join(struct actors *a, unsigned n)
{
    struct end *e = end_open(a->world);
    struct wire_buf b;
    struct answer *answer;
    if (e == NULL) {
        a->errors++;
        return;
    }
    uint32_t msgid = end_request(e, &b, METHOD_NODE_JOIN);
    node_join_params_put(&b, &a->params[n]);
    a->nodes[n] = e;
    e->holds_calls = true;
    int status = ask_once(e, &b, msgid, &answer);
    e->holds_calls = false;
    if (status == CENOTE_OK) {
        joined(a, n, e, answer);
        return;
    }
    a->errors++;
    /* Its earlier life is dead, and that can't be stored; or what it has of it counts no more. */
    CHECK(status == 1 || actor_trouble(status) || status == CENOTE_NODE_KNOWN ||
          status == CENOTE_NODE_UNKNOWN);
    if (status == CENOTE_NODE_UNKNOWN)
        for (uint32_t i = 0; i < a->params[n].segment_count; i++)
            a->params[n].segments[i].incarnation = 0;
    node_drop(a, n);
}

static void beat(struct actors *a, unsigned n)
{
    struct end *e = a->nodes[n];
    struct wire_buf b;
    struct answer *answer;
    struct node_heartbeat_params p = {.segment_count = 1,
                                      .populated_bytes = {NODE_BYTES},
                                      .has_directory = true,
                                      .directory = directory_sum(a->directories[n])};
    uint32_t msgid = end_request(e, &b, METHOD_NODE_HEARTBEAT);
    node_heartbeat_params_put(&b, &p);
    int status = ask_once(e, &b, msgid, &answer);
    if (status == CENOTE_OK) {
        answer_drop(e, answer);
        return;
    }
    a->errors++;
    CHECK(status == 1 || actor_trouble(status) || status == CENOTE_NODE_UNKNOWN);
}

void actors_pass(struct actors *a, uint64_t ms)
{
    if (a->mend != NULL)
        a->mend(a);
    for (uint64_t passed = 0; passed < ms; passed += STEP_MS) {
        world_pass(a->world, STEP_MS);
        for (unsigned n = 0; n < ACTOR_NODES; n++) {
            if (!a->up[n])
                continue;
            if (!connected(a->nodes[n])) {
                node_drop(a, n);
                join(a, n);
            }
            if (connected(a->nodes[n]))
                beat(a, n);
        }
    }
}

void actor_node_start(struct actors *a, unsigned n)
{
    a->up[n] = true;
    for (unsigned tries = 0; !connected(a->nodes[n]); tries++) {
        CHECK(tries < TRIES_MAX);
        actors_pass(a, STEP_MS);
    }
    actors_pass(a, STEP_MS);
}

void actor_node_kill(struct actors *a, unsigned n)
{
    a->up[n] = false;
    a->params[n].boot++;
    for (uint32_t i = 0; i < a->params[n].segment_count; i++)
        a->params[n].segments[i].incarnation = 0;
    node_drop(a, n);
}

/* ---- clients ---- */

static void client_drop(struct actors *a, unsigned c)
{
    if (a->clients[c] != NULL)
        end_close(a->clients[c]);
    a->clients[c] = NULL;
}

/* One try. */
static bool open_session(struct actors *a, unsigned c)
{
    struct session_open_params p = {
        .protocol = PROTOCOL_VERSION, .name_space = "default", .client = "test"};
    struct wire_buf b;
    struct answer *answer;
    struct end *e = a->clients[c] = end_open(a->world);
    if (e == NULL)
        return false;
    uint32_t msgid = end_request(e, &b, METHOD_SESSION_OPEN);
    session_open_params_put(&b, &p);
    int status = ask_once(e, &b, msgid, &answer);
    if (status == CENOTE_OK) {
        bool good = session_open_result_get(answer->msg.result, &e->session);
        CHECK(good);
        answer_drop(e, answer);
        return true;
    }
    CHECK(status == 1 || actor_trouble(status));
    client_drop(a, c);
    return false;
}

void actor_open(struct actors *a, unsigned c)
{
    for (unsigned tries = 0; !open_session(a, c); tries++) {
        CHECK(tries < TRIES_MAX);
        a->errors++;
        actors_pass(a, STEP_MS);
    }
}

/* One try. The answers that have come over the old connection are lost. */
static bool resume(struct actors *a, unsigned c)
{
    struct end *old = a->clients[c];
    struct session_resume_params p = {.protocol = PROTOCOL_VERSION,
                                      .session = old->session.session,
                                      .token = old->session.token,
                                      .name_space = old->session.name_space};
    struct wire_buf b;
    struct answer *answer;
    struct end *e = end_open(a->world);
    if (e == NULL)
        return false;
    e->session = old->session;
    e->seq = old->seq;
    e->next_msgid = old->next_msgid;
    uint32_t msgid = end_request(e, &b, METHOD_SESSION_RESUME);
    session_resume_params_put(&b, &p);
    int status = ask_once(e, &b, msgid, &answer);
    if (status == CENOTE_OK) {
        answer_drop(e, answer);
        end_close(old);
        a->clients[c] = e;
        return true;
    }
    CHECK(status == 1 || actor_trouble(status));
    end_close(e);
    return false;
}

static void reconnect(struct actors *a, unsigned c)
{
    for (unsigned tries = 0; !resume(a, c); tries++) {
        CHECK(tries < TRIES_MAX);
        a->errors++;
        actors_pass(a, STEP_MS);
    }
}

void actors_return(struct actors *a)
{
    for (unsigned n = 0; n < ACTOR_NODES; n++)
        if (a->up[n])
            actor_node_start(a, n);
    for (unsigned c = 0; c < ACTOR_CLIENTS; c++)
        if (a->clients[c] != NULL && !connected(a->clients[c]))
            reconnect(a, c);
}

struct wire_buf actor_send(struct actors *a, unsigned c, struct wire_buf *b)
{
    struct wire_buf sent;
    copy_buf(b, &sent);
    if (!connected(a->clients[c]))
        reconnect(a, c);
    end_send(a->clients[c], b);
    return sent;
}

int actor_await(struct actors *a, unsigned c, struct wire_buf *sent, uint32_t msgid,
                struct answer **out)
{
    struct wire_buf again;
    world_run(a->world);
    for (unsigned tries = 0; (*out = end_answer(a->clients[c], msgid)) == NULL; tries++) {
        CHECK(tries < TRIES_MAX);
        if (!connected(a->clients[c])) {
            a->errors++;
            reconnect(a, c);
            copy_buf(sent, &again);
            end_send(a->clients[c], &again);
        }
        actors_pass(a, STEP_MS);
    }
    wire_buf_free(sent);
    int status = (*out)->msg.error;
    if (status != CENOTE_OK) {
        a->errors++;
        answer_drop(a->clients[c], *out);
    }
    return status;
}

int actor_ask(struct actors *a, unsigned c, struct wire_buf *b, uint32_t msgid, struct answer **out)
{
    struct wire_buf sent = actor_send(a, c, b);
    return actor_await(a, c, &sent, msgid, out);
}

void actor_drop(struct actors *a, unsigned c, struct answer *answer)
{
    answer_drop(a->clients[c], answer);
}

/* ---- all ---- */

void actors_begin(struct actors *a, struct world *w)
{
    *a = (struct actors){.world = w};
    for (unsigned n = 0; n < ACTOR_NODES; n++) {
        char name[8];
        snprintf(name, sizeof(name), "n%u", n);
        a->params[n] = node_params(name, 100 * (n + 1), 1, NODE_BYTES);
    }
}

void actors_end(struct actors *a)
{
    for (unsigned n = 0; n < ACTOR_NODES; n++) {
        node_drop(a, n);
        directory_close(a->directories[n]);
    }
    for (unsigned c = 0; c < ACTOR_CLIENTS; c++)
        client_drop(a, c);
}
