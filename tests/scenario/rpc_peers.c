/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile and unlucky peers, on plain sockets, against a real service: garbage, lying counts,
 * slow senders, peers that never read, that go silent, that are too many. The service must tell
 * what it refuses, keep its limits, and go on serving others.
 */
#include <cenote/status.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/scenario/check.h"
#include "tests/scenario/rpc_host.h"
#include "transport/base/clock.h"

#define WAIT_S 10

static int peer_at(const struct endpoint *e)
{
    const struct timeval wait = {WAIT_S, 0};
    int fd = endpoint_connect(e, WAIT_S * 1000);
    CHECK(fd >= 0);
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)), 0);
    return fd;
}

static void put(int fd, const void *data, size_t len_bytes)
{
    CHECK_EQ(send(fd, data, len_bytes, MSG_NOSIGNAL), len_bytes);
}

/* In one piece: a UNIX socket holds few small ones that the peer doesn't read. */
static void put_requests(int fd, uint32_t msgid, const char *method, uint32_t number,
                         unsigned times)
{
    struct wire_buf b = {0};
    for (unsigned i = 0; i < times; i++) {
        wire_put_request(&b, msgid, method);
        wire_put_array(&b, 1);
        wire_put_uint(&b, number);
    }
    put(fd, b.data, b.len);
    wire_buf_free(&b);
}

static void put_request(int fd, uint32_t msgid, const char *method, uint32_t number)
{
    put_requests(fd, msgid, method, number, 1);
}

/* Reads one response with a plain, patient reader. False: the stream has ended. */
static bool get(int fd, uint8_t *frame, size_t size, struct wire_msg *m)
{
    size_t have = 0;
    for (;;) {
        int64_t n = wire_scan(frame, have, WIRE_FRAME_MAX, NULL);
        CHECK(n >= 0);
        if (n > 0) {
            CHECK_EQ(wire_parse(frame, (size_t)n, m), CENOTE_OK);
            return true;
        }
        CHECK(have < size);
        ssize_t got = recv(fd, frame + have, 1, 0);
        CHECK(got >= 0);
        if (got == 0) {
            CHECK_EQ(have, 0);
            return false;
        }
        have++;
    }
}

static void expect_response(int fd, uint32_t msgid, int error)
{
    uint8_t frame[4096];
    struct wire_msg m;
    CHECK(get(fd, frame, sizeof(frame), &m));
    CHECK_EQ(m.kind, WIRE_RESPONSE);
    CHECK_EQ(m.msgid, msgid);
    CHECK_EQ(m.error, error);
    wire_msg_free(&m);
}

static void expect_end(int fd)
{
    uint8_t byte;
    CHECK_EQ(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

/* ---- cases --------------------------------------------------------------------------------- */

static void expect_refused(const struct rpc_host *h, const void *data, size_t len_bytes, int status)
{
    int fd = peer_at(&h->at);
    put(fd, data, len_bytes);
    expect_response(fd, 0, status);
    expect_end(fd);
}

static void case_garbage(const struct rpc_host *h)
{
    static const uint8_t deep[] = {0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91,
                                   0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91};
    static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    expect_refused(h, "\xdd\x0f\xff\xff\xff", 5, CENOTE_FRAME_SIZE);
    expect_refused(h, "\xc6\xff\xff\xff\xff", 5, CENOTE_FRAME_SIZE);
    expect_refused(h, "\xc1", 1, CENOTE_MALFORMED);
    expect_refused(h, "\xd4\x01\x01", 3, CENOTE_MALFORMED);
    expect_refused(h, deep, sizeof(deep), CENOTE_MALFORMED);
    expect_refused(h, http, sizeof(http) - 1, CENOTE_MALFORMED);
    expect_refused(h, "\x94\x00\x01\xa1x\xc0", 6, CENOTE_MALFORMED);
}

/* The refusal arrives although the peer had sent more than was read. */
static void case_garbage_with_much_behind(const struct rpc_host *h)
{
    uint8_t data[40000];
    memset(data, 0xc1, sizeof(data));
    expect_refused(h, data, sizeof(data), CENOTE_MALFORMED);
}

static void case_unknown_response(const struct rpc_host *h)
{
    int fd = peer_at(&h->at);
    put(fd, "\x94\x01\x05\xc0\xc0", 5);
    expect_end(fd);
    fd = peer_at(&h->at);
    put(fd, "\x94\x01\x00\x92\xff\xa0\xc0", 7); /* the peer refuses us */
    expect_end(fd);
}

static void case_cut_off(struct rpc_host *h)
{
    unsigned closed = atomic_load(&h->closed);
    int fd = peer_at(&h->at);
    put(fd,
        "\x94\x00\x01\xa4"
        "ec",
        6);
    close(fd);
    host_await(&h->closed, closed + 1);
}

static void case_byte_by_byte(const struct rpc_host *h)
{
    struct wire_buf b = {0};
    uint8_t data[300] = {1};
    int fd = peer_at(&h->at);
    wire_put_request(&b, 7, "echo");
    wire_put_array(&b, 1);
    wire_put_bin(&b, data, sizeof(data));
    for (size_t i = 0; i < b.len; i++)
        put(fd, b.data + i, 1);
    expect_response(fd, 7, CENOTE_OK);
    wire_buf_free(&b);
    close(fd);
}

/* A frame of 16 MiB in small pieces takes time in proportion to its bytes. */
static void case_slow_large_frame(const struct rpc_host *h)
{
    size_t len_bytes = 15u << 20, piece_bytes = 4096;
    uint8_t *data = calloc(1, len_bytes);
    uint64_t begin_ms = clock_now_ms();
    int fd = peer_at(&h->at);
    memcpy(data,
           "\x94\x00\x07\xa4"
           "fail\x91\xc6",
           10);
    size_t body_bytes = len_bytes - 14;
    for (int i = 0; i < 4; i++)
        data[10 + i] = (uint8_t)(body_bytes >> (24 - 8 * i));
    for (size_t at = 0; at < len_bytes; at += piece_bytes)
        put(fd, data + at, len_bytes - at < piece_bytes ? len_bytes - at : piece_bytes);
    expect_response(fd, 7, CENOTE_NOT_FOUND);
    CHECK(clock_now_ms() - begin_ms < WAIT_S * 1000);
    close(fd);
    free(data);
}

/* Many requests in one piece are all answered, in order where they are answered at once. */
static void case_pipelined(const struct rpc_host *h)
{
    struct wire_buf b = {0};
    const uint32_t count = 3000;
    int fd = peer_at(&h->at);
    for (uint32_t i = 1; i <= count; i++) {
        wire_put_request(&b, i, "fail");
        wire_put_array(&b, 0);
    }
    put(fd, b.data, b.len);
    for (uint32_t i = 1; i <= count; i++)
        expect_response(fd, i, CENOTE_NOT_FOUND);
    wire_buf_free(&b);
    close(fd);
}

static void case_notification(struct rpc_host *h)
{
    int fd = peer_at(&h->at);
    put(fd, "\x93\x02\xa1n\x90", 5);
    host_await(&h->notifications, 1);
    close(fd);
}

/* More requests than may be in flight: the rest waits unread until some are answered. */
static void case_in_flight(const char *where)
{
    struct rpc_host h;
    host_start(&h, where, &(struct rpc_limits){.in_flight_max = 4});
    int fd = peer_at(&h.at), other = peer_at(&h.at);
    for (uint32_t i = 1; i <= 6; i++)
        put_request(fd, i, "hold", 0);
    host_await(&h.held_count, 4);
    put_request(other, 1, "fail", 0); /* the loop has had time to take a fifth, and did not */
    expect_response(other, 1, CENOTE_NOT_FOUND);
    CHECK_EQ(atomic_load(&h.held_count), 4);
    put_request(other, 2, "release", 0);
    expect_response(other, 2, CENOTE_OK);
    host_await(&h.held_count, 2);
    put_request(other, 3, "release", 0);
    for (uint32_t i = 1; i <= 6; i++)
        expect_response(fd, i, CENOTE_OK);
    close(fd);
    close(other);
    host_stop(&h);
}

/* A peer that asks and never reads: the service stops reading from it, in bounded memory; when it
 * reads after all, it gets everything. */
static void case_never_reads(const char *where)
{
    struct rpc_host h;
    const uint32_t count = 400, answer_bytes = 100000;
    const size_t answer_frame_bytes = answer_bytes + 1 + 1 + 1 + 1 + 5;
    host_start(&h, where, &(struct rpc_limits){.output_max_bytes = 1u << 20});
    int fd = peer_at(&h.at), other = peer_at(&h.at);
    put_requests(fd, 1, "big", answer_bytes, count);
    for (uint32_t i = 0; i < 20; i++) {
        put_request(other, i, "fail", 0);
        expect_response(other, i, CENOTE_NOT_FOUND);
    }
    CHECK(atomic_load(&h.requests) < count); /* 40 MB of answers are in nobody's memory */
    uint8_t *drain = malloc(1u << 20);
    for (size_t left = count * answer_frame_bytes; left > 0;) {
        ssize_t n = recv(fd, drain, 1u << 20, 0);
        CHECK(n > 0 && (size_t)n <= left);
        left -= (size_t)n;
    }
    free(drain);
    host_await(&h.requests, count + 20);
    close(fd);
    close(other);
    host_stop(&h);
}

/* One that goes away instead leaves nothing behind. */
static void case_never_reads_and_goes(const char *where)
{
    struct rpc_host h;
    host_start(&h, where, &(struct rpc_limits){.output_max_bytes = 1u << 20});
    int fd = peer_at(&h.at);
    put_requests(fd, 1, "big", 100000, 100);
    host_await(&h.requests, 5);
    close(fd);
    host_await(&h.closed, 1);
    host_stop(&h);
}

static void case_idle(const char *where)
{
    struct rpc_host h;
    host_start(&h, where, &(struct rpc_limits){.idle_ms = 80});
    int silent = peer_at(&h.at), waiting = peer_at(&h.at), other;
    put_request(waiting, 1, "hold", 0);
    host_await(&h.held_count, 1);
    uint64_t begin_ms = clock_now_ms();
    expect_end(silent);
    CHECK(clock_now_ms() - begin_ms < 2000);
    usleep(100 * 1000); /* longer than idle_ms: one that waits for its answer isn't idle */
    CHECK_EQ(atomic_load(&h.closed), 1);
    other = peer_at(&h.at);
    put_request(other, 2, "release", 0);
    expect_response(waiting, 1, CENOTE_OK);
    expect_end(waiting);
    close(other);
    host_stop(&h);
}

static void case_too_many(const char *where)
{
    struct rpc_host h;
    host_start(&h, where, &(struct rpc_limits){.connections_max = 2});
    int a = peer_at(&h.at), b = peer_at(&h.at);
    host_await(&h.opened, 2);
    int c = peer_at(&h.at);
    expect_response(c, 0, CENOTE_LIMIT);
    expect_end(c);
    close(a);
    host_await(&h.closed, 1);
    int d = peer_at(&h.at);
    put_request(d, 1, "fail", 0);
    expect_response(d, 1, CENOTE_NOT_FOUND);
    close(d);
    close(b);
    host_stop(&h);
}

static void run_cases(const char *where)
{
    struct rpc_host h;
    host_start(&h, where, NULL);
    int bystander = peer_at(&h.at);
    case_garbage(&h);
    case_garbage_with_much_behind(&h);
    case_unknown_response(&h);
    case_cut_off(&h);
    case_byte_by_byte(&h);
    case_slow_large_frame(&h);
    case_pipelined(&h);
    case_notification(&h);
    put_request(bystander, 9, "fail", 0);
    expect_response(bystander, 9, CENOTE_NOT_FOUND);
    close(bystander);
    host_stop(&h);
    case_in_flight(where);
    case_never_reads(where);
    case_never_reads_and_goes(where);
    case_idle(where);
    case_too_many(where);
}

int main(void)
{
    char path[64];
    snprintf(path, sizeof(path), "unix:@cenote-rpc-peers-%d", (int)getpid());
    run_cases(path);
    run_cases("127.0.0.1:0");
    return 0;
}
