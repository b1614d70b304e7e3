/* SPDX-License-Identifier: Apache-2.0 */
/* Checking the pool: each service does it by itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"

static int ask(struct drive *d, unsigned what, char **out)
{
    struct wire_buf request = {0};
    struct rpc_answer answer = {0};

    wire_put_request(&request, 0, METHOD_FSCK);
    wire_put_array(&request, 1);
    wire_put_uint(&request, what);
    int status = drive_ask(d, &request, &answer);
    wire_buf_free(&request);
    if (status != CENOTE_OK)
        return status;
    *out = wire_to_json(answer.msg.result);
    rpc_answer_free(&answer);
    return *out ? CENOTE_OK : CENOTE_NO_MEMORY;
}

/* Takes more, which it frees; *text is NULL at first. */
static int append(char **text, char *more)
{
    char *whole;
    int len = asprintf(&whole, "%s%s%s", *text ? *text : "[", *text ? "," : "", more);

    free(more);
    free(*text);
    *text = len < 0 ? NULL : whole;
    return len < 0 ? CENOTE_NO_MEMORY : CENOTE_OK;
}

static int ask_all(struct shards *s, unsigned what, char **list)
{
    struct shards_entry services[SHARDS_MAX + 1];
    uint64_t epoch;
    uint32_t count = shards_list(s, services, &epoch);
    int status = CENOTE_OK;

    for (uint32_t i = 0; i < count && status == CENOTE_OK; i++) {
        struct drive *d;
        char *one;
        status = shards_drive(s, services[i].shard, &d);
        if (status == CENOTE_OK)
            status = ask(d, what, &one);
        if (status == CENOTE_OK)
            status = append(list, one);
    }
    return status;
}

int cenote_pool_fsck(struct cenote *client, unsigned what, char **json)
{
    struct shards *s;
    char *list = NULL, *one;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK && (!json || what > CENOTE_FSCK_REPAIR))
        status = CENOTE_INVALID;
    if (status != CENOTE_OK)
        return status;
    if (shards_only(s)) {
        status = ask(shards_home(s), what, &one);
        if (status == CENOTE_OK)
            status = append(&list, one);
    } else {
        (void)shards_refresh(s, shards_home(s));
        status = ask_all(s, what, &list);
    }
    if (status == CENOTE_OK && asprintf(json, "%s]", list) < 0)
        status = CENOTE_NO_MEMORY;
    free(list);
    return status;
}
