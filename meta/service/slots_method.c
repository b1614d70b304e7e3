/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys are this service's, and what is answered for the others. */
#include "meta/service/peer.h"

void key_status_put(const struct core *c, struct wire_buf *b, int status)
{
    if (status == CENOTE_WRONG_SHARD)
        wrong_shard_put(b, c->shard.map.epoch);
    else
        wire_put_int(b, status);
}

void refusal_put(const struct core *c, struct wire_buf *b, int status)
{
    if (status == CENOTE_WRONG_SHARD)
        wrong_shard_put(b, c->shard.map.epoch);
    else
        status_item_put(b, status);
}

int method_slots(struct service_peer *p, uint32_t msgid, struct wire_value params,
                 struct wire_buf *result)
{
    const struct shard *s = &p->service->core.shard;
    (void)msgid;
    (void)params;
    slots_result_put(result, &s->map, s->number);
    return CENOTE_OK;
}
