/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of extents, as ranged gets and puts need them, and memory that isn't there. */
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/contract/cases.h"
#include "tests/contract/rig.h"

#define LEN     700003u
#define PART    30011u
#define PARTS   ((LEN + PART - 1) / PART)
#define WRITERS 4u

struct job {
    struct rig *rig;
    struct rig_value *value;
    atomic_uint next;
};

/* A part of the payload, without tail. */
static struct xcopy_req part_req(struct rig_value *v, const struct cenote_buffer *whole, unsigned i)
{
    struct xcopy_req put = rig_write_req(v, whole, 1);
    put.offset = (uint64_t)i * PART;
    put.local.skip_bytes = put.offset;
    put.len_bytes = LEN - put.offset < PART ? LEN - put.offset : PART;
    put.sums = NULL;
    put.seal_it = NULL;
    put.tail_len = 0;
    return put;
}

static void *write_parts(void *arg)
{
    struct job *job = arg;
    struct xcopy_channel *c = rig_connect(job->rig, 1);
    const struct cenote_buffer whole = {job->value->data, LEN};

    for (unsigned i; (i = atomic_fetch_add(&job->next, 1)) < PARTS;) {
        struct xcopy_req put = part_req(job->value, &whole, PARTS - 1 - i);
        CHECK_STATUS(rig_run(c, &put), CENOTE_OK);
    }
    rig_disconnect(c);
    return NULL;
}

/* One extent, its parts in any order over many channels, and at the end nothing but the tail. */
void case_parts_by_many(struct rig *r)
{
    struct rig_value v;
    struct job job = {.rig = r, .value = &v};
    pthread_t threads[WRITERS];

    rig_value_make(&v, 1, rig_next_put(), 1 << 20, LEN);
    for (unsigned i = 0; i < WRITERS; i++)
        CHECK(pthread_create(&threads[i], NULL, write_parts, &job) == 0);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    struct xcopy_channel *c = rig_connect(r, 1);
    sums_update(v.sums, v.data, LEN);
    rig_seal(&v);
    struct xcopy_req tail = rig_write_req(&v, NULL, 0);
    tail.len_bytes = 0;
    tail.sums = NULL;
    tail.seal_it = NULL;
    CHECK_STATUS(rig_run(c, &tail), CENOTE_OK);
    CHECK(rig_holds(r, &v));
    rig_value_free(&v);
    rig_disconnect(c);
}

/* A part of the payload together with the list of sums and the seal. */
void case_part_and_list(struct rig *r)
{
    struct xcopy_channel *c = rig_connect(r, 1);
    uint64_t tail_len = extent_sums_size(LEN) + SEAL_BYTES;
    uint8_t *tail = malloc(tail_len), out[1000];
    struct cenote_buffer piece = {out, sizeof out};
    struct rig_value v;

    CHECK(tail != NULL);
    rig_value_make(&v, 1, rig_next_put(), 1 << 20, LEN);
    rig_put(c, &v);
    struct xcopy_req get = rig_read_req(&v, &piece, 1, tail, tail_len);
    get.offset = 65530;
    get.len_bytes = sizeof out;
    CHECK_STATUS(rig_run(c, &get), CENOTE_OK);
    CHECK(memcmp(out, v.data + 65530, sizeof out) == 0);
    CHECK(memcmp(tail, v.tail + (v.tail_len - tail_len), tail_len) == 0);
    free(tail);
    rig_value_free(&v);
    rig_disconnect(c);
}

/* Where the kernel copies, memory that isn't there fails the request that names it. */
void case_unmapped(struct rig *r)
{
    uint8_t *memory, *kept;
    struct rig_value v;

    if (strcmp(r->transport->name, "tcp") != 0)
        return; /* memory that isn't registered is copied by this thread */
    kept = malloc(LEN);
    memory = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED && kept != NULL && munmap(memory + 65536, 65536) == 0);
    struct cenote_buffer holed = {memory, LEN}, whole = {kept, LEN};
    rig_value_make(&v, 1, rig_next_put(), 1 << 20, LEN);
    struct xcopy_channel *c = rig_connect(r, 1);
    rig_put(c, &v);

    struct xcopy_req bad = rig_read_req(&v, &holed, 1, v.tail, SEAL_BYTES), good = bad;
    good.local.pieces = &whole;
    c->transport->submit(c, &bad);
    c->transport->submit(c, &good);
    rig_finish(c, &good);
    CHECK_STATUS(bad.status, CENOTE_BAD_ADDRESS);
    CHECK_STATUS(good.status, CENOTE_NODE_DOWN); /* to be sent again, on another channel */
    CHECK(!c->transport->alive(c));
    rig_disconnect(c);

    c = rig_connect(r, 1);
    CHECK_STATUS(rig_run(c, &good), CENOTE_OK);
    struct xcopy_req put = rig_write_req(&v, &holed, 1);
    put.sums = NULL;
    put.seal_it = NULL;
    CHECK_STATUS(rig_run(c, &put), CENOTE_BAD_ADDRESS);
    CHECK(put.may_land);
    rig_disconnect(c);
    munmap(memory, LEN);
    free(kept);
    rig_value_free(&v);
}
