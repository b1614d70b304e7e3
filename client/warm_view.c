/* SPDX-License-Identifier: Apache-2.0 */
#include "client/warm_view.h"

#include <string.h>

#include "client/reading.h"
#include "transport/base/testswitch.h"

static bool needs_sums(const struct machine_env *env, const struct cache_found *found,
                       const struct reading *r)
{
    return env->verify == CENOTE_VERIFY_FULL && found->sum_kind != SUM_NONE &&
           !(found->verified & 1u << reading_replica(r));
}

/* The clock is read after the seal, as by a machine; see view.c. */
static bool hold_it(const struct machine_env *env, const struct warm_view_ops *ops, void *arg,
                    const struct cache_found *found, struct fabric_hold *hold, bool *tried)
{
    const struct reading_value v = {.put_id = found->put_id, .tally = env->tally};
    struct reading_choice choice = {.map = env->map, .slow = env->slow, .now_ms = ops->now_ms(arg)};
    struct reading r;
    struct fabric_req copy;

    *tried = false;
    reading_begin(&r, 0, 0, &found->stripes[0]);
    if (reading_next(&r, &v, &choice, &copy) != CENOTE_OK || needs_sums(env, found, &r))
        return false;
    hold->node = copy.node;
    hold->x.gva = copy.x.gva;
    hold->x.payload_len = copy.x.payload_len;
    hold->x.put_id = found->put_id;
    if (!ops->hold(arg, hold, &copy.x.status))
        return false;
    *tried = copy.x.status == CENOTE_OK;
    if (*tried)
        memcpy(r.seal, hold->x.seal, SEAL_BYTES);
    reading_end(&r, &v, &copy);
    if (r.accepted && (ops->now_ms(arg) < found->lease_end_ms || test_off(TEST_LEASE)))
        return true;
    if (*tried)
        ops->unhold(arg, hold);
    return false;
}

bool warm_view(const struct machine_env *env, const struct warm_view_ops *ops, void *arg,
               const struct cenote_key *key, uint32_t slot, struct view_result *out)
{
    struct fabric_hold hold = {.x.slot = slot};
    struct cache_found found;
    bool tried;

    if (!env->cache || !cache_find(env->cache, key, ops->now_ms(arg), &found) ||
        found.stripe_count != 1)
        return false;
    if (hold_it(env, ops, arg, &found, &hold, &tried)) {
        *out = (struct view_result){.data = hold.x.data,
                                    .len_bytes = found.len_bytes,
                                    .put_id = found.put_id,
                                    .link = hold.link};
        return true;
    }
    if (tried) /* what is known is of no use */
        cache_drop(env->cache, key, found.put_id);
    return false;
}
