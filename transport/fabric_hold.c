/* SPDX-License-Identifier: Apache-2.0 */
/* Holds: a link is lent until its hold ends, so that what is looked at stays mapped. */
#include "transport/fabric_link.h"

/* Another life of the node has begun, or it has gone: the link is of no use to anybody else. */
static bool broken(const struct fabric_link *link, int status)
{
    return (status == CENOTE_NODE_DOWN || status == CENOTE_OLD_BOOT) &&
           !link->channel->transport->alive(link->channel);
}

static int hold_once(struct fabric *f, struct fabric_hold *hold, enum fabric_want want,
                     uint32_t timeout_ms, bool *again)
{
    struct fabric_link *link;
    bool reused;
    int status = fabric_link_take(f, hold->node, want, timeout_ms, &link, &reused);
    *again = false;
    if (status != CENOTE_OK)
        return status;
    status = xcopy_hold(link->channel, &hold->x);
    if (status == CENOTE_OK) {
        hold->link = link;
        return CENOTE_OK;
    }
    bool dead = broken(link, status);
    *again = dead && reused;
    fabric_link_give(f, link, dead);
    return status;
}

int fabric_hold(struct fabric *f, struct fabric_hold *hold, uint32_t timeout_ms)
{
    bool again;
    if (!fabric_may_hold(f, hold->node))
        return CENOTE_NOT_SUPPORTED;
    int status = hold_once(f, hold, FABRIC_ANY, timeout_ms, &again);
    return again ? hold_once(f, hold, FABRIC_CONNECT, timeout_ms, &again) : status;
}

void fabric_unhold(struct fabric *f, struct fabric_link *link, uint32_t slot)
{
    xcopy_unhold(link->channel, slot);
    fabric_link_give(f, link, false);
}
