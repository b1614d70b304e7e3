/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/trace_file.h"

#include <cenote/status.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for one more element of an array that doubles. */
static int grow(void *array, size_t count, size_t element_bytes)
{
    void **memory = array;

    if ((count & (count - 1)) != 0 && count != 0)
        return CENOTE_OK;
    void *larger = realloc(*memory, (count == 0 ? 1 : 2 * count) * element_bytes);
    if (!larger)
        return CENOTE_NO_MEMORY;
    *memory = larger;
    return CENOTE_OK;
}

static int add_id(struct trace *t, const json_t *id)
{
    json_int_t v = json_integer_value(id);

    if (!json_is_integer(id) || v < 0 || v > UINT32_MAX)
        return CENOTE_INVALID;
    int status = grow(&t->ids, t->id_count, sizeof *t->ids);
    if (status == CENOTE_OK)
        t->ids[t->id_count++] = (uint32_t)v;
    return status;
}

static int add_request(struct trace *t, const json_t *line)
{
    const json_t *ids = json_object_get(line, "hash_ids");
    size_t count = json_array_size(ids);
    struct trace_request request = {.first = t->id_count, .count = (uint32_t)count};

    json_int_t at_ms = json_integer_value(json_object_get(line, "timestamp"));

    if (!json_is_array(ids) || count > TRACE_BLOCKS_MAX)
        return CENOTE_INVALID;
    request.at_ms = at_ms > 0 ? (uint64_t)at_ms : 0;
    for (size_t i = 0; i < count; i++) {
        int status = add_id(t, json_array_get(ids, i));
        if (status != CENOTE_OK)
            return status;
    }
    int status = grow(&t->requests, t->request_count, sizeof *t->requests);
    if (status != CENOTE_OK)
        return status;
    t->requests[t->request_count++] = request;
    if (request.count > t->longest)
        t->longest = request.count;
    return CENOTE_OK;
}

static int read_lines(FILE *f, size_t requests_max, struct trace *t, char *reason, size_t size)
{
    char *line = NULL;
    size_t cap = 0;
    int status = CENOTE_OK;

    while (status == CENOTE_OK && t->request_count < requests_max && getline(&line, &cap, f) > 0) {
        json_error_t error;
        json_t *object = json_loads(line, 0, &error);
        status = object ? add_request(t, object) : CENOTE_INVALID;
        if (status != CENOTE_OK)
            snprintf(reason, size, "line %zu: %s", t->request_count + 1,
                     object ? "hash_ids is no list of numbers" : error.text);
        json_decref(object);
    }
    free(line);
    return status;
}

int trace_read(const char *path, size_t requests_max, struct trace *out, char *reason,
               size_t reason_size)
{
    *out = (struct trace){0};
    FILE *f = fopen(path, "re");
    if (!f) {
        snprintf(reason, reason_size, "%s", strerror(errno));
        return CENOTE_IO;
    }
    int status = read_lines(f, requests_max, out, reason, reason_size);
    fclose(f);
    if (status == CENOTE_OK && out->request_count == 0) {
        snprintf(reason, reason_size, "no request in it");
        status = CENOTE_INVALID;
    }
    if (status != CENOTE_OK)
        trace_file_free(out);
    return status;
}

void trace_file_free(struct trace *t)
{
    free(t->requests);
    free(t->ids);
    *t = (struct trace){0};
}
