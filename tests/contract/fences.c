/* SPDX-License-Identifier: Apache-2.0 */
/* Contract cases: after a fence no byte of the puts that it names lands, and others go on. */
#include <string.h>

#include "tests/contract/cases.h"
#include "tests/contract/half.h"

#define SOON_MS   20000u
#define LINGER_MS 150u /* long enough for a fence that is wrongly done at once to be seen */

static void expect_fenced(struct rig *r, struct xcopy_channel *c, uint64_t session, uint64_t put_id)
{
    struct rig_value v;
    rig_value_make(&v, session, put_id, 8192, 100000);
    struct cenote_buffer whole = {v.data, v.len_bytes};
    struct xcopy_req req = rig_write_req(&v, &whole, 1);
    memset(rig_memory(r, v.offset), 0, 1000);
    CHECK_STATUS(rig_run(c, &req), CENOTE_FENCED);
    CHECK(!req.may_land);
    for (size_t i = 0; i < 1000; i++)
        CHECK(rig_memory(r, v.offset)[i] == 0);
    rig_value_free(&v);
}

static void expect_put(struct rig *r, struct xcopy_channel *c, uint64_t session)
{
    struct rig_value v;
    rig_value_make(&v, session, rig_next_put(), 8192, 100000);
    rig_put(c, &v);
    CHECK(rig_holds(r, &v));
    rig_value_free(&v);
}

/* Connections from before the fence, and later ones. */
void case_fence_between_writes(struct rig *r)
{
    struct rig_fence f;
    struct xcopy_channel *old = rig_connect(r, 1), *other = rig_connect(r, 2);
    uint64_t horizon = rig_next_put();
    expect_put(r, old, 1);
    rig_fence_begin(r, &f, 1, horizon);
    CHECK(rig_fence_ended(&f, SOON_MS));
    struct xcopy_channel *later = rig_connect(r, 1);
    expect_fenced(r, later, 1, horizon);
    expect_fenced(r, old, 1, horizon - 1);
    expect_put(r, later, 1);
    expect_put(r, old, 1);
    expect_put(r, other, 2);
    rig_fence_free(&f);
    rig_disconnect(old);
    rig_disconnect(other);
    rig_disconnect(later);
}

/* The writer of an old put stands half-way while its extent is fenced and used again. */
void case_fence_half_way(struct rig *r)
{
    static struct half h;
    struct rig_fence f;
    struct rig_value next;
    half_begin(&h, r, 1);
    rig_fence_begin(r, &f, 1, h.value.put_id);
    bool early = rig_fence_ended(&f, LINGER_MS);
    if (!early) {
        half_resume(&h);
        CHECK(rig_fence_ended(&f, SOON_MS));
    }
    rig_value_make(&next, 2, rig_next_put(), 0, HALF_BYTES);
    rig_plant(r, &next);
    if (early)
        half_resume(&h);
    CHECK(rig_holds(r, &next));
    if (early)
        CHECK(h.req.status != CENOTE_OK && h.req.may_land);
    rig_value_free(&next);
    rig_fence_free(&f);
    half_free(&h);
}

/* A fence that doesn't name a writer doesn't wait for it, and doesn't end it. */
void case_fence_passes_by(struct rig *r)
{
    static struct half h;
    struct rig_fence f, g;
    half_begin(&h, r, 1);
    rig_fence_begin(r, &f, 1, h.value.put_id - 1);
    rig_fence_begin(r, &g, 2, h.value.put_id + 1);
    CHECK(rig_fence_ended(&f, SOON_MS));
    CHECK(rig_fence_ended(&g, SOON_MS));
    half_resume(&h);
    CHECK_STATUS(h.req.status, CENOTE_OK);
    CHECK(rig_holds(r, &h.value));
    rig_fence_free(&f);
    rig_fence_free(&g);
    half_free(&h);
}

struct churn {
    struct rig *rig;
    pthread_t thread;
    uint64_t session;
    unsigned put, fenced;
};

static void *churn_main(void *arg)
{
    struct churn *w = arg;
    struct xcopy_channel *c = rig_connect(w->rig, w->session);
    for (int i = 0; i < 300; i++) {
        struct rig_value v;
        rig_value_make(&v, w->session, rig_next_put(), w->session << 20, 20000);
        struct cenote_buffer whole = {v.data, v.len_bytes};
        struct xcopy_req req = rig_write_req(&v, &whole, 1);
        int status = rig_run(c, &req);
        CHECK(status == CENOTE_OK || status == CENOTE_FENCED || status == CENOTE_NODE_DOWN);
        w->put += status == CENOTE_OK;
        w->fenced += status == CENOTE_FENCED;
        if (status == CENOTE_NODE_DOWN) {
            rig_disconnect(c);
            c = rig_connect(w->rig, w->session);
        }
        rig_value_free(&v);
    }
    rig_disconnect(c);
    return NULL;
}

/* Fences come in the midst of the writes of four sessions. */
void case_fence_storm(struct rig *r)
{
    struct churn w[4];
    for (uint64_t i = 0; i < 4; i++) {
        w[i] = (struct churn){.rig = r, .session = i + 1};
        CHECK(pthread_create(&w[i].thread, NULL, churn_main, &w[i]) == 0);
    }
    for (uint64_t i = 0; i < 100; i++) {
        struct rig_fence f;
        rig_fence_begin(r, &f, i % 4 + 1, rig_next_put());
        CHECK(rig_fence_ended(&f, SOON_MS));
        rig_fence_free(&f);
    }
    for (uint64_t i = 0; i < 4; i++) {
        pthread_join(w[i].thread, NULL);
        CHECK(w[i].put > 0);
    }
}
