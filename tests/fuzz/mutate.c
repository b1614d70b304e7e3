/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How libFuzzer changes inputs that are lists of records (fuzz.h): records are repeated, dropped,
 * swapped and aimed elsewhere, and MessagePack bodies are changed value by value, so that most of
 * what comes out still parses and is wrong in what it says. One change in four is libFuzzer's own,
 * of the bytes as they lie.
 */
#include <string.h>

#include "tests/fuzz/fuzz.h"

#define BODY_MAX   4096u
#define VALUES_MAX 512u

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static uint64_t state;

static uint32_t draw(uint32_t below)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33) % below;
}

/* ---- values of a body ------------------------------------------------------------------------ */

struct span {
    uint32_t at, end;        /* of the value with all that it contains */
    uint32_t parent;         /* index of its container; VALUES_MAX: none */
    uint32_t head;           /* bytes of the head */
    uint32_t children, left; /* of a container; left: not seen yet */
};

struct body {
    const uint8_t *bytes;
    uint32_t len, count;
    struct span spans[VALUES_MAX];
};

static uint64_t big_endian(const uint8_t *at, uint32_t len)
{
    uint64_t v = 0;
    for (uint32_t i = 0; i < len; i++)
        v = v << 8 | at[i];
    return v;
}

/* Head, payload behind it, and elements of the value that begins here. */
static void shape(const uint8_t *at, uint32_t left, uint32_t *head, uint64_t *payload,
                  uint64_t *children)
{
    static const uint8_t widths[32] = {[0x04] = 1, 2, 4, [0x0a] = 4, 8, 1, 2, 4, 8, 1,
                                       2,          4, 8, [0x19] = 1, 2, 4, 2, 4, 2, 4};
    uint8_t b = *at;
    *head = 1;
    *payload = *children = 0;
    if (b >= 0x80 && b < 0xa0) {
        *children = (b & 15) * (b < 0x90 ? 2u : 1u);
    } else if (b >= 0xa0 && b < 0xc0) {
        *payload = b & 31;
    } else if (b >= 0xc0 && b < 0xe0) {
        uint32_t width = widths[b & 31];
        uint64_t v = width < left ? big_endian(at + 1, width) : 0;
        *head += width;
        if (b >= 0xdc)
            *children = b < 0xde ? v : 2 * v;
        else if ((b >= 0xc4 && b <= 0xc6) || b >= 0xd9)
            *payload = v;
    }
}

static void close_spans(struct body *b, uint32_t at, uint32_t i)
{
    while (i != VALUES_MAX && b->spans[i].left == 0) {
        b->spans[i].end = at;
        i = b->spans[i].parent;
        if (i != VALUES_MAX)
            b->spans[i].left--;
    }
}

static uint32_t innermost(const struct body *b)
{
    for (uint32_t i = b->count; i > 0; i--)
        if (b->spans[i - 1].end == 0)
            return i - 1;
    return VALUES_MAX;
}

/* False: these bytes are no value. */
static bool body_read(struct body *b, const uint8_t *bytes, uint32_t len)
{
    uint32_t at = 0;
    b->bytes = bytes;
    b->len = len;
    b->count = 0;
    do {
        uint64_t payload, children;
        uint32_t head, parent = innermost(b);
        if (at >= len || b->count == VALUES_MAX)
            return false;
        shape(bytes + at, len - at, &head, &payload, &children);
        if (head + payload > len - at || children > len)
            return false;
        b->spans[b->count] = (struct span){.at = at,
                                           .parent = parent,
                                           .head = head,
                                           .children = (uint32_t)children,
                                           .left = (uint32_t)children};
        at += head + (uint32_t)payload;
        close_spans(b, at, b->count++);
    } while (b->spans[0].end == 0);
    return at == len;
}

/* ---- changes of a body ----------------------------------------------------------------------- */

struct out {
    uint8_t bytes[BODY_MAX];
    uint32_t len;
    bool full;
};

static void emit(struct out *o, const uint8_t *bytes, uint32_t len)
{
    if (len > BODY_MAX - o->len) {
        o->full = true;
        return;
    }
    if (len > 0)
        memcpy(o->bytes + o->len, bytes, len);
    o->len += len;
}

static void emit_number(struct out *o, uint8_t tag, uint64_t v, uint32_t width)
{
    uint8_t bytes[9] = {tag};
    for (uint32_t i = 0; i < width; i++)
        bytes[1 + i] = (uint8_t)(v >> 8 * (width - 1 - i));
    emit(o, bytes, 1 + width);
}

static void emit_interesting(struct out *o)
{
    static const uint64_t numbers[] = {0,
                                       1,
                                       2,
                                       3,
                                       4,
                                       7,
                                       8,
                                       15,
                                       16,
                                       63,
                                       64,
                                       65,
                                       127,
                                       128,
                                       129,
                                       255,
                                       256,
                                       1000,
                                       1024,
                                       1025,
                                       4095,
                                       4096,
                                       4097,
                                       16383,
                                       16384,
                                       65535,
                                       65536,
                                       65537,
                                       1u << 20,
                                       1u << 31,
                                       UINT32_MAX,
                                       UINT64_C(1) << 32,
                                       UINT64_C(1) << 33,
                                       UINT64_C(1) << 54,
                                       UINT64_C(1) << 59,
                                       (UINT64_C(1) << 59) + 1,
                                       UINT64_C(1) << 60,
                                       (UINT64_C(1) << 60) + 4096,
                                       (UINT64_C(1) << 61) - 1,
                                       UINT64_C(1) << 61,
                                       INT64_MAX,
                                       UINT64_C(1) << 63,
                                       UINT64_MAX - 1,
                                       UINT64_MAX};
    static const uint8_t bytes[40] = "key\0other";
    switch (draw(12)) {
    case 0:
        emit_number(o, 0xc0, 0, 0);
        break;
    case 1:
        emit_number(o, (uint8_t)(0xc2 + draw(2)), 0, 0);
        break;
    case 2:
        emit_number(o, (uint8_t)(0xe0 + draw(32)), 0, 0);
        break;
    case 3:
        emit_number(o, 0xd3, UINT64_MAX << draw(64), 8);
        break;
    case 4:
        emit_number(o, (uint8_t)(0x90 + 0), 0, 0);
        break;
    case 5: {
        uint32_t len = draw(sizeof bytes);
        emit_number(o, 0xc4, len, 1);
        emit(o, bytes, len);
        break;
    }
    case 6: {
        uint32_t len = draw(32);
        emit_number(o, (uint8_t)(0xa0 + len), 0, 0);
        emit(o, bytes, len);
        break;
    }
    default:
        emit_number(o, 0xcf, numbers[draw(sizeof numbers / sizeof *numbers)], 8);
        break;
    }
}

static bool is_number(const uint8_t *at)
{
    return *at < 0x80 || *at >= 0xe0 || (*at >= 0xcc && *at <= 0xd3);
}

/* A number near the one that is there, or with a bit of it changed. */
static void emit_neighbour(struct out *o, const struct body *b, const struct span *s)
{
    const uint8_t *at = b->bytes + s->at;
    uint64_t v = s->head == 1 ? (uint64_t)(int64_t)(int8_t)*at : big_endian(at + 1, s->head - 1);
    uint32_t how = draw(3);
    v = how == 0 ? v + 1 : how == 1 ? v - 1 : v ^ UINT64_C(1) << draw(64);
    emit_number(o, 0xcf, v, 8);
}

/* Head of a container with this many children. */
static void emit_head(struct out *o, uint8_t old, uint32_t children)
{
    bool map = (old >= 0x80 && old < 0x90) || old >= 0xde;
    emit_number(o, map ? 0xde : 0xdc, map ? children / 2 : children, 2);
}

/* All of the body, with the value i given so many times (0: not at all), its container's count
 * told rightly. */
static void emit_times(struct out *o, const struct body *b, uint32_t i, uint32_t times)
{
    const struct span *s = &b->spans[i], *p = &b->spans[s->parent];
    emit(o, b->bytes, p->at);
    emit_head(o, b->bytes[p->at], p->children - 1 + times);
    emit(o, b->bytes + p->at + p->head, s->at - p->at - p->head);
    for (; times > 0; times--)
        emit(o, b->bytes + s->at, s->end - s->at);
    emit(o, b->bytes + s->end, b->len - s->end);
}

static void change_value(struct out *o, const struct body *b, const struct body *other)
{
    uint32_t i = draw(b->count), how = draw(8);
    const struct span *s = &b->spans[i];
    if (how < 2 && s->parent != VALUES_MAX) {
        emit_times(o, b, i, how == 0 ? 0 : 2 + draw(3));
        return;
    }
    emit(o, b->bytes, s->at);
    if (how < 4 && is_number(b->bytes + s->at)) {
        emit_neighbour(o, b, s);
    } else if (how < 6) {
        const struct span *from = &other->spans[draw(other->count)];
        emit(o, other->bytes + from->at, from->end - from->at);
    } else {
        emit_interesting(o);
    }
    emit(o, b->bytes + s->end, b->len - s->end);
}

/* ---- records --------------------------------------------------------------------------------- */

struct list {
    struct fuzz_record records[FUZZ_RECORDS_MAX + 1];
    uint32_t count;
};

static void list_read(struct list *l, const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    l->count = 0;
    while (l->count < FUZZ_RECORDS_MAX && fuzz_next(&in, &l->records[l->count]))
        l->count++;
}

static size_t list_write(const struct list *l, uint8_t *out, size_t max)
{
    size_t at = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct fuzz_record *r = &l->records[i];
        if (r->len > UINT16_MAX || at + FUZZ_RECORD_HEAD + r->len > max)
            break;
        out[at] = r->tag;
        out[at + 1] = r->aim;
        out[at + 2] = (uint8_t)r->len;
        out[at + 3] = (uint8_t)(r->len >> 8);
        memcpy(out + at + FUZZ_RECORD_HEAD, r->body, r->len);
        at += FUZZ_RECORD_HEAD + r->len;
    }
    return at;
}

static void insert(struct list *l, uint32_t at, struct fuzz_record r)
{
    if (l->count == FUZZ_RECORDS_MAX)
        return;
    memmove(&l->records[at + 1], &l->records[at], (l->count - at) * sizeof r);
    l->records[at] = r;
    l->count++;
}

static void change_list(struct list *l)
{
    uint32_t i = draw(l->count), k = draw(l->count);
    struct fuzz_record r = l->records[i];
    switch (draw(5)) {
    case 0:
        insert(l, k, r);
        break;
    case 1:
        l->count--;
        memmove(&l->records[i], &l->records[i + 1], (l->count - i) * sizeof r);
        break;
    case 2:
        l->records[i] = l->records[k];
        l->records[k] = r;
        break;
    case 3:
        l->records[i].tag = (uint8_t)(draw(2) ? draw(256) : draw(32));
        break;
    default:
        l->records[i].aim = (uint8_t)(draw(2) ? draw(256) : draw(8));
        break;
    }
}

static size_t change_body(struct list *l, uint8_t *copy, uint8_t *data, size_t max)
{
    static struct body body, other;
    static struct out out;
    uint32_t i = draw(l->count), k = draw(l->count);
    if (!body_read(&body, l->records[i].body, (uint32_t)l->records[i].len))
        return LLVMFuzzerMutate(data, list_write(l, data, max), max);
    const struct body *from =
        body_read(&other, l->records[k].body, (uint32_t)l->records[k].len) ? &other : &body;
    out.len = 0;
    out.full = false;
    change_value(&out, &body, from);
    if (!out.full) {
        memcpy(copy, out.bytes, out.len);
        l->records[i].body = copy;
        l->records[i].len = out.len;
    }
    return list_write(l, data, max);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static uint8_t before[1 << 16], body[BODY_MAX];
    static struct list list;
    state = seed;
    draw(2);
    if (draw(4) == 0 || size > sizeof before)
        return LLVMFuzzerMutate(data, size, max_size);
    memcpy(before, data, size);
    list_read(&list, before, size);
    if (list.count == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    if (draw(4) == 0) {
        change_list(&list);
        return list_write(&list, data, max_size);
    }
    return change_body(&list, body, data, max_size);
}
