/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces, namespace_set, namespace_remove */
#include <stdlib.h>
#include <string.h>

#include "meta/service/peer.h"
#include "meta/stub/messages.h"

int method_namespaces(struct service_peer *p, uint32_t msgid, struct wire_value params,
                      struct wire_buf *result)
{
    const struct core *c = &p->service->core;
    uint32_t count = 0;
    (void)msgid;
    (void)params;
    list_each(&c->spaces.list, l) count += container_of(l, struct space, link)->durable;
    wire_put_array(result, count);
    list_each(&c->spaces.list, l)
    {
        const struct space *s = container_of(l, struct space, link);
        struct space_item item = {.id = s->id, .settings = s->settings, .use = s->use};
        if (!s->durable)
            continue;
        memcpy(item.name, s->name, sizeof(item.name));
        space_item_put(result, &item);
    }
    return CENOTE_OK;
}

/* ---- changes ---- */

struct space_request {
    struct request request;
    struct space_params params;
    struct space_work work;
};

static void space_done(struct space_work *w, int status)
{
    struct space_request *r = container_of(w, struct space_request, work);
    w->call->statuses[0] = (int8_t)status;
    numbered_end(&r->request, w->session, w->call);
}

static int change_space(struct service_peer *p, uint32_t msgid, const struct space_params *params,
                        enum numbered_kind kind, struct wire_buf *result)
{
    struct space_request *r = request_new(p->service, sizeof(*r));
    if (r == NULL)
        return CENOTE_NO_MEMORY;
    struct numbered_params call = {params->seq, kind, 1};
    int status = numbered_begin(p, msgid, &call, result, &r->work.call);
    if (status != NUMBERED_RUN) {
        free(r);
        return status;
    }
    request_begin(&r->request, p, msgid);
    r->params = *params;
    r->work.core = &p->service->core;
    r->work.session = p->session;
    r->work.name = r->params.name;
    r->work.settings = params->settings;
    r->work.create = (params->flags & SPACE_SET_CREATE) != 0;
    r->work.done = space_done;
    if (r->work.call->statuses[0] != NUMBERED_OPEN)
        space_done(&r->work, CENOTE_OK); /* before a restart */
    else if (kind == NUMBERED_SPACE_SET)
        spaces_set(&r->work);
    else
        spaces_remove(&r->work);
    return METHOD_LATER;
}

int method_namespace_set(struct service_peer *p, uint32_t msgid, struct wire_value params,
                         struct wire_buf *result)
{
    struct space_params set;
    if (!space_set_params_get(params, &set))
        return CENOTE_MALFORMED;
    if (!spaces_name_valid(set.name) || set.settings.ttl_ms > KEEP_TTL_MAX_MS ||
        (set.flags & ~(uint32_t)SPACE_SET_CREATE) != 0)
        return CENOTE_INVALID;
    return change_space(p, msgid, &set, NUMBERED_SPACE_SET, result);
}

int method_namespace_remove(struct service_peer *p, uint32_t msgid, struct wire_value params,
                            struct wire_buf *result)
{
    struct space_params removed;
    if (!space_remove_params_get(params, &removed))
        return CENOTE_MALFORMED;
    if (!spaces_name_valid(removed.name))
        return CENOTE_INVALID;
    return change_space(p, msgid, &removed, NUMBERED_SPACE_REMOVE, result);
}
