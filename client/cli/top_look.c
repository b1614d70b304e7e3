/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/top_look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/clock.h"

const char *const top_reasons[TOP_REASONS] = {"space", "background", "quota", "expired", "group"};

uint64_t top_number(const json_t *object, const char *name)
{
    json_int_t v = json_integer_value(json_object_get(object, name));
    return v > 0 ? (uint64_t)v : 0;
}

const json_t *top_service(const struct top_look *l, size_t place)
{
    const json_t *shards = json_object_get(l->pool, "shards"), *shard;
    size_t i;
    if (!shards)
        return place == 0 ? l->pool : NULL;
    json_array_foreach(shards, i, shard)
    {
        if (json_object_get(shard, "service") && place-- == 0)
            return shard;
    }
    return NULL;
}

const struct top_method *top_find_method(const struct top_look *l, const char *name)
{
    for (unsigned i = 0; i < l->method_count; i++) {
        if (strcmp(l->methods[i].name, name) == 0)
            return &l->methods[i];
    }
    return NULL;
}

static void add_method(struct top_look *l, const json_t *told)
{
    const char *name = json_string_value(json_object_get(told, "name"));
    const json_t *pair;
    size_t i;
    if (!name || strlen(name) >= TOP_NAME_MAX)
        return;
    struct top_method *m = (struct top_method *)top_find_method(l, name);
    if (!m && l->method_count == TOP_METHODS_MAX)
        return;
    if (!m) {
        m = &l->methods[l->method_count++];
        snprintf(m->name, sizeof m->name, "%s", name);
        m->view.max = UINT64_MAX;
    }
    uint64_t max_us = top_number(told, "max_us");
    m->errors += top_number(told, "errors");
    m->max_us = max_us > m->max_us ? max_us : m->max_us;
    json_array_foreach(json_object_get(told, "histogram"), i, pair)
    {
        uint64_t ns = (uint64_t)json_integer_value(json_array_get(pair, 0));
        uint64_t count = (uint64_t)json_integer_value(json_array_get(pair, 1));
        m->view.buckets[metric_bucket_of(ns >> METRIC_NS_SHIFT)] += count;
        m->view.count += count;
    }
}

static void add_service(struct top_look *l, const json_t *told)
{
    const json_t *s = json_object_get(told, "service"), *live = json_object_get(told, "live");
    const json_t *eviction = json_object_get(told, "eviction"), *method;
    uint64_t uptime_ms = top_number(s, "uptime_ms");
    size_t i;
    l->uptime_ms = l->reigns == 0 || uptime_ms < l->uptime_ms ? uptime_ms : l->uptime_ms;
    l->reigns += top_number(s, "reign");
    l->objects += top_number(s, "objects");
    l->pending += top_number(s, "pending_puts");
    l->sessions += top_number(s, "sessions");
    l->store_used += top_number(s, "store_used_bytes");
    l->store_limit += top_number(s, "store_limit_bytes");
    l->waiting += top_number(eviction, "waiting_puts");
    l->hits += top_number(live, "hits");
    l->misses += top_number(live, "misses");
    l->bytes_in += top_number(live, "bytes_in");
    l->bytes_out += top_number(live, "bytes_out");
    for (i = 0; i < TOP_REASONS; i++) {
        const json_t *reason = json_object_get(eviction, top_reasons[i]);
        l->evicted[i].objects += top_number(reason, "objects");
        l->evicted[i].bytes += top_number(reason, "bytes");
    }
    json_array_foreach(json_object_get(live, "methods"), i, method) add_method(l, method);
}

struct top_look *top_look_new(json_t *pool)
{
    struct top_look *l = calloc(1, sizeof *l);
    const json_t *service;
    if (!l)
        return NULL;
    l->pool = pool;
    l->at_ms = clock_now_ms();
    for (size_t i = 0; (service = top_service(l, i)) != NULL; i++)
        add_service(l, service);
    return l;
}

void top_look_free(struct top_look *l)
{
    if (l)
        json_decref(l->pool);
    free(l);
}

/* A service that has begun anew has a later reign, and counts from nothing. */
bool top_goes_on(const struct top_look *now, const struct top_look *before)
{
    return before && now->at_ms > before->at_ms && now->reigns == before->reigns;
}

struct metric_view top_between(const struct top_method *now, const struct top_look *before)
{
    const struct top_method *old = before ? top_find_method(before, now->name) : NULL;
    struct metric_view view = now->view;
    if (!old)
        return view;
    view.count = 0;
    for (unsigned i = 0; i < METRIC_BUCKETS; i++) {
        uint64_t was = old->view.buckets[i];
        view.buckets[i] = view.buckets[i] > was ? view.buckets[i] - was : 0;
        view.count += view.buckets[i];
    }
    return view;
}
