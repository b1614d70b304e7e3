/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cenote/status.h>

#include "transport/rpc/input.h"
#include "transport/rpc/output.h"

static int ends[2];

static void open_pair(void)
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
}

static void close_pair(void)
{
    close(ends[0]);
    close(ends[1]);
}

static void arrive(struct rpc_input *in, const void *data, size_t len_bytes)
{
    cr_assert_eq(write(ends[1], data, len_bytes), (ssize_t)len_bytes);
    while (rpc_input_read(in, ends[0]) > 0)
        continue;
    cr_assert_eq(errno, EAGAIN);
}

Test(rpc_input, frames_one_by_one, .init = open_pair, .fini = close_pair)
{
    struct rpc_input in;
    const uint8_t *frame;
    rpc_input_init(&in, 100);
    cr_assert_eq(rpc_input_next(&in, &frame), 0);
    arrive(&in, "\x01\x92\x02\x03\x93\x04", 6);
    cr_assert_eq(rpc_input_next(&in, &frame), 1);
    cr_assert_eq(frame[0], 1);
    cr_assert_eq(rpc_input_next(&in, &frame), 3);
    cr_assert_eq(frame[2], 3);
    cr_assert_eq(rpc_input_next(&in, &frame), 0);
    arrive(&in, "\x05", 1);
    cr_assert_eq(rpc_input_next(&in, &frame), 0);
    arrive(&in, "\x06\x07", 2);
    cr_assert_eq(rpc_input_next(&in, &frame), 4);
    cr_assert(memcmp(frame, "\x93\x04\x05\x06", 4) == 0);
    cr_assert_eq(rpc_input_next(&in, &frame), 1);
    rpc_input_free(&in);
}

Test(rpc_input, a_frame_beyond_the_first_buffer, .init = open_pair, .fini = close_pair)
{
    struct rpc_input in;
    const uint8_t *frame;
    uint8_t data[20000] = {0xda, 19997 >> 8, 19997 & 0xff};
    rpc_input_init(&in, 20000);
    for (size_t at = 0; at < sizeof(data); at += 1000) {
        cr_assert_eq(rpc_input_next(&in, &frame), 0);
        arrive(&in, data + at, 1000);
    }
    cr_assert_eq(rpc_input_next(&in, &frame), (int64_t)sizeof(data));
    cr_assert(memcmp(frame, data, sizeof(data)) == 0);
    rpc_input_free(&in);
}

Test(rpc_input, limit_and_end, .init = open_pair, .fini = close_pair)
{
    struct rpc_input in;
    const uint8_t *frame;
    rpc_input_init(&in, 10);
    arrive(&in, "\xc4\x09", 2);
    cr_assert_eq(rpc_input_next(&in, &frame), CENOTE_FRAME_SIZE);
    shutdown(ends[1], SHUT_WR);
    cr_assert_eq(rpc_input_read(&in, ends[0]), 0);
    rpc_input_free(&in);
}

/* All of it arrives in order, however little the socket takes at a time. */
Test(rpc_output, queue_keeps_order, .init = open_pair, .fini = close_pair)
{
    struct rpc_output out = {0};
    uint32_t sent = 0, got = 0, chunk[1000];
    bool full = false;
    while (!full || rpc_output_len(&out) > 0) {
        for (int i = 0; !full && i < 1000; i++)
            chunk[i] = sent++;
        if (!full)
            cr_assert(rpc_output_add(&out, chunk, sizeof(chunk)));
        int error = rpc_output_send(&out, ends[0]);
        cr_assert(error == 0 || error == EAGAIN);
        full = full || sent >= 1000000;
        if (!full && sent % 7000 != 0)
            continue;
        uint32_t word;
        while (read(ends[1], &word, sizeof(word)) == (ssize_t)sizeof(word))
            cr_assert_eq(word, got++);
    }
    uint32_t word;
    while (read(ends[1], &word, sizeof(word)) == (ssize_t)sizeof(word))
        cr_assert_eq(word, got++);
    cr_assert_eq(got, sent);
    rpc_output_free(&out);
}

Test(rpc_output, gone_peer, .init = open_pair, .fini = close_pair)
{
    struct rpc_output out = {0};
    cr_assert_eq(rpc_output_send(&out, ends[0]), 0);
    shutdown(ends[1], SHUT_RD);
    cr_assert(rpc_output_add(&out, "x", 1));
    cr_assert_eq(rpc_output_send(&out, ends[0]), EPIPE);
    rpc_output_free(&out);
}
