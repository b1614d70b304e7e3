/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions about how values are kept that are there. */
#include <string.h>

#include "client/client.h"
#include "client/keys_call.h"
#include "client/policy.h"

struct set_policy {
    struct keys_change change; /* first */
    struct keep keep;
    unsigned fields;
};

static void encode_keep(const struct keys_change *change, uint64_t seq,
                        const struct cenote_key *keys, size_t count, struct wire_buf *request)
{
    const struct set_policy *set = (const struct set_policy *)change;

    wire_put_request(request, 0, METHOD_KEEP);
    keep_params_put(request, seq, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        wire_put_bin(request, keys[i].data, keys[i].len_bytes);
    keep_put(request, &set->keep);
    wire_put_uint(request, set->fields);
}

int cenote_set_policy(struct cenote *client, const struct cenote_key *keys, size_t count,
                      const struct cenote_policy *policy, unsigned fields, int *statuses)
{
    struct set_policy set = {.change = {encode_keep}, .fields = fields};
    struct shards *s;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK)
        status = client_check_keys(keys, count);
    if (status == CENOTE_OK && (!policy || fields == 0 || (fields & ~(unsigned)KEEP_ALL) != 0))
        status = CENOTE_INVALID;
    if (status == CENOTE_OK)
        status = policy_keep(policy, &set.keep);
    if (status == CENOTE_OK)
        return keys_change_run(s, &set.change, keys, count, statuses);
    if (statuses)
        keys_fail(statuses, count, status);
    return status;
}

static int read_policy(struct wire_value v, void *arg)
{
    struct cenote_kept *out = arg;
    struct lookup_item found;
    struct keep keep;

    if (!stat_item_get(v, &found))
        return CENOTE_PROTOCOL;
    if (found.status != CENOTE_OK)
        return found.status;
    if (!stat_keep_get(v, &keep))
        return CENOTE_PROTOCOL;
    *out = (struct cenote_kept){.ttl_left_ms = keep.ttl_ms,
                                .pin = keep.pin,
                                .pin_left_ms = keep.pin_ms,
                                .group_len_bytes = keep.group_len};
    memcpy(out->group, keep.group, sizeof out->group);
    return CENOTE_OK;
}

int cenote_get_policy(struct cenote *client, const void *key, size_t key_len_bytes,
                      struct cenote_kept *out)
{
    const struct cenote_key one = {key, key_len_bytes};
    return client_stat(client, &one, read_policy, out);
}
