/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenario/client/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/stub/slots.h"
#include "tests/scenario/check.h"

#define NAME_SPACE 7u
#define PAGE       2u /* entries of a listing's page */

struct service_conn {
    struct service *service;
    struct rpc_conn *rpc;
    uint64_t session;
    struct service_conn *next;
};

/* ---- nodes ----------------------------------------------------------------------------------- */

static int gate_authenticate(void *arg, const struct xcopy_credentials *who)
{
    (void)arg;
    return who->name_space == NAME_SPACE ? CENOTE_OK : CENOTE_DENIED;
}

static int gate_admit(void *arg, uint64_t session, uint64_t put_id, struct gva gva,
                      uint64_t extent_len, const struct write_grant *grant)
{
    (void)arg;
    (void)session;
    (void)extent_len;
    (void)gva;
    return grant->mac == put_id ? CENOTE_OK : CENOTE_BAD_GRANT;
}

static uint64_t gate_horizon(void *arg, uint64_t session)
{
    (void)arg;
    (void)session;
    return 0;
}

static void start_nodes(struct service *s)
{
    for (unsigned i = 0; i < FAKE_NODES; i++) {
        const struct xcopy_gate gate = {.boot = i + 1,
                                        .authenticate = gate_authenticate,
                                        .admit_write = gate_admit,
                                        .horizon = gate_horizon};
        const struct xcopy_segment segment = {
            .gva = fake_base(i),
            .incarnation = i + 11,
            .memory = {.base = s->pool.memory[i], .len_bytes = FAKE_NODE_BYTES, .fd = -1}};

        CHECK(xcopy_tcp_exporter.start("127.0.0.1:0", &gate, &(struct xcopy_settings){0},
                                       &s->exporters[i], s->tcp[i]) == CENOTE_OK);
        CHECK(xcopy_tcp_exporter.add_segment(s->exporters[i], &segment) == CENOTE_OK);
    }
}

/* ---- methods --------------------------------------------------------------------------------- */

static int do_open(struct service_conn *c, struct wire_value params, struct wire_buf *out)
{
    struct session_open_params p;

    CHECK(session_open_params_get(params, &p) && p.protocol == PROTOCOL_VERSION);
    c->session = c->service->session;
    atomic_fetch_add(&c->service->opened, 1);
    session_open_result_put(out, &(struct session_open_result){
                                     .session = c->session, .name_space = NAME_SPACE, .reign = 1});
    return CENOTE_OK;
}

static int do_resume(struct service_conn *c, struct wire_value params, struct wire_buf *out)
{
    struct session_resume_params p;

    CHECK(session_resume_params_get(params, &p));
    if (p.session != c->service->session)
        return CENOTE_NO_SESSION;
    c->session = p.session;
    atomic_fetch_add(&c->service->resumed, 1);
    wire_put_array(out, 1);
    wire_put_uint(out, 1);
    return CENOTE_OK;
}

static int do_map(struct service *s, struct wire_buf *out)
{
    wire_put_array(out, 3);
    wire_put_uint(out, 1);
    wire_put_array(out, FAKE_NODES);
    for (unsigned i = 0; i < FAKE_NODES; i++) {
        struct map_node n = {.node = i + 1, .boot = i + 1};
        snprintf(n.name, sizeof n.name, "n%u", i);
        snprintf(n.tcp, sizeof n.tcp, "%s", s->tcp[i]);
        map_node_put(out, &n);
    }
    wire_put_array(out, FAKE_NODES);
    for (unsigned i = 0; i < FAKE_NODES; i++)
        map_range_put(out, &(struct map_range){.gva = fake_base(i),
                                               .len_bytes = FAKE_NODE_BYTES,
                                               .incarnation = i + 11,
                                               .node = i + 1});
    return CENOTE_OK;
}

static struct fake_object *named(struct service *s, struct wire_value key)
{
    char text[32] = "";
    const uint8_t *at;
    size_t len;

    CHECK(wire_bin(key, &at, &len) && len < sizeof text);
    memcpy(text, at, len);
    return fake_find(&s->pool, text);
}

static int do_exists(struct service *s, struct wire_value params, struct wire_buf *out)
{
    uint8_t bits[CENOTE_BATCH_MAX / 8] = {0};
    struct keys_params p;

    CHECK(keys_params_get(params, &p));
    for (uint32_t i = 0; i < p.count; i++)
        bits[i / 8] = (uint8_t)(bits[i / 8] | (named(s, wire_at(p.keys, i)) != NULL) << i % 8);
    wire_put_array(out, 2);
    wire_put_uint(out, 0);
    wire_put_bin(out, bits, (p.count + 7) / 8);
    return CENOTE_OK;
}

static int do_stat(struct service *s, struct wire_value params, struct wire_buf *out)
{
    struct keys_params p;

    CHECK(keys_params_get(params, &p) && p.count == 1);
    const struct fake_object *o = named(s, wire_at(p.keys, 0));
    wire_put_array(out, 1);
    if (!o) {
        status_item_put(out, CENOTE_NOT_FOUND);
        return CENOTE_OK;
    }
    stat_item_put(out, &(struct lookup_item){.put_id = o->put_id,
                                             .len_bytes = o->len_bytes,
                                             .sum_kind = SUM_XXH3,
                                             .created_ms = 5,
                                             .stripe_count = o->stripe_count});
    for (uint32_t i = 0; i < o->stripe_count; i++)
        located_stripe_put(out, &o->stripes[i]);
    keep_put(out, &s->kept);
    return CENOTE_OK;
}

static int do_remove(struct service *s, struct wire_value params, struct wire_buf *out)
{
    struct keys_params p;

    CHECK(remove_params_get(params, &p) && p.seq > 0 && p.count <= 8);
    wire_put_array(out, p.count);
    for (uint32_t i = 0; i < p.count; i++) {
        struct fake_object *o = named(s, wire_at(p.keys, i));
        bool again = p.seq == s->removed_seq;
        if (!again)
            s->removed[i] = o ? CENOTE_OK : CENOTE_NOT_FOUND;
        if (!again && o)
            fake_remove(&s->pool, o->key);
        wire_put_int(out, s->removed[i]);
    }
    s->removed_seq = p.seq;
    return CENOTE_OK;
}

/* There are no other services. */
static int do_slots(struct wire_buf *out)
{
    struct slot_map *map = calloc(1, sizeof *map);

    CHECK(map);
    map->range_count = 1;
    map->ranges[0] = (struct slot_range){0, SLOTS - 1, 0};
    slots_result_put(out, map, 0);
    free(map);
    return CENOTE_OK;
}

/* Of all values alike: the last one that anybody asked for. */
static int do_keep(struct service *s, struct wire_value params, struct wire_buf *out)
{
    struct keep_params p;

    CHECK(keep_params_get(params, &p) && p.seq > 0 && keep_get(p.keep, &s->kept) == CENOTE_OK);
    wire_put_array(out, p.count);
    for (uint32_t i = 0; i < p.count; i++)
        wire_put_int(out, named(s, wire_at(p.keys, i)) ? CENOTE_OK : CENOTE_NOT_FOUND);
    return CENOTE_OK;
}

/* There is one at most, beside the client's own. */
static int do_spaces(struct service *s, struct wire_buf *out)
{
    struct space_item own = {.name = "default", .id = NAME_SPACE};

    wire_put_array(out, s->space.name[0] != '\0' ? 2 : 1);
    if (s->space.name[0] != '\0')
        space_item_put(out, &s->space);
    space_item_put(out, &own);
    return CENOTE_OK;
}

static int do_space_set(struct service *s, struct wire_value params, struct wire_buf *out)
{
    struct space_params p;

    CHECK(space_set_params_get(params, &p) && p.seq > 0);
    bool there = strcmp(s->space.name, p.name) == 0, again = p.seq == s->space_seq;
    bool makes = (p.flags & SPACE_SET_CREATE) != 0;
    int status = there && makes && !again ? CENOTE_EXISTS : CENOTE_OK;
    if (!there && !makes)
        status = CENOTE_NOT_FOUND;
    if (status == CENOTE_OK) {
        memcpy(s->space.name, p.name, sizeof s->space.name);
        s->space.settings = p.settings;
        s->space.use = (struct space_use){.bytes = 100, .objects = 3};
        s->space_seq = p.seq;
    }
    wire_put_array(out, 1);
    wire_put_int(out, status);
    return CENOTE_OK;
}

static int do_space_remove(struct service *s, struct wire_value params, struct wire_buf *out)
{
    struct space_params p;

    CHECK(space_remove_params_get(params, &p) && p.seq > 0);
    bool there = strcmp(s->space.name, p.name) == 0;
    s->space.name[0] = '\0';
    wire_put_array(out, 1);
    wire_put_int(out, there ? CENOTE_OK : CENOTE_NOT_FOUND);
    return CENOTE_OK;
}

/* In the order of the puts, which the scenario knows; the cursor is the index to go on from. */
static int do_list(struct service *s, struct wire_value params, struct wire_buf *out)
{
    const struct fake_object *page[PAGE];
    struct list_params p;
    uint32_t count = 0, i = 0;

    CHECK(list_params_get(params, &p));
    if (p.cursor)
        memcpy(&i, p.cursor, sizeof i);
    for (; i < s->pool.object_count && count < PAGE; i++) {
        const struct fake_object *o = &s->pool.objects[i];
        if (o->state == FAKE_COMMITTED &&
            strncmp(o->key, (const char *)p.prefix, p.prefix_len) == 0)
            page[count++] = o;
    }
    wire_put_array(out, 2);
    wire_put_array(out, count);
    for (uint32_t k = 0; k < count; k++)
        list_entry_put(out, page[k]->key, strlen(page[k]->key), page[k]->len_bytes,
                       page[k]->put_id);
    if (i < s->pool.object_count)
        wire_put_bin(out, &i, sizeof i);
    else
        wire_put_nil(out);
    return CENOTE_OK;
}

static int do_status(struct wire_buf *out)
{
    wire_put_map(out, 1);
    wire_put_str(out, "service");
    wire_put_str(out, "fake");
    return CENOTE_OK;
}

static int do_close(struct service_conn *c, struct wire_buf *out)
{
    c->session = 0;
    wire_put_nil(out);
    return CENOTE_OK;
}

static int serve(struct service_conn *c, const struct wire_msg *m, struct wire_buf *out)
{
    struct service *s = c->service;

    if (strcmp(m->method, METHOD_SESSION_OPEN) == 0)
        return do_open(c, m->params, out);
    if (strcmp(m->method, METHOD_SESSION_RESUME) == 0)
        return do_resume(c, m->params, out);
    if (c->session != s->session)
        return CENOTE_NO_SESSION;
    if (strcmp(m->method, METHOD_SESSION_CLOSE) == 0)
        return do_close(c, out);
    if (strcmp(m->method, METHOD_MAP) == 0)
        return do_map(s, out);
    if (strcmp(m->method, METHOD_EXISTS) == 0)
        return do_exists(s, m->params, out);
    if (strcmp(m->method, METHOD_STAT) == 0)
        return do_stat(s, m->params, out);
    if (strcmp(m->method, METHOD_REMOVE) == 0)
        return do_remove(s, m->params, out);
    if (strcmp(m->method, METHOD_SLOTS) == 0)
        return do_slots(out);
    if (strcmp(m->method, METHOD_KEEP) == 0)
        return do_keep(s, m->params, out);
    if (strcmp(m->method, METHOD_NAMESPACES) == 0)
        return do_spaces(s, out);
    if (strcmp(m->method, METHOD_SPACE_SET) == 0)
        return do_space_set(s, m->params, out);
    if (strcmp(m->method, METHOD_SPACE_REMOVE) == 0)
        return do_space_remove(s, m->params, out);
    if (strcmp(m->method, METHOD_LIST) == 0)
        return do_list(s, m->params, out);
    if (strcmp(m->method, METHOD_STATUS) == 0)
        return do_status(out);
    return fake_serve(&s->pool, m, out);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void *on_opened(void *arg, struct rpc_conn *conn)
{
    struct service *s = arg;
    struct service_conn *c = calloc(1, sizeof *c);

    CHECK(c);
    *c = (struct service_conn){.service = s, .rpc = conn, .next = s->conns};
    s->conns = c;
    return c;
}

/* What is to be lost first has been. */
static bool refuses(struct service *s, const struct wire_msg *m)
{
    if (s->refuse == 0 || s->lose > 0 || strcmp(m->method, s->losing) != 0)
        return false;
    s->refuse--;
    return true;
}

static void on_message(void *arg, struct rpc_conn *conn, const struct wire_msg *m)
{
    struct service_conn *c = arg;
    struct service *s = c->service;
    struct wire_buf out = {0};

    atomic_fetch_add(&s->requests, 1);
    wire_put_result(&out, m->msgid);
    int status = refuses(s, m) ? CENOTE_NO_MEMORY : serve(c, m, &out);
    if (s->lose > 0 && strcmp(m->method, s->losing) == 0) {
        s->lose--;
        s->session += s->lose_session;
        atomic_fetch_add(&s->lost, 1);
        rpc_conn_close(conn);
    } else {
        if (status != CENOTE_OK) {
            wire_buf_clear(&out);
            wire_put_error(&out, m->msgid, status, NULL);
        }
        CHECK(!out.failed);
        rpc_conn_send(conn, out.data, out.len);
        rpc_conn_answered(conn);
    }
    wire_buf_free(&out);
}

static void on_closed(void *arg, struct rpc_conn *conn)
{
    struct service_conn *c = arg, **at = &c->service->conns;

    (void)conn;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    free(c);
}

static const struct rpc_handler handler = {
    .opened = on_opened, .message = on_message, .closed = on_closed};

static void *run(void *arg)
{
    struct service *s = arg;
    rpc_loop_run(s->loop);
    return NULL;
}

void service_start(struct service *s)
{
    struct endpoint e;

    CHECK(endpoint_parse(s->where, &e) == CENOTE_OK);
    s->loop = rpc_loop_new();
    CHECK(s->loop);
    CHECK(rpc_listen(s->loop, &e, NULL, &handler, s, NULL) == CENOTE_OK);
    CHECK(pthread_create(&s->thread, NULL, run, s) == 0);
}

void service_stop(struct service *s)
{
    rpc_loop_stop(s->loop);
    pthread_join(s->thread, NULL);
    rpc_loop_free(s->loop);
    CHECK(!s->conns);
}

void service_begin(struct service *s, const char *where)
{
    memset(s, 0, sizeof *s);
    snprintf(s->where, sizeof s->where, "unix:%s", where);
    hash_init();
    fake_begin(&s->pool);
    s->session = 1;
    start_nodes(s);
    service_start(s);
}

void service_end(struct service *s)
{
    service_stop(s);
    for (unsigned i = 0; i < FAKE_NODES; i++)
        xcopy_tcp_exporter.stop(s->exporters[i]);
    fake_end(&s->pool);
}

/* ---- orders ---------------------------------------------------------------------------------- */

struct order {
    struct service *service;
    bool forget;
    const char *method;
    unsigned times, refused;
    atomic_bool done;
};

static void give(struct order *o, void (*fn)(void *arg))
{
    CHECK(rpc_loop_post(o->service->loop, fn, o));
    while (!atomic_load(&o->done))
        sched_yield();
}

static void hang_up(void *arg)
{
    struct order *o = arg;
    struct service *s = o->service;

    if (o->forget)
        s->session++;
    for (struct service_conn *c = s->conns; c; c = c->next)
        rpc_conn_close(c->rpc);
    atomic_store(&o->done, true);
}

void service_hang_up(struct service *s, bool forget)
{
    give(&(struct order){.service = s, .forget = forget}, hang_up);
}

static void lose(void *arg)
{
    struct order *o = arg;

    snprintf(o->service->losing, sizeof o->service->losing, "%s", o->method);
    o->service->lose = o->times;
    o->service->refuse = o->refused;
    o->service->lose_session = o->forget;
    atomic_store(&o->done, true);
}

void service_lose(struct service *s, const char *method, unsigned times)
{
    give(&(struct order){.service = s, .method = method, .times = times}, lose);
}

void service_lose_all(struct service *s, const char *method, unsigned times)
{
    give(&(struct order){.service = s, .method = method, .times = times, .forget = true}, lose);
}

void service_lose_one(struct service *s, const char *method, unsigned refused)
{
    give(&(struct order){.service = s, .method = method, .times = 1, .refused = refused}, lose);
}

void expect(const char *what, int got, int want)
{
    if (got == want)
        return;
    fprintf(stderr, "%s: %s, wanted %s\n", what, cenote_status_name(got), cenote_status_name(want));
    exit(1);
}
