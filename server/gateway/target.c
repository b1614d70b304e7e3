/* SPDX-License-Identifier: Apache-2.0 */
#include "server/gateway/target.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "server/http/http.h"

/* ---- the path -------------------------------------------------------------------------------- */

static bool is_name(const char *text, size_t len_bytes)
{
    for (size_t i = 0; i < len_bytes; i++) {
        if (!isalnum((unsigned char)text[i]) && (text[i] == '\0' || !strchr("._-", text[i])))
            return false;
    }
    return len_bytes > 0;
}

int target_parse(const char *text, struct target *out, const char **why)
{
    size_t name_bytes = strcspn(text, "/"), len;
    const char *key = text[name_bytes] == '/' ? text + name_bytes + 1 : NULL;
    int status = http_decode(text, name_bytes, false, out->name_space, CENOTE_NAMESPACE_MAX, &len);
    *why = "a namespace has 1 to 64 letters, digits, '.', '_' or '-'";
    if (status != CENOTE_OK || !is_name(out->name_space, len))
        return CENOTE_INVALID;
    out->name_space[len] = '\0';
    out->has_key = key != NULL;
    if (!key)
        return CENOTE_OK;
    status = http_decode(key, strlen(key), false, out->key, CENOTE_KEY_MAX, &out->key_len_bytes);
    *why = "wrong percent-encoding";
    if (status == CENOTE_INVALID)
        return CENOTE_INVALID;
    *why = "a key has 1 to 1024 bytes";
    return status == CENOTE_OK && out->key_len_bytes > 0 ? CENOTE_OK : CENOTE_KEY_SIZE;
}

/* ---- ranges ---------------------------------------------------------------------------------- */

/* What is beyond all lengths is the largest number. */
static bool read_number(const char **at, uint64_t *out)
{
    const char *begin = *at;
    uint64_t n = 0;
    for (; isdigit((unsigned char)**at); ++*at)
        n = n > UINT64_MAX / 10 - 1 ? UINT64_MAX : n * 10 + (uint64_t)(**at - '0');
    *out = n;
    return *at > begin;
}

static enum range_kind from_the_end(const char *at, uint64_t len_bytes, uint64_t *from,
                                    uint64_t *count_bytes)
{
    uint64_t n;
    if (!read_number(&at, &n) || *at != '\0' || n == 0 || len_bytes == 0)
        return RANGE_NONE;
    *count_bytes = n < len_bytes ? n : len_bytes;
    *from = len_bytes - *count_bytes;
    return RANGE_PART;
}

enum range_kind range_read(const char *header, uint64_t len_bytes, uint64_t *from,
                           uint64_t *count_bytes)
{
    uint64_t last = UINT64_MAX;
    *from = 0;
    *count_bytes = len_bytes;
    if (!header || strncasecmp(header, "bytes=", 6) != 0 || strchr(header, ','))
        return RANGE_ALL;
    const char *at = header + 6;
    if (*at == '-')
        return from_the_end(at + 1, len_bytes, from, count_bytes);
    if (!read_number(&at, from) || *at++ != '-')
        return RANGE_NONE;
    if (*at != '\0' && (!read_number(&at, &last) || *at != '\0' || last < *from))
        return RANGE_NONE;
    if (*from >= len_bytes)
        return RANGE_NONE;
    if (last >= len_bytes)
        last = len_bytes - 1;
    *count_bytes = last - *from + 1;
    return RANGE_PART;
}

/* ---- versions -------------------------------------------------------------------------------- */

void etag_format(uint64_t put_id, char out[ETAG_MAX])
{
    snprintf(out, ETAG_MAX, "\"%" PRIx64 "\"", put_id);
}

bool etag_is_in(const char *list, const char *etag)
{
    size_t len = strlen(etag);
    while (*list != '\0') {
        list += strspn(list, ", \t");
        if (strncmp(list, "W/", 2) == 0)
            list += 2;
        size_t item = strcspn(list, ", \t");
        if ((item == len && strncmp(list, etag, len) == 0) || (item == 1 && *list == '*'))
            return true;
        list += item;
    }
    return false;
}
