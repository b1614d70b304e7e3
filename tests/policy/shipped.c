/* SPDX-License-Identifier: Apache-2.0 */
/* What the service runs: meta/core/policy.c over a table of objects. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "meta/core/policy.h"
#include "tests/policy/sim.h"

struct shipped {
    struct sim *sim;
    struct table table;
    struct policy policy;
    struct object **objects; /* of each block */
    uint64_t put_id;
};

static void *shipped_open(struct sim *s)
{
    struct shipped *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->sim = s;
    p->objects = calloc(s->unique, sizeof(*p->objects));
    if (p->objects == NULL) {
        free(p);
        return NULL;
    }
    table_init(&p->table);
    policy_init(&p->policy);
    return p;
}

static void shipped_close(void *state)
{
    struct shipped *p = state;
    assert(policy_check(&p->policy, &p->table));
    policy_free(&p->policy);
    table_free(&p->table);
    free(p->objects);
    free(p);
}

static void shipped_use(void *state, uint32_t block)
{
    struct shipped *p = state;
    policy_use(p->objects[block]);
}

/* Keys of tests needn't be secret; put_id leads back to the block. */
static void shipped_add(void *state, uint32_t block, uint32_t head)
{
    struct shipped *p = state;
    struct object *o = table_add(&p->table, (uint64_t)block + 1, 1, 1);
    assert(o != NULL);
    uint64_t half[2] = {hash_xxh3_seeded(&block, sizeof(block), 1),
                        hash_xxh3_seeded(&block, sizeof(block), 2)};
    memcpy(o->key_hash.b, half, sizeof(half));
    p->objects[block] = o;
    policy_add(&p->policy, &p->table, o, head == BLOCK_NONE ? NULL : p->objects[head]);
}

static uint32_t block_of(const struct object *o)
{
    return (uint32_t)(o->put_id - 1);
}

static bool may_go(void *arg, struct object *o)
{
    const struct sim *s = arg;
    return s->leased_until[block_of(o)] <= s->now_ms;
}

static uint32_t shipped_victim(void *state)
{
    struct shipped *p = state;
    struct object *o = NULL;
    for (uint64_t looks = 0; o == NULL && looks < policy_round(&p->policy); looks += POLICY_STEPS)
        o = policy_victim(&p->policy, &p->table, may_go, p->sim);
    if (o == NULL)
        return BLOCK_NONE;
    uint32_t block = block_of(o);
    policy_remove(&p->policy, &p->table, o);
    table_delete(&p->table, o);
    p->objects[block] = NULL;
    return block;
}

const struct sim_policy policy_shipped = {.name = "cenote",
                                          .what = "meta/core/policy.c, which the service runs",
                                          .open = shipped_open,
                                          .close = shipped_close,
                                          .use = shipped_use,
                                          .add = shipped_add,
                                          .victim = shipped_victim};
