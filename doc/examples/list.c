/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists keys, a page at a time. Usage: list [PREFIX]
 */
#include <cenote/cenote.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int print_all(struct cenote *client, const char *prefix)
{
    struct cenote_list list = {0};
    uint64_t keys = 0, bytes = 0;
    int status;

    do {
        status = cenote_list(client, prefix, strlen(prefix), &list);
        for (size_t i = 0; status == CENOTE_OK && i < list.count; i++) {
            const struct cenote_list_entry *e = &list.entries[i];
            printf("%12" PRIu64 "  %.*s\n", e->len_bytes, (int)e->key.len_bytes,
                   (const char *)e->key.data);
            bytes += e->len_bytes;
        }
        keys += list.count;
    } while (status == CENOTE_OK && list.more);
    cenote_list_free(&list);
    printf("%" PRIu64 " keys, %" PRIu64 " bytes\n", keys, bytes);
    return status;
}

int main(int argc, char **argv)
{
    struct cenote *client = NULL;
    int status = cenote_open(NULL, &client);

    if (status == CENOTE_OK)
        status = print_all(client, argc > 1 ? argv[1] : "");
    if (status != CENOTE_OK)
        fprintf(stderr, "list: %s\n", cenote_status_text(status));
    cenote_close(&client);
    return status == CENOTE_OK ? 0 : 1;
}
