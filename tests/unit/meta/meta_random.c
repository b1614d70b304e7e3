/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A seeded random life of the metadata service: clients that put, abort, forget, look up, hold,
 * remove, replace, disappear and come back; nodes that hold their answers, break off, restart with
 * and without their memory, and die; a store that fails; a service that is killed. Watched from
 * outside:
 *
 *   - no extent is granted again before its writer is done, its seal void, its lease over and
 *     nobody looks at it;
 *   - what was acknowledged is found, what was removed isn't, as long as the node lives and it is
 *     not evicted; what somebody has a lease on isn't;
 *   - a remove or a replace is answered when no reader accepts what was there before;
 *   - store, table and allocators agree whenever nothing is in flight;
 *   - a node whose directory is said to be up to date has exactly the entries that it must have,
 *     and that is so some time after the last disturbance.
 *
 * Usage: meta_random [seed [steps]]
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/service/peer.h"
#include "tests/support/metaworld.h"
#include "tests/unit/meta/extent_model.h"
#include "transport/base/log.h"

#define KEYS        12u
#define CLIENTS     4u
#define NODES       3u
#define PUTS        24u
#define HELD        16u
#define MIB         (UINT64_C(1) << 20)
#define EXTENTS_MAX (STRIPES_MAX * REPLICAS_MAX)
#define SEGMENT     (8 * MIB)

struct open_put {
    bool used;
    unsigned client, key;
    uint64_t session;
    bool replace;
    uint32_t replicas;
    struct put_start_item item;
};

enum waiting { NOTHING, COMMIT, REMOVE };

/* What is known of a key from the answers. */
struct key {
    uint64_t put_id; /* acknowledged; 0: not there */
    uint64_t leased; /* this put, until then */
    uint64_t leased_until_ms;
    bool unsure; /* an answer is missing: the next look tells */
    enum waiting waiting;
    unsigned client;
    uint32_t msgid;
    uint64_t committing;
    /* to send it again */
    uint64_t seq;
    bool again;
    struct put_start_item item;
    uint8_t states[EXTENTS_MAX];
    uint32_t extents;
};

struct machine {
    struct end *end; /* NULL: away */
    unsigned boot;
    bool beats;
    struct node_join_params params;
    struct directory *directory; /* as long as its memory */
};

static struct {
    struct world *world;
    struct extent_model model;
    uint64_t random;
    struct end *clients[CLIENTS];
    struct machine machines[NODES];
    struct key keys[KEYS];
    struct open_put puts[PUTS];
    unsigned faults;
    unsigned step;
    unsigned repeated, released;
    uint64_t evicted; /* by earlier lives of the service */
    uint64_t missed;  /* keys of which that was found */
} t;

static uint32_t draw(uint32_t below)
{
    t.random = t.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(t.random >> 33) % below;
}

#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            t.faults++;                                                                            \
            printf("step %u: ", t.step);                                                           \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
        }                                                                                          \
    } while (0)

static void replied(void *arg, struct end *e, const struct call *call)
{
    (void)arg;
    model_replied(&t.model, e, call);
}

static const char *name_of(unsigned key)
{
    static char name[16];
    snprintf(name, sizeof(name), "key-%u", key);
    return name;
}

/* ---- answers that were waited for ---- */

static void settle_key(unsigned k, int status)
{
    struct key *key = &t.keys[k];
    bool commit = key->waiting == COMMIT;
    key->waiting = NOTHING;
    if (status == CENOTE_OK && key->put_id != key->committing)
        model_superseded(&t.model, t.world->now_ms, key->put_id);
    if (status == CENOTE_OK)
        key->put_id = commit ? key->committing : 0;
    else if (status == CENOTE_NOT_FOUND && !commit)
        key->put_id = 0;
    else if (status == CENOTE_NO_SUCH_PUT && !key->again)
        return;
    else if (status != CENOTE_EXISTS && status != CENOTE_ABORTED)
        key->unsure = true;
}

static void collect(void)
{
    for (unsigned k = 0; k < KEYS; k++) {
        struct key *key = &t.keys[k];
        if (key->waiting == NOTHING)
            continue;
        struct end *e = t.clients[key->client];
        int status = key->waiting == COMMIT ? client_commit_status(e, key->msgid)
                                            : client_remove_status(e, key->msgid);
        if (status != 1)
            settle_key(k, status);
    }
}

static void send_waiting(struct key *key, const char *name)
{
    struct end *e = t.clients[key->client];
    if (key->waiting == COMMIT)
        key->msgid = client_end_send(e, METHOD_PUT_COMMIT, &key->item, key->states, key->extents);
    else
        key->msgid = client_remove_send(e, name);
    key->seq = e->seq;
}

static void forget_answer(struct key *key)
{
    key->waiting = NOTHING;
    key->unsure = true;
}

/* The client's connection is gone: what it waited for is not known. */
static void forget_answers(unsigned client)
{
    for (unsigned k = 0; k < KEYS; k++)
        if (t.keys[k].waiting != NOTHING && t.keys[k].client == client)
            forget_answer(&t.keys[k]);
}

/* Unless it asks again, in the same session: then it is told, and knows as much as before. */
static void ask_again(unsigned client)
{
    struct end *e = t.clients[client];
    uint64_t seq = e->seq;
    for (unsigned k = 0; k < KEYS; k++) {
        struct key *key = &t.keys[k];
        if (key->waiting == NOTHING || key->client != client)
            continue;
        if (draw(4) == 0) {
            forget_answer(key);
            continue;
        }
        e->seq = key->seq - 1;
        key->again = true;
        send_waiting(key, name_of(k));
        t.repeated++;
    }
    e->seq = seq;
}

/* ---- what clients do ---- */

static struct open_put *free_put(void)
{
    for (unsigned i = 0; i < PUTS; i++)
        if (!t.puts[i].used)
            return &t.puts[i];
    return NULL;
}

static struct open_put *some_put(void)
{
    unsigned first = draw(PUTS);
    for (unsigned i = 0; i < PUTS; i++)
        if (t.puts[(first + i) % PUTS].used)
            return &t.puts[(first + i) % PUTS];
    return NULL;
}

static void do_start(void)
{
    static struct stripe stripes[STRIPES_MAX];
    struct open_put *p = free_put();
    unsigned c = draw(CLIENTS), k = draw(KEYS);
    if (p == NULL)
        return;
    uint64_t len = draw(10) == 0 ? draw(12 * MIB) : draw(3) == 0 ? draw(2 * MIB) : draw(100000);
    bool replace = draw(3) == 0;
    p->replicas = 1 + draw(NODES);
    int status = client_put_start(t.clients[c], name_of(k), len,
                                  put_start_flags(replace, p->replicas), &p->item, stripes);
    if (status != CENOTE_OK)
        return;
    p->used = true;
    p->client = c;
    p->key = k;
    p->replace = replace;
    p->session = t.clients[c]->session.session;
    model_granted(&t.model, t.world->now_ms, p->session, p->item.put_id, stripes,
                  p->item.stripe_count);
}

/* Mostly all alike; sometimes each of its own. */
static void draw_states(const struct open_put *p, uint8_t *states, uint32_t extents, bool commit)
{
    static const uint8_t dice[] = {EXTENT_VISIBLE, EXTENT_VISIBLE, EXTENT_VISIBLE, EXTENT_VISIBLE,
                                   EXTENT_VISIBLE, EXTENT_DRAINED, EXTENT_UNKNOWN, EXTENT_UNKNOWN};
    bool mixed = draw(2) == 0;
    for (uint32_t i = 0; i < extents; i++) {
        states[i] = i == 0 || mixed ? dice[draw(8)] : states[0];
        if (states[i] != EXTENT_UNKNOWN)
            model_writer_done(&t.model, p->item.put_id, i);
        if (commit && states[i] == EXTENT_VISIBLE)
            model_visible(&t.model, p->item.put_id, i);
    }
}

static void do_end(void)
{
    struct open_put *p = some_put();
    if (p == NULL || t.keys[p->key].waiting != NOTHING)
        return;
    struct end *e = t.clients[p->client];
    if (e->session.session != p->session || draw(8) == 0) {
        p->used = false; /* forgotten: nobody knows what its writer does */
        return;
    }
    uint8_t states[EXTENTS_MAX];
    uint32_t extents = p->item.stripe_count * p->replicas;
    bool commit = draw(6) != 0;
    draw_states(p, states, extents, commit);
    p->used = false;
    if (!commit) {
        client_end_send(e, METHOD_PUT_ABORT, &p->item, states, extents);
        world_run(t.world);
        return;
    }
    struct key *key = &t.keys[p->key];
    key->waiting = COMMIT;
    key->client = p->client;
    key->committing = p->item.put_id;
    key->again = false;
    key->item = p->item;
    memcpy(key->states, states, extents);
    key->extents = extents;
    send_waiting(key, name_of(p->key));
}

static void do_remove(void)
{
    unsigned c = draw(CLIENTS), k = draw(KEYS);
    if (t.keys[k].waiting != NOTHING)
        return;
    t.keys[k].waiting = REMOVE;
    t.keys[k].client = c;
    t.keys[k].again = false;
    send_waiting(&t.keys[k], name_of(k));
}

/* Is there a stripe of which every replica that was committed lay in an incarnation that has ended?
 */
static bool is_lost(uint64_t put_id)
{
    bool lives[STRIPES_MAX] = {false};
    uint32_t stripes = 0;
    for (uint32_t i = 0; i < t.model.count; i++) {
        const struct watched *x = &t.model.extents[i];
        if (x->put_id != put_id)
            continue;
        stripes = x->stripes;
        lives[x->stripe] |=
            x->visible && members_find(&t.world->service->core, gva_make(x->gva), x->size) != NULL;
    }
    for (uint32_t i = 0; i < stripes; i++)
        if (!lives[i])
            return true;
    return false;
}

/* Somebody looks at one of the extents that he has just found. */
static void hold(const struct stripe *s)
{
    struct gva extent = s->gva[draw(s->replicas)];
    for (unsigned i = 0; i < t.world->held_count; i++)
        if (t.world->held[i].v == extent.v)
            return;
    if (t.world->held_count == HELD)
        return;
    world_hold(t.world, extent);
    model_held(&t.model, extent.v, true);
}

static void do_release(void)
{
    if (t.world->held_count == 0)
        return;
    struct gva extent = t.world->held[draw(t.world->held_count)];
    model_held(&t.model, extent.v, false);
    world_unhold(t.world, extent);
    t.released++;
}

static uint64_t evictions(void)
{
    const struct evict *e = &t.world->service->core.evict;
    uint64_t objects = 0;
    for (unsigned i = 0; i < EVICT_REASONS; i++)
        objects += e->counts[i].objects;
    return objects;
}

static void do_lookup(void)
{
    static struct stripe stripes[STRIPES_MAX];
    struct lookup_item item;
    unsigned c = draw(CLIENTS), k = draw(KEYS);
    struct key *key = &t.keys[k];
    if (key->waiting != NOTHING)
        return; /* it might wait with the key */
    uint32_t msgid = client_lookup_send(t.clients[c], name_of(k));
    world_run(t.world);
    struct answer *a = end_answer(t.clients[c], msgid);
    if (a == NULL) { /* it waits: answered some day, with a lease that then begins */
        key->unsure = true;
        return;
    }
    bool good = lookup_item_get(wire_at(wire_at(a->msg.result, 1), 0), &item);
    assert(good && a->msg.error == CENOTE_OK);
    for (uint32_t i = 0; item.status == CENOTE_OK && i < item.stripe_count; i++) {
        good = located_stripe_get(wire_at(item.stripes, i), &stripes[i]);
        assert(good && stripes[i].replicas > 0);
    }
    answer_drop(t.clients[c], a);
    uint64_t found = item.status == CENOTE_OK ? item.put_id : 0;
    bool lost = is_lost(key->put_id);
    if (found != 0 && found != key->put_id) /* a miss is allowed earlier */
        model_superseded(&t.model, t.world->now_ms, key->put_id);
    if (found != 0)
        model_leased(&t.model, found, stripes, item.stripe_count, t.world->now_ms + item.lease_ms);
    if (found != 0 && draw(3) == 0)
        hold(&stripes[draw(item.stripe_count)]);
    if (!key->unsure && !lost && key->put_id != 0 && found == 0) {
        EXPECT(key->leased != key->put_id || t.world->now_ms >= key->leased_until_ms,
               "%s is leased, and gone", name_of(k));
        EXPECT(++t.missed <= t.evicted + evictions(), "%s has gone, unevicted", name_of(k));
        key->put_id = 0;
    }
    if (key->unsure || (found == 0 && lost)) {
        key->put_id = found;
        key->unsure = false;
    }
    key->leased = found;
    key->leased_until_ms = t.world->now_ms + (found != 0 ? item.lease_ms : 0);
    EXPECT(found == key->put_id, "%s is put %llx, expected %llx", name_of(k),
           (unsigned long long)found, (unsigned long long)key->put_id);
}

static void new_client(unsigned c)
{
    t.clients[c] = client_open(t.world, "default");
}

static void do_leave(void)
{
    unsigned c = draw(CLIENTS);
    struct wire_buf b;
    forget_answers(c);
    if (draw(2) == 0) {
        uint32_t msgid = end_request(t.clients[c], &b, METHOD_SESSION_CLOSE);
        wire_put_array(&b, 0);
        end_ask(t.clients[c], &b, msgid, NULL);
    }
    end_close(t.clients[c]);
    new_client(c);
}

static void resume(unsigned c)
{
    int status;
    struct end *old = t.clients[c];
    t.clients[c] = client_resume(t.world, old, &status);
    world_run(t.world);
    end_close(old);
    if (status == CENOTE_OK) {
        ask_again(c);
        return;
    }
    forget_answers(c);
    end_close(t.clients[c]);
    new_client(c);
}

/* ---- what nodes do ---- */

static void new_memory(struct machine *m)
{
    for (uint32_t i = 0; i < m->params.segment_count; i++)
        m->params.segments[i].incarnation = 0;
    directory_close(m->directory);
    int status = directory_open(-1, 64 * MIB, NULL, 0, &m->directory);
    assert(status == CENOTE_OK);
}

static void join(struct machine *m)
{
    int status;
    if (m->end != NULL)
        end_close(m->end);
    m->end = node_join(t.world, &m->params, &status);
    if (status == CENOTE_OK) {
        m->beats = true;
        for (uint32_t i = 0; i < m->params.segment_count; i++)
            m->params.segments[i].incarnation = m->end->joined.segments[i].incarnation;
        status = node_heartbeat_with(m->end, m->params.segment_count, SEGMENT, m->directory);
        EXPECT(status == CENOTE_OK, "heartbeat refused: %d", status);
        return;
    }
    end_close(m->end);
    m->end = NULL;
    if (status == CENOTE_NODE_UNKNOWN)
        new_memory(m);
}

static void do_node(void)
{
    struct machine *m = &t.machines[draw(NODES)];
    if (m->end == NULL) {
        join(m);
        return;
    }
    switch (draw(7)) {
    case 0: /* breaks off, keeps its memory */
        end_close(m->end);
        m->end = NULL;
        break;
    case 1: /* restarts with its memory */
        end_close(m->end);
        m->end = NULL;
        m->params.boot++;
        join(m);
        break;
    case 2: /* restarts without */
        if (draw(3) != 0)
            break;
        end_close(m->end);
        m->end = NULL;
        m->params.boot++;
        new_memory(m);
        break;
    case 3:
        m->beats = draw(2) == 0;
        break;
    default:
        m->end->holds_calls = draw(2) == 0;
        break;
    }
}

/* ---- time, faults ---- */

static void pass(uint64_t ms)
{
    for (uint64_t done = 0; done < ms; done += 100) {
        world_pass(t.world, 100);
        for (unsigned i = 0; i < NODES; i++) {
            struct machine *m = &t.machines[i];
            if (m->end != NULL && m->end->peer == NULL) { /* declared dead: its line was closed */
                end_close(m->end);
                m->end = NULL;
            }
            if (m->end != NULL && m->beats)
                node_heartbeat(m->end, m->params.segment_count, SEGMENT);
        }
    }
}

static void do_crash(void)
{
    t.evicted += evictions();
    world_crash(t.world, draw(memstore_waiting(t.world->store) + 1));
    int status = world_start(t.world);
    EXPECT(status == CENOTE_OK, "the service doesn't start: %d", status);
    for (unsigned i = 0; i < NODES; i++) {
        if (t.machines[i].end != NULL)
            end_close(t.machines[i].end);
        t.machines[i].end = NULL;
        if (draw(3) != 0)
            join(&t.machines[i]);
    }
    for (unsigned c = 0; c < CLIENTS; c++)
        resume(c);
}

static bool is_owed_voids(const struct node *n)
{
    for (uint32_t i = 0; i < n->segment_count; i++)
        if (!list_empty(&n->segments[i]->voids) || !list_empty(&n->segments[i]->voiding))
            return true;
    return false;
}

static void check_directory(struct core *c, const struct node *n, struct directory *d)
{
    uint64_t extents = 0;
    for (uint32_t ref = 0; ref < table_refs(&c->table); ref++) {
        struct object *o = table_at(&c->table, ref);
        for (uint32_t i = 0; o != NULL && i < object_extents(o); i++) {
            const struct piece *p = object_piece(o, i);
            const struct incarnation *in = members_find(c, p->gva, p->payload_len);
            struct directory_entry e;
            if (o->state != OBJECT_COMMITTED || !piece_there(p) || in == NULL || in->node != n)
                continue;
            extents++;
            EXPECT(directory_find(d, p->gva, &e) && e.put_id == o->put_id && e.root == p->root &&
                       e.payload_len == p->payload_len,
                   "%s has no entry of put %llx", n->name, (unsigned long long)o->put_id);
        }
    }
    uint64_t entries = directory_sum(d).entries;
    EXPECT(is_owed_voids(n) || entries == extents, "%s has %llu entries of %llu extents", n->name,
           (unsigned long long)entries, (unsigned long long)extents);
}

static void check_directories(bool late)
{
    struct core *c = &t.world->service->core;
    list_each(&c->members.nodes, l)
    {
        const struct node *n = container_of(l, struct node, link);
        const struct machine *m = &t.machines[n->name[1] - '0'];
        if (m->end == NULL || m->end->peer == NULL || n->peer != m->end->peer)
            continue;
        if (n->directory.kept && directory_lag(n) == 0)
            check_directory(c, n, m->directory);
        else
            EXPECT(!late, "the directory of %s isn't up to date", n->name);
    }
}

static void quiesce(void)
{
    for (unsigned i = 0; i < NODES; i++)
        if (t.machines[i].end != NULL)
            t.machines[i].end->holds_calls = false;
    world_run(t.world);
    collect();
    unsigned faults = service_check(t.world->service);
    EXPECT(faults == 0, "%u faults", faults);
    check_directories(false);
}

static void one_step(void)
{
    unsigned what = draw(100);
    if (what < 34)
        do_start();
    else if (what < 60)
        do_end();
    else if (what < 68)
        do_remove();
    else if (what < 84)
        do_lookup();
    else if (what == 84)
        do_release();
    else if (what < 90)
        pass(draw(20) == 0 ? 6000 : 100 + draw(900));
    else if (what < 94)
        do_node();
    else if (what == 94)
        do_leave();
    else if (what == 95)
        resume(draw(CLIENTS));
    else if (what == 96)
        memstore_fail(t.world->store, 1 + draw(3), draw(2) == 0 ? CENOTE_IO : CENOTE_META_FULL);
    else if (what == 97)
        do_crash();
    else if (what >= 98)
        quiesce();
    if (draw(2) == 0)
        world_run(t.world);
    collect();
    /* Failures that nothing has met would hit the set-up of the next step. */
    memstore_fail(t.world->store, 0, 0);
}

static void life(uint64_t seed, unsigned steps)
{
    struct service_options options = {.lease_ms = 1000,
                                      .put_timeout_ms = 5000,
                                      .session_grace_ms = 3000,
                                      .heartbeat_ms = 100,
                                      .suspect_ms = 1000,
                                      .dead_ms = 4000};
    memset(&t, 0, sizeof(t));
    t.random = seed;
    t.world = world_new(&options);
    t.world->replied = replied;
    int status = world_start(t.world);
    assert(status == CENOTE_OK);
    for (unsigned i = 0; i < NODES; i++) {
        char name[8];
        snprintf(name, sizeof(name), "n%u", i);
        t.machines[i].params = node_params(name, 100 * (i + 1), 2, SEGMENT);
        new_memory(&t.machines[i]);
        join(&t.machines[i]);
    }
    for (unsigned c = 0; c < CLIENTS; c++)
        new_client(c);
    for (t.step = 0; t.step < steps && t.faults == 0 && t.model.faults == 0; t.step++)
        one_step();
    quiesce();
    for (unsigned i = 0; i < NODES; i++)
        t.machines[i].beats = true;
    pass(DIRECTORY_LIST_PAUSE_MS + 1000);
    check_directories(true);
    t.faults += t.model.faults;
    printf("seed %llu: %u steps, %llu extents reused, %u calls repeated, %u holds, %llu evictions "
           "(%llu noticed), %u faults\n",
           (unsigned long long)seed, t.step, (unsigned long long)t.model.reuses, t.repeated,
           t.released, (unsigned long long)(t.evicted + evictions()), (unsigned long long)t.missed,
           t.faults);
    world_free(t.world);
    for (unsigned i = 0; i < NODES; i++)
        directory_close(t.machines[i].directory);
    free(t.model.extents);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    unsigned seeds = argc > 1 ? 1 : 20;
    unsigned steps = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 3000;
    log_set_sink(getenv("META_LOG") != NULL ? log_to_stderr : NULL, NULL);
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        life(seed, steps);
        if (t.faults > 0)
            return 1;
    }
    return 0;
}
