/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of a prompt has been computed before? A serving engine cuts the prompt into blocks; each
 * block's key stands for all tokens up to its end. One call tells how many leading blocks are in
 * the pool, without transferring anything: those are fetched, the others computed and put.
 */
#include <cenote/cenote.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_CHARS 8
#define BLOCKS_MAX  64

/* The keys of a prompt's blocks. (FNV-1a, to be short; an engine has its own hash.) */
static size_t make_keys(const char *prompt, uint64_t hashes[BLOCKS_MAX],
                        struct cenote_key keys[BLOCKS_MAX])
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    size_t count = 0;

    for (size_t i = 0; prompt[i] && count < BLOCKS_MAX; i++) {
        hash = (hash ^ (unsigned char)prompt[i]) * UINT64_C(0x100000001b3);
        if ((i + 1) % BLOCK_CHARS != 0)
            continue;
        hashes[count] = hash;
        keys[count] = (struct cenote_key){&hashes[count], sizeof hashes[count]};
        count++;
    }
    return count;
}

static int serve(struct cenote *client, const char *prompt)
{
    uint64_t hashes[BLOCKS_MAX];
    struct cenote_key keys[BLOCKS_MAX];
    size_t count = make_keys(prompt, hashes, keys), known = 0;

    int status = cenote_exists(client, keys, count, NULL, &known);
    if (status != CENOTE_OK)
        return status;
    printf("%zu of %zu blocks are known: \"%s\"\n", known, count, prompt);
    for (size_t i = known; i < count && status == CENOTE_OK; i++) {
        const char *computed = prompt + i * BLOCK_CHARS; /* as if it were worth keeping */
        status = cenote_put(client, keys[i].data, keys[i].len_bytes, computed, BLOCK_CHARS, 0);
        if (status == CENOTE_EXISTS)
            status = CENOTE_OK; /* another engine was quicker */
    }
    return status;
}

int main(void)
{
    const struct cenote_options options = {.name_space = "example-prefix"};
    struct cenote *client = NULL;
    int status = cenote_open(&options, &client);

    if (status == CENOTE_OK)
        status = serve(client, "You are a helpful poet. Write a poem about rivers.");
    if (status == CENOTE_OK)
        status = serve(client, "You are a helpful poet. Write a tale about wells.");
    if (status != CENOTE_OK)
        fprintf(stderr, "prefix: %s\n", cenote_status_text(status));
    cenote_close(&client);
    return status == CENOTE_OK ? 0 : 1;
}
