/* SPDX-License-Identifier: Apache-2.0 */
#include "server/gateway/put_query.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "server/gateway/transfer.h"
#include "transport/base/config.h"

#define VALUE_MAX 64

static bool read_replace(const char *text, struct put_query *out)
{
    bool yes = strcmp(text, "1") == 0 || strcmp(text, "true") == 0 || text[0] == '\0';
    if (yes)
        out->flags |= CENOTE_PUT_REPLACE;
    return yes || strcmp(text, "0") == 0 || strcmp(text, "false") == 0;
}

static bool read_ttl(const char *text, struct put_query *out)
{
    return config_parse_ms(text, &out->policy.ttl_ms) &&
           out->policy.ttl_ms <= (uint64_t)CENOTE_TTL_MAX_MS;
}

static bool read_pin(const char *text, struct put_query *out)
{
    static const char *const names[] = {
        [CENOTE_PIN_NONE] = "none", [CENOTE_PIN_SOFT] = "soft", [CENOTE_PIN_HARD] = "hard"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            out->policy.pin = (uint32_t)i;
            return true;
        }
    }
    out->policy.pin = CENOTE_PIN_SOFT;
    return strncmp(text, "soft:", 5) == 0 && config_parse_ms(text + 5, &out->policy.pin_ms) &&
           out->policy.pin_ms > 0 && out->policy.pin_ms <= (uint64_t)CENOTE_TTL_MAX_MS;
}

static bool read_replicas(const char *text, struct put_query *out)
{
    if (!isdigit((unsigned char)text[0]) || text[1] != '\0')
        return false;
    unsigned n = (unsigned)(text[0] - '0');
    out->flags |= CENOTE_PUT_REPLICAS(n);
    return n >= 1 && n <= CENOTE_REPLICAS_MAX;
}

static bool read_group(struct http_request *r, struct put_query *out)
{
    int status =
        http_request_query(r, "group", out->group, sizeof out->group, &out->policy.group_len_bytes);
    out->policy.group = out->group;
    if (status == CENOTE_OK || status == CENOTE_NOT_FOUND)
        return true;
    http_reply_error(r, 400, CENOTE_INVALID, "group=: at most %d bytes, percent-encoded",
                     CENOTE_GROUP_MAX);
    return false;
}

/* What the client takes for granted, or else it must not be done. */
static bool read_conditions(struct http_request *r, struct put_query *out)
{
    static const char *const others[] = {"If-Match", "If-Unmodified-Since", NULL};
    const char *none = http_request_header(r, "If-None-Match");
    if (!conditions_are_absent(r, others))
        return false;
    if (none && strcmp(none, "*") != 0) {
        http_reply_error(r, 501, CENOTE_NOT_SUPPORTED,
                         "If-None-Match of a PUT: only * is supported");
        return false;
    }
    if (http_request_header(r, "Content-Range")) {
        http_reply_error(r, 400, CENOTE_INVALID, "Content-Range: a value is put as a whole");
        return false;
    }
    out->new_only = none != NULL;
    /* A put that doesn't replace is that already, and the service decides who comes first. */
    if (out->new_only)
        out->flags &= ~(unsigned)CENOTE_PUT_REPLACE;
    return true;
}

bool put_query_read(struct http_request *r, struct put_query *out)
{
    static const struct {
        const char *name, *wants;
        bool (*read)(const char *text, struct put_query *out);
    } fields[] = {{"replace", "0 or 1", read_replace},
                  {"ttl", "a time, 90s or 36h say, of at most ten years", read_ttl},
                  {"pin", "none, soft, soft:TIME or hard", read_pin},
                  {"replicas", "1 to 8", read_replicas}};
    static const char *const names[] = {"replace", "ttl", "pin", "replicas", "group", NULL};
    char value[VALUE_MAX];
    *out = (struct put_query){0};
    if (!query_has_only(r, names))
        return false;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        int status = http_request_query(r, fields[i].name, value, sizeof value, NULL);
        if (status == CENOTE_NOT_FOUND)
            continue;
        if (status != CENOTE_OK || !fields[i].read(value, out)) {
            http_reply_error(r, 400, CENOTE_INVALID, "%s=: %s", fields[i].name, fields[i].wants);
            return false;
        }
    }
    return read_group(r, out) && read_conditions(r, out);
}
