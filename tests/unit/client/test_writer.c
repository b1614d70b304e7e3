/* SPDX-License-Identifier: Apache-2.0 */
/* Values that are put range by range. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/writer.h"
#include "tests/unit/client/fake_pool.h"

#define CHUNK       SUMS_CHUNK_BYTES
#define VALUE_BYTES (5 * CHUNK + 1234)

static struct fake f;
static uint8_t value[VALUE_BYTES], got[VALUE_BYTES];
static struct writer *writer;

static void begin(void)
{
    fake_begin(&f);
    fake_fill(value, sizeof value, 5);
}

static void end(void)
{
    if (writer)
        writer_free(writer);
    fake_end(&f);
}

TestSuite(writer, .init = begin, .fini = end);

static int open_writer(uint64_t len, unsigned flags)
{
    struct machine_env env = fake_env(&f);
    const struct cenote_key key = {"k", 1};

    writer = writer_new(&env, &key, len, flags);
    cr_assert_not_null(writer);
    fake_run(&f, writer_open(writer));
    return writer_opened(writer);
}

static int write_range(uint64_t offset, const void *data, size_t len)
{
    struct writer_range *r;
    int status = writer_range_begin(writer, offset, data, len, &r);

    if (status != CENOTE_OK)
        return status;
    fake_run(&f, writer_range_machine(r));
    return writer_range_end(r);
}

static void expect_write(uint64_t offset, size_t len)
{
    int status = write_range(offset, value + offset, len);
    cr_assert_eq(status, CENOTE_OK, "%zu bytes at %llu: %s", len, (unsigned long long)offset,
                 cenote_status_name(status));
}

static int commit(void)
{
    struct machine *m = NULL;
    int status = writer_commit(writer, &m);

    if (!m)
        return status;
    fake_run(&f, m);
    return writer->status;
}

static void give_up(void)
{
    struct machine *m = writer_abort(writer);
    if (m)
        fake_run(&f, m);
}

static void expect_value(size_t len)
{
    uint64_t found = 0;

    f.on_call = NULL;
    f.on_copy = NULL;
    memset(got, 0, sizeof got);
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, &found), CENOTE_OK);
    cr_assert_eq(found, len);
    cr_assert_eq(memcmp(got, value, len), 0);
}

static uint32_t dice(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % below);
}

/* Writes the value in layers of a length, the Nth of them after the one step before. */
static void write_layers(size_t len, size_t layer, size_t step)
{
    size_t count = (len + layer - 1) / layer;

    for (size_t i = 0; i < count; i++) {
        size_t at = i * step % count * layer;
        expect_write(at, len - at < layer ? len - at : layer);
    }
}

/* ---- what is written ------------------------------------------------------------------------- */

Test(writer, one_range)
{
    cr_assert_eq(open_writer(VALUE_BYTES, 0), CENOTE_OK);
    expect_write(0, VALUE_BYTES);
    cr_assert_null(fake_find(&f, "k"));
    cr_assert_eq(commit(), CENOTE_OK);
    cr_assert_eq(f.copies, 2); /* the payload, and what closes it */
    expect_value(VALUE_BYTES);
}

Test(writer, extent_is_as_a_put_makes_it)
{
    cr_assert_eq(fake_put(&f, "p", value, VALUE_BYTES, 0), CENOTE_OK);
    cr_assert_eq(open_writer(VALUE_BYTES, 0), CENOTE_OK);
    write_layers(VALUE_BYTES, 40960, 1);
    cr_assert_eq(commit(), CENOTE_OK);
    const struct stripe *a = fake_find(&f, "p")->stripes, *b = fake_find(&f, "k")->stripes;
    cr_assert_eq(a->root, b->root);
    cr_assert_eq(memcmp(fake_at(&f, a->gva[0]), fake_at(&f, b->gva[0]),
                        extent_sums_offset(VALUE_BYTES) + extent_sums_size(VALUE_BYTES)),
                 0);
}

Test(writer, layers_backwards_and_across_chunks)
{
    cr_assert_eq(open_writer(VALUE_BYTES, 0), CENOTE_OK);
    for (size_t at = VALUE_BYTES; at > 0;) {
        size_t n = at < 40000 ? at : 40000;
        at -= n;
        expect_write(at, n);
    }
    cr_assert_eq(writer->scratch_bytes, 0);
    cr_assert_eq(commit(), CENOTE_OK);
    expect_value(VALUE_BYTES);
}

Test(writer, stripes_and_replicas)
{
    f.stripe_bytes = 2 * CHUNK;
    cr_assert_eq(open_writer(VALUE_BYTES, CENOTE_PUT_REPLICAS(3)), CENOTE_OK);
    write_layers(VALUE_BYTES, 100000, 3);
    cr_assert_eq(commit(), CENOTE_OK);
    for (uint32_t i = 0; i < 9; i++)
        cr_assert_eq(fake_find(&f, "k")->extent_states[i], EXTENT_VISIBLE);
    expect_value(VALUE_BYTES);
}

Test(writer, empty_value)
{
    cr_assert_eq(open_writer(0, 0), CENOTE_OK);
    cr_assert_eq(write_range(0, NULL, 0), CENOTE_OK);
    cr_assert_eq(write_range(0, value, 1), CENOTE_INVALID);
    cr_assert_eq(commit(), CENOTE_OK);
    expect_value(0);
}

Test(writer, callers_memory_is_free_after_each_range)
{
    uint8_t layer[5000];

    cr_assert_eq(open_writer(20000, 0), CENOTE_OK);
    for (size_t at = 0; at < 20000; at += sizeof layer) {
        memcpy(layer, value + at, sizeof layer);
        cr_assert_eq(write_range(at, layer, sizeof layer), CENOTE_OK);
        memset(layer, 0, sizeof layer);
    }
    cr_assert_eq(commit(), CENOTE_OK);
    expect_value(20000);
}

struct cut {
    uint32_t begin, len;
};

/* Cuts a value at random, often at chunks' borders; the parts come in random order. */
static uint32_t cut_at_random(uint64_t *state, uint32_t len, struct cut *out, uint32_t max)
{
    uint32_t count = 0;

    for (uint32_t at = 0; at < len && count < max; count++) {
        uint32_t n = 1 + dice(state, dice(state, 2) ? CHUNK / 4 : 2 * CHUNK);
        if (dice(state, 3) == 0)
            n = (at / CHUNK + 1) * CHUNK - at;
        if (n > len - at || count + 1 == max)
            n = len - at;
        out[count] = (struct cut){at, n};
        at += n;
    }
    for (uint32_t i = count; i > 1; i--) {
        uint32_t k = dice(state, i);
        struct cut swap = out[i - 1];
        out[i - 1] = out[k];
        out[k] = swap;
    }
    return count;
}

Test(writer, at_random)
{
    const char *text = getenv("CENOTE_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : 4711, state = seed;
    struct cut cuts[64];

    printf("CENOTE_SEED=%llu\n", (unsigned long long)seed);
    f.stripe_bytes = 2 * CHUNK;
    f.replicas = 2;
    for (unsigned round = 0; round < 60; round++) {
        uint32_t len = dice(&state, VALUE_BYTES + 1);
        uint32_t count = cut_at_random(&state, len, cuts, 64);

        cr_assert_eq(open_writer(len, 0), CENOTE_OK);
        for (uint32_t i = 0; i < count; i++) {
            cr_assert_eq(commit(), CENOTE_INVALID);
            expect_write(cuts[i].begin, cuts[i].len);
            cr_assert_eq(write_range(cuts[i].begin + dice(&state, cuts[i].len), value, 1),
                         CENOTE_INVALID);
        }
        cr_assert_eq(writer->scratch_bytes, 0);
        cr_assert_eq(commit(), CENOTE_OK);
        expect_value(len);
        writer_free(writer);
        writer = NULL;
        fake_remove(&f, "k");
        memset(f.used, 0, sizeof f.used);
    }
}

/* ---- what is refused ------------------------------------------------------------------------- */

Test(writer, written_before__nothing_changes)
{
    static uint8_t other[VALUE_BYTES];

    cr_assert_eq(open_writer(VALUE_BYTES, 0), CENOTE_OK);
    expect_write(100, 3 * CHUNK);
    uint64_t scratch = writer->scratch_bytes;
    cr_assert_eq(write_range(0, other, 101), CENOTE_INVALID);
    cr_assert_eq(write_range(0, other, VALUE_BYTES), CENOTE_INVALID);
    cr_assert_eq(write_range(99 + 3 * CHUNK, other, 2 * CHUNK), CENOTE_INVALID);
    cr_assert_eq(writer->scratch_bytes, scratch);
    expect_write(0, 100);
    expect_write(100 + 3 * CHUNK, VALUE_BYTES - 100 - 3 * CHUNK);
    cr_assert_eq(commit(), CENOTE_OK);
    expect_value(VALUE_BYTES);
}

Test(writer, beyond_the_end)
{
    cr_assert_eq(open_writer(1000, 0), CENOTE_OK);
    cr_assert_eq(write_range(1000, value, 1), CENOTE_INVALID);
    cr_assert_eq(write_range(1, value, 1000), CENOTE_INVALID);
    cr_assert_eq(write_range(UINT64_MAX, value, 2), CENOTE_INVALID);
    cr_assert_eq(write_range(1001, value, 0), CENOTE_INVALID);
    cr_assert_eq(write_range(1000, value, 0), CENOTE_OK);
}

Test(writer, bytes_are_missing__goes_on)
{
    cr_assert_eq(open_writer(VALUE_BYTES, 0), CENOTE_OK);
    expect_write(1, VALUE_BYTES - 1);
    cr_assert_eq(commit(), CENOTE_INVALID);
    expect_write(0, 1);
    cr_assert_eq(commit(), CENOTE_OK);
    cr_assert_eq(commit(), CENOTE_OK);
    cr_assert_eq(f.commits, 1);
    cr_assert_eq(write_range(0, value, 1), CENOTE_INVALID);
    expect_value(VALUE_BYTES);
}

Test(writer, key_is_there)
{
    cr_assert_eq(fake_put(&f, "k", value, VALUE_BYTES, 0), CENOTE_OK);
    cr_assert_eq(open_writer(VALUE_BYTES, 0), CENOTE_EXISTS);
    writer_free(writer);
    cr_assert_eq(open_writer(VALUE_BYTES, CENOTE_PUT_REPLACE), CENOTE_OK);
    expect_write(0, VALUE_BYTES);
    cr_assert_eq(commit(), CENOTE_OK);
    expect_value(VALUE_BYTES);
}

Test(writer, somebody_is_faster)
{
    cr_assert_eq(open_writer(VALUE_BYTES, 0), CENOTE_OK);
    expect_write(0, VALUE_BYTES);
    cr_assert_eq(fake_put(&f, "k", value, 10, 0), CENOTE_OK);
    cr_assert_eq(commit(), CENOTE_EXISTS);
    expect_value(10);
}

Test(writer, closed_before_the_commit__aborted)
{
    cr_assert_eq(open_writer(VALUE_BYTES, 0), CENOTE_OK);
    expect_write(0, VALUE_BYTES);
    give_up();
    cr_assert_eq(f.aborts, 1);
    cr_assert_eq(f.objects[0].state, FAKE_ABORTED);
    cr_assert_eq(f.objects[0].extent_states[0], EXTENT_DRAINED);
    cr_assert_eq(commit(), CENOTE_ABORTED);
}

/* ---- nodes that fail ------------------------------------------------------------------------- */

/* hook: the node, its status, may_land, copies before it */
static int fail_node(struct fake *fake, struct xcopy_req *x)
{
    if ((int)fake_node_of(x->gva) != fake->hook[0] || fake->hook[3]-- > 0)
        return XCOPY_IN_PROGRESS;
    x->may_land = fake->hook[2];
    return fake->hook[1];
}

static void fail(int node, int status, bool may_land, int after)
{
    const int hook[4] = {node, status, may_land, after};

    memcpy(f.hook, hook, sizeof hook);
    f.on_copy = fail_node;
}

Test(writer, replica_fails__goes_on_with_the_other)
{
    for (int after = 0; after < 6; after++) {
        f.replicas = 2;
        f.on_copy = NULL;
        cr_assert_eq(open_writer(VALUE_BYTES, CENOTE_PUT_REPLACE), CENOTE_OK);
        struct fake_object *o = &f.objects[f.object_count - 1];
        fail((int)fake_node_of(o->stripes[0].gva[1]), CENOTE_NODE_DOWN, after == 2, after);
        write_layers(VALUE_BYTES, 2 * CHUNK, 1);
        cr_assert_eq(commit(), CENOTE_OK);
        cr_assert_eq(o->extent_states[0], EXTENT_VISIBLE);
        cr_assert_eq(o->extent_states[1], after > 3    ? EXTENT_VISIBLE
                                          : after == 2 ? EXTENT_UNKNOWN
                                                       : EXTENT_DRAINED);
        expect_value(VALUE_BYTES);
        writer_free(writer);
        writer = NULL;
        memset(f.used, 0, sizeof f.used);
        fake_remove(&f, "k");
    }
}

Test(writer, no_replica_left__node_down)
{
    cr_assert_eq(open_writer(VALUE_BYTES, 0), CENOTE_OK);
    expect_write(0, CHUNK);
    fail((int)fake_node_of(f.objects[0].stripes[0].gva[0]), CENOTE_NODE_DOWN, true, 0);
    cr_assert_eq(write_range(CHUNK, value, CHUNK), CENOTE_NODE_DOWN);
    cr_assert_eq(write_range(2 * CHUNK, value, CHUNK), CENOTE_NODE_DOWN);
    cr_assert_eq(commit(), CENOTE_NODE_DOWN);
    cr_assert_eq(f.aborts, 1);
    cr_assert_eq(f.commits, 0);
    cr_assert_eq(f.starts, 1);
    cr_assert_eq(f.objects[0].extent_states[0], EXTENT_UNKNOWN);
}

Test(writer, node_fails_at_the_end__aborted_and_not_begun_anew)
{
    cr_assert_eq(open_writer(VALUE_BYTES, 0), CENOTE_OK);
    expect_write(0, VALUE_BYTES);
    fail((int)fake_node_of(f.objects[0].stripes[0].gva[0]), CENOTE_NODE_DOWN, false, 0);
    cr_assert_eq(commit(), CENOTE_NODE_DOWN);
    cr_assert_eq(f.aborts, 1);
    cr_assert_eq(f.starts, 1);
    cr_assert_eq(commit(), CENOTE_NODE_DOWN);
}

Test(writer, fenced__aborted)
{
    cr_assert_eq(open_writer(VALUE_BYTES, 0), CENOTE_OK);
    fail((int)fake_node_of(f.objects[0].stripes[0].gva[0]), CENOTE_FENCED, false, 0);
    cr_assert_eq(write_range(0, value, CHUNK), CENOTE_ABORTED);
    cr_assert_eq(commit(), CENOTE_ABORTED);
}

Test(writer, one_stripe_without_replica__failed)
{
    f.stripe_bytes = CHUNK;
    cr_assert_eq(open_writer(VALUE_BYTES, 0), CENOTE_OK);
    expect_write(0, 2 * CHUNK);
    fail((int)fake_node_of(f.objects[0].stripes[3].gva[0]), CENOTE_TIMED_OUT, true, 0);
    cr_assert_eq(write_range(2 * CHUNK, value + 2 * CHUNK, 3 * CHUNK), CENOTE_TIMED_OUT);
    cr_assert_eq(commit(), CENOTE_TIMED_OUT);
    cr_assert_eq(f.objects[0].extent_states[3], EXTENT_UNKNOWN);
    cr_assert_eq(f.objects[0].extent_states[0], EXTENT_DRAINED);
}

/* Caller's memory that changes while it is copied: no two replicas differ. */
static int change_between(struct fake *fake, struct xcopy_req *x)
{
    if (x->op == XCOPY_WRITE && x->len_bytes > 0 && fake->hook[0]++ == 1)
        value[10]++;
    return XCOPY_IN_PROGRESS;
}

Test(writer, memory_changes_meanwhile__one_replica)
{
    f.replicas = 2;
    f.on_copy = change_between;
    cr_assert_eq(open_writer(VALUE_BYTES, 0), CENOTE_OK);
    expect_write(0, VALUE_BYTES);
    cr_assert_eq(commit(), CENOTE_OK);
    cr_assert_eq(fake_find(&f, "k")->extent_states[1], EXTENT_DRAINED);
    value[10]--;
    expect_value(VALUE_BYTES);
}

/* ---- answers that are lost ------------------------------------------------------------------- */

static int lose_first(struct fake *fake, const char *method, bool *lost)
{
    if (strcmp(method, fake->hook[1] ? METHOD_PUT_COMMIT : METHOD_PUT_START) != 0 ||
        fake->hook[0]++ > 0)
        return CENOTE_OK;
    *lost = true;
    return CENOTE_UNKNOWN;
}

Test(writer, answers_are_lost__asked_again)
{
    for (int commits = 0; commits < 2; commits++) {
        f.hook[0] = 0;
        f.hook[1] = commits;
        f.on_call = lose_first;
        cr_assert_eq(open_writer(VALUE_BYTES, CENOTE_PUT_REPLACE), CENOTE_OK);
        expect_write(0, VALUE_BYTES);
        cr_assert_eq(commit(), CENOTE_OK);
        cr_assert_gt(f.hook[0], 1);
        expect_value(VALUE_BYTES);
        writer_free(writer);
        writer = NULL;
    }
}
