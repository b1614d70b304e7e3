/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/samples.h"

#include <stdlib.h>
#include <string.h>

static int reserve(struct samples *s, size_t count)
{
    size_t cap = s->cap ? s->cap : 1024;

    if (count <= s->cap)
        return 1;
    while (cap < count)
        cap *= 2;
    uint64_t *ns = realloc(s->ns, cap * sizeof *ns);
    if (!ns)
        return 0;
    s->ns = ns;
    s->cap = cap;
    return 1;
}

int samples_add(struct samples *s, uint64_t ns)
{
    if (!reserve(s, s->count + 1))
        return 0;
    s->ns[s->count++] = ns;
    return 1;
}

int samples_merge(struct samples *s, struct samples *from)
{
    if (!reserve(s, s->count + from->count))
        return 0;
    if (from->count > 0)
        memcpy(s->ns + s->count, from->ns, from->count * sizeof *s->ns);
    s->count += from->count;
    samples_free(from);
    return 1;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void samples_sort(struct samples *s)
{
    if (s->count > 0)
        qsort(s->ns, s->count, sizeof *s->ns, compare);
}

uint64_t samples_at(const struct samples *s, double share)
{
    if (s->count == 0)
        return 0;
    size_t i = (size_t)(share * (double)s->count);
    return s->ns[i < s->count ? i : s->count - 1];
}

void samples_free(struct samples *s)
{
    free(s->ns);
    *s = (struct samples){0};
}
