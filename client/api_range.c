/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions on parts of values. */
#include <cenote/range.h>

#include "client/client.h"
#include "client/get.h"

static int fail_ranges(struct cenote_range_item *items, size_t count, int status)
{
    for (size_t i = 0; items && i < count; i++)
        items[i].status = status;
    return status;
}

static int check_ranges(const struct cenote_range_item *items, size_t count)
{
    if (count > CENOTE_BATCH_MAX || (count > 0 && !items))
        return CENOTE_INVALID;
    for (size_t i = 0; i < count; i++) {
        int status = client_check_key(&items[i].key);
        if (status == CENOTE_OK)
            status = client_check_buffers(items[i].buffers, items[i].buffer_count);
        if (status != CENOTE_OK)
            return status;
    }
    return CENOTE_OK;
}

int cenote_get_ranges(struct cenote *client, struct cenote_range_item *items, size_t count)
{
    struct drive *d;
    int status = client_enter(client, &d);

    if (status == CENOTE_OK)
        status = check_ranges(items, count);
    if (status != CENOTE_OK || count == 0)
        return fail_ranges(items, count, status);

    struct machine_env env = drive_env(d);
    struct get *g = get_begin_ranges(&env, items, count);
    if (!g)
        return fail_ranges(items, count, CENOTE_NO_MEMORY);
    drive_run(d, get_machine(g));
    get_free(g);

    for (size_t i = 0; i < count; i++) {
        if (items[i].status != CENOTE_OK)
            return items[i].status;
    }
    return CENOTE_OK;
}
