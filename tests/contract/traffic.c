/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/contract/traffic.h"

#include <string.h>
#include <unistd.h>

#include "transport/base/clock.h"

#define EXTENTS         4u
#define CONNECT_MS      3000u
#define PATIENCE_MS     60000u
#define PAUSE_US        60000u
#define EXTENT_BYTES(t) ((t)->value_bytes + (64 << 10))

static void note_time(struct traffic *t, uint64_t since_ms)
{
    uint64_t took_ms = clock_now_ms() - since_ms;
    if (took_ms > atomic_load(&t->longest_ms))
        atomic_store(&t->longest_ms, took_ms);
}

/* NULL: not now. */
static struct xcopy_channel *connect_once(struct traffic *t)
{
    struct rig *r = t->rig;
    struct xcopy_channel *c = NULL;
    struct xcopy_credentials who = rig_who(t->session);
    uint64_t since_ms = clock_now_ms();
    int status = r->transport->connect(r->context, &r->peer, &who, CONNECT_MS, &c);
    note_time(t, since_ms);
    atomic_fetch_add(status == CENOTE_OK ? &t->connects : &t->refused, 1);
    if (status != CENOTE_OK)
        usleep(50000);
    return c;
}

/* What is left of a put that failed must not meet the next one in its extent. */
static void fence_off(struct traffic *t, uint64_t put_id)
{
    struct rig_fence f;
    uint64_t since_ms = clock_now_ms();
    rig_fence_begin(t->rig, &f, t->session, put_id);
    CHECK(rig_fence_ended(&f, RIG_TIMEOUT_MS));
    rig_fence_free(&f);
    note_time(t, since_ms);
}

/* How a request may end when devices fail. */
static bool judge(struct traffic *t, int status)
{
    if (status == CENOTE_OK)
        return true;
    if (status != CENOTE_NODE_DOWN && status != CENOTE_IO && status != CENOTE_FENCED)
        CHECK_STATUS(status, CENOTE_TIMED_OUT);
    atomic_fetch_add(&t->timed_out, status == CENOTE_TIMED_OUT);
    atomic_fetch_add(&t->failed, 1);
    return false;
}

/* False: something failed. */
static bool round_trip(struct traffic *t, struct xcopy_channel *c, struct rig_value *v,
                       uint8_t *out)
{
    struct cenote_buffer whole = {v->data, v->len_bytes};
    struct xcopy_req put = rig_write_req(v, &whole, 1);
    uint64_t since_ms = clock_now_ms();
    bool good = judge(t, rig_run(c, &put));
    note_time(t, since_ms);
    if (!good) {
        fence_off(t, v->put_id);
        return false;
    }
    CHECK(rig_holds(t->rig, v));
    since_ms = clock_now_ms();
    memset(out, 0, v->len_bytes);
    good = judge(t, rig_get(c, v, out));
    note_time(t, since_ms);
    CHECK(!good || memcmp(out, v->data, v->len_bytes) == 0);
    return good;
}

static struct xcopy_channel *keep_connected(struct traffic *t, struct xcopy_channel *c)
{
    if (c != NULL && !c->transport->alive(c)) {
        rig_disconnect(c);
        c = NULL;
    }
    return c != NULL ? c : connect_once(t);
}

static void *traffic_main(void *arg)
{
    struct traffic *t = arg;
    struct xcopy_channel *c = NULL;
    uint8_t *out = malloc(t->value_bytes);
    CHECK(out != NULL);
    rig_patience_ms = t->patience_ms;
    for (unsigned i = 0; !atomic_load(&t->stopping); i++) {
        struct rig_value v;
        c = keep_connected(t, c);
        if (c == NULL)
            continue;
        uint64_t extent = (t->session - 1) * EXTENTS + i % EXTENTS;
        rig_value_make(&v, t->session, rig_next_put(), extent * EXTENT_BYTES(t), t->value_bytes);
        if (round_trip(t, c, &v, out))
            atomic_fetch_add(&t->rounds, 1);
        usleep(PAUSE_US); /* the processors are those who make the faults, too */
        rig_value_free(&v);
    }
    if (c != NULL)
        rig_disconnect(c);
    free(out);
    return NULL;
}

void traffic_start(struct traffic *t, struct rig *r, uint64_t session, uint64_t value_bytes,
                   uint32_t patience_ms)
{
    memset(t, 0, sizeof *t);
    t->patience_ms = patience_ms;
    t->rig = r;
    t->session = session;
    t->value_bytes = value_bytes;
    CHECK(session * EXTENTS * EXTENT_BYTES(t) <= RIG_SEGMENT);
    CHECK(pthread_create(&t->thread, NULL, traffic_main, t) == 0);
}

static void await_more(const atomic_uint *a, const atomic_uint *b, unsigned count)
{
    uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    unsigned begin = atomic_load(a) + atomic_load(b);
    while (atomic_load(a) + atomic_load(b) - begin < count) {
        CHECK(clock_now_ms() < deadline_ms);
        usleep(2000);
    }
}

void traffic_await_rounds(struct traffic *t, unsigned count)
{
    static const atomic_uint none;
    await_more(&t->rounds, &none, count);
}

void traffic_await_failure(struct traffic *t)
{
    await_more(&t->failed, &t->refused, 1);
}

void traffic_stop(struct traffic *t, uint64_t limit_ms)
{
    atomic_store(&t->stopping, true);
    pthread_join(t->thread, NULL);
    printf("  session %u: %u round trips, %u requests failed (%u timed out), %u connects and %u "
           "refused, longest %u ms\n",
           (unsigned)t->session, t->rounds, t->failed, t->timed_out, t->connects, t->refused,
           (unsigned)t->longest_ms);
    CHECK(t->longest_ms <= limit_ms);
}
