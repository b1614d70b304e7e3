/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions on parts of values. */
#include <cenote/range.h>

#include "client/batch.h"
#include "client/client.h"
#include "client/get.h"

static uint64_t get_some(struct drive *d, void *items, size_t count, const struct batch_how *how);

static const struct batch_kind range_kind = {BATCH_KIND(struct cenote_range_item), .some = get_some,
                                             .counted = true, .op = TALLY_GET};

static uint64_t get_some(struct drive *d, void *items, size_t count, const struct batch_how *how)
{
    struct machine_env env = drive_env(d);
    struct get *g = get_begin_ranges(&env, items, count);

    (void)how;
    if (!g) {
        batch_fail(&range_kind, items, count, CENOTE_NO_MEMORY);
        return 0;
    }
    drive_run(d, get_machine(g));
    uint64_t epoch = get_machine(g)->wrong_epoch;
    get_free(g);
    return epoch;
}

int cenote_get_ranges(struct cenote *client, struct cenote_range_item *items, size_t count)
{
    struct shards *s;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK)
        status = batch_check(&range_kind, items, count);
    if (status != CENOTE_OK || count == 0)
        return batch_fail(&range_kind, items, count, status);
    return batch_run(&range_kind, s, items, count, &(struct batch_how){0});
}
