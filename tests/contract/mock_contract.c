/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RDMA over devices that are made up, step by step: what must hold at each moment, whatever devices
 * and the wire may do. Usage: mock_contract [CASE...]
 */
#include <string.h>

#include "tests/contract/rig.h"
#include "tests/support/mockverbs.h"
#include "transport/base/clock.h"
#include "transport/base/log.h"

#define SOON_MS     5000u
#define OFFSET      8192u
#define QUEUE_PAIRS 64u

/* In one work request; in several of one queue pair; over two rails. */
static const uint64_t lengths[] = {5000, 600011, 1200007};
#define LENGTHS (sizeof lengths / sizeof lengths[0])

static struct mock_device *devices[2];

/* ---- steps ----------------------------------------------------------------------------------- */

static uint64_t dice = 1;

static unsigned throw_dice(unsigned sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (unsigned)(dice % sides);
}

/* One request of any queue pair, and perhaps what was late of another lands. Returns whether there
 * was a request. */
static bool step(void)
{
    uint32_t numbers[QUEUE_PAIRS];
    unsigned count = mock_queue_pairs(numbers, QUEUE_PAIRS), first = throw_dice(count + 1);
    if (first < count)
        mock_land_queue_pair(numbers[first]);
    first = throw_dice(count + 1);
    for (unsigned i = 0; i < count; i++)
        if (mock_step_queue_pair(numbers[(first + i) % count], 1) > 0)
            return true;
    return false;
}

/* So many steps of a request, or until it completes. Returns how many there were. */
static unsigned run_steps(struct xcopy_channel *c, const struct xcopy_req *req, unsigned max)
{
    uint64_t deadline_ms = clock_now_ms() + RIG_TIMEOUT_MS;
    unsigned steps = 0;
    while (req->status == XCOPY_IN_PROGRESS && steps < max) {
        CHECK(clock_now_ms() < deadline_ms);
        c->transport->progress(c);
        steps += step();
    }
    return steps;
}

/* ---- a value that is written ----------------------------------------------------------------- */

struct put {
    struct rig *rig;
    struct xcopy_channel *channel;
    struct rig_value value;
    struct cenote_buffer whole;
    struct xcopy_req req;
};

/* Connected and submitted; nothing is executed but by steps. */
static void put_begin(struct put *p, struct rig *r, uint64_t len)
{
    p->rig = r;
    p->channel = rig_connect(r, 1);
    rig_value_make(&p->value, 1, rig_next_put(), OFFSET, len);
    p->whole = (struct cenote_buffer){p->value.data, len};
    p->req = rig_write_req(&p->value, &p->whole, 1);
    memset(rig_memory(r, OFFSET), 0, extent_size(len));
    mock_hold(true);
    p->channel->transport->submit(p->channel, &p->req);
}

static void put_end(struct put *p)
{
    rig_disconnect(p->channel);
    rig_value_free(&p->value);
}

/* The extent becomes another value's, what was on its way arrives, and nothing of it is seen. */
static void expect_reuse(struct rig *r, uint64_t len)
{
    struct rig_value next;
    rig_value_make(&next, 2, rig_next_put(), OFFSET, len);
    rig_plant(r, &next);
    CHECK(rig_holds(r, &next));
    rig_value_free(&next);
}

static bool is_sealed(struct rig *r, const struct rig_value *v)
{
    struct seal seal;
    struct seal_want want = {.put_id = v->put_id,
                             .gva = rig_gva(v->offset),
                             .incarnation = RIG_INCARNATION,
                             .payload_len = v->len_bytes};
    const uint8_t *at = rig_memory(r, v->offset) + extent_seal_offset(v->len_bytes);
    return seal_check(at, &want, &seal) == CENOTE_OK;
}

/* ---- order and visibility -------------------------------------------------------------------- */

/* Between two steps of a READ its extent is voided and used again. Whoever got a seal that is alive
 * has got the payload that belongs to it. */
static unsigned read_over_reuse(struct rig *r, uint64_t len, unsigned at)
{
    struct rig_value v, next;
    uint8_t tail[SEAL_BYTES], *out = calloc(1, len);
    struct cenote_buffer whole = {out, len};
    struct seal seal;
    CHECK(out != NULL);
    struct xcopy_channel *c = rig_connect(r, 1);
    rig_value_make(&v, 1, rig_next_put(), OFFSET, len);
    rig_value_make(&next, 2, rig_next_put(), OFFSET, len);
    rig_plant(r, &v);
    struct seal_want want = {.put_id = v.put_id,
                             .gva = rig_gva(OFFSET),
                             .incarnation = RIG_INCARNATION,
                             .payload_len = len};
    struct xcopy_req get = rig_read_req(&v, &whole, 1, tail, SEAL_BYTES);
    mock_hold(true);
    c->transport->submit(c, &get);
    unsigned steps = run_steps(c, &get, at);
    rig_void(r, &v);
    rig_plant(r, &next);
    run_steps(c, &get, UINT32_MAX);
    CHECK_STATUS(get.status, CENOTE_OK);
    bool alive = seal_check(tail, &want, &seal) == CENOTE_OK;
    CHECK(!alive || memcmp(out, v.data, len) == 0);
    mock_hold(false);
    rig_disconnect(c);
    rig_value_free(&v);
    rig_value_free(&next);
    free(out);
    return steps;
}

static void case_tail_is_read_last(struct rig *r)
{
    mock_set_quirks(MOCK_SWAPPED);
    for (size_t i = 0; i < LENGTHS; i++)
        for (unsigned at = 0; read_over_reuse(r, lengths[i], at) == at; at++)
            ;
    CHECK(mock_counts().swapped > 0);
}

static void check_sealed(struct put *p)
{
    CHECK(!is_sealed(p->rig, &p->value) || rig_holds(p->rig, &p->value));
}

/* At each step of a WRITE: where its seal is, its payload is. And while what is late lands, if any
 * is, by one queue pair after the other. */
static void case_seal_is_written_last(struct rig *r)
{
    uint32_t numbers[QUEUE_PAIRS];
    for (unsigned round = 0; round < 24; round++) {
        static struct put p;
        mock_set_quirks(round % 2 == 0 ? MOCK_LATE : 0);
        put_begin(&p, r, lengths[round % LENGTHS]);
        while (run_steps(p.channel, &p.req, 1) == 1)
            check_sealed(&p);
        CHECK_STATUS(p.req.status, CENOTE_OK);
        unsigned count = mock_queue_pairs(numbers, QUEUE_PAIRS);
        for (unsigned i = 0; i < count; i++) {
            mock_land_queue_pair(numbers[round % 4 < 2 ? i : count - 1 - i]);
            check_sealed(&p);
        }
        mock_hold(false);
        put_end(&p);
    }
    CHECK(mock_counts().late > 0);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void fence(struct rig *r, uint64_t put_id)
{
    struct rig_fence f;
    rig_fence_begin(r, &f, 1, put_id);
    CHECK(rig_fence_ended(&f, SOON_MS));
    rig_fence_free(&f);
}

/* The client's queue pairs, which are the only ones that send, fail all at once. What they had with
 * their devices may be on the wire. */
static void fail_client(void)
{
    uint32_t numbers[QUEUE_PAIRS];
    unsigned count = mock_queue_pairs(numbers, QUEUE_PAIRS);
    struct mock_queue_pair seen;
    for (unsigned i = 0; i < count; i++)
        if (mock_queue_pair_of(numbers[i], &seen) && seen.state == IBV_QPS_RTS)
            mock_fail_queue_pair(numbers[i]);
}

/* A WRITE is cancelled after so many steps: its buffer is the caller's again at once; the extent
 * after a fence, which nobody needs who was told that nothing may land. */
static bool cancel_at(struct rig *r, uint64_t len, unsigned at)
{
    static struct put p;
    put_begin(&p, r, len);
    bool under_way = run_steps(p.channel, &p.req, at) == at;
    bool was_done = p.req.status == CENOTE_OK;
    fail_client();
    p.channel->transport->cancel(p.channel, CENOTE_TIMED_OUT);
    CHECK_STATUS(p.req.status, was_done ? CENOTE_OK : CENOTE_TIMED_OUT);
    CHECK(p.req.may_land == (p.req.started && !was_done));
    mock_forbid(p.value.data, len);
    mock_forbid(p.value.tail, p.value.tail_len);
    if (p.req.may_land)
        fence(r, p.value.put_id);
    expect_reuse(r, len);
    mock_hold(false);
    mock_permit(p.value.data);
    mock_permit(p.value.tail);
    put_end(&p);
    return under_way;
}

static void case_cancelled_write_is_fenced(struct rig *r)
{
    mock_set_quirks(MOCK_LATE | MOCK_STRAY);
    for (size_t i = 0; i < LENGTHS; i++)
        for (unsigned at = 0; cancel_at(r, lengths[i], at); at++)
            ;
    CHECK(mock_counts().strays > 0 && mock_counts().lost > 0);
}

/* A fence comes after so many steps of a WRITE that goes on, with its queue pairs or without. */
static bool fence_at(struct rig *r, uint64_t len, unsigned at, bool failed)
{
    static struct put p;
    put_begin(&p, r, len);
    bool under_way = run_steps(p.channel, &p.req, at) == at;
    bool was_there = rig_holds(r, &p.value);
    struct rig_value next;
    if (failed)
        fail_client();
    fence(r, p.value.put_id);
    rig_value_make(&next, 2, rig_next_put(), OFFSET, len);
    rig_plant(r, &next);
    run_steps(p.channel, &p.req, UINT32_MAX);
    if (p.req.status == CENOTE_OK)
        CHECK(was_there);
    else if (!failed)
        CHECK_STATUS(p.req.status, CENOTE_FENCED);
    rig_land(r);
    CHECK(rig_holds(r, &next));
    mock_hold(false);
    CHECK(rig_holds(r, &next));
    rig_value_free(&next);
    put_end(&p);
    return under_way;
}

static void case_fenced_write_goes_on(struct rig *r)
{
    mock_set_quirks(MOCK_LATE | MOCK_STRAY);
    for (size_t i = 0; i < 2 * LENGTHS; i++)
        for (unsigned at = 0; fence_at(r, lengths[i / 2], at, i % 2); at++)
            ;
    CHECK(mock_counts().strays > 0 && mock_counts().lost > 0);
}

/* One of two devices answers no more after so many steps of a WRITE, which goes on by the other.
 * What the first has on the wire is gone when the WRITE is done. */
static bool lose_rail_at(struct rig *r, struct mock_device *device, uint64_t len, unsigned at)
{
    static struct put p;
    put_begin(&p, r, len);
    bool under_way = run_steps(p.channel, &p.req, at) == at;
    mock_silence(device, true);
    run_steps(p.channel, &p.req, UINT32_MAX);
    CHECK_STATUS(p.req.status, CENOTE_OK);
    CHECK(rig_holds(r, &p.value));
    mock_silence(device, false);
    expect_reuse(r, len);
    mock_hold(false);
    put_end(&p);
    return under_way;
}

static void case_rail_is_lost(struct rig *r)
{
    mock_set_quirks(MOCK_LATE | MOCK_STRAY);
    for (size_t i = 0; i < 2 * LENGTHS; i++)
        for (unsigned at = 0; lose_rail_at(r, devices[i % 2], lengths[i / 2], at); at++)
            ;
    CHECK(mock_counts().strays > 0 && mock_counts().lost > 0);
}

/* ---------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(struct rig *r);
} cases[] = {
    {"tail_is_read_last", case_tail_is_read_last},
    {"seal_is_written_last", case_seal_is_written_last},
    {"cancelled_write_is_fenced", case_cancelled_write_is_fenced},
    {"fenced_write_goes_on", case_fenced_write_goes_on},
    {"rail_is_lost", case_rail_is_lost},
};

static bool wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc <= 1;
}

int main(int argc, char **argv)
{
    static struct rig r;
    log_set_sink(log_to_stderr, NULL);
    log_set_level(LOG_ERROR);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (!wanted(cases[i].name, argc, argv))
            continue;
        printf("%s\n", cases[i].name);
        fflush(stdout);
        rig_start_mocked(&r, devices, NULL);
        cases[i].run(&r);
        rig_stop(&r);
    }
    return 0;
}
