/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of before a rebuild, of which only that may be used which was found again, until nobody of
 * before can write to the rest, or look at it. */
#include <string.h>

#include "meta/core/rebuild_nodes.h"
#include "transport/base/bytes.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

#define SETTLE_PAUSE_MS 250u

static const char value_name[] = REBUILD_VALUE_SETTLE;

static void take_answer(struct core *c, struct node *n, const struct settle_result *r)
{
    bool was_fenced = n->settle.fenced;
    n->settle.fenced = r->fenced;
    n->settle.strays = r->strays;
    if (r->fenced && !was_fenced)
        log_info("meta", "node %s: no put of before the rebuild is being written", n->name);
    if (!r->fenced || r->strays > 0 || c->now_ms < c->leased_until_ms)
        return;
    n->settle.wanted = false;
    evict_look_again(c);
    log_info("meta", "node %s has settled: all of its free space may be used", n->name);
}

static void heard(void *arg, int status, struct wire_value result)
{
    struct node *n = arg;
    struct core *c = n->core;
    struct settle_result r;
    n->calls--;
    n->settle.in_flight = false;
    if (n->gone) {
        node_release(n);
        return;
    }
    n->settle.again_ms = c->now_ms + SETTLE_PAUSE_MS;
    if (status == CENOTE_OK && !settle_result_get(result, &r))
        status = CENOTE_PROTOCOL;
    if (status == CENOTE_OK) {
        take_answer(c, n, &r);
        return;
    }
    if (status != CENOTE_UNAVAILABLE && status != n->settle.refusal)
        log_error("meta", "node %s doesn't settle: %s", n->name, cenote_status_text(status));
    n->settle.refusal = status;
}

static void send(struct core *c, struct node *n)
{
    struct wire_buf b = {0};
    struct settle_params p = {.reign = c->ids.reign, .horizon = c->rebuild.horizon};
    wire_put_request(&b, 0, METHOD_SETTLE);
    settle_params_put(&b, &p);
    n->settle.in_flight = true;
    n->calls++;
    if (b.failed)
        heard(n, CENOTE_NO_MEMORY, (struct wire_value){NULL});
    else
        n->line.call(n->line.arg, b.data, b.len, 0, heard, n);
    wire_buf_free(&b);
}

void rebuild_settle(struct core *c, struct node *n)
{
    if (test_off(TEST_REBUILD_SETTLE))
        return;
    n->settle.wanted = true;
    if (n->peer != NULL && !n->settle.in_flight)
        send(c, n);
}

int rebuild_recovered(struct core *c)
{
    const void *value;
    uint32_t len;
    struct store *store = c->changes.store;
    int status = store->ops->get(store, STORE_META, value_name, strlen(value_name), &value, &len);
    if (status != CENOTE_OK)
        return status == CENOTE_NOT_FOUND ? CENOTE_OK : status;
    struct bytes b = bytes_over_const(value, len);
    c->rebuild.horizon = bytes_get_u64(&b);
    if (!bytes_ok(&b))
        return CENOTE_IO;
    list_each(&c->members.nodes, l) container_of(l, struct node, link)->settle.wanted = true;
    return CENOTE_OK;
}

static void all_settled(struct change *ch, int status)
{
    struct rebuild *r = container_of(ch, struct rebuild, settled);
    if (status == CENOTE_OK)
        r->horizon = 0;
}

void rebuild_settle_tick(struct core *c)
{
    struct rebuild *r = &c->rebuild;
    bool all = r->horizon != 0 && !rebuild_under_way(r);
    list_each(&c->members.nodes, l)
    {
        struct node *n = container_of(l, struct node, link);
        all = all && !n->settle.wanted;
        if (n->settle.wanted && !n->settle.in_flight && n->peer != NULL && n->join == NULL &&
            n->state != NODE_DEAD && c->now_ms >= n->settle.again_ms)
            send(c, n);
    }
    if (!all || r->settled.in_flight || c->now_ms < c->leased_until_ms)
        return;
    change_remove(&c->changes, STORE_META, value_name, strlen(value_name));
    r->settled.done = all_settled;
    change_submit(&c->changes, &r->settled, CHANGE_FREES);
}
