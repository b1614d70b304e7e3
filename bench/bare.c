/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bare.h"

#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/stream.h"
#include "transport/base/endpoint.h"

#define CONNECT_MS 5000

struct order {
    uint64_t put, offset, len_bytes;
};

static bool send_all(int fd, void *data, size_t len_bytes)
{
    return stream_send(fd, &(struct iovec){data, len_bytes}, 1);
}

static bool receive_all(int fd, void *data, size_t len_bytes)
{
    return stream_receive(fd, &(struct iovec){data, len_bytes}, 1);
}

static void serve(int fd, uint8_t *memory)
{
    struct order order;
    uint8_t done = 1;

    while (receive_all(fd, &order, sizeof order)) {
        bool moved = order.put ? receive_all(fd, memory + order.offset, order.len_bytes) &&
                                     send_all(fd, &done, sizeof done)
                               : send_all(fd, memory + order.offset, order.len_bytes);
        if (!moved)
            break;
    }
}

static _Noreturn void peer_main(const struct endpoint *at, void *memory)
{
    int fd = endpoint_connect(at, CONNECT_MS);

    if (fd >= 0)
        serve(fd, memory);
    _exit(fd >= 0 ? 0 : 1);
}

bool bare_start(struct bare *b, void *memory)
{
    struct endpoint any, at;
    int listener;

    *b = (struct bare){.fd = -1};
    if (endpoint_parse("127.0.0.1:0", &any) != CENOTE_OK ||
        (listener = endpoint_listen(&any, 1, &at)) < 0)
        return false;
    b->pid = fork();
    if (b->pid == 0)
        peer_main(&at, memory);
    struct pollfd p = {.fd = listener, .events = POLLIN};
    if (b->pid > 0 && poll(&p, 1, CONNECT_MS) == 1)
        b->fd = accept(listener, NULL, NULL);
    close(listener);
    return b->fd >= 0;
}

static uint64_t sum_bytes(const struct cenote_buffer *buffers, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += buffers[i].len_bytes;
    return sum;
}

bool bare_get(struct bare *b, uint64_t offset, const struct cenote_buffer *to, size_t count)
{
    struct order order = {.offset = offset, .len_bytes = sum_bytes(to, count)};
    stream_parts parts;

    return send_all(b->fd, &order, sizeof order) &&
           stream_receive(b->fd, parts, stream_pieces(to, count, parts));
}

bool bare_put(struct bare *b, uint64_t offset, const struct cenote_buffer *from, size_t count)
{
    struct order order = {.put = 1, .offset = offset, .len_bytes = sum_bytes(from, count)};
    uint8_t done;
    stream_parts parts = {{&order, sizeof order}};

    return stream_send(b->fd, parts, 1 + stream_pieces(from, count, parts + 1)) &&
           receive_all(b->fd, &done, sizeof done);
}

void bare_stop(struct bare *b)
{
    if (b->fd < 0)
        return;
    close(b->fd);
    waitpid(b->pid, NULL, 0);
    b->fd = -1;
}
