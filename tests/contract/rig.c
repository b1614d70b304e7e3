/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/contract/rig.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/contract/mocked.h"
#include "transport/base/clock.h"
#include "transport/base/testswitch.h"
#include "transport/rdma/exporter.h"

static const struct hash_key pool_key = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
static const struct hash_key node_key = {{9, 9, 9, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 99}};

void rig_check_status(const char *file, int line, int got, int want)
{
    if (got == want)
        return;
    fprintf(stderr, "%s:%d: failed: status is %s, wanted %s\n", file, line, cenote_status_name(got),
            cenote_status_name(want));
    exit(1);
}

/* ---- the gate -------------------------------------------------------------------------------- */

static int gate_authenticate(void *arg, const struct xcopy_credentials *who)
{
    (void)arg;
    return token_valid(&pool_key, who->session, who->name_space, &who->token) ? CENOTE_OK
                                                                              : CENOTE_DENIED;
}

static uint64_t gate_horizon(void *arg, uint64_t session)
{
    struct rig *r = arg;
    pthread_mutex_lock(&r->lock);
    uint64_t horizon = r->horizons[session % RIG_SESSIONS];
    pthread_mutex_unlock(&r->lock);
    return horizon;
}

static int gate_admit_write(void *arg, uint64_t session, uint64_t put_id, struct gva gva,
                            uint64_t extent_len, const struct write_grant *grant)
{
    struct rig *r = arg;
    if (put_id <= gate_horizon(arg, session))
        return CENOTE_FENCED;
    return grant_check(&node_key, r->gate.boot, session, put_id, gva, extent_len, grant);
}

void rig_refuse(struct rig *r, uint64_t session, uint64_t horizon)
{
    pthread_mutex_lock(&r->lock);
    if (r->horizons[session % RIG_SESSIONS] < horizon)
        r->horizons[session % RIG_SESSIONS] = horizon;
    pthread_mutex_unlock(&r->lock);
}

/* ---- the node -------------------------------------------------------------------------------- */

bool rig_find(const char *name, const struct xcopy_transport **transport,
              const struct xcopy_exporter_ops **ops)
{
    static const struct xcopy_exporter_ops *const exporters[] = {
        &xcopy_loop_exporter, &xcopy_shm_exporter, &xcopy_rdma_exporter, &xcopy_tcp_exporter};
    *ops = NULL;
    for (size_t i = 0; i < sizeof exporters / sizeof exporters[0]; i++)
        if (strcmp(exporters[i]->name, name) == 0)
            *ops = exporters[i];
    for (size_t i = 0; xcopy_transports[i] != NULL; i++) {
        *transport = xcopy_transports[i];
        if (strcmp((*transport)->name, name) == 0)
            return *ops != NULL;
    }
    return false;
}

static char *endpoint_of(const struct rig *r, struct xcopy_peer *peer)
{
    if (strcmp(r->transport->name, "shm") == 0)
        return peer->shm;
    return strcmp(r->transport->name, "rdma") == 0 ? peer->rdma : peer->tcp;
}

const char *rig_endpoint(const struct rig *r)
{
    return endpoint_of(r, (struct xcopy_peer *)(uintptr_t)&r->peer);
}

static void open_context(struct rig *r)
{
    if (r->transport->open != NULL)
        CHECK_STATUS(
            r->transport->open(&(struct xcopy_settings){.rdma = r->client_rdma}, &r->context),
            CENOTE_OK);
}

void rig_leave(struct rig *r)
{
    if (r->transport->close != NULL)
        r->transport->close(r->context);
}

void rig_return(struct rig *r)
{
    rig_leave(r);
    open_context(r);
}

void rig_point_at(struct rig *r, const char *name, const char *endpoint)
{
    CHECK(rig_find(name, &r->transport, &r->ops));
    r->peer = (struct xcopy_peer){.node = 1, .boot = RIG_BOOT};
    xcopy_this_host(r->peer.host);
    snprintf(endpoint_of(r, &r->peer), XCOPY_ENDPOINT_MAX, "%s", endpoint);
    open_context(r);
}

static void start_exporter(struct rig *r, const char *endpoint, char bound[XCOPY_ENDPOINT_MAX])
{
    int status = r->ops->start(endpoint, &r->gate, &(struct xcopy_settings){.rdma = r->node_rdma},
                               &r->exporter, bound);
    if (status == CENOTE_NOT_SUPPORTED) {
        printf("%s: not on this machine\n", r->transport->name);
        exit(77);
    }
    CHECK_STATUS(status, CENOTE_OK);
    if (r->ops == &xcopy_rdma_exporter) /* it is to be served at once */
        ((struct exporter *)r->exporter)->segments.patience_ms = RIG_TIMEOUT_MS;
    CHECK_STATUS(r->ops->add_segment(r->exporter, &r->segment), CENOTE_OK);
}

static void start_node(struct rig *r, const char *name)
{
    static atomic_uint serial;
    char endpoint[XCOPY_ENDPOINT_MAX], bound[XCOPY_ENDPOINT_MAX];
    hash_init();
    CHECK(rig_find(name, &r->transport, &r->ops));
    pthread_mutex_init(&r->lock, NULL);
    r->gate = (struct xcopy_gate){.arg = r,
                                  .boot = RIG_BOOT,
                                  .authenticate = gate_authenticate,
                                  .admit_write = gate_admit_write,
                                  .horizon = gate_horizon};
    if (strcmp(name, "shm") == 0)
        snprintf(endpoint, sizeof endpoint, "unix:/tmp/cenote-contract-%d-%u", (int)getpid(),
                 atomic_fetch_add(&serial, 1));
    else
        snprintf(endpoint, sizeof endpoint, "127.0.0.1:0");
    r->segment.gva = gva_make(RIG_GVA);
    r->segment.incarnation = RIG_INCARNATION;
    CHECK_STATUS(
        memory_ops_of(MEMORY_HOST)->make(RIG_SEGMENT, &(struct memory_how){0}, &r->segment.memory),
        CENOTE_OK);
    start_exporter(r, endpoint, bound);
    r->peer.node = 1;
    r->peer.boot = RIG_BOOT;
    xcopy_this_host(r->peer.host);
    if (strcmp(name, "loop") == 0)
        r->peer.loop = r->exporter;
    else
        memcpy(endpoint_of(r, &r->peer), bound, sizeof bound);
    open_context(r);
}

void rig_start_mocked(struct rig *r, struct mock_device *made[2], void (*change)(void))
{
    memset(r, 0, sizeof *r);
    mocked_make(made, change);
    r->mocked = true;
    start_node(r, "rdma");
}

void rig_start_rdma(struct rig *r, const char *node_rdma, const char *client_rdma)
{
    memset(r, 0, sizeof *r);
    r->node_rdma = node_rdma;
    r->client_rdma = client_rdma;
    start_node(r, "rdma");
}

void rig_start(struct rig *r, const char *name)
{
    memset(r, 0, sizeof *r);
    r->mocked = mocked_start(name);
    start_node(r, r->mocked ? "rdma" : name);
}

void rig_start_again(struct rig *r)
{
    char bound[XCOPY_ENDPOINT_MAX];
    start_exporter(r, rig_endpoint(r), bound);
    if (r->peer.loop != NULL)
        r->peer.loop = r->exporter;
}

void rig_restart(struct rig *r)
{
    r->ops->stop(r->exporter);
    rig_start_again(r);
}

void rig_stop(struct rig *r)
{
    r->ops->stop(r->exporter);
    rig_leave(r);
    memory_ops_of(MEMORY_HOST)->destroy(&r->segment.memory);
    pthread_mutex_destroy(&r->lock);
    if (r->mocked)
        mocked_stop();
}

void rig_land(const struct rig *r)
{
    if (r->mocked)
        mock_land();
}

bool rig_needs_processes(const struct rig *r)
{
    if (r->mocked)
        printf("  skipped: needs another process\n");
    return r->mocked;
}

uint8_t *rig_memory(struct rig *r, uint64_t offset)
{
    return (uint8_t *)r->segment.memory.base + offset;
}

struct gva rig_gva(uint64_t offset)
{
    return gva_make(RIG_GVA + offset);
}

struct xcopy_credentials rig_who(uint64_t session)
{
    return (struct xcopy_credentials){.session = session,
                                      .name_space = RIG_NAMESPACE,
                                      .token = token_make(&pool_key, session, RIG_NAMESPACE)};
}

/* ---- fences ---------------------------------------------------------------------------------- */

static void fence_done(void *arg)
{
    sem_post(&((struct rig_fence *)arg)->done);
}

void rig_fence_begin(struct rig *r, struct rig_fence *f, uint64_t session, uint64_t horizon)
{
    sem_init(&f->done, 0, 0);
    rig_refuse(r, session, horizon);
    r->ops->fence(r->exporter, session, horizon, fence_done, f);
}

bool rig_fence_ended(struct rig_fence *f, uint32_t wait_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    int rc;
    do
        rc = sem_timedwait(&f->done, &until);
    while (rc != 0 && errno == EINTR);
    if (rc == 0)
        sem_post(&f->done); /* it stays ended */
    return rc == 0;
}

void rig_fence_free(struct rig_fence *f)
{
    sem_destroy(&f->done);
}

/* ---- channels and requests ------------------------------------------------------------------- */

struct xcopy_channel *rig_connect(struct rig *r, uint64_t session)
{
    struct xcopy_channel *c = NULL;
    struct xcopy_credentials who = rig_who(session);
    CHECK(r->transport->reaches(r->context, &r->peer));
    CHECK_STATUS(r->transport->connect(r->context, &r->peer, &who, RIG_TIMEOUT_MS, &c), CENOTE_OK);
    return c;
}

void rig_disconnect(struct xcopy_channel *c)
{
    c->transport->disconnect(c);
}

_Thread_local uint32_t rig_patience_ms;

void rig_finish(struct xcopy_channel *c, struct xcopy_req *req)
{
    uint32_t limit_ms = rig_patience_ms != 0 ? rig_patience_ms : RIG_TIMEOUT_MS;
    uint64_t deadline = clock_now_ms() + limit_ms;
    while (req->status == XCOPY_IN_PROGRESS) {
        if (clock_now_ms() >= deadline) {
            CHECK(rig_patience_ms != 0);
            c->transport->cancel(c, CENOTE_TIMED_OUT);
            CHECK_STATUS(req->status, CENOTE_TIMED_OUT);
            return;
        }
        if (c->transport->progress(c))
            continue;
        struct pollfd p = {.fd = -1};
        p.fd = c->transport->poll_fd(c, &p.events);
        if (req->status == XCOPY_IN_PROGRESS && p.fd >= 0)
            CHECK(poll(&p, 1, 1000) >= 0 || errno == EINTR);
    }
}

int rig_run(struct xcopy_channel *c, struct xcopy_req *req)
{
    c->transport->submit(c, req);
    rig_finish(c, req);
    return req->status;
}

/* ---- values ---------------------------------------------------------------------------------- */

uint64_t rig_next_put(void)
{
    static atomic_ullong last = 1000;
    return atomic_fetch_add(&last, 1) + 1;
}

void rig_value_make(struct rig_value *v, uint64_t session, uint64_t put_id, uint64_t offset,
                    uint64_t len_bytes)
{
    *v = (struct rig_value){.session = session,
                            .put_id = put_id,
                            .offset = offset,
                            .len_bytes = len_bytes,
                            .name_space = RIG_NAMESPACE};
    v->data = malloc(len_bytes + 1);
    v->tail_len = extent_sums_size(len_bytes) + SEAL_BYTES;
    v->tail = calloc(1, v->tail_len);
    v->sums = sums_new(len_bytes);
    CHECK(v->data != NULL && v->tail != NULL && v->sums != NULL);
    uint64_t x = put_id * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (uint64_t i = 0; i < len_bytes; i++) {
        if (i % 8 == 0)
            x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        v->data[i] = (uint8_t)(x >> (8 * (i % 8)));
    }
}

void rig_value_free(struct rig_value *v)
{
    free(v->data);
    free(v->tail);
    sums_free(v->sums);
}

void rig_seal(struct rig_value *v)
{
    struct seal seal = {.sum_kind = SUM_XXH3,
                        .put_id = v->put_id,
                        .gva = rig_gva(v->offset),
                        .incarnation = RIG_INCARNATION,
                        .name_space = v->name_space,
                        .stripes = 1,
                        .total_len = v->len_bytes,
                        .payload_len = v->len_bytes,
                        .root = sums_root(v->sums),
                        .state = SEAL_STATE_LIVE};
    if (v->tail_len > SEAL_BYTES)
        sums_list(v->sums, v->tail);
    seal_encode(&seal, v->tail + v->tail_len - SEAL_BYTES);
}

static void seal_on_the_way(struct xcopy_req *req)
{
    rig_seal(req->owner);
}

struct xcopy_req rig_write_req(struct rig_value *v, const struct cenote_buffer *pieces,
                               size_t count)
{
    struct gva gva = rig_gva(v->offset);
    return (struct xcopy_req){
        .op = XCOPY_WRITE,
        .gva = gva,
        .payload_len = v->len_bytes,
        .put_id = v->put_id,
        .session = v->session,
        .grant =
            grant_make(&node_key, RIG_BOOT, v->session, v->put_id, gva, extent_size(v->len_bytes)),
        .len_bytes = v->len_bytes,
        .local = {.pieces = pieces, .count = count},
        .sums = v->sums,
        .tail = v->tail,
        .tail_len = v->tail_len,
        .seal_it = seal_on_the_way,
        .owner = v,
    };
}

struct xcopy_req rig_read_req(const struct rig_value *v, const struct cenote_buffer *pieces,
                              size_t count, uint8_t *tail, uint64_t tail_len)
{
    return (struct xcopy_req){
        .op = XCOPY_READ,
        .gva = rig_gva(v->offset),
        .payload_len = v->len_bytes,
        .put_id = v->put_id,
        .len_bytes = v->len_bytes,
        .local = {.pieces = pieces, .count = count},
        .tail = tail,
        .tail_len = tail_len,
    };
}

void rig_put(struct xcopy_channel *c, struct rig_value *v)
{
    struct cenote_buffer whole = {v->data, v->len_bytes};
    struct xcopy_req req = rig_write_req(v, &whole, 1);
    CHECK_STATUS(rig_run(c, &req), CENOTE_OK);
    CHECK(!req.may_land);
}

/* As a client judges: the seal names the value, and the sums of what came give its root. */
static int judge(const struct rig_value *v, const struct sums *sums, const uint8_t *seal_bytes)
{
    struct seal seal;
    struct seal_want want = {.put_id = v->put_id,
                             .gva = rig_gva(v->offset),
                             .incarnation = RIG_INCARNATION,
                             .payload_len = v->len_bytes};
    int status = seal_check(seal_bytes, &want, &seal);
    if (status == CENOTE_OK && seal.root != sums_root(sums))
        status = CENOTE_CORRUPT;
    return status;
}

int rig_get(struct xcopy_channel *c, const struct rig_value *v, uint8_t *out)
{
    struct cenote_buffer whole = {out, v->len_bytes};
    uint8_t *tail = malloc(v->tail_len);
    struct sums *sums = sums_new(v->len_bytes);
    CHECK(tail != NULL && sums != NULL);
    struct xcopy_req req = rig_read_req(v, &whole, 1, tail, v->tail_len);
    req.sums = sums;
    int status = rig_run(c, &req);
    if (status == CENOTE_OK)
        status = judge(v, sums, tail + v->tail_len - SEAL_BYTES);
    sums_free(sums);
    free(tail);
    return status;
}

void rig_plant(struct rig *r, struct rig_value *v)
{
    uint8_t *extent = rig_memory(r, v->offset);
    sums_reset(v->sums);
    sums_copy(v->sums, extent, v->data, v->len_bytes);
    rig_seal(v);
    memcpy(extent + extent_size(v->len_bytes) - v->tail_len, v->tail, v->tail_len);
    rig_land(r);
}

void rig_void(struct rig *r, const struct rig_value *v)
{
    void *state = rig_memory(r, v->offset) + extent_seal_offset(v->len_bytes) + SEAL_STATE_OFFSET;
    __atomic_store_n((uint32_t *)state, SEAL_STATE_VOID, __ATOMIC_SEQ_CST);
}

struct cenote_buffer *rig_cut(uint8_t *data, uint64_t len_bytes, uint64_t piece, size_t *count)
{
    *count = (size_t)((len_bytes + piece - 1) / piece);
    struct cenote_buffer *pieces = calloc(*count + 1, sizeof *pieces);
    CHECK(pieces != NULL);
    for (size_t i = 0; i < *count; i++) {
        uint64_t left = len_bytes - i * piece;
        pieces[i] = (struct cenote_buffer){data + i * piece, left < piece ? left : piece};
    }
    return pieces;
}

bool rig_holds(struct rig *r, const struct rig_value *v)
{
    const uint8_t *extent = rig_memory(r, v->offset);
    struct sums *sums = sums_new(v->len_bytes);
    CHECK(sums != NULL);
    sums_update(sums, extent, v->len_bytes);
    bool holds = memcmp(extent, v->data, v->len_bytes) == 0 &&
                 judge(v, sums, extent + extent_seal_offset(v->len_bytes)) == CENOTE_OK;
    sums_free(sums);
    return holds;
}
