/* SPDX-License-Identifier: Apache-2.0 */
/* Contract cases: copies of all sizes and shapes, and what is refused. */
#include <string.h>

#include "tests/contract/cases.h"

static const uint64_t sizes[] = {0,     1,     15,    16,     17,      4095,   4096,
                                 65535, 65536, 65537, 131072, 1048576, 1048583};

void case_sizes(struct rig *r)
{
    struct xcopy_channel *c = rig_connect(r, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct rig_value v;
        uint8_t *out = malloc(sizes[i] + 1);
        CHECK(out != NULL);
        rig_value_make(&v, 1, rig_next_put(), 4096 * i * 512, sizes[i]);
        rig_put(c, &v);
        CHECK(rig_holds(r, &v));
        memset(out, 0xee, sizes[i] + 1);
        CHECK_STATUS(rig_get(c, &v, out), CENOTE_OK);
        CHECK(memcmp(out, v.data, sizes[i]) == 0);
        CHECK(out[sizes[i]] == 0xee);
        rig_value_free(&v);
        free(out);
    }
    rig_disconnect(c);
}

/* 122 pieces of 72 KiB: a KV-cache block of a large model. */
void case_scattered(struct rig *r)
{
    uint64_t piece = UINT64_C(72) << 10, len = 122 * piece, tail_len = SEAL_BYTES;
    struct xcopy_channel *c = rig_connect(r, 1);
    struct rig_value v;
    size_t count;
    uint8_t tail[SEAL_BYTES], *out = calloc(1, len);
    CHECK(out != NULL);
    rig_value_make(&v, 1, rig_next_put(), 4096, len);
    struct cenote_buffer *from = rig_cut(v.data, len, piece, &count);
    struct xcopy_req put = rig_write_req(&v, from, count);
    CHECK_STATUS(rig_run(c, &put), CENOTE_OK);
    CHECK(rig_holds(r, &v));
    struct cenote_buffer *to = rig_cut(out, len, piece, &count);
    struct xcopy_req get = rig_read_req(&v, to, count, tail, tail_len);
    CHECK_STATUS(rig_run(c, &get), CENOTE_OK);
    CHECK(memcmp(out, v.data, len) == 0);
    CHECK(memcmp(tail, v.tail + v.tail_len - SEAL_BYTES, SEAL_BYTES) == 0);
    free(from);
    free(to);
    free(out);
    rig_value_free(&v);
    rig_disconnect(c);
}

/* Parts of the payload, into the middle of odd pieces, with and without a tail. */
void case_ranges(struct rig *r)
{
    enum { LEN = 300000 };
    static const struct {
        uint64_t offset, len, piece, skip;
    } parts[] = {{0, 1, 7, 3},
                 {1, 0, 7, 0},
                 {LEN, 0, 9, 2},
                 {LEN - 1, 1, 1, 1},
                 {65535, 2, 1, 5},
                 {4096, 8192, 4096, 4096},
                 {12345, 200000, 1013, 5000},
                 {0, LEN, LEN, 0}};
    struct xcopy_channel *c = rig_connect(r, 1);
    struct rig_value v;
    rig_value_make(&v, 1, rig_next_put(), 1 << 20, LEN);
    rig_put(c, &v);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        uint64_t room = parts[i].skip + parts[i].len;
        uint8_t tail[SEAL_BYTES], *out = malloc(room + 1);
        size_t count;
        CHECK(out != NULL);
        memset(out, 0xee, room + 1);
        struct cenote_buffer *pieces = rig_cut(out, room, parts[i].piece, &count);
        struct xcopy_req get = rig_read_req(&v, pieces, count, tail, i % 2 ? SEAL_BYTES : 0);
        get.offset = parts[i].offset;
        get.len_bytes = parts[i].len;
        get.local.skip_bytes = parts[i].skip;
        CHECK_STATUS(rig_run(c, &get), CENOTE_OK);
        CHECK(memcmp(out + parts[i].skip, v.data + parts[i].offset, parts[i].len) == 0);
        for (uint64_t k = 0; k < parts[i].skip; k++)
            CHECK(out[k] == 0xee);
        CHECK(out[room] == 0xee);
        free(pieces);
        free(out);
    }
    rig_value_free(&v);
    rig_disconnect(c);
}

/* A value written in parts, the tail with the last one; seal_it comes between. */
void case_write_in_parts(struct rig *r)
{
    enum { LEN = 200001, CUT = 70000 };
    struct xcopy_channel *c = rig_connect(r, 1);
    struct rig_value v;
    rig_value_make(&v, 1, rig_next_put(), 8192, LEN);
    struct cenote_buffer whole = {v.data, LEN};
    struct xcopy_req first = rig_write_req(&v, &whole, 1), last = first;
    first.len_bytes = CUT;
    first.tail_len = 0;
    first.seal_it = NULL;
    last.offset = CUT;
    last.local.skip_bytes = CUT;
    last.len_bytes = LEN - CUT;
    CHECK_STATUS(rig_run(c, &first), CENOTE_OK);
    CHECK_STATUS(rig_run(c, &last), CENOTE_OK);
    CHECK(rig_holds(r, &v));
    rig_value_free(&v);
    rig_disconnect(c);
}

/* Many requests of one channel at once; they complete in order. */
void case_pipelined(struct rig *r)
{
    enum { N = 64, LEN = 100000 };
    struct xcopy_channel *c = rig_connect(r, 1);
    struct rig_value v[N];
    struct xcopy_req reqs[N];
    struct cenote_buffer whole[N];
    for (unsigned i = 0; i < N; i++) {
        rig_value_make(&v[i], 1, rig_next_put(), (uint64_t)i << 18, LEN);
        whole[i] = (struct cenote_buffer){v[i].data, LEN};
        reqs[i] = rig_write_req(&v[i], &whole[i], 1);
        c->transport->submit(c, &reqs[i]);
    }
    rig_finish(c, &reqs[N - 1]);
    for (unsigned i = 0; i < N; i++) {
        CHECK_STATUS(reqs[i].status, CENOTE_OK);
        CHECK(rig_holds(r, &v[i]));
        memset(v[i].tail, 0, v[i].tail_len);
        sums_reset(v[i].sums);
        reqs[i] = rig_read_req(&v[i], &whole[i], 1, v[i].tail, v[i].tail_len);
        reqs[i].sums = v[i].sums;
        c->transport->submit(c, &reqs[i]);
    }
    rig_finish(c, &reqs[N - 1]);
    for (unsigned i = 0; i < N; i++) {
        CHECK_STATUS(reqs[i].status, CENOTE_OK);
        CHECK(rig_holds(r, &v[i]));
        rig_value_free(&v[i]);
    }
    rig_disconnect(c);
}

void case_bad_requests(struct rig *r)
{
    struct xcopy_channel *c = rig_connect(r, 1);
    struct rig_value v;
    uint8_t out[100], tail[SEAL_BYTES];
    struct cenote_buffer small = {out, sizeof out};
    rig_value_make(&v, 1, rig_next_put(), 4096, 200);
    rig_put(c, &v);
    struct xcopy_req good = rig_read_req(&v, &small, 1, tail, SEAL_BYTES), bad = good;
    CHECK_STATUS(rig_run(c, &bad), CENOTE_INVALID); /* buffer too small */
    good.len_bytes = 100;
    bad = good;
    bad.offset = 150;
    CHECK_STATUS(rig_run(c, &bad), CENOTE_BAD_RANGE);
    bad = good;
    bad.offset = UINT64_MAX;
    CHECK_STATUS(rig_run(c, &bad), CENOTE_BAD_RANGE);
    bad = good;
    bad.payload_len = UINT64_MAX;
    CHECK_STATUS(rig_run(c, &bad), CENOTE_BAD_RANGE);
    bad = good;
    bad.tail_len = 1000;
    CHECK_STATUS(rig_run(c, &bad), CENOTE_BAD_RANGE);
    bad = good;
    bad.gva.v += 4;
    CHECK_STATUS(rig_run(c, &bad), CENOTE_BAD_RANGE);
    bad = good;
    bad.local.kind = MEMORY_HBM;
    CHECK_STATUS(rig_run(c, &bad), CENOTE_NOT_SUPPORTED);
    CHECK_STATUS(rig_run(c, &good), CENOTE_OK);
    rig_value_free(&v);
    rig_disconnect(c);
}

void case_out_of_range(struct rig *r)
{
    static const uint64_t gvas[] = {
        RIG_GVA - 4096, RIG_GVA + RIG_SEGMENT, RIG_GVA + RIG_SEGMENT - 4096, GVA_FIRST, 0,
        UINT64_MAX - 15};
    struct xcopy_channel *c = rig_connect(r, 1);
    struct rig_value v;
    rig_value_make(&v, 1, rig_next_put(), 0, 8192);
    for (size_t i = 0; i < sizeof gvas / sizeof gvas[0]; i++) {
        struct cenote_buffer whole = {v.data, v.len_bytes};
        v.offset = gvas[i] - RIG_GVA;
        sums_reset(v.sums);
        struct xcopy_req put = rig_write_req(&v, &whole, 1);
        CHECK_STATUS(rig_run(c, &put), CENOTE_BAD_RANGE);
        CHECK(!put.may_land);
        struct xcopy_req get = rig_read_req(&v, &whole, 1, v.tail, v.tail_len);
        CHECK_STATUS(rig_run(c, &get), CENOTE_BAD_RANGE);
    }
    /* the last extent of the segment is still inside, and the channel still works */
    sums_reset(v.sums);
    v.offset = RIG_SEGMENT - extent_size(8192);
    rig_put(c, &v);
    CHECK(rig_holds(r, &v));
    rig_value_free(&v);
    rig_disconnect(c);
}

void case_connect_refused(struct rig *r)
{
    struct xcopy_channel *c;
    struct xcopy_credentials who = rig_who(1);
    struct xcopy_peer peer = r->peer;
    peer.boot++;
    CHECK_STATUS(r->transport->connect(r->context, &peer, &who, RIG_TIMEOUT_MS, &c),
                 CENOTE_OLD_BOOT);
    peer.boot = 0;
    CHECK_STATUS(r->transport->connect(r->context, &peer, &who, RIG_TIMEOUT_MS, &c), CENOTE_OK);
    r->transport->disconnect(c);
    who.token.b[3] ^= 1;
    CHECK_STATUS(r->transport->connect(r->context, &r->peer, &who, RIG_TIMEOUT_MS, &c),
                 CENOTE_DENIED);
    who = rig_who(1);
    who.name_space++;
    CHECK_STATUS(r->transport->connect(r->context, &r->peer, &who, RIG_TIMEOUT_MS, &c),
                 CENOTE_DENIED);
}

void case_wrong_grant(struct rig *r)
{
    struct xcopy_channel *c = rig_connect(r, 1);
    struct rig_value v;
    rig_value_make(&v, 1, rig_next_put(), 4096, 100000);
    struct cenote_buffer whole = {v.data, v.len_bytes};
    struct xcopy_req req = rig_write_req(&v, &whole, 1);
    memset(rig_memory(r, 4096), 0, 100000);
    req.grant.boot++;
    CHECK_STATUS(rig_run(c, &req), CENOTE_OLD_BOOT);
    CHECK(!req.may_land);
    if (r->transport->caps & XCOPY_CAP_CHECKED) {
        sums_reset(v.sums);
        req = rig_write_req(&v, &whole, 1);
        req.grant.mac ^= 1;
        CHECK_STATUS(rig_run(c, &req), CENOTE_BAD_GRANT);
        CHECK(!req.may_land);
    }
    for (size_t i = 0; i < 100000; i++)
        CHECK(rig_memory(r, 4096)[i] == 0);
    sums_reset(v.sums);
    rig_put(c, &v);
    rig_value_free(&v);
    rig_disconnect(c);
}

/* A client whose session has ended writes what that session was granted, over a channel of its next
 * one: the extent may belong to others, since only the old session was fenced. */
void case_other_session(struct rig *r)
{
    struct xcopy_channel *c = rig_connect(r, 2);
    struct rig_value v;
    rig_value_make(&v, 1, rig_next_put(), 4096, 100000);
    struct cenote_buffer whole = {v.data, v.len_bytes};
    struct xcopy_req req = rig_write_req(&v, &whole, 1);
    memset(rig_memory(r, 4096), 0, 100000);
    CHECK_STATUS(rig_run(c, &req), CENOTE_BAD_GRANT);
    CHECK(!req.may_land);
    for (size_t i = 0; i < 100000; i++)
        CHECK(rig_memory(r, 4096)[i] == 0);
    rig_value_free(&v);
    rig_disconnect(c);
}

void case_stale(struct rig *r)
{
    struct xcopy_channel *c = rig_connect(r, 1);
    struct rig_value v, other;
    uint8_t out[5000];
    rig_value_make(&v, 1, rig_next_put(), 4096, sizeof out);
    rig_put(c, &v);
    other = v;
    other.put_id++;
    CHECK_STATUS(rig_get(c, &other, out), CENOTE_STALE);
    other = v;
    other.offset += 4096;
    CHECK_STATUS(rig_get(c, &other, out), CENOTE_STALE);
    if (r->transport->caps & XCOPY_CAP_CHECKED) {
        other = v;
        other.offset = 1 << 20;
        other.put_id = rig_next_put();
        other.name_space++;
        rig_plant(r, &other);
        CHECK_STATUS(rig_get(c, &other, out), CENOTE_DENIED);
    }
    CHECK_STATUS(rig_get(c, &v, out), CENOTE_OK);
    rig_void(r, &v);
    CHECK_STATUS(rig_get(c, &v, out), CENOTE_STALE);
    rig_value_free(&v);
    rig_disconnect(c);
}
