/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/asker.h"

#include <assert.h>
#include <cenote/status.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/service.h"
#include "transport/base/endpoint.h"

#define INPUT_BYTES (1u << 20) /* the longest answer */
#define EVENTS_MAX  64
#define SILENCE_MS  20000

struct asker_session {
    int fd;
    uint64_t seq;
    uint32_t first_stream;
    uint32_t in_flight;
    uint8_t *in;
    size_t in_len;
    struct wire_buf out;
    size_t sent;
};

struct asker {
    const struct asker_ops *ops;
    void *arg;
    uint32_t count, depth, in_flight;
    int epoll;
    struct asker_session sessions[ASKER_SESSIONS_MAX];
};

/* ---- reading in place ---- */

static uint64_t take(struct reader *r, unsigned len)
{
    uint64_t v = 0;
    while (len-- > 0)
        v = v << 8 | *r->at++;
    return v;
}

uint64_t reader_int(struct reader *r)
{
    uint8_t tag = *r->at++;
    if (tag < 0x80 || tag >= 0xe0)
        return (uint64_t)(int64_t)(int8_t)tag;
    unsigned len = 1u << (tag & 3);
    uint64_t v = take(r, len);
    bool negative = tag >= 0xd0 && len < 8 && v >> (8 * len - 1) != 0;
    return negative ? v | UINT64_MAX << (8 * len) : v;
}

uint32_t reader_array(struct reader *r)
{
    uint8_t tag = *r->at++;
    if (tag >= 0x90 && tag < 0xa0)
        return tag & 15;
    return (uint32_t)take(r, tag == 0xdc ? 2 : 4);
}

void reader_skip(struct reader *r)
{
    uint8_t tag = *r->at;
    if (tag == 0xc0 || tag == 0xc2 || tag == 0xc3) {
        r->at++;
    } else if (tag >= 0xa0 && tag < 0xc0) {
        r->at += 1 + (tag & 31);
    } else if (tag >= 0xc4 && tag <= 0xc6) {
        r->at++;
        r->at += take(r, 1u << (tag - 0xc4));
    } else if (tag >= 0xd9 && tag <= 0xdb) {
        r->at++;
        r->at += take(r, 1u << (tag - 0xd9));
    } else {
        reader_int(r);
    }
}

/* ---- requests ---- */

static void ask(struct asker *a, struct asker_session *s, uint32_t stream)
{
    size_t begin = s->out.len;
    if (!a->ops->ask(a->arg, stream, s->seq, &s->out)) {
        s->out.len = begin;
        return;
    }
    wire_request_head(s->out.data + begin, stream);
    s->seq++;
    s->in_flight++;
    a->in_flight++;
}

static bool flush(struct asker_session *s)
{
    while (s->sent < s->out.len) {
        ssize_t n =
            send(s->fd, s->out.data + s->sent, s->out.len - s->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        s->sent += (size_t)n;
    }
    wire_buf_clear(&s->out);
    s->sent = 0;
    return true;
}

static bool fail(const char *why)
{
    fprintf(stderr, "cenote-bench: %s\n", why);
    return false;
}

static bool take_answer(struct asker *a, struct asker_session *s, const uint8_t *frame)
{
    struct reader r = {frame};
    if (reader_array(&r) != 4 || reader_int(&r) != WIRE_RESPONSE)
        return fail("that was no answer");
    uint32_t stream = (uint32_t)reader_int(&r);
    if (*r.at != 0xc0)
        return fail("the service answered with an error");
    r.at++;
    s->in_flight--;
    a->in_flight--;
    if (!a->ops->answered(a->arg, stream, &r))
        return false;
    ask(a, s, stream);
    return true;
}

static bool read_answers(struct asker *a, struct asker_session *s)
{
    ssize_t n = recv(s->fd, s->in + s->in_len, INPUT_BYTES - s->in_len, MSG_DONTWAIT);
    size_t begin = 0;
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? true : fail("the connection broke");
    s->in_len += (size_t)n;
    for (;;) {
        int64_t len = wire_scan(s->in + begin, s->in_len - begin, INPUT_BYTES, NULL);
        if (len == 0 || begin == s->in_len)
            break;
        if (len < 0 || !take_answer(a, s, s->in + begin))
            return len < 0 ? fail("an answer can't be read") : false;
        begin += (size_t)len;
    }
    memmove(s->in, s->in + begin, s->in_len - begin);
    s->in_len -= begin;
    return flush(s) || fail("cannot send");
}

/* ---- sessions ---- */

static bool receive_opened(struct asker_session *s)
{
    while (wire_scan(s->in, s->in_len, INPUT_BYTES, NULL) == 0) {
        ssize_t n = recv(s->fd, s->in + s->in_len, INPUT_BYTES - s->in_len, 0);
        if (n <= 0)
            return false;
        s->in_len += (size_t)n;
    }
    struct reader r = {s->in};
    bool good = reader_array(&r) == 4 && reader_int(&r) == WIRE_RESPONSE;
    reader_int(&r);
    s->in_len = 0;
    return good && *r.at == 0xc0;
}

static bool open_one(struct asker *a, const struct endpoint *at, const char *name_space)
{
    struct asker_session *s = &a->sessions[a->count];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};

    *s = (struct asker_session){.seq = 1, .first_stream = a->count * a->depth};
    s->fd = endpoint_connect(at, SERVICE_TIMEOUT_MS);
    s->in = malloc(INPUT_BYTES);
    a->count++;
    if (s->fd < 0 || !s->in)
        return false;
    service_session_request(&s->out, name_space);
    return flush(s) && receive_opened(s) && epoll_ctl(a->epoll, EPOLL_CTL_ADD, s->fd, &event) == 0;
}

static void close_all(struct asker *a)
{
    for (uint32_t i = 0; i < a->count; i++) {
        wire_buf_free(&a->sessions[i].out);
        free(a->sessions[i].in);
        if (a->sessions[i].fd >= 0)
            close(a->sessions[i].fd);
    }
    if (a->epoll >= 0)
        close(a->epoll);
    free(a);
}

static bool pump(struct asker *a)
{
    struct epoll_event events[EVENTS_MAX];
    while (a->in_flight > 0) {
        int n = epoll_wait(a->epoll, events, EVENTS_MAX, SILENCE_MS);
        if (n == 0)
            return fail("the service doesn't answer");
        for (int i = 0; i < n; i++)
            if (!read_answers(a, events[i].data.ptr))
                return false;
    }
    return true;
}

bool asker_run(const char *meta, const char *name_space, uint32_t sessions, uint32_t depth,
               const struct asker_ops *ops, void *arg)
{
    struct endpoint at;
    struct asker *a = calloc(1, sizeof *a);
    bool good = a && endpoint_parse(meta, &at) == CENOTE_OK;

    assert(sessions <= ASKER_SESSIONS_MAX && depth <= ASKER_DEPTH_MAX);
    if (!a)
        return fail("no memory");
    a->ops = ops;
    a->arg = arg;
    a->depth = depth;
    a->epoll = epoll_create1(EPOLL_CLOEXEC);
    while (good && a->count < sessions)
        good = open_one(a, &at, name_space) || fail("cannot open a session");
    for (uint32_t i = 0; good && i < sessions; i++) {
        for (uint32_t k = 0; k < depth; k++)
            ask(a, &a->sessions[i], i * depth + k);
        good = flush(&a->sessions[i]);
    }
    good = good && pump(a);
    close_all(a);
    return good;
}
