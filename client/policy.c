/* SPDX-License-Identifier: Apache-2.0 */
#include "client/policy.h"

#include <string.h>

_Static_assert(CENOTE_TTL_MAX_MS == KEEP_TTL_MAX_MS && CENOTE_GROUP_MAX == KEEP_GROUP_MAX,
               "the header's limits are the protocol's");
_Static_assert((int)CENOTE_PIN_SOFT == KEEP_PIN_SOFT && (int)CENOTE_PIN_HARD == KEEP_PIN_HARD,
               "so are its pins");
_Static_assert((int)CENOTE_POLICY_TTL == KEEP_TTL && (int)CENOTE_POLICY_PIN == KEEP_PIN &&
                   (int)CENOTE_POLICY_GROUP == KEEP_GROUP && (int)CENOTE_POLICY_ALL == KEEP_ALL,
               "and its fields");

int policy_keep(const struct cenote_policy *policy, struct keep *out)
{
    *out = (struct keep){0};
    if (!policy)
        return CENOTE_OK;
    if (policy->group_len_bytes > KEEP_GROUP_MAX || (policy->group_len_bytes > 0 && !policy->group))
        return CENOTE_INVALID;
    out->ttl_ms = policy->ttl_ms;
    out->pin = policy->pin;
    out->pin_ms = policy->pin_ms;
    out->group_len = (uint32_t)policy->group_len_bytes;
    if (out->group_len > 0)
        memcpy(out->group, policy->group, out->group_len);
    return keep_check(out);
}
