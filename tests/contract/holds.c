/* SPDX-License-Identifier: Apache-2.0 */
/* Contract cases: what is held is found by whoever looks for it after the seal was made void. */
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "tests/contract/cases.h"
#include "tests/contract/lives.h"
#include "transport/base/testswitch.h"

#define SOON_MS 20000u

static struct xcopy_hold hold_of(const struct rig_value *v, uint32_t slot)
{
    return (struct xcopy_hold){
        .gva = rig_gva(v->offset), .payload_len = v->len_bytes, .put_id = v->put_id, .slot = slot};
}

/* As a client: is what is held what was looked up? */
static bool right(const struct rig_value *v, const struct xcopy_hold *h)
{
    const struct seal_want want = {.put_id = v->put_id,
                                   .gva = rig_gva(v->offset),
                                   .incarnation = RIG_INCARNATION,
                                   .payload_len = v->len_bytes};
    struct seal seal;
    return seal_check(h->seal, &want, &seal) == CENOTE_OK;
}

bool rig_held(struct rig *r, uint64_t offset)
{
    const struct gva extents[3] = {rig_gva(offset), rig_gva(offset + EXTENT_ALIGN),
                                   rig_gva(RIG_SEGMENT - EXTENT_ALIGN)};
    bool held[3] = {false};
    xcopy_held(r->exporter, extents, 3, held);
    CHECK(!held[1] && !held[2]);
    return held[0];
}

static bool supported(const struct rig *r)
{
    return xcopy_holds(r->transport);
}

/* Where bytes are moved, nothing can be held. */
static void expect_nothing(struct rig *r)
{
    struct xcopy_channel *c = rig_connect(r, 1);
    struct rig_value v;
    rig_value_make(&v, 1, rig_next_put(), 4096, 5000);
    rig_put(c, &v);
    struct xcopy_hold h = hold_of(&v, 0);
    CHECK_STATUS(xcopy_hold(c, &h), CENOTE_NOT_SUPPORTED);
    CHECK(!rig_held(r, v.offset) && xcopy_hold_count(r->exporter) == 0);
    rig_value_free(&v);
    rig_disconnect(c);
}

void case_hold(struct rig *r)
{
    struct rig_value v;
    if (!supported(r)) {
        expect_nothing(r);
        return;
    }
    struct xcopy_channel *c = rig_connect(r, 1), *other = rig_connect(r, 2);
    rig_value_make(&v, 1, rig_next_put(), 4096, 300000);
    rig_put(c, &v);
    struct xcopy_hold mine = hold_of(&v, 0), again = hold_of(&v, XCOPY_HOLDS_MAX - 1);
    struct xcopy_hold theirs = hold_of(&v, 0);
    CHECK_STATUS(xcopy_hold(c, &mine), CENOTE_OK);
    CHECK_STATUS(xcopy_hold(c, &again), CENOTE_OK);
    CHECK_STATUS(xcopy_hold(other, &theirs), CENOTE_OK);
    CHECK(right(&v, &mine) && memcmp(mine.data, v.data, v.len_bytes) == 0);
    CHECK(right(&v, &theirs) && memcmp(theirs.data, v.data, v.len_bytes) == 0);
    CHECK(xcopy_hold_count(r->exporter) == 3);
    rig_void(r, &v);
    CHECK(rig_held(r, v.offset) && !rig_held(r, v.offset + (1 << 20)));
    xcopy_unhold(c, 0);
    CHECK(rig_held(r, v.offset));
    xcopy_unhold(other, 0);
    CHECK(rig_held(r, v.offset));
    CHECK(memcmp(again.data, v.data, v.len_bytes) == 0);
    xcopy_unhold(c, XCOPY_HOLDS_MAX - 1);
    CHECK(!rig_held(r, v.offset) && xcopy_hold_count(r->exporter) == 0);
    rig_value_free(&v);
    rig_disconnect(c);
    rig_disconnect(other);
}

/* A void seal is seen by the node that reads requests, or by the one that holds. */
void case_hold_refused(struct rig *r)
{
    struct rig_value v;
    if (!supported(r))
        return;
    struct xcopy_channel *c = rig_connect(r, 1);
    rig_value_make(&v, 1, rig_next_put(), 4096, 300000);
    rig_put(c, &v);
    struct xcopy_hold h = hold_of(&v, 1);
    rig_void(r, &v);
    int status = xcopy_hold(c, &h);
    if (status == CENOTE_OK) {
        CHECK(!right(&v, &h));
        xcopy_unhold(c, 1);
    } else {
        CHECK_STATUS(status, CENOTE_STALE);
    }
    h.gva = rig_gva(RIG_SEGMENT);
    CHECK_STATUS(xcopy_hold(c, &h), CENOTE_BAD_RANGE);
    h.gva = rig_gva(RIG_SEGMENT - 4096);
    CHECK_STATUS(xcopy_hold(c, &h), CENOTE_BAD_RANGE);
    h.gva = rig_gva(4097);
    CHECK_STATUS(xcopy_hold(c, &h), CENOTE_BAD_RANGE);
    h = hold_of(&v, XCOPY_HOLDS_MAX);
    CHECK_STATUS(xcopy_hold(c, &h), CENOTE_BAD_RANGE);
    h = hold_of(&v, 1);
    h.payload_len = UINT64_MAX;
    CHECK_STATUS(xcopy_hold(c, &h), CENOTE_BAD_RANGE);
    CHECK(xcopy_hold_count(r->exporter) == 0);
    rig_value_free(&v);
    rig_disconnect(c);
}

/* All slots of a channel; and one that has broken still lets go. */
void case_hold_all(struct rig *r)
{
    struct rig_value v;
    if (!supported(r))
        return;
    struct xcopy_channel *c = rig_connect(r, 1);
    rig_value_make(&v, 1, rig_next_put(), 4096, 100);
    rig_put(c, &v);
    for (uint32_t i = 0; i < XCOPY_HOLDS_MAX; i++) {
        struct xcopy_hold h = hold_of(&v, i);
        CHECK_STATUS(xcopy_hold(c, &h), CENOTE_OK);
        CHECK(right(&v, &h));
    }
    CHECK(xcopy_hold_count(r->exporter) == XCOPY_HOLDS_MAX);
    c->transport->cancel(c, CENOTE_TIMED_OUT);
    for (uint32_t i = 0; i < XCOPY_HOLDS_MAX; i++) {
        CHECK(rig_held(r, v.offset));
        xcopy_unhold(c, i);
    }
    struct xcopy_hold h = hold_of(&v, 0);
    CHECK_STATUS(xcopy_hold(c, &h), CENOTE_NODE_DOWN);
    CHECK(!rig_held(r, v.offset));
    rig_value_free(&v);
    rig_disconnect(c);
}

/* ---- holds and voids at the same time ------------------------------------------------------- */

#define RACE_OFFSET         UINT64_C(4096)
#define RACE_BYTES          512u
#define RACE_ROUNDS         1000u
#define RACE_CONTROL_ROUNDS 1000000u /* of its control, which ends with the first wrong byte */
#define RACE_WAITS          10u      /* each so many rounds, for somebody to see the put */
#define RACE_VIEWERS        3

struct race {
    struct rig *rig;
    _Atomic uint64_t put_id; /* that the extent was given to last */
    atomic_bool over;
    atomic_uint seen;
};

/* Each put has bytes of its own. */
static void race_plant(struct rig *r, uint64_t put_id)
{
    struct rig_value v;
    rig_value_make(&v, 1, put_id, RACE_OFFSET, RACE_BYTES);
    sums_update(v.sums, v.data, v.len_bytes);
    rig_seal(&v);
    memset(v.data, (int)(put_id & 0xff), v.len_bytes);
    memcpy(rig_memory(r, v.offset), v.data, v.len_bytes);
    uint8_t *seal = rig_memory(r, v.offset + extent_seal_offset(v.len_bytes));
    for (uint32_t i = 0; i < SEAL_BYTES; i += sizeof(uint32_t)) {
        void *word_at = seal + i;
        uint32_t word;
        memcpy(&word, v.tail + i, sizeof word);
        __atomic_store_n((uint32_t *)word_at, word, __ATOMIC_RELEASE);
    }
    rig_value_free(&v);
}

static void look(struct race *race, struct xcopy_channel *c, uint32_t slot)
{
    struct rig_value v = {
        .put_id = atomic_load(&race->put_id), .offset = RACE_OFFSET, .len_bytes = RACE_BYTES};
    struct xcopy_hold h = hold_of(&v, slot);
    int status = xcopy_hold(c, &h);
    CHECK(status == CENOTE_OK || status == CENOTE_STALE);
    bool mine = status == CENOTE_OK && right(&v, &h);
    const uint8_t *data = h.data;
    for (uint32_t pass = 0; mine && pass < 3; pass++) {
        for (uint32_t i = 0; i < RACE_BYTES; i++)
            CHECK(data[i] == (uint8_t)v.put_id);
        sched_yield();
    }
    if (status == CENOTE_OK)
        xcopy_unhold(c, slot);
    atomic_fetch_add(&race->seen, mine);
    while (!mine && atomic_load(&race->put_id) == v.put_id && !atomic_load(&race->over))
        sched_yield(); /* looks for the next put */
}

static void *viewer_main(void *arg)
{
    static atomic_uint slots;
    struct race *race = arg;
    uint32_t slot = atomic_fetch_add(&slots, 1) % XCOPY_HOLDS_MAX;
    struct xcopy_channel *c = rig_connect(race->rig, 1);
    while (!atomic_load(&race->over))
        look(race, c, slot);
    rig_disconnect(c);
    return NULL;
}

static void race_reuse(struct race *race, uint64_t put_id)
{
    struct rig *r = race->rig;
    struct rig_value v = {.offset = RACE_OFFSET, .len_bytes = RACE_BYTES};
    rig_void(r, &v);
    while (rig_held(r, RACE_OFFSET) && !test_off(TEST_HOLD))
        sched_yield();
    race_plant(r, put_id);
    atomic_store(&race->put_id, put_id);
}

/* Until viewers are about: where processors are few, they come too late for every put. */
static void race_wait(struct race *race)
{
    unsigned seen = atomic_load(&race->seen);
    while (atomic_load(&race->seen) == seen)
        sched_yield();
}

/* The extent goes from put to put as fast as viewers let it; nobody sees another put's bytes. */
void case_hold_race(struct rig *r)
{
    static struct race race;
    pthread_t threads[RACE_VIEWERS];
    if (!supported(r))
        return;
    race.rig = r;
    race_plant(r, 1);
    atomic_store(&race.put_id, 1);
    for (int i = 0; i < RACE_VIEWERS; i++)
        CHECK(pthread_create(&threads[i], NULL, viewer_main, &race) == 0);
    uint64_t rounds = test_off(TEST_HOLD) ? RACE_CONTROL_ROUNDS : RACE_ROUNDS;
    for (uint64_t put_id = 2; put_id < rounds; put_id++) {
        if (put_id % RACE_WAITS == 0)
            race_wait(&race);
        race_reuse(&race, put_id);
    }
    atomic_store(&race.over, true);
    for (int i = 0; i < RACE_VIEWERS; i++)
        pthread_join(threads[i], NULL);
    CHECK(!rig_held(r, RACE_OFFSET));
}

/* ---- lives of the node ---------------------------------------------------------------------- */

/* The memory outlives its exporter; the next one finds who looks at it. */
void case_hold_outlives_node(struct rig *r)
{
    struct rig_value v;
    char dir[] = LIVES_DIRECTORY;
    if (r->peer.shm[0] == '\0')
        return;
    CHECK(mkdtemp(dir) != NULL);
    lives_begin(r, dir);
    struct xcopy_channel *c = rig_connect(r, 1), *idle = rig_connect(r, 2);
    rig_value_make(&v, 1, rig_next_put(), 4096, 300000);
    rig_put(c, &v);
    struct xcopy_hold h = hold_of(&v, 5), late = hold_of(&v, 6);
    CHECK_STATUS(xcopy_hold(c, &h), CENOTE_OK);
    lives_begin(r, dir);
    CHECK(lives_count_files(dir) == 1);
    rig_void(r, &v);
    CHECK(rig_held(r, v.offset) && xcopy_hold_count(r->exporter) == 1);
    int status = xcopy_hold(idle, &late);
    CHECK(status == CENOTE_OLD_BOOT || status == CENOTE_NODE_DOWN);
    lives_begin(r, dir);
    CHECK(rig_held(r, v.offset));
    CHECK(memcmp(h.data, v.data, v.len_bytes) == 0);
    xcopy_unhold(c, 5);
    CHECK(!rig_held(r, v.offset));
    lives_wait_empty(dir);
    rig_value_free(&v);
    rig_disconnect(c);
    rig_disconnect(idle);
    CHECK(rmdir(dir) == 0);
}
