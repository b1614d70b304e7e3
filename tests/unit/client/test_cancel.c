/* SPDX-License-Identifier: Apache-2.0 */
/* Machines that are cancelled, at every one of their steps: items have a status at once and are not
 * touched any more, and no put stays pending. */
#include <criterion/criterion.h>
#include <string.h>

#include "client/get.h"
#include "client/put.h"
#include "tests/unit/client/fake_pool.h"

#define VALUE_BYTES 150000u
#define ITEMS       3u

static struct fake f;
static uint8_t value[ITEMS][VALUE_BYTES];
static struct cenote_buffer piece[ITEMS];
static struct cenote_put_item put_items[ITEMS];
static struct cenote_get_item get_items[ITEMS];

static void begin(void)
{
    static const char *const keys[ITEMS] = {"a", "b", "c"};

    fake_begin(&f);
    f.stripe_bytes = SUMS_CHUNK_BYTES;
    for (unsigned i = 0; i < ITEMS; i++) {
        fake_fill(value[i], VALUE_BYTES, i + 1);
        piece[i] = (struct cenote_buffer){value[i], VALUE_BYTES};
        put_items[i] = (struct cenote_put_item){
            .key = {keys[i], 1}, .buffers = &piece[i], .buffer_count = 1, .status = 99};
        get_items[i] = (struct cenote_get_item){
            .key = {keys[i], 1}, .buffers = &piece[i], .buffer_count = 1, .status = 99};
    }
}

static void end(void)
{
    fake_end(&f);
}

TestSuite(cancel, .init = begin, .fini = end);

static unsigned pending(void)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < f.object_count; i++)
        n += f.objects[i].state == FAKE_PENDING;
    return n;
}

/* The steps before the one that is cancelled; what is under way then is carried out afterwards. */
static bool cancel_at(struct machine *m, unsigned steps, bool under_way, enum step_kind *kind)
{
    struct step step;

    for (unsigned i = 0; i < steps; i++) {
        fake_next(&f, m, &step);
        cr_assert_neq(step.kind, STEP_DONE);
        fake_carry_out(&f, m, &step);
    }
    *kind = STEP_DONE;
    if (under_way) {
        fake_next(&f, m, &step);
        *kind = step.kind;
        if (step.kind != STEP_CALL) { /* the driver brings it to its end first */
            fake_carry_out(&f, m, &step);
            under_way = false;
        }
    }
    bool more = m->ops->cancel(m, CENOTE_CANCELLED, under_way);
    if (more && under_way)
        fake_carry_out(&f, m, &step);
    return more;
}

/* The submitter's memory is gone. */
static void forget_items(void)
{
    memset(put_items, 0xee, sizeof put_items);
    memset(get_items, 0xee, sizeof get_items);
    memset(piece, 0xee, sizeof piece);
}

static void cancelled_put(unsigned steps, bool under_way, int status)
{
    struct machine_env env = fake_env(&f);
    struct put *p = put_begin(&env, put_items, ITEMS, 0);
    enum step_kind kind;

    bool more = cancel_at(put_machine(p), steps, under_way, &kind);
    for (unsigned i = 0; i < ITEMS; i++)
        cr_assert_eq(put_items[i].status, status);
    forget_items();
    if (more)
        fake_run(&f, put_machine(p));
    cr_assert(more || pending() == 0 || under_way);
    cr_assert_eq(pending(), 0);
    put_free(p);
}

Test(cancel, put__not_begun)
{
    cancelled_put(0, false, CENOTE_CANCELLED);
    cr_assert_eq(f.calls, 0);
}

Test(cancel, put__while_it_is_granted)
{
    cancelled_put(0, true, CENOTE_CANCELLED);
    cr_assert_eq(f.starts, 1);
    cr_assert_eq(f.aborts, 1);
    cr_assert_eq(f.copies, 0);
    cr_assert_eq(f.objects[0].extent_states[0], EXTENT_DRAINED);
}

Test(cancel, put__granted)
{
    cancelled_put(1, false, CENOTE_CANCELLED);
    cr_assert_eq(f.aborts, 1);
    cr_assert_eq(f.commits, 0);
}

Test(cancel, put__after_its_copies)
{
    cancelled_put(3, false, CENOTE_CANCELLED);
    cr_assert_eq(f.aborts, 1);
    cr_assert_eq(f.objects[0].extent_states[0], EXTENT_VISIBLE);
}

Test(cancel, put__while_it_is_committed)
{
    cancelled_put(3, true, CENOTE_UNKNOWN);
    cr_assert_eq(f.commits, 1);
    cr_assert_eq(f.aborts, 0);
}

static int lose_start(struct fake *fake, const char *method, bool *lost)
{
    *lost = strcmp(method, METHOD_PUT_START) == 0 && fake->hook[0]-- > 0;
    return *lost ? CENOTE_UNKNOWN : CENOTE_OK;
}

/* The grant's answer was lost: it is asked for once more, to be given back. */
Test(cancel, put__while_it_waits_to_ask_again)
{
    struct machine_env env = fake_env(&f);
    struct put *p = put_begin(&env, put_items, ITEMS, 0);
    enum step_kind kind;

    f.on_call = lose_start;
    f.hook[0] = 2;
    cr_assert(cancel_at(put_machine(p), 2, true, &kind));
    for (unsigned i = 0; i < ITEMS; i++)
        cr_assert_eq(put_items[i].status, CENOTE_CANCELLED);
    forget_items();
    fake_run(&f, put_machine(p));
    cr_assert_eq(pending(), 0);
    put_free(p);
}

Test(cancel, get__at_every_step)
{
    for (unsigned i = 0; i < ITEMS; i++)
        cr_assert_eq(fake_put(&f,
                              i == 0   ? "a"
                              : i == 1 ? "b"
                                       : "c",
                              value[i], VALUE_BYTES, 0),
                     CENOTE_OK);
    for (unsigned steps = 0; steps < 2; steps++) {
        for (int under_way = 0; under_way < 2; under_way++) {
            struct machine_env env = fake_env(&f);
            struct get *g = get_begin(&env, get_items, ITEMS);
            struct step step;
            enum step_kind kind;

            cr_assert_not(cancel_at(get_machine(g), steps, under_way, &kind));
            for (unsigned i = 0; i < ITEMS; i++) {
                bool copied = kind == STEP_COPY;
                cr_assert_eq(get_items[i].status, copied ? CENOTE_OK : CENOTE_CANCELLED);
                get_items[i].status = 99;
            }
            fake_next(&f, get_machine(g), &step);
            cr_assert_eq(step.kind, STEP_DONE);
            get_free(g);
        }
    }
}
