/* SPDX-License-Identifier: Apache-2.0 */
/* What a request asks for: the path's namespace and key, ranges, and names of versions. */
#ifndef CENOTE_GATEWAY_TARGET_H
#define CENOTE_GATEWAY_TARGET_H

#include <cenote/cenote.h>

#define ETAG_MAX 24

struct target {
    char name_space[CENOTE_NAMESPACE_MAX + 1];
    bool has_key;
    size_t key_len_bytes;
    char key[CENOTE_KEY_MAX];
};

/* Of "{namespace}" or "{namespace}/{key}", percent-encoded. The key is bytes: all that is behind
 * the first slash, other slashes and dots included. CENOTE_OK; CENOTE_INVALID or CENOTE_KEY_SIZE,
 * and *why is a static text. */
int target_parse(const char *text, struct target *out, const char **why);

enum range_kind { RANGE_ALL, RANGE_PART, RANGE_NONE };

/* What a Range header asks of a value: a part of it, nothing that it has, or, when the header is
 * absent, in other units, or asks for several parts, all of it. */
enum range_kind range_read(const char *header, uint64_t len_bytes, uint64_t *from,
                           uint64_t *count_bytes);

/* The name of a version, quotes included. */
void etag_format(uint64_t put_id, char out[ETAG_MAX]);
/* Is it in the list of an If-Match or If-None-Match, or is that "*"? */
bool etag_is_in(const char *list, const char *etag);

#endif
