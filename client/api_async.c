/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions of operations in the background. */
#include <cenote/async.h>

#include "client/client.h"

static const struct cenote_submit defaults;

/* Completions are the home's, of whatever service. */
static int enter(struct cenote *client, struct pump **out)
{
    struct drive *d;
    int status = client_enter(client, &d);

    return status == CENOTE_OK ? drive_pump(d, out) : status;
}

/* The same, and whether keys are to be looked at. */
static int enter_with_keys(struct cenote *client, struct pump **out, bool *by_key)
{
    struct shards *s;
    int status = client_enter_shards(client, &s);

    if (status != CENOTE_OK)
        return status;
    *by_key = !shards_only(s);
    return drive_pump(shards_home(s), out);
}

int cenote_submit_get(struct cenote *client, struct cenote_get_item *items, size_t count,
                      const struct cenote_submit *options, uint64_t *id)
{
    struct pump *p;
    bool by_key;
    int status = enter_with_keys(client, &p, &by_key);

    if (status == CENOTE_OK)
        status = count == 0 ? CENOTE_INVALID : client_check_gets(items, count);
    return status == CENOTE_OK
               ? pump_get(p, items, count, by_key, options ? options : &defaults, id)
               : status;
}

int cenote_submit_put(struct cenote *client, struct cenote_put_item *items, size_t count,
                      unsigned flags, const struct cenote_submit *options, uint64_t *id)
{
    struct pump *p;
    bool by_key;
    int status = enter_with_keys(client, &p, &by_key);

    if (status == CENOTE_OK)
        status = count == 0 ? CENOTE_INVALID : client_check_puts(items, count, flags);
    return status == CENOTE_OK
               ? pump_put(p, items, count, flags, by_key, options ? options : &defaults, id)
               : status;
}

int cenote_cancel(struct cenote *client, uint64_t id)
{
    struct pump *p;
    int status = enter(client, &p);

    return status == CENOTE_OK ? flights_cancel(pump_flights(p), id) : status;
}

int cenote_completion_fd(struct cenote *client)
{
    struct pump *p;
    int status = enter(client, &p);

    return status == CENOTE_OK ? flights_fd(pump_flights(p)) : status;
}

int cenote_completions(struct cenote *client, struct cenote_completion *out, size_t max,
                       uint32_t wait_ms)
{
    struct pump *p;
    int status = enter(client, &p);

    if (status == CENOTE_OK && max > 0 && !out)
        status = CENOTE_INVALID;
    return status == CENOTE_OK ? flights_fetch(pump_flights(p), out, max, wait_ms) : status;
}
