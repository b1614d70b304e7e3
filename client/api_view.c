/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions that let values be looked at where they lie. */
#include <cenote/view.h>

#include <assert.h>

#include "client/client.h"
#include "client/view.h"

static_assert(CENOTE_VIEWS_MAX == XCOPY_HOLDS_MAX, "a view is a hold");
static_assert(sizeof(void *) >= sizeof(uint64_t), "a view's name is kept in a pointer");

static int run(struct drive *d, const struct cenote_key *key, uint32_t slot,
               struct view_result *out)
{
    struct machine_env env = drive_env(d);
    struct view *v = view_begin(&env, key, slot);

    if (!v)
        return CENOTE_NO_MEMORY;
    drive_run(d, view_machine(v));
    view_take_result(v, out);
    view_free(v);
    return out->status;
}

int cenote_view_get(struct cenote *client, const void *key, size_t key_len_bytes,
                    struct cenote_view *out)
{
    const struct cenote_key whole = {key, key_len_bytes};
    struct view_result found;
    struct drive *d;
    uint32_t slot;
    int status = client_enter(client, &d);

    if (status == CENOTE_OK)
        status = out ? client_check_key(&whole) : CENOTE_INVALID;
    if (status != CENOTE_OK)
        return status;
    if (!views_take(drive_views(d), &slot))
        return CENOTE_LIMIT;
    if (!drive_view_warm(d, &whole, slot, &found))
        status = run(d, &whole, slot, &found);
    if (status != CENOTE_OK) {
        views_drop(drive_views(d), slot);
        return status;
    }
    uint64_t name = views_open(drive_views(d), slot, found.link);
    *out = (struct cenote_view){.data = found.data,
                                .len_bytes = found.len_bytes,
                                .put_id = found.put_id,
                                .private_ = (void *)(uintptr_t)name};
    return CENOTE_OK;
}

void cenote_view_release(struct cenote *client, struct cenote_view *view)
{
    struct drive *d;

    if (!view)
        return;
    if (view->private_ && client_enter(client, &d) == CENOTE_OK)
        (void)views_release(drive_views(d), (uint64_t)(uintptr_t)view->private_);
    *view = (struct cenote_view){0};
}
