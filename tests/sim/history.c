/* SPDX-License-Identifier: Apache-2.0 */
/* What the clients did and saw, and whether it can be explained. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/scene.h"

#define LOSSES_MAX 1024u

static struct record records[HISTORY_MAX];
static unsigned count;
static struct {
    unsigned key;
    struct linear_loss loss;
} losses[LOSSES_MAX];
static unsigned loss_count;
static bool doubted;
static uint64_t doubted_ns; /* until then, if not now */
static struct {
    uint64_t asked_ns;   /* the service, the last time */
    uint64_t strayed_ns; /* until then it goes by what a twin of the service has told it */
} clients[PLAN_CLIENTS_MAX];

static const char *const kinds[LINEAR_KINDS] = {"put", "replace", "remove", "get", "exists"};

void history_reset(void)
{
    count = loss_count = 0;
    doubted = false;
    doubted_ns = 0;
    memset(clients, 0, sizeof clients);
}

unsigned history_count(void)
{
    return count;
}

const struct record *history_at(unsigned at)
{
    return at < count ? &records[at] : NULL;
}

void history_bytes(int at, const uint8_t *bytes)
{
    records[at].bytes = bytes;
}

int history_begin(unsigned client, unsigned key, enum linear_kind kind, uint64_t len_bytes)
{
    assert(count < HISTORY_MAX);
    struct record *r = &records[count];
    *r = (struct record){.client = client, .key = key, .len_bytes = len_bytes};
    r->op = (struct linear_op){.invoked_ns = world.now_ns,
                               .kind = kind,
                               .value = kind <= LINEAR_REPLACE ? count + 1 : 0,
                               .tag = count};
    TRACE("client %u begins %u: %s key %u", client, count, kinds[kind], key);
    return (int)count++;
}

static enum linear_outcome outcome_of(const struct record *r, int status)
{
    bool reads = r->op.kind == LINEAR_GET || r->op.kind == LINEAR_REMOVE;
    if (status == CENOTE_OK)
        return r->op.kind == LINEAR_EXISTS ? LINEAR_THERE : LINEAR_DONE;
    if (status == CENOTE_EXISTS && r->op.kind == LINEAR_PUT)
        return LINEAR_THERE;
    if (status == CENOTE_NOT_FOUND && (reads || r->op.kind == LINEAR_EXISTS))
        return LINEAR_MISSING;
    return LINEAR_OUTCOMES;
}

/* Clients go by what they looked up there as long as its lease runs, by clocks that differ. */
static uint64_t leased_ns(void)
{
    return world.now_ns + scene.plan->lease_ms * NS_PER_MS * 51 / 50;
}

void history_doubt(bool now)
{
    if (doubted && !now)
        doubted_ns = leased_ns();
    doubted = now;
}

void history_asks(const struct process *client, bool twin)
{
    for (unsigned i = 0; i < PLAN_CLIENTS_MAX; i++) {
        if (scene.apps[i].process != client)
            continue;
        if (twin)
            clients[i].strayed_ns = leased_ns();
        else
            clients[i].asked_ns = world.now_ns;
    }
}

bool history_doubts(uint64_t asked_ns)
{
    return doubted || asked_ns <= doubted_ns;
}

/* Its answer may be of a service that was restored, or of a twin: what that knows, and what is done
 * there, goes with it. What was read must be some value of the key all the same, whole. */
static void doubt(struct record *r)
{
    uint64_t begun_ns = r->op.invoked_ns;
    bool strays = begun_ns <= clients[r->client].strayed_ns;
    if (!history_doubts(begun_ns) && !strays)
        return;
    if (strays && clients[r->client].asked_ns < begun_ns)
        r->judged = false; /* the service hasn't heard of it */
    r->judged = r->judged && r->op.kind <= LINEAR_REMOVE;
    r->op.outcome = LINEAR_UNKNOWN;
}

void history_end(int at, int status, uint64_t value)
{
    struct record *r = &records[at];
    bool reads = r->op.kind == LINEAR_GET;
    bool answered = status == CENOTE_OK || status == CENOTE_NOT_FOUND ||
                    (status == CENOTE_CORRUPT && scene.flipped);
    if (scene.calm && reads && !answered && status != CENOTE_NOT_SUPPORTED)
        violation("a get of key %u, when all is well: %s", r->key, cenote_status_name(status));
    r->op.returned_ns = world.now_ns;
    if (reads)
        r->op.value = value;
    r->op.outcome = status == CENOTE_UNKNOWN ? LINEAR_UNKNOWN : outcome_of(r, status);
    r->judged = r->op.outcome != LINEAR_OUTCOMES;
    doubt(r);
    toll((uint64_t)(int64_t)status * 7 + value);
    TRACE("client %u ends %d: %s, value %llu", r->client, at, cenote_status_name(status),
          (unsigned long long)value);
}

void history_lost(int at)
{
    struct record *r = &records[at];
    r->op.outcome = LINEAR_UNKNOWN;
    r->op.returned_ns = world.now_ns;
    r->judged = r->op.kind <= LINEAR_REMOVE;
}

void history_loss(unsigned key, uint64_t from_ns)
{
    TRACE("what key %u had is lost, or evicted", key);
    assert(loss_count < LOSSES_MAX);
    losses[loss_count].key = key;
    losses[loss_count++].loss = (struct linear_loss){from_ns, from_ns};
}

static void explain(const struct linear_op *ops, const struct linear_result *r, unsigned key)
{
    char text[400];
    int at = 0;
    for (size_t i = 0; i < r->window_count && at < (int)sizeof text - 80; i++) {
        const struct linear_op *op = &ops[r->window[i]];
        at += snprintf(text + at, sizeof text - (size_t)at, " %s%u %s %llu;",
                       r->window[i] == r->culprit ? "*" : "", op->tag, kinds[op->kind],
                       (unsigned long long)op->value);
    }
    violation("key %u isn't linearizable:%.*s", key, at, text);
}

static void judge(unsigned key)
{
    static struct linear_op ops[HISTORY_MAX];
    struct linear_loss lost[LOSSES_MAX];
    struct linear_history h = {.ops = ops, .losses = lost};
    struct linear_result r;
    for (unsigned i = 0; i < loss_count; i++) {
        if (losses[i].key == key)
            lost[h.loss_count++] = losses[i].loss;
    }
    for (unsigned i = 0; i < count; i++) {
        if (records[i].key == key && records[i].judged)
            ops[h.count++] = records[i].op;
    }
    linear_check(&h, &r);
    if (r.verdict == LINEAR_BAD)
        explain(ops, &r, key);
    else if (r.verdict != LINEAR_GOOD && r.verdict != LINEAR_LIMIT)
        violation("key %u can't be judged: %d", key, (int)r.verdict);
    linear_result_free(&r);
}

void history_judge(unsigned keys)
{
    for (unsigned key = 0; key < keys; key++)
        judge(key);
}
