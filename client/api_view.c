/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions that let values be looked at where they lie. */
#include <cenote/view.h>

#include <assert.h>

#include "client/client.h"
#include "client/view.h"

static_assert(CENOTE_VIEWS_MAX == XCOPY_HOLDS_MAX, "a view is a hold");
static_assert(sizeof(void *) >= sizeof(uint64_t), "a view's name is kept in a pointer");

static int run(struct drive *d, const struct cenote_key *key, uint32_t slot,
               struct view_result *out, uint64_t *epoch)
{
    struct machine_env env = drive_env(d);
    struct view *v = view_begin(&env, key, slot);

    if (!v)
        return CENOTE_NO_MEMORY;
    uint64_t begun_ns = tally_begin();
    drive_run(d, view_machine(v));
    tally_took(drive_tally(d), TALLY_VIEW, begun_ns);
    *epoch = view_machine(v)->wrong_epoch;
    view_take_result(v, out);
    view_free(v);
    tally_ended(drive_tally(d), TALLY_VIEW, out->status);
    return out->status;
}

struct wanted_view {
    const struct cenote_key *key;
    uint32_t slot;
    struct view_result found;
    struct fabric *fabric; /* that has the hold */
};

static int view_one(void *arg, struct drive *d, uint64_t *epoch)
{
    struct wanted_view *w = arg;

    w->fabric = drive_fabric(d);
    if (drive_view_warm(d, w->key, w->slot, &w->found))
        return CENOTE_OK;
    return run(d, w->key, w->slot, &w->found, epoch);
}

int cenote_view_get(struct cenote *client, const void *key, size_t key_len_bytes,
                    struct cenote_view *out)
{
    const struct cenote_key whole = {key, key_len_bytes};
    struct wanted_view w = {.key = &whole};
    struct shards *s;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK)
        status = out ? client_check_key(&whole) : CENOTE_INVALID;
    if (status != CENOTE_OK)
        return status;
    struct views *views = shards_views(s);
    if (!views_take(views, &w.slot))
        return CENOTE_LIMIT;
    status = shards_one(s, &whole, view_one, &w);
    if (status != CENOTE_OK) {
        views_drop(views, w.slot);
        return status;
    }
    uint64_t name = views_open(views, w.slot, w.fabric, w.found.link);
    *out = (struct cenote_view){.data = w.found.data,
                                .len_bytes = w.found.len_bytes,
                                .put_id = w.found.put_id,
                                .private_ = (void *)(uintptr_t)name};
    return CENOTE_OK;
}

void cenote_view_release(struct cenote *client, struct cenote_view *view)
{
    struct shards *s;

    if (!view)
        return;
    if (view->private_ && client_enter_shards(client, &s) == CENOTE_OK)
        (void)views_release(shards_views(s), (uint64_t)(uintptr_t)view->private_);
    *view = (struct cenote_view){0};
}
