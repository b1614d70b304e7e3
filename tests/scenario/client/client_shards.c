/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client among services that own parts of the keys, tell maps, contradict each other, move and go
 * away. The services know sessions, slots and exists only: a key is there if it is theirs.
 */
#include <cenote/cenote.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meta/stub/slots.h"
#include "tests/scenario/check.h"
#include "transport/base/clock.h"
#include "transport/base/hash.h"
#include "transport/base/log.h"
#include "transport/rpc/rpc.h"

#define SERVICES 3u
#define KEYS     600u
#define THREADS  6u
#define HALF     (SLOTS / 2)
#define RUNAWAY  34u /* more maps than a client takes new services from */

struct service {
    char where[TEXT_MAX]; /* empty: not listening */
    struct rpc_loop *loop;
    pthread_t thread;
    /* under state.lock */
    uint32_t number;
    uint32_t first, last;
    struct slot_map map;
    void (*before_slots)(struct service *s); /* may change what is answered */
    bool broken;                             /* slots' answer isn't whole */
    unsigned asked_slots, asked_keys;
};

static struct {
    pthread_mutex_t lock;
    struct service services[SERVICES];
    char dir[64];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static char names[KEYS][8];
static struct cenote_key keys[KEYS];

/* ---- services -------------------------------------------------------------------------------- */

static void answer_slots(struct service *s, struct wire_buf *out)
{
    s->asked_slots++;
    if (s->before_slots)
        s->before_slots(s);
    slots_result_put(out, &s->map, s->number);
    if (s->broken)
        out->data[out->len - 1] = 99; /* the own number */
}

static bool owns(const struct service *s, struct wire_value v)
{
    const uint8_t *key;
    size_t len;

    CHECK(wire_bin(v, &key, &len));
    uint32_t slot = slot_of(slot_seed("default"), key, len);
    return slot >= s->first && slot <= s->last;
}

static void answer_exists(struct service *s, struct wire_value params, struct wire_buf *out)
{
    uint8_t there[CENOTE_BATCH_MAX / 8] = {0}, refused[CENOTE_BATCH_MAX / 8] = {0};
    struct keys_params p;

    s->asked_keys++;
    s->map.epoch += s->before_slots != NULL;
    CHECK(keys_params_get(params, &p));
    for (uint32_t i = 0; i < p.count; i++) {
        uint8_t *bits = owns(s, wire_at(p.keys, i)) ? there : refused;
        bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << i % 8);
    }
    wire_put_array(out, 4);
    wire_put_uint(out, 0);
    wire_put_bin(out, there, (p.count + 7) / 8);
    wire_put_uint(out, s->map.epoch);
    wire_put_bin(out, refused, (p.count + 7) / 8);
}

static void serve(struct service *s, const struct wire_msg *m, struct wire_buf *out)
{
    if (strcmp(m->method, METHOD_SLOTS) == 0)
        answer_slots(s, out);
    else if (strcmp(m->method, METHOD_EXISTS) == 0)
        answer_exists(s, m->params, out);
    else if (strcmp(m->method, METHOD_SESSION_OPEN) == 0)
        session_open_result_put(out, &(struct session_open_result){.session = 1, .reign = 1});
    else
        wire_put_nil(out);
}

static void *on_opened(void *arg, struct rpc_conn *conn)
{
    (void)conn;
    return arg;
}

static void on_message(void *arg, struct rpc_conn *conn, const struct wire_msg *m)
{
    struct wire_buf out = {0};

    pthread_mutex_lock(&state.lock);
    wire_put_result(&out, m->msgid);
    serve(arg, m, &out);
    pthread_mutex_unlock(&state.lock);
    CHECK(!out.failed);
    rpc_conn_send(conn, out.data, out.len);
    rpc_conn_answered(conn);
    wire_buf_free(&out);
}

static void on_closed(void *arg, struct rpc_conn *conn)
{
    (void)arg;
    (void)conn;
}

static const struct rpc_handler handler = {
    .opened = on_opened, .message = on_message, .closed = on_closed};

static void *run(void *arg)
{
    rpc_loop_run(((struct service *)arg)->loop);
    return NULL;
}

static void service_start(struct service *s)
{
    struct endpoint e;

    CHECK(endpoint_parse(s->where, &e) == CENOTE_OK);
    s->loop = rpc_loop_new();
    CHECK(s->loop && rpc_listen(s->loop, &e, NULL, &handler, s, NULL) == CENOTE_OK);
    CHECK(pthread_create(&s->thread, NULL, run, s) == 0);
}

static void service_stop(struct service *s)
{
    rpc_loop_stop(s->loop);
    pthread_join(s->thread, NULL);
    rpc_loop_free(s->loop);
    s->loop = NULL;
}

/* The lower half is number 0's, the upper one number 1's. */
static void tell(struct service *s, uint64_t epoch, const char *lower, const char *upper)
{
    memset(&s->map, 0, sizeof s->map);
    s->map.epoch = epoch;
    s->map.range_count = 2;
    s->map.ranges[0] = (struct slot_range){0, HALF - 1, 0};
    s->map.ranges[1] = (struct slot_range){HALF, SLOTS - 1, 1};
    snprintf(s->map.endpoints[0], TEXT_MAX, "%s", lower);
    snprintf(s->map.endpoints[1], TEXT_MAX, "%s", upper);
}

static struct service *const a = &state.services[0], *const b = &state.services[1],
                             *const c = &state.services[2];

/* a and b have a half each; c is another place where b may live. */
static void begin(void)
{
    for (unsigned i = 0; i < SERVICES; i++) {
        struct service *s = &state.services[i];
        memset(s, 0, sizeof *s);
        snprintf(s->where, sizeof s->where, "unix:%s/%u", state.dir, i);
        s->number = i > 0;
        s->first = i > 0 ? HALF : 0;
        s->last = i > 0 ? SLOTS - 1 : HALF - 1;
        tell(s, 1, state.services[0].where, "");
    }
    tell(a, 1, a->where, b->where);
    tell(b, 1, a->where, b->where);
    service_start(a);
    service_start(b);
}

static void end(void)
{
    for (unsigned i = 0; i < SERVICES; i++) {
        if (state.services[i].loop)
            service_stop(&state.services[i]);
    }
}

/* ---- cases ----------------------------------------------------------------------------------- */

static struct cenote *open_client(void)
{
    const struct cenote_options o = {.meta = a->where, .timeout_ms = 3000};
    struct cenote *client;

    CHECK_EQ(cenote_open(&o, &client), CENOTE_OK);
    return client;
}

static int ask(struct cenote *client)
{
    bool present[KEYS];
    size_t prefix = 0;
    int status = cenote_exists(client, keys, KEYS, present, &prefix);

    CHECK(status != CENOTE_OK || prefix == KEYS);
    return status;
}

static void *ask_often(void *arg)
{
    for (unsigned i = 0; i < 10; i++)
        CHECK_EQ(ask(arg), CENOTE_OK);
    return NULL;
}

/* Many threads meet the second service at once. */
static void learns(void)
{
    struct cenote *client = open_client();
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, ask_often, client) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(a->asked_slots, 1);
    CHECK_EQ(b->asked_slots, 0);
    cenote_close(&client);
}

/* Both refuse the same keys by the same map. */
static void contradiction(void)
{
    struct cenote *client = open_client();

    b->first = SLOTS - 1;
    CHECK_EQ(ask(client), CENOTE_WRONG_SHARD);
    CHECK(a->asked_slots == 1 && b->asked_keys <= 8 && b->asked_slots == 0);
    cenote_close(&client);
}

static void raise_epoch(struct service *s)
{
    char where[TEXT_MAX];

    snprintf(where, sizeof where, "unix:%s/nobody%u", state.dir, s->asked_slots);
    tell(s, s->map.epoch + 1, a->where, where);
}

/* Every map is already old when the next answer comes, and names a service that nobody has heard
 * of. */
static void runaway(void)
{
    struct cenote *client = open_client();
    int status;

    a->before_slots = raise_epoch;
    a->first = HALF / 2; /* so that it refuses some of those that its maps give it */
    for (unsigned i = 0; i < RUNAWAY; i++) {
        status = ask(client);
        CHECK(status == CENOTE_WRONG_SHARD || status == CENOTE_UNAVAILABLE);
    }
    CHECK(a->asked_slots > 128 && a->asked_slots <= RUNAWAY * 5);
    cenote_close(&client);
}

static void malformed(void)
{
    struct cenote *client = open_client();

    a->broken = true;
    CHECK_EQ(ask(client), CENOTE_WRONG_SHARD);
    a->broken = false;
    a->map.ranges[0].last--;
    CHECK_EQ(ask(client), CENOTE_WRONG_SHARD);
    a->map.ranges[0].last++;
    CHECK_EQ(ask(client), CENOTE_OK);
    cenote_close(&client);
}

/* A service dies, and comes back elsewhere; who didn't move tells where. */
static void moves(void)
{
    struct cenote *client = open_client();
    uint64_t until_ms;

    CHECK_EQ(ask(client), CENOTE_OK);
    service_stop(b);
    CHECK_EQ(ask(client), CENOTE_UNAVAILABLE);
    tell(a, 2, a->where, c->where);
    tell(c, 2, a->where, c->where);
    service_start(c);
    until_ms = clock_now_ms() + 20000;
    while (ask(client) != CENOTE_OK) {
        CHECK(clock_now_ms() < until_ms);
        usleep(20000);
    }
    cenote_close(&client);
}

static void forks(void)
{
    struct cenote *client = open_client();
    int status;

    CHECK_EQ(ask(client), CENOTE_OK);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(cenote_exists(client, keys, 1, NULL, NULL), CENOTE_FORKED);
        cenote_close(&client);
        _exit(client ? 1 : 0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_EQ(ask(client), CENOTE_OK);
    cenote_close(&client);
}

int main(void)
{
    void (*const cases[])(void) = {learns, contradiction, runaway, malformed, moves, forks};

    strcpy(state.dir, "/tmp/cenote-shards-XXXXXX");
    CHECK(mkdtemp(state.dir));
    hash_init();
    log_set_level(LOG_ERROR);
    for (unsigned i = 0; i < KEYS; i++)
        keys[i] =
            (struct cenote_key){names[i], (size_t)snprintf(names[i], sizeof names[i], "k%u", i)};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t begun_ms = clock_now_ms();
        begin();
        cases[i]();
        end();
        fprintf(stderr, "case %u: %llu ms\n", i, (unsigned long long)(clock_now_ms() - begun_ms));
    }
    char command[128];
    for (unsigned i = 0; i < SERVICES; i++) {
        snprintf(command, sizeof command, "%s/%u", state.dir, i);
        unlink(command);
    }
    CHECK(rmdir(state.dir) == 0);
    return 0;
}
