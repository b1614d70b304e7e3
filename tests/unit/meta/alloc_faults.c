/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allocator when memory runs out: one script of operations is run again and again, each time
 * with another request for memory failing. The operation that meets it must answer
 * CENOTE_NO_MEMORY and change nothing; repeated, it must succeed, and the script must end where it
 * ends without failures. Linked with --wrap=malloc,calloc; leaks are seen by the sanitizer build.
 */
#include <assert.h>
#include <cenote/status.h>
#include <stdbool.h>

#include "meta/core/alloc.h"
#include "tests/unit/meta/seeded.h"

#define LENGTH     (UINT64_C(1) << 22)
#define EXTENTS    1500u
#define STEPS      4000u
#define FAULTS_MAX 100000u /* far more than the script has requests */

void *__real_malloc(size_t len);
void *__real_calloc(size_t count, size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t count, size_t len);

static uint64_t requests;
static uint64_t fail_at; /* which request fails, from 1; 0: none */
static bool fail_rest;   /* so do all after it */

static bool fails(void)
{
    requests++;
    return fail_at != 0 && (requests == fail_at || (fail_rest && requests > fail_at));
}

void *__wrap_malloc(size_t len)
{
    return fails() ? NULL : __real_malloc(len);
}

void *__wrap_calloc(size_t count, size_t len)
{
    return fails() ? NULL : __real_calloc(count, len);
}

static uint64_t digest(const struct alloc *a)
{
    uint64_t hash = alloc_free_bytes(a) ^ alloc_largest_free(a) << 24;
    uint64_t sum = 0;
    struct alloc_range r;
    for (uint64_t at = 0; alloc_next_free(a, at, &r); at = r.offset + r.size) {
        hash = (hash ^ r.offset) * UINT64_C(0x100000001b3);
        hash = (hash ^ r.size) * UINT64_C(0x100000001b3);
        sum += r.size;
    }
    assert(sum == alloc_free_bytes(a));
    return hash;
}

struct script {
    struct seeded s;
    struct alloc *a;
    struct alloc_range live[EXTENTS];
    uint64_t count;
    bool starved; /* an operation failed for want of memory */
};

enum op { EXTEND, TAKE, GIVE, REBUILD };

static int operate(struct script *p, enum op op, struct alloc_range *r)
{
    static struct alloc_range copy[EXTENTS];
    uint64_t bad;
    switch (op) {
    case EXTEND:
        return alloc_extend(p->a, r->size);
    case TAKE:
        return alloc_take(p->a, r->size, 16, &r->offset);
    case GIVE:
        return alloc_give(p->a, r->offset, r->size);
    case REBUILD:
        break;
    }
    for (uint64_t i = 0; i < p->count; i++)
        copy[i] = p->live[i];
    return alloc_rebuild(p->a, copy, p->count, &bad);
}

/* Does it; if memory is short, checks that nothing has changed, and tries once more. */
static bool step(struct script *p, enum op op, struct alloc_range *r)
{
    uint64_t asked = requests;
    bool due = fail_at != 0 && fail_at > asked; /* the failure is still to come */
    uint64_t before = due ? digest(p->a) : 0;
    int rc = operate(p, op, r);
    if (rc == CENOTE_NO_MEMORY) {
        p->starved = true;
        assert(fail_rest || due);
        assert(!due || digest(p->a) == before);
        rc = operate(p, op, r);
        assert(fail_rest || rc != CENOTE_NO_MEMORY);
    }
    assert(rc == CENOTE_OK || rc == CENOTE_NO_SPACE || (fail_rest && rc == CENOTE_NO_MEMORY));
    return rc == CENOTE_OK;
}

static void churn(struct script *p)
{
    for (uint32_t i = 0; i < STEPS; i++) {
        bool filling = i < STEPS / 2;
        if (p->count < EXTENTS && seeded_below(&p->s, 4) < (filling ? 3u : 1u)) {
            struct alloc_range *r = &p->live[p->count];
            r->size = 16 + 16 * seeded_below(&p->s, 64);
            p->count += step(p, TAKE, r);
        } else if (p->count > 0) {
            uint64_t victim = seeded_below(&p->s, p->count);
            if (step(p, GIVE, &p->live[victim]))
                p->live[victim] = p->live[--p->count];
        }
    }
}

static struct alloc *new_again(struct script *p)
{
    struct alloc *a = alloc_new(LENGTH);
    if (a != NULL)
        return a;
    p->starved = true;
    return alloc_new(LENGTH);
}

/* Returns the digest at the end; *starved: the failure was met. */
static uint64_t run(bool *starved)
{
    static struct script p;
    p = (struct script){.s = {42}};
    struct alloc_range all = {0, LENGTH};
    requests = 0;
    p.a = new_again(&p);
    if (p.a == NULL) {
        assert(fail_rest);
        *starved = true;
        return 0;
    }
    step(&p, EXTEND, &all);
    churn(&p);
    uint64_t churned = digest(p.a);
    alloc_free_all(p.a);
    p.a = new_again(&p);
    if (p.a != NULL && step(&p, EXTEND, &all) && step(&p, REBUILD, &all))
        assert(digest(p.a) == churned);
    alloc_free_all(p.a);
    *starved = p.starved;
    return churned;
}

static uint64_t sweep(uint64_t expected, uint64_t stride)
{
    uint64_t faults = 0;
    for (bool starved = true; starved && faults < FAULTS_MAX; faults++) {
        fail_at = 1 + faults * stride;
        uint64_t got = run(&starved);
        assert(fail_rest || got == expected);
    }
    assert(faults > 10 && faults < FAULTS_MAX);
    return faults - 1;
}

int main(void)
{
    bool starved;
    uint64_t expected = run(&starved);
    assert(!starved);
    uint64_t single = sweep(expected, 1);
    fail_rest = true;
    uint64_t lasting = sweep(expected, 7);
    printf("%llu single and %llu lasting shortages of memory survived\n",
           (unsigned long long)single, (unsigned long long)lasting);
    return 0;
}
