/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts and gets in the background of an event loop: submit, wait for whatever happens, among other
 * things for completions, and take care of each as it comes.
 */
#include <cenote/async.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define BLOCKS      32
#define BLOCK_BYTES 4096

/* All that an operation needs until its completion lies in one place, and user_data finds it. */
struct block {
    uint32_t number;
    unsigned char bytes[BLOCK_BYTES];
    struct cenote_buffer piece;
    struct cenote_put_item put;
    struct cenote_get_item get;
    int got; /* the get was submitted */
};

static struct block blocks[BLOCKS];

static int submit_put(struct cenote *client, struct block *b)
{
    const struct cenote_submit how = {.user_data = (uintptr_t)b};

    memset(b->bytes, (int)b->number, sizeof b->bytes);
    b->piece = (struct cenote_buffer){b->bytes, sizeof b->bytes};
    b->put = (struct cenote_put_item){
        .key = {&b->number, sizeof b->number}, .buffers = &b->piece, .buffer_count = 1};
    return cenote_submit_put(client, &b->put, 1, CENOTE_PUT_REPLACE, &how, NULL);
}

/* The deadline ends it with CENOTE_TIMED_OUT, if need be. */
static int submit_get(struct cenote *client, struct block *b)
{
    const struct cenote_submit how = {.deadline_ms = 5000, .user_data = (uintptr_t)b};

    memset(b->bytes, 0, sizeof b->bytes);
    b->get = (struct cenote_get_item){
        .key = {&b->number, sizeof b->number}, .buffers = &b->piece, .buffer_count = 1};
    b->got = 1;
    return cenote_submit_get(client, &b->get, 1, &how, NULL);
}

/* Takes what has completed; *left counts the blocks that aren't through. */
static int take(struct cenote *client, int *left)
{
    struct cenote_completion done[8];
    int count, status = CENOTE_OK;

    while (status == CENOTE_OK && (count = cenote_completions(client, done, 8, 0)) > 0) {
        for (int i = 0; i < count && status == CENOTE_OK; i++) {
            struct block *b = (struct block *)(uintptr_t)done[i].user_data;

            status = done[i].status;
            if (status == CENOTE_OK && !b->got)
                status = submit_get(client, b);
            else
                --*left;
        }
    }
    return status;
}

static int loop(struct cenote *client)
{
    struct pollfd fds[1] = {{.fd = cenote_completion_fd(client), .events = POLLIN}};
    int left = BLOCKS, status = fds[0].fd < 0 ? fds[0].fd : CENOTE_OK;

    for (uint32_t i = 0; i < BLOCKS && status == CENOTE_OK; i++) {
        blocks[i].number = i;
        status = submit_put(client, &blocks[i]);
    }
    while (status == CENOTE_OK && left > 0) {
        if (poll(fds, 1, -1) > 0) /* and what else the application waits for */
            status = take(client, &left);
    }
    return status;
}

int main(void)
{
    const struct cenote_options options = {.name_space = "example-async"};
    struct cenote *client = NULL;
    int wrong = 0, status = cenote_open(&options, &client);

    if (status == CENOTE_OK)
        status = loop(client);
    cenote_close(&client); /* what is still in flight ends here */
    for (uint32_t i = 0; i < BLOCKS; i++)
        wrong += blocks[i].bytes[BLOCK_BYTES - 1] != (unsigned char)i;
    if (status != CENOTE_OK || wrong > 0)
        fprintf(stderr, "async: %s, %d blocks are wrong\n", cenote_status_text(status), wrong);
    else
        printf("%d blocks were put and fetched in the background\n", BLOCKS);
    return status == CENOTE_OK && wrong == 0 ? 0 : 1;
}
