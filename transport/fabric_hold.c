/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds. A link by which something is held isn't closed, so that what is looked at stays mapped; it
 * may leave its node meanwhile, and then lends itself to nobody else.
 *
 * The count of holds rises while the link is lent or stands in its door, and falls at any time. A
 * link that left is closed when its count has fallen: by whoever lets it fall, or by whoever takes
 * the link off if the count fell before that.
 */
#include "transport/fabric_link.h"

/* The link is lent to the caller. */
static int hold_by(struct fabric_link *link, struct fabric_hold *hold)
{
    atomic_fetch_add(&link->holds, 1);
    int status = xcopy_hold(link->channel, &hold->x);
    if (status == CENOTE_OK)
        hold->link = link;
    else
        atomic_fetch_sub(&link->holds, 1);
    return status;
}

/* Another life of the node has begun, or it has gone: the link is of no use to anybody else. */
static bool is_broken(const struct fabric_link *link, int status)
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
    status = hold_by(link, hold);
    bool broken = is_broken(link, status);
    *again = broken && reused;
    fabric_link_give(f, link, broken);
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

bool fabric_hold_now(struct fabric *f, struct fabric_hold *hold, int *status)
{
    unsigned ticket;
    struct fabric_link *link = fabric_door_enter(f, hold->node, &ticket);
    if (link == NULL)
        return false;
    *status = hold_by(link, hold);
    fabric_door_leave(f, ticket);
    return true;
}

void fabric_unhold(struct fabric *f, struct fabric_link *link, uint32_t slot)
{
    xcopy_unhold(link->channel, slot);
    atomic_fetch_sub(&link->holds, 1); /* it may be closed from here on */
    fabric_close_left(f);
}
