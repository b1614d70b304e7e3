/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenario/rdma/host.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/mockverbs.h"
#include "transport/base/clock.h"
#include "transport/base/endpoint.h"
#include "transport/rdma/exporter.h"

bool host_is_real;

static const struct hash_key pool_key = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

/* ---- time ------------------------------------------------------------------------------------ */

uint64_t __real_clock_now_ms(void);
uint64_t __wrap_clock_now_ms(void);

static _Atomic uint64_t skipped_ms;

/* The linker puts it in place of the clock. */
uint64_t __wrap_clock_now_ms(void)
{
    return __real_clock_now_ms() + atomic_load(&skipped_ms);
}

void host_skip_time(uint64_t ms)
{
    atomic_fetch_add(&skipped_ms, ms);
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

/* ---- the node -------------------------------------------------------------------------------- */

static int gate_authenticate(void *arg, const struct xcopy_credentials *who)
{
    (void)arg;
    bool known = token_valid(&pool_key, who->session, who->name_space, &who->token);
    return known ? CENOTE_OK : CENOTE_DENIED;
}

static int gate_admit_write(void *arg, uint64_t session, uint64_t put_id, struct gva gva,
                            uint64_t extent_len, const struct write_grant *grant)
{
    (void)arg;
    (void)session;
    (void)put_id;
    (void)gva;
    (void)extent_len;
    (void)grant;
    CHECK(!"nobody asks for a single write");
    return CENOTE_DENIED;
}

static uint64_t gate_horizon(void *arg, uint64_t session)
{
    struct host *h = arg;
    if (h->on_horizon != NULL)
        h->on_horizon(h, session);
    return atomic_load(&h->horizons[session % HOST_SESSIONS]);
}

int host_try_start(struct host *h, const char *settings, const char *endpoint)
{
    memset(h, 0, sizeof *h);
    hash_init();
    if (!host_is_real)
        rdma_verbs_replace(mock_verbs());
    h->gate = (struct xcopy_gate){.arg = h,
                                  .boot = HOST_BOOT,
                                  .authenticate = gate_authenticate,
                                  .admit_write = gate_admit_write,
                                  .horizon = gate_horizon};
    h->trace = trace_new();
    CHECK(h->trace != NULL && trace_switch(h->trace, true) == CENOTE_OK);
    int status = xcopy_rdma_exporter.start(
        endpoint, &h->gate, &(struct xcopy_settings){.rdma = settings, .trace = h->trace},
        &h->exporter, h->endpoint);
    if (status == CENOTE_OK)
        host_set_patience(h, HOST_PATIENCE_MS);
    else
        trace_free(h->trace);
    return status;
}

void host_start(struct host *h)
{
    CHECK_EQ(host_try_start(h, NULL, "127.0.0.1:0"), CENOTE_OK);
    CHECK_EQ(host_add_segment(h), CENOTE_OK);
}

static int add_segment(struct host *h, enum memory_kind kind)
{
    struct xcopy_segment *s = &h->segments[h->segment_count];
    *s = (struct xcopy_segment){.gva = {GVA_FIRST + h->segment_count * GVA_ALIGN},
                                .incarnation = HOST_INCARNATION + h->segment_count};
    CHECK_EQ(
        memory_ops_of(MEMORY_HOST)->make(HOST_SEGMENT_BYTES, &(struct memory_how){0}, &s->memory),
        CENOTE_OK);
    s->memory.kind = kind;
    h->segment_count++;
    return h->exporter->ops->add_segment(h->exporter, s);
}

void host_set_patience(struct host *h, uint32_t ms)
{
    ((struct exporter *)h->exporter)->segments.patience_ms = ms;
}

int host_add_segment(struct host *h)
{
    return add_segment(h, MEMORY_HOST);
}

int host_add_device_memory(struct host *h)
{
    return add_segment(h, MEMORY_HBM);
}

unsigned host_traced(const struct host *h, const char *stage)
{
    struct textbuf page = {0};
    char line[128];
    unsigned count = 0;
    snprintf(line, sizeof line, "cenote_trace_seconds_count{operation=\"rdma\",stage=\"%s\"} ",
             stage);
    trace_page(h->trace, &page);
    const char *at = strstr(page.text, line);
    if (at != NULL)
        count = (unsigned)strtoul(at + strlen(line), NULL, 10);
    textbuf_free(&page);
    return count;
}

static void check_none_in_flight(struct trace *t)
{
    struct textbuf page = {0};
    trace_page(t, &page);
    for (const char *at = page.text; (at = strstr(at, "\ncenote_trace_in_flight{")) != NULL; at++)
        CHECK(strncmp(strstr(at, "} "), "} 0\n", 4) == 0);
    textbuf_free(&page);
}

void host_stop_exporter(struct host *h)
{
    h->exporter->ops->stop(h->exporter);
    check_none_in_flight(h->trace);
    trace_free(h->trace);
}

void host_stop(struct host *h)
{
    host_stop_exporter(h);
    for (unsigned i = 0; i < h->segment_count; i++)
        memory_ops_of(MEMORY_HOST)->destroy(&h->segments[i].memory);
    CHECK_EQ(mock_alive(), 0);
    rdma_verbs_replace(NULL);
}

struct xcopy_report host_report(const struct host *h)
{
    struct xcopy_report report;
    h->exporter->ops->report(h->exporter, &report);
    return report;
}

void host_await_connections(const struct host *h, uint64_t count)
{
    uint64_t deadline = clock_now_ms() + HOST_PATIENCE_MS;
    while (host_report(h).connections != count) {
        CHECK(clock_now_ms() < deadline);
        nap();
    }
}

void host_await_queue_pairs(const struct host *h, uint64_t count)
{
    uint64_t deadline = clock_now_ms() + HOST_PATIENCE_MS;
    while (host_report(h).queue_pairs != count) {
        CHECK(clock_now_ms() < deadline);
        nap();
    }
}

/* ---- fences ---------------------------------------------------------------------------------- */

static void fence_done(void *arg)
{
    atomic_store((atomic_bool *)arg, true);
}

void host_fence_begin(struct host *h, uint64_t session, uint64_t horizon, atomic_bool *done)
{
    _Atomic uint64_t *at = &h->horizons[session % HOST_SESSIONS];
    uint64_t was = atomic_load(at);
    while (was < horizon && !atomic_compare_exchange_weak(at, &was, horizon))
        ;
    atomic_store(done, false);
    h->exporter->ops->fence(h->exporter, session, horizon, fence_done, done);
}

bool host_await(const atomic_bool *done, uint32_t wait_ms)
{
    uint64_t deadline = clock_now_ms() + wait_ms;
    while (!atomic_load(done)) {
        if (clock_now_ms() >= deadline)
            return false;
        nap();
    }
    return true;
}

void host_fence(struct host *h, uint64_t session, uint64_t horizon)
{
    atomic_bool done;
    host_fence_begin(h, session, horizon, &done);
    CHECK(host_await(&done, HOST_PATIENCE_MS));
}

/* ---- clients --------------------------------------------------------------------------------- */

struct guest *guest_new(const struct host *h)
{
    struct endpoint at;
    struct guest *g = calloc(1, sizeof *g);
    CHECK(g != NULL);
    CHECK_EQ(endpoint_parse(h->endpoint, &at), CENOTE_OK);
    g->fd = endpoint_connect(&at, HOST_PATIENCE_MS);
    CHECK(g->fd >= 0);
    return g;
}

void guest_free(struct guest *g)
{
    close(g->fd);
    free(g);
}

void guest_send(struct guest *g, const void *data, size_t len)
{
    CHECK_EQ(send(g->fd, data, len, MSG_NOSIGNAL), len);
}

/* False: the connection has ended. */
static bool receive(const struct guest *g, void *out, size_t len)
{
    for (size_t have = 0; have < len;) {
        struct pollfd p = {.fd = g->fd, .events = POLLIN};
        CHECK_EQ(poll(&p, 1, HOST_PATIENCE_MS), 1);
        ssize_t n = recv(g->fd, (uint8_t *)out + have, len - have, 0);
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    return true;
}

struct hello guest_credentials(uint64_t session)
{
    return (struct hello){.who = {.session = session,
                                  .name_space = HOST_NAMESPACE,
                                  .token = token_make(&pool_key, session, HOST_NAMESPACE)},
                          .boot = HOST_BOOT};
}

int guest_hello(struct guest *g, const struct hello *hello)
{
    uint8_t raw[HELLO_BYTES], answer[HELLO_ANSWER_BYTES];
    struct hello_answer a;
    hello_encode(hello, raw);
    guest_send(g, raw, sizeof raw);
    g->session = hello->who.session;
    if (!receive(g, answer, sizeof answer))
        return CENOTE_NODE_DOWN;
    CHECK_EQ(hello_answer_decode(answer, &a), CENOTE_OK);
    CHECK_EQ(a.boot, HOST_BOOT);
    return a.status;
}

/* A message's body. */
static enum setup_type hear_raw(struct guest *g, uint32_t *len)
{
    enum setup_type type;
    if (!receive(g, g->message, SETUP_HEADER_BYTES))
        return 0;
    CHECK_EQ(setup_decode_header(g->message, &type, len), CENOTE_OK);
    return receive(g, g->message, *len) ? type : 0;
}

void guest_greet(struct guest *g, uint64_t session)
{
    uint32_t len = 0;
    struct hello hello = guest_credentials(session);
    CHECK_EQ(guest_hello(g, &hello), CENOTE_OK);
    CHECK_EQ(hear_raw(g, &len), SETUP_PORTS);
    CHECK_EQ(setup_decode_ports(g->message, len, &g->ports), CENOTE_OK);
}

struct guest *guest_connect(const struct host *h, uint64_t session)
{
    struct guest *g = guest_new(h);
    guest_greet(g, session);
    return g;
}

struct setup_open guest_open_of(const struct guest *g, uint32_t tag, enum rdma_role role)
{
    struct setup_open open = {
        .tag = tag,
        .role = role,
        .end = {.number = 0xabcdef, .psn = 7, .mtu_bytes = 1024, .read_depth = 4},
        .from = g->ports.at[0]};
    return open;
}

void guest_send_open(struct guest *g, const struct setup_open *open)
{
    guest_send(g, g->message, setup_encode_open(open, g->message));
}

void guest_send_close(struct guest *g, uint32_t tag)
{
    const struct setup_close m = {.tag = tag};
    guest_send(g, g->message, setup_encode_close(SETUP_CLOSE, &m, g->message));
}

void guest_send_ask(struct guest *g, uint32_t tag)
{
    const struct setup_close m = {.tag = tag};
    guest_send(g, g->message, setup_encode_close(SETUP_ASK, &m, g->message));
}

struct said guest_hear(struct guest *g)
{
    uint32_t len = 0;
    struct said s = {.opened = {.keys = g->keys}};
    s.type = hear_raw(g, &len);
    if (s.type == SETUP_OPENED || s.type == SETUP_KEYS)
        CHECK_EQ(setup_decode_opened(s.type, g->message, len, &s.opened), CENOTE_OK);
    else if (s.type != 0)
        CHECK_EQ(setup_decode_close(g->message, len, &s.closed), CENOTE_OK);
    return s;
}

int guest_open(struct guest *g, uint32_t tag, enum rdma_role role, struct setup_opened *out)
{
    struct setup_open open = guest_open_of(g, tag, role);
    guest_send_open(g, &open);
    struct said s = guest_hear(g);
    CHECK_EQ(s.type, SETUP_OPENED);
    CHECK_EQ(s.opened.tag, tag);
    *out = s.opened;
    return s.opened.status;
}

void guest_expect_end(struct guest *g)
{
    CHECK_EQ(guest_hear(g).type, 0);
}

void guest_expect_closed(struct guest *g, uint32_t tag)
{
    struct said s = guest_hear(g);
    CHECK_EQ(s.type, SETUP_CLOSED);
    CHECK_EQ(s.closed.tag, tag);
}
