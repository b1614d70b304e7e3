/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/linear/random.h"

#include <assert.h>
#include <stdlib.h>

#define CLIENTS_MAX 64u
#define TRIES       64u

uint64_t random_next(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* When an operation takes effect, and which. */
struct effect {
    uint64_t at_ns;
    struct linear_op *op;
};

static int by_time(const void *a, const void *b)
{
    const struct effect *x = a, *y = b;
    if (x->at_ns != y->at_ns)
        return x->at_ns < y->at_ns ? -1 : 1;
    return (x->op > y->op) - (x->op < y->op);
}

static enum linear_kind pick_kind(uint64_t dice)
{
    static const enum linear_kind kinds[] = {LINEAR_GET,     LINEAR_GET,    LINEAR_GET,
                                             LINEAR_GET,     LINEAR_EXISTS, LINEAR_PUT,
                                             LINEAR_REPLACE, LINEAR_REMOVE};
    return kinds[dice % (sizeof kinds / sizeof *kinds)];
}

/* What an operation answers, and what it leaves. */
static void take_effect(struct linear_op *op, uint64_t *value)
{
    switch (op->kind) {
    case LINEAR_PUT:
        op->outcome = *value == 0 ? LINEAR_DONE : LINEAR_THERE;
        *value = *value == 0 ? op->value : *value;
        break;
    case LINEAR_REPLACE:
        op->outcome = LINEAR_DONE;
        *value = op->value;
        break;
    case LINEAR_REMOVE:
        op->outcome = *value != 0 ? LINEAR_DONE : LINEAR_MISSING;
        *value = 0;
        break;
    case LINEAR_GET:
        op->outcome = *value != 0 ? LINEAR_DONE : LINEAR_MISSING;
        op->value = *value;
        break;
    case LINEAR_EXISTS:
        op->outcome = *value != 0 ? LINEAR_THERE : LINEAR_MISSING;
        break;
    case LINEAR_KINDS:
        assert(!"no kind");
    }
}

static bool changes(enum linear_kind kind)
{
    return kind == LINEAR_PUT || kind == LINEAR_REPLACE || kind == LINEAR_REMOVE;
}

void random_history(uint64_t *seed, const struct random_shape *shape, struct linear_op *ops,
                    size_t count)
{
    uint64_t clocks[CLIENTS_MAX] = {0}, value = 0;
    struct effect *effects = calloc(count, sizeof *effects);

    assert(effects && shape->clients > 0 && shape->clients <= CLIENTS_MAX);
    for (size_t i = 0; i < count; i++) {
        uint64_t *clock = &clocks[random_next(seed) % shape->clients];
        struct linear_op *op = &ops[i];
        *op = (struct linear_op){.kind = pick_kind(random_next(seed)), .value = i + 1};
        op->invoked_ns = *clock + 1 + random_next(seed) % 1000;
        effects[i] = (struct effect){
            op->invoked_ns + random_next(seed) % (1000 * (uint64_t)shape->overlap), op};
        op->returned_ns = effects[i].at_ns + random_next(seed) % (1000 * (uint64_t)shape->overlap);
        *clock = op->returned_ns + 1;
    }
    qsort(effects, count, sizeof *effects, by_time);
    for (size_t i = 0; i < count; i++) {
        struct linear_op *op = effects[i].op;
        bool unknown = changes(op->kind) && random_next(seed) % 100 < shape->unknown_percent;
        if (!unknown || random_next(seed) % 2 == 0)
            take_effect(op, &value);
        if (unknown)
            op->outcome = LINEAR_UNKNOWN;
    }
    free(effects);
}

/* Another answer that the kind can have. */
static bool spoil(uint64_t *seed, struct linear_op *op, const struct linear_op *ops, size_t count)
{
    if (op->outcome == LINEAR_UNKNOWN)
        return false;
    if (op->kind == LINEAR_GET && op->outcome == LINEAR_DONE && random_next(seed) % 2 == 0) {
        const struct linear_op *other = &ops[random_next(seed) % count];
        if ((other->kind != LINEAR_PUT && other->kind != LINEAR_REPLACE) ||
            other->value == op->value)
            return false;
        op->value = other->value;
        return true;
    }
    switch (op->kind) {
    case LINEAR_PUT:
        op->outcome = op->outcome == LINEAR_DONE ? LINEAR_THERE : LINEAR_DONE;
        return true;
    case LINEAR_REMOVE:
        op->outcome = op->outcome == LINEAR_DONE ? LINEAR_MISSING : LINEAR_DONE;
        return true;
    case LINEAR_EXISTS:
        op->outcome = op->outcome == LINEAR_THERE ? LINEAR_MISSING : LINEAR_THERE;
        return true;
    case LINEAR_GET:
        if (op->outcome == LINEAR_MISSING)
            return false;
        op->outcome = LINEAR_MISSING;
        return true;
    case LINEAR_REPLACE:
    case LINEAR_KINDS:
        return false;
    }
    return false;
}

bool random_fault(uint64_t *seed, struct linear_op *ops, size_t count)
{
    for (unsigned i = 0; i < TRIES; i++) {
        if (spoil(seed, &ops[random_next(seed) % count], ops, count))
            return true;
    }
    return false;
}
