/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/redis.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "bench/stream.h"
#include "transport/base/endpoint.h"

#define TIMEOUT_S  10
#define LINES_SIZE 256u

int redis_open(const char *endpoint)
{
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    struct endpoint at;

    if (endpoint_parse(endpoint, &at) != CENOTE_OK)
        return CENOTE_INVALID;
    int fd = endpoint_connect(&at, TIMEOUT_S * 1000);
    /* An answer that is shorter than it should be ends by this. */
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    return fd;
}

static size_t sum_bytes(const struct cenote_buffer *buffers, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += buffers[i].len_bytes;
    return sum;
}

/* A command of one key; what follows the key, if anything, is the caller's. */
static struct iovec command(char lines[LINES_SIZE], int words, const char *name,
                            struct cenote_key key)
{
    int len =
        snprintf(lines, LINES_SIZE, "*%d\r\n$%zu\r\n%s\r\n$%zu\r\n%.*s\r\n", words, strlen(name),
                 name, key.len_bytes, (int)key.len_bytes, (const char *)key.data);
    return (struct iovec){lines, (size_t)len};
}

static bool answered(int fd, const char *expected)
{
    char answer[8];
    struct iovec part = {answer, strlen(expected)};

    return stream_receive(fd, &part, 1) && memcmp(answer, expected, strlen(expected)) == 0;
}

bool redis_set(int fd, struct cenote_key key, const struct cenote_buffer *from, size_t count)
{
    char lines[LINES_SIZE], end[] = "\r\n";
    stream_parts parts = {command(lines, 3, "SET", key)};
    size_t n = 1 + stream_pieces(from, count, parts + 1), at = parts[0].iov_len;

    parts[0].iov_len +=
        (size_t)snprintf(lines + at, LINES_SIZE - at, "$%zu\r\n", sum_bytes(from, count));
    parts[n] = (struct iovec){end, 2};
    return stream_send(fd, parts, n + 1) && answered(fd, "+OK\r\n");
}

/* How the answer has to begin is known, so that all of it can be received in its place. */
bool redis_get(int fd, struct cenote_key key, const struct cenote_buffer *to, size_t count)
{
    char lines[LINES_SIZE], head[32], expected[32], end[2];
    struct iovec asked = command(lines, 2, "GET", key);
    int len = snprintf(expected, sizeof expected, "$%zu\r\n", sum_bytes(to, count));
    stream_parts parts = {{head, (size_t)len}};
    size_t n = 1 + stream_pieces(to, count, parts + 1);

    parts[n] = (struct iovec){end, 2};
    return stream_send(fd, &asked, 1) && stream_receive(fd, parts, n + 1) &&
           memcmp(head, expected, (size_t)len) == 0;
}

bool redis_del(int fd, struct cenote_key key)
{
    char lines[LINES_SIZE];
    struct iovec asked = command(lines, 2, "DEL", key);

    return stream_send(fd, &asked, 1) && answered(fd, ":1\r\n");
}
