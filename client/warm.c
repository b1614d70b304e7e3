/* SPDX-License-Identifier: Apache-2.0 */
#include "client/warm.h"

#include "client/reading.h"
#include "transport/base/testswitch.h"

static bool holds(const struct cenote_get_item *item, uint64_t len_bytes)
{
    uint64_t room = 0;

    for (size_t i = 0; i < item->buffer_count && room < len_bytes; i++)
        room += item->buffers[i].len_bytes;
    return room >= len_bytes;
}

/* The seal was read after the bytes, and the clock is read after the seal: it was not before the
 * lease's end that anybody could write another value there. What was read in vain makes the answer
 * worthless; where nothing could be read, the machine may try another replica by it. */
static bool read_it(const struct machine_env *env, const struct warm_ops *ops, void *arg,
                    const struct cenote_key *key, const struct cache_found *found,
                    const struct reading_value *v, const struct reading_choice *choice)
{
    struct reading r;
    struct fabric_req copy;

    reading_begin(&r, 0, 0, &found->stripes[0]);
    if (reading_next(&r, v, choice, &copy) != CENOTE_OK || !ops->read(arg, &copy))
        return false;
    reading_end(&r, v, &copy);
    slow_learn(env->slow, copy.node, copy.x.status, choice->now_ms);
    if (r.accepted && (ops->now_ms(arg) < found->lease_end_ms || test_off(TEST_LEASE)))
        return true;
    if (copy.x.status == CENOTE_OK)
        cache_drop(env->cache, key, found->put_id);
    return false;
}

bool warm_get(const struct machine_env *env, const struct warm_ops *ops, void *arg,
              struct cenote_get_item *item)
{
    _Alignas(16) uint8_t room[SUMS_ROOM_BYTES(WARM_BYTES_MAX)];
    struct reading_choice choice = {.map = env->map, .slow = env->slow, .now_ms = ops->now_ms(arg)};
    struct cache_found found;

    if (!env->cache || !cache_find(env->cache, &item->key, choice.now_ms, &found))
        return false;
    if (found.stripe_count != 1 || found.len_bytes > WARM_BYTES_MAX ||
        !holds(item, found.len_bytes))
        return false;

    const struct reading_value v = {.put_id = found.put_id,
                                    .sums = env->verify == CENOTE_VERIFY_FULL &&
                                            found.sum_kind != SUM_NONE,
                                    .buffers = item->buffers,
                                    .buffer_count = item->buffer_count,
                                    .tally = env->tally,
                                    .sums_room = room,
                                    .sums_room_bytes = sizeof room};
    if (!read_it(env, ops, arg, &item->key, &found, &v, &choice))
        return false;
    item->len_bytes = found.len_bytes;
    item->status = CENOTE_OK;
    return true;
}
