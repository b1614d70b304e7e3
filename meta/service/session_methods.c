/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "meta/service/peer.h"
#include "meta/stub/messages.h"

struct open_request {
    struct request request;
    struct session_open_params params;
    struct space_wait wait;
    struct session_stored stored;
};

/* Its record is durable, or was refused. */
static void stored(struct session_stored *w, struct session *s, int status)
{
    struct open_request *r = container_of(w, struct open_request, stored);
    struct service_peer *p = r->request.peer;
    struct core *c = &p->service->core;
    if (status == CENOTE_OK && (p->closed || p->session != NULL)) {
        sessions_end(c, s);
        status = CENOTE_INVALID;
    }
    if (status != CENOTE_OK) {
        request_fail(&r->request, status);
        return;
    }
    p->session = s;
    sessions_connected(s, p);
    struct session_open_result result = {
        .session = s->id,
        .token = token_make(&c->pool_key, s->id, s->space->id),
        .name_space = s->space->id,
        .reign = c->ids.reign,
    };
    struct wire_buf b = {0};
    request_result(&r->request, &b);
    session_open_result_put(&b, &result);
    request_end_done(&r->request, &b);
}

static void placed(struct space_wait *w, int status, struct space *space)
{
    struct open_request *r = container_of(w, struct open_request, wait);
    struct core *c = &r->request.peer->service->core;
    if (status == SPACE_AGAIN) {
        spaces_get(c, r->params.name_space, w);
        return;
    }
    if (status == CENOTE_OK) {
        r->stored.done = stored;
        status = sessions_begin(c, space, r->params.client, &r->stored);
    }
    if (status != CENOTE_OK)
        request_fail(&r->request, status);
}

int method_session_open(struct service_peer *p, uint32_t msgid, struct wire_value params,
                        struct wire_buf *result)
{
    struct session_open_params open;
    (void)result;
    if (!session_open_params_get(params, &open))
        return CENOTE_MALFORMED;
    if (open.protocol != PROTOCOL_VERSION)
        return CENOTE_VERSION;
    if (p->session != NULL || !spaces_name_valid(open.name_space))
        return CENOTE_INVALID;
    if (rebuild_under_way(&p->service->core.rebuild))
        return CENOTE_UNAVAILABLE;
    struct open_request *r = request_new(p->service, sizeof(*r));
    if (r == NULL)
        return CENOTE_NO_MEMORY;
    r->params = open;
    r->wait.done = placed;
    request_begin(&r->request, p, msgid);
    spaces_get(&p->service->core, r->params.name_space, &r->wait);
    return METHOD_LATER;
}

int method_session_resume(struct service_peer *p, uint32_t msgid, struct wire_value params,
                          struct wire_buf *result)
{
    struct session_resume_params resume;
    struct core *c = &p->service->core;
    struct session *s;
    (void)msgid;
    if (!session_resume_params_get(params, &resume))
        return CENOTE_MALFORMED;
    if (resume.protocol != PROTOCOL_VERSION)
        return CENOTE_VERSION;
    if (p->session != NULL)
        return CENOTE_INVALID;
    if (rebuild_under_way(&c->rebuild))
        return CENOTE_UNAVAILABLE;
    int status = sessions_resume(c, &resume, &s);
    if (status != CENOTE_OK)
        return status;
    if (s->peer != NULL) {
        s->peer->session = NULL;
        s->peer->line.close(s->peer->line.arg);
    }
    sessions_connected(s, p);
    p->session = s;
    wire_put_array(result, 1);
    wire_put_uint(result, c->ids.reign);
    return CENOTE_OK;
}

int method_session_close(struct service_peer *p, uint32_t msgid, struct wire_value params,
                         struct wire_buf *result)
{
    struct session *s = p->session;
    (void)msgid;
    (void)params;
    p->session = NULL;
    sessions_end(&p->service->core, s);
    wire_put_nil(result);
    return CENOTE_OK;
}

int method_map(struct service_peer *p, uint32_t msgid, struct wire_value params,
               struct wire_buf *result)
{
    const struct members *m = &p->service->core.members;
    uint64_t known;
    uint32_t count;
    (void)msgid;
    if (!wire_array(params, &count) || count != 1 || !wire_uint(wire_at(params, 0), &known))
        return CENOTE_MALFORMED;
    wire_put_array(result, known == m->map_version ? 1 : 3);
    wire_put_uint(result, m->map_version);
    if (known == m->map_version)
        return CENOTE_OK;
    wire_put_array(result, m->node_count);
    list_each(&m->nodes, l)
    {
        const struct node *n = container_of(l, struct node, link);
        struct map_node node;
        members_describe(n, &node);
        map_node_put(result, &node);
    }
    wire_put_array(result, m->range_count);
    for (uint32_t i = 0; i < m->range_count; i++) {
        const struct incarnation *in = m->ranges[i];
        struct map_range range = {.gva = in->gva,
                                  .len_bytes = in->len_bytes,
                                  .incarnation = in->id,
                                  .node = in->node->id,
                                  .kind = in->kind};
        map_range_put(result, &range);
    }
    return CENOTE_OK;
}
