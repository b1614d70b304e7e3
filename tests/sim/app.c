/* SPDX-License-Identifier: Apache-2.0 */
/* The clients: programs that use libcenote's public functions, and look at what they get. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/namespace.h>
#include <cenote/policy.h>
#include <cenote/range.h>
#include <cenote/view.h>

#include "tests/sim/heap.h"
#include "tests/sim/scene.h"

#define OPEN_AGAIN_NS (100 * NS_PER_MS)
#define CACHE_BYTES   65536u
#define VALUE_MAX     (4u * 65536u)
#define LOOKS         4u /* at an open view */

/* Bytes that a get has filled must stay as they are; beyond them is what was there before. */
struct buffer {
    uint8_t bytes[VALUE_MAX], after[VALUE_MAX];
    bool filled;
};

static struct buffer buffers[PLAN_CLIENTS_MAX][PLAN_THREADS_MAX];
static uint64_t longest_bytes; /* of the plan's values */

/* ---- values ---------------------------------------------------------------------------------- */

static uint64_t word_of(uint64_t value, uint64_t at)
{
    return at == 0 ? value : (value + at) * UINT64_C(0x9e3779b97f4a7c15) ^ value;
}

static void fill(uint8_t *out, uint64_t len_bytes, uint64_t value)
{
    for (uint64_t at = 0; at * 8 < len_bytes; at++) {
        uint64_t w = word_of(value, at), left = len_bytes - at * 8;
        memcpy(out + at * 8, &w, left < 8 ? left : 8);
    }
}

/* Which value this is; violates the rules when it is none that was put to this key. */
static uint64_t verify(const uint8_t *bytes, uint64_t len_bytes, unsigned key, const char *how)
{
    uint64_t value = 0;
    if (len_bytes >= 8)
        memcpy(&value, bytes, 8);
    const struct record *r = history_at((unsigned)value - 1);
    bool good = value != 0 && r != NULL && r->key == key && r->op.kind <= LINEAR_REPLACE &&
                r->len_bytes == len_bytes;
    if (good && r->bytes != NULL)
        good = memcmp(bytes, r->bytes, len_bytes) == 0;
    for (uint64_t at = 0; good && r->bytes == NULL && at * 8 < len_bytes; at++) {
        uint64_t w = word_of(value, at), left = len_bytes - at * 8;
        good = memcmp(bytes + at * 8, &w, left < 8 ? left : 8) == 0;
    }
    if (!good)
        violation("%s of key %u: %llu bytes that nobody put there (value %llu)", how, key,
                  (unsigned long long)len_bytes, (unsigned long long)value);
    return value;
}

static void verify_part(const uint8_t *bytes, uint64_t at, uint64_t len_bytes, uint64_t value)
{
    const struct record *r = history_at((unsigned)value - 1);
    const uint8_t *whole = r != NULL && at + len_bytes <= r->len_bytes ? r->bytes : NULL;
    for (uint64_t i = 0; i < len_bytes; i++) {
        uint64_t w = word_of(value, (at + i) / 8);
        if (bytes[i] != (whole != NULL ? whole[at + i] : (uint8_t)(w >> 8 * ((at + i) % 8))))
            violation("a range at %llu of value %llu has another's bytes", (unsigned long long)at,
                      (unsigned long long)value);
    }
}

static void check_buffer(const struct buffer *b)
{
    if (b->filled && memcmp(b->bytes, b->after, longest_bytes) != 0)
        violation("a buffer was touched after its get had completed");
}

/* ---- operations ------------------------------------------------------------------------------ */

size_t app_key(unsigned key, char out[APP_KEY_BYTES])
{
    return (size_t)snprintf(out, APP_KEY_BYTES, "key-%u", key);
}

static uint64_t begin(struct app_thread *t, const struct plan_op *o, enum linear_kind kind)
{
    t->open[t->opened++] = history_begin(t->app->number, o->key, kind, o->len_bytes);
    return (uint64_t)t->open[t->opened - 1] + 1;
}

static void end(struct app_thread *t, int status, uint64_t value)
{
    int at = t->open[0];
    t->opened--;
    memmove(t->open, t->open + 1, t->opened * sizeof t->open[0]);
    history_end(at, status, value);
}

static unsigned put_flags(const struct plan_op *o)
{
    bool replace = o->kind == OP_REPLACE || o->kind == OP_REWRITE;
    return CENOTE_PUT_REPLICAS(o->replicas) | (replace ? CENOTE_PUT_REPLACE : 0u);
}

/* Begins a put of a new value, and makes it. */
static uint8_t *begin_put(struct app_thread *t, const struct plan_op *o)
{
    bool replace = (put_flags(o) & CENOTE_PUT_REPLACE) != 0;
    uint8_t *bytes = world_alloc(o->len_bytes);
    fill(bytes, o->len_bytes, begin(t, o, replace ? LINEAR_REPLACE : LINEAR_PUT));
    if (o->seals) {
        rules_forge(bytes, o->len_bytes);
        history_bytes(t->open[t->opened - 1], bytes);
    }
    return bytes;
}

static void do_put(struct app_thread *t, const struct plan_op *o)
{
    char key[APP_KEY_BYTES];
    size_t key_len = app_key(o->key, key);
    const uint8_t *bytes = begin_put(t, o);
    char group[] = {'g', (char)('0' + o->group)};
    struct cenote_buffer piece = {(void *)(uintptr_t)bytes, o->len_bytes};
    struct cenote_put_item item = {.key = {key, key_len}, .buffers = &piece, .buffer_count = 1};
    struct cenote_policy policy = {.ttl_ms = o->ttl_ms, .pin = o->pin};
    if (o->group != 0) {
        policy.group = group;
        policy.group_len_bytes = sizeof group;
    }
    int status = cenote_put_with(t->app->client, &item, 1, put_flags(o), &policy);
    end(t, status == CENOTE_OK ? item.status : status, 0);
}

/* The same operation on the next key. */
static struct plan_op next_key(const struct plan_op *o, unsigned i)
{
    struct plan_op next = *o;
    next.key = (uint8_t)((o->key + i) % scene.plan->keys);
    return next;
}

static unsigned batch_size(void)
{
    return scene.plan->keys < PLAN_BATCH_MAX ? scene.plan->keys : PLAN_BATCH_MAX;
}

static void do_puts(struct app_thread *t, const struct plan_op *o)
{
    struct cenote_put_item items[PLAN_BATCH_MAX];
    struct cenote_buffer pieces[PLAN_BATCH_MAX];
    char keys[PLAN_BATCH_MAX][APP_KEY_BYTES];
    unsigned count = batch_size();
    for (unsigned i = 0; i < count; i++) {
        struct plan_op one = next_key(o, i);
        pieces[i] = (struct cenote_buffer){begin_put(t, &one), o->len_bytes};
        items[i] = (struct cenote_put_item){
            .key = {keys[i], app_key(one.key, keys[i])}, .buffers = &pieces[i], .buffer_count = 1};
    }
    cenote_put_batch(t->app->client, items, count, put_flags(o));
    for (unsigned i = 0; i < count; i++)
        end(t, items[i].status, 0);
}

/* In three parts, the last one first. */
static int write_parts(struct cenote_writer *w, const uint8_t *bytes, uint64_t len_bytes)
{
    uint64_t third = len_bytes / 3;
    int status = cenote_writer_write(w, third * 2, bytes + third * 2, len_bytes - third * 2);
    if (status == CENOTE_OK)
        status = cenote_writer_write(w, 0, bytes, third);
    if (status == CENOTE_OK)
        status = cenote_writer_write(w, third, bytes + third, third);
    return status == CENOTE_OK ? cenote_writer_commit(w) : status;
}

static void do_writer(struct app_thread *t, const struct plan_op *o)
{
    struct cenote_writer *w;
    char key[APP_KEY_BYTES];
    size_t key_len = app_key(o->key, key);
    const uint8_t *bytes = begin_put(t, o);
    int status = cenote_writer_open(t->app->client, key, key_len, o->len_bytes, put_flags(o), &w);
    if (status == CENOTE_OK) {
        status = write_parts(w, bytes, o->len_bytes);
        cenote_writer_close(&w);
    }
    end(t, status, 0);
}

static void do_remove(struct app_thread *t, const struct plan_op *o)
{
    char text[APP_KEY_BYTES];
    struct cenote_key key = {text, app_key(o->key, text)};
    int status = CENOTE_OK;
    begin(t, o, LINEAR_REMOVE);
    cenote_remove(t->app->client, &key, 1, &status);
    end(t, status, 0);
}

static void do_get(struct app_thread *t, const struct plan_op *o)
{
    struct buffer *b = &buffers[t->app->number][t->number];
    char key[APP_KEY_BYTES];
    size_t key_len = app_key(o->key, key);
    uint64_t len_bytes = 0, value = 0;
    check_buffer(b);
    b->filled = false;
    begin(t, o, LINEAR_GET);
    int status = cenote_get(t->app->client, key, key_len, b->bytes, longest_bytes, &len_bytes);
    if (status == CENOTE_OK)
        value = verify(b->bytes, len_bytes, o->key, "get");
    else if (status == CENOTE_BUFFER_SIZE)
        violation("a value of %llu bytes", (unsigned long long)len_bytes);
    b->filled = true;
    memcpy(b->after, b->bytes, longest_bytes);
    end(t, status, value);
}

static void do_gets(struct app_thread *t, const struct plan_op *o)
{
    struct cenote_get_item items[PLAN_BATCH_MAX];
    struct cenote_buffer pieces[PLAN_BATCH_MAX];
    char keys[PLAN_BATCH_MAX][APP_KEY_BYTES];
    unsigned count = batch_size();
    for (unsigned i = 0; i < count; i++) {
        struct plan_op one = next_key(o, i);
        begin(t, &one, LINEAR_GET);
        pieces[i] = (struct cenote_buffer){world_alloc(longest_bytes), longest_bytes};
        items[i] = (struct cenote_get_item){
            .key = {keys[i], app_key(one.key, keys[i])}, .buffers = &pieces[i], .buffer_count = 1};
    }
    cenote_get_batch(t->app->client, items, count);
    for (unsigned i = 0; i < count; i++) {
        uint64_t value = 0;
        if (items[i].status == CENOTE_OK)
            value = verify(pieces[i].addr, items[i].len_bytes, next_key(o, i).key, "gets");
        end(t, items[i].status, value);
    }
}

/* The name of the value, and some of its bytes. Both calls may see different values. */
static void do_ranges(struct app_thread *t, const struct plan_op *o)
{
    char text[APP_KEY_BYTES];
    struct cenote_key key = {text, app_key(o->key, text)};
    uint64_t at = 8 * (1 + o->len_bytes % 20), len_bytes = 8 + o->look_us % 64, value = 0;
    uint8_t *bytes = world_alloc(8 + len_bytes);
    struct cenote_buffer pieces[] = {{bytes, 8}, {bytes + 8, len_bytes}};
    struct cenote_range_item items[] = {
        {.key = key, .offset = 0, .buffers = &pieces[0], .buffer_count = 1},
        {.key = key, .offset = at, .buffers = &pieces[1], .buffer_count = 1}};
    begin(t, o, LINEAR_GET);
    cenote_get_ranges(t->app->client, items, 2);
    memcpy(&value, bytes, 8);
    if (items[0].status == CENOTE_OK && items[1].status == CENOTE_OK &&
        items[0].put_id == items[1].put_id)
        verify_part(bytes + 8, at, len_bytes, value);
    end(t, items[0].status, value);
}

static void do_exists(struct app_thread *t, const struct plan_op *o)
{
    char text[APP_KEY_BYTES];
    struct cenote_key key = {text, app_key(o->key, text)};
    bool there = false;
    size_t leading;
    begin(t, o, LINEAR_EXISTS);
    int status = cenote_exists(t->app->client, &key, 1, &there, &leading);
    if (status == CENOTE_OK && !there)
        status = CENOTE_NOT_FOUND;
    end(t, status, 0);
}

static void look(struct app_thread *t, const struct plan_op *o, struct cenote_view *view)
{
    rules_view_opened(t->app->process, view);
    scene_moment(AT_VIEWING, t->app->process, NULL);
    for (unsigned i = 0; i < LOOKS; i++) {
        thread_sleep(o->look_us * NS_PER_US / LOOKS);
        if (!scene.flipped) /* it was right when it was opened */
            verify(view->data, view->len_bytes, o->key, "view");
    }
    rules_view_closed(t->app->process, view);
}

static void do_view(struct app_thread *t, const struct plan_op *o)
{
    struct cenote_view view = {0};
    char key[APP_KEY_BYTES];
    size_t key_len = app_key(o->key, key);
    uint64_t value = 0;
    begin(t, o, LINEAR_GET);
    int status = cenote_view_get(t->app->client, key, key_len, &view);
    /* What was summed once isn't summed again for a view. */
    if (status == CENOTE_OK && !scene.flipped)
        value = verify(view.data, view.len_bytes, o->key, "view");
    end(t, scene.flipped ? CENOTE_CORRUPT : status, value);
    if (status == CENOTE_OK)
        look(t, o, &view);
    cenote_view_release(t->app->client, &view);
}

static void do_op(struct app_thread *t, const struct plan_op *o)
{
    switch ((enum plan_kind)o->kind) {
    case OP_PUT:
    case OP_REPLACE:
        do_put(t, o);
        break;
    case OP_REMOVE:
        do_remove(t, o);
        break;
    case OP_GET:
        do_get(t, o);
        break;
    case OP_EXISTS:
        do_exists(t, o);
        break;
    case OP_VIEW:
        do_view(t, o);
        break;
    case OP_PUTS:
        do_puts(t, o);
        break;
    case OP_GETS:
        do_gets(t, o);
        break;
    case OP_RANGES:
        do_ranges(t, o);
        break;
    case OP_WRITER:
    case OP_REWRITE:
        do_writer(t, o);
        break;
    case OP_KINDS:
        break;
    }
}

/* ---- threads --------------------------------------------------------------------------------- */

static void thread_main(void *arg)
{
    struct app_thread *t = arg;
    while (t->next < t->count) {
        const struct plan_op *o = t->ops[t->next++];
        thread_sleep(o->pause_us * NS_PER_US);
        do_op(t, o);
    }
    t->app->running--;
}

static void app_main(void *arg)
{
    struct app *a = arg;
    struct cenote_options options = {.meta = "unix:/simulated",
                                     .timeout_ms = scene.plan->client_timeout_ms,
                                     .cache_bytes = CACHE_BYTES};
    struct cenote_namespace_settings settings = {.quota_objects = scene.plan->quota_objects};
    while (cenote_open(&options, &a->client) != CENOTE_OK)
        thread_sleep(OPEN_AGAIN_NS);
    if (a->number == 0 && settings.quota_objects != 0) /* it may fail */
        (void)cenote_namespace_set(a->client, "default", &settings);
    for (unsigned i = 0; i < PLAN_THREADS_MAX; i++)
        thread_start(thread_main, &a->threads[i]);
}

static void leave_main(void *arg)
{
    struct app *a = arg;
    cenote_close(&a->client);
    a->left = true;
    if (heap_count(a->process) != 0)
        violation("%s has closed, and %llu blocks of memory are left", a->process->name,
                  (unsigned long long)heap_count(a->process));
}

/* ---- the process ----------------------------------------------------------------------------- */

static void measure(const struct plan *plan)
{
    longest_bytes = 16;
    for (unsigned i = 0; i < plan->op_count; i++) {
        if (plan->ops[i].len_bytes > longest_bytes)
            longest_bytes = plan->ops[i].len_bytes;
    }
    assert(longest_bytes <= VALUE_MAX);
}

void app_add(const struct plan *plan, unsigned number)
{
    struct app *a = &scene.apps[number];
    char name[16];
    snprintf(name, sizeof name, "client-%u", number);
    *a = (struct app){.process = process_add(name, plan->client_host[number]), .number = number};
    measure(plan);
    for (unsigned i = 0; i < PLAN_THREADS_MAX; i++) {
        struct app_thread *t = &a->threads[i];
        *t = (struct app_thread){.app = a, .number = i};
        buffers[number][i].filled = false;
        for (unsigned k = 0; k < plan->op_count; k++) {
            if (plan->ops[k].client == number && plan->ops[k].thread == i)
                t->ops[t->count++] = &plan->ops[k];
        }
    }
}

void app_start(struct app *a)
{
    process_start(a->process);
    a->client = NULL;
    a->left = false;
    a->running = PLAN_THREADS_MAX;
    struct process *before = world_enter(a->process);
    thread_start(app_main, a);
    world_enter(before);
}

void app_kill(struct app *a)
{
    process_kill(a->process);
    net_died(a->process);
    copies_died(a->process);
    rules_client_died(a->process);
    for (unsigned i = 0; i < PLAN_THREADS_MAX; i++) {
        struct app_thread *t = &a->threads[i];
        while (t->opened > 0)
            history_lost(t->open[--t->opened]);
        buffers[a->number][i].filled = false;
    }
}

bool app_over(const struct app *a)
{
    return a->process->alive && a->client != NULL && a->running == 0;
}

void app_leave(struct app *a)
{
    struct process *before = world_enter(a->process);
    for (unsigned i = 0; i < PLAN_THREADS_MAX; i++)
        check_buffer(&buffers[a->number][i]);
    thread_start(leave_main, a);
    world_enter(before);
}
