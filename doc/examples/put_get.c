/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One value, in and out: put it, put it again, get it, remove it.
 * The pool is the one at $CENOTE_META, or at 127.0.0.1:7400.
 */
#include <cenote/cenote.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY "example/greeting"

static int complain(const char *what, int status)
{
    fprintf(stderr, "%s: %s\n", what, cenote_status_text(status));
    return 1;
}

/* A value whose length isn't known: a get into too little memory tells it. In a loop, since the
 * value may be replaced meanwhile by a longer one. */
static int get_all(struct cenote *client, char **out, uint64_t *len_bytes)
{
    uint64_t size_bytes = 0;
    int status;

    *out = NULL;
    while ((status = cenote_get(client, KEY, strlen(KEY), *out, size_bytes, len_bytes)) ==
           CENOTE_BUFFER_SIZE) {
        char *grown = realloc(*out, *len_bytes);
        if (!grown)
            return CENOTE_NO_MEMORY;
        *out = grown;
        size_bytes = *len_bytes;
    }
    return status;
}

static int run(struct cenote *client)
{
    static const char text[] = "hello, pool";
    const struct cenote_key key = {KEY, strlen(KEY)};
    char *value;
    uint64_t len_bytes;

    int status = cenote_put(client, KEY, strlen(KEY), text, strlen(text), 0);
    if (status != CENOTE_OK && status != CENOTE_EXISTS)
        return complain("put", status);
    printf("put: %s\n", cenote_status_text(status));

    status = cenote_put(client, KEY, strlen(KEY), "something else", 14, 0);
    printf("put again: %s\n", cenote_status_text(status));

    status = get_all(client, &value, &len_bytes);
    if (status == CENOTE_OK)
        printf("get: %.*s\n", (int)len_bytes, value);
    free(value);
    if (status != CENOTE_OK)
        return complain("get", status);

    status = cenote_remove(client, &key, 1, NULL);
    if (status != CENOTE_OK)
        return complain("remove", status);
    printf("removed\n");
    return 0;
}

int main(void)
{
    struct cenote *client = NULL;
    int status = cenote_open(NULL, &client);

    if (status != CENOTE_OK)
        return complain("open", status);
    int code = run(client);
    cenote_close(&client);
    return code;
}
