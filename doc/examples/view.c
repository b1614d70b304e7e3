/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at a value where it lies, in the memory of a node on this machine, without a copy: it stays
 * as it is until the view is released, whatever becomes of the key. Where no view can be had (the
 * nodes are on other machines), the value is fetched.
 */
#include <cenote/view.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS 262144

static const char key[] = "example/view";

static int put_numbers(struct cenote *client)
{
    static uint32_t numbers[WORDS];

    for (uint32_t i = 0; i < WORDS; i++)
        numbers[i] = i;
    return cenote_put(client, key, strlen(key), numbers, sizeof numbers, CENOTE_PUT_REPLACE);
}

static uint64_t sum(const uint32_t *numbers, uint64_t len_bytes)
{
    uint64_t total = 0;

    for (uint64_t i = 0; i < len_bytes / sizeof *numbers; i++)
        total += numbers[i];
    return total;
}

static int sum_by_get(struct cenote *client, uint64_t *total)
{
    uint32_t *numbers = malloc(WORDS * sizeof *numbers);
    uint64_t len_bytes = 0;
    int status = CENOTE_NO_MEMORY;

    if (numbers)
        status = cenote_get(client, key, strlen(key), numbers, WORDS * sizeof *numbers, &len_bytes);
    if (status == CENOTE_OK)
        *total = sum(numbers, len_bytes);
    free(numbers);
    return status;
}

static int sum_by_view(struct cenote *client, uint64_t *total)
{
    const struct cenote_key removed = {key, strlen(key)};
    struct cenote_view view;
    int status = cenote_view_get(client, key, strlen(key), &view);

    if (status != CENOTE_OK)
        return status;
    status = cenote_remove(client, &removed, 1, NULL); /* which doesn't touch what is looked at */
    *total = sum(view.data, view.len_bytes);
    cenote_view_release(client, &view); /* from here on its bytes are somebody else's */
    return status;
}

int main(void)
{
    struct cenote *client = NULL;
    uint64_t total = 0;
    int status = cenote_open(NULL, &client);

    if (status == CENOTE_OK)
        status = put_numbers(client);
    if (status == CENOTE_OK)
        status = sum_by_view(client, &total);
    if (status == CENOTE_NOT_SUPPORTED)
        status = sum_by_get(client, &total);
    cenote_close(&client);
    if (status != CENOTE_OK)
        fprintf(stderr, "view: %s\n", cenote_status_text(status));
    else
        printf("the sum of the numbers below %d is %llu\n", WORDS, (unsigned long long)total);
    return status == CENOTE_OK ? 0 : 1;
}
