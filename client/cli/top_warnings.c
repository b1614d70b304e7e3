/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/top_warnings.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/text.h"

#define MAP_WARN_PERCENT  80u
#define MAP_GRAVE_PERCENT 95u

/* Each looks at one service, and says whether there is something to say. */

static bool lost(const json_t *s, char text[TOP_WARNING_MAX], bool *grave)
{
    const json_t *d = json_object_get(s, "damage");
    uint64_t extents = top_number(d, "extents"), objects = top_number(d, "lost_objects");
    *grave = objects > 0;
    snprintf(text, TOP_WARNING_MAX,
             "%" PRIu64 " extents were found damaged; %" PRIu64 " values were lost", extents,
             objects);
    return extents > 0 || objects > 0;
}

static bool rebuilding(const json_t *s, char text[TOP_WARNING_MAX], bool *grave)
{
    const json_t *r = json_object_get(s, "rebuild");
    const char *phase = json_string_value(json_object_get(r, "phase"));
    uint64_t missing = top_number(r, "missing_nodes");
    if (!phase || strcmp(phase, "none") == 0 || (strcmp(phase, "done") == 0 && missing == 0))
        return false;
    *grave = strcmp(phase, "failed") == 0;
    snprintf(text, TOP_WARNING_MAX,
             "rebuild of the metadata: %.32s; %" PRIu64 " nodes are missing, %" PRIu64
             " take no new values yet",
             phase, missing, top_number(r, "unsettled_nodes"));
    return true;
}

static bool map_is_full(const json_t *s, char text[TOP_WARNING_MAX], bool *grave)
{
    const json_t *service = json_object_get(s, "service");
    uint64_t limit = top_number(service, "store_limit_bytes");
    double percent =
        limit ? 100 * (double)top_number(service, "store_used_bytes") / (double)limit : 0;
    *grave = percent >= MAP_GRAVE_PERCENT;
    snprintf(text, TOP_WARNING_MAX,
             "the metadata's map is %.1f %% full; when it is full, puts are refused", percent);
    return percent >= MAP_WARN_PERCENT;
}

static bool waiting(const json_t *s, char text[TOP_WARNING_MAX], bool *grave)
{
    uint64_t count = top_number(json_object_get(s, "eviction"), "waiting_puts");
    *grave = false;
    snprintf(text, TOP_WARNING_MAX,
             "%" PRIu64 " puts wait for room: leases, pins or quarantine hold the memory", count);
    return count > 0;
}

static bool (*const kinds[])(const json_t *s, char text[TOP_WARNING_MAX],
                             bool *grave) = {lost, rebuilding, map_is_full, waiting};
#define KINDS (sizeof kinds / sizeof *kinds)

static bool node_is_ill(const json_t *n, char text[TOP_WARNING_MAX], bool *grave)
{
    const char *name = json_string_value(json_object_get(n, "name"));
    const char *state = json_string_value(json_object_get(n, "state"));
    char age[TEXT_TIME_MAX];
    bool connected = json_is_true(json_object_get(n, "connected"));
    if (!name || !state || (connected && strcmp(state, "alive") == 0))
        return false;
    *grave = strcmp(state, "dead") == 0;
    snprintf(text, TOP_WARNING_MAX, "node %.64s is %.16s%s, heard %s ago", name, state,
             connected ? "" : " and not connected",
             text_duration(top_number(n, "heartbeat_age_ms"), age));
    return true;
}

bool top_warning_next(struct top_warnings *w, char text[TOP_WARNING_MAX], bool *grave)
{
    const json_t *s;
    for (; (s = top_service(w->look, w->service)) != NULL; w->service++, w->kind = 0, w->node = 0) {
        const json_t *nodes = json_object_get(s, "nodes");
        while (w->kind < KINDS) {
            if (kinds[w->kind++](s, text, grave))
                return true;
        }
        while (w->node < json_array_size(nodes)) {
            if (node_is_ill(json_array_get(nodes, w->node++), text, grave))
                return true;
        }
    }
    return false;
}
