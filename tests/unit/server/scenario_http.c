/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server with handlers that answer at once, later from another thread, or piece by piece,
 * and with clients that are well-behaved, write garbage, go away in the middle, or don't read.
 *
 * Usage: scenario_http [CASE...]
 */
#include <cenote/status.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <event2/buffer.h>

#include "server/http/http.h"
#include "server/http/page_files.h"
#include "server/http/page_route.h"
#include "tests/scenario/check.h"
#include "transport/base/clock.h"

#define IDLE_MS    300u
#define PATIENCE_S 5 /* of clients */
#define PIECE      (64u << 10)
#define PIECES     256u /* more than sockets take in */
#define ANSWER_MAX (1u << 20)
#define CLIENTS    8
#define ROUNDS     40

static struct http_server *server;
static struct endpoint at;
static char answer[ANSWER_MAX];

/* ---- handlers -------------------------------------------------------------------------------- */

static void say_hello(void *arg, struct http_request *r)
{
    (void)arg;
    http_reply_header(r, "X-Split", "a\r\nb");
    http_reply_text(r, 200, "hello");
}

static void echo(void *arg, struct http_request *r)
{
    size_t len;
    const void *body = http_request_body(r, &len);
    (void)arg;
    http_reply(r, 200, "text/plain", body, len);
}

/* Answered by another thread, in its own time. */
struct job {
    struct http_task task; /* first */
    struct http_request *request;
    struct job *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct job *jobs;
static bool ending;

static void answer_job(struct http_task *task)
{
    struct job *j = (struct job *)task;
    http_reply_json(j->request, 200, "{\"late\": true}");
    http_request_release(j->request);
    free(j);
}

static void *do_jobs(void *arg)
{
    pthread_mutex_lock(&lock);
    while (!ending || jobs) {
        struct job *j = jobs;
        if (!j) {
            pthread_cond_wait(&changed, &lock);
            continue;
        }
        jobs = j->next;
        pthread_mutex_unlock(&lock);
        http_post(server, &j->task);
        pthread_mutex_lock(&lock);
    }
    pthread_mutex_unlock(&lock);
    return arg;
}

static void answer_later(void *arg, struct http_request *r)
{
    struct job *j = calloc(1, sizeof *j);
    (void)arg;
    CHECK(j);
    j->task.run = answer_job;
    j->request = http_request_hold(r);
    pthread_mutex_lock(&lock);
    j->next = jobs;
    jobs = j;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

/* ---- memory that may be refused ---- */

static _Thread_local bool refuse; /* the next one */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    bool refused = refuse;
    refuse = false;
    return refused ? NULL : __real_malloc(size);
}

/* Of what is added to buffers, in every thread: the one that is refused; 0: none. */
static atomic_uint refuse_add, adds;

static bool is_refused(void)
{
    return atomic_load(&refuse_add) != 0 &&
           atomic_fetch_add(&adds, 1) + 1 == atomic_load(&refuse_add);
}

int __real_evbuffer_add(struct evbuffer *b, const void *data, size_t len_bytes);
int __wrap_evbuffer_add(struct evbuffer *b, const void *data, size_t len_bytes);
int __wrap_evbuffer_add(struct evbuffer *b, const void *data, size_t len_bytes)
{
    return is_refused() ? -1 : __real_evbuffer_add(b, data, len_bytes);
}

int __real_evbuffer_add_vprintf(struct evbuffer *b, const char *format, va_list args);
int __wrap_evbuffer_add_vprintf(struct evbuffer *b, const char *format, va_list args);
int __wrap_evbuffer_add_vprintf(struct evbuffer *b, const char *format, va_list args)
{
    return is_refused() ? -1 : __real_evbuffer_add_vprintf(b, format, args);
}

int __real_evbuffer_remove_buffer(struct evbuffer *from, struct evbuffer *to, size_t len_bytes);
int __wrap_evbuffer_remove_buffer(struct evbuffer *from, struct evbuffer *to, size_t len_bytes);
int __wrap_evbuffer_remove_buffer(struct evbuffer *from, struct evbuffer *to, size_t len_bytes)
{
    return is_refused() ? -1 : __real_evbuffer_remove_buffer(from, to, len_bytes);
}

unsigned char *__real_evbuffer_pullup(struct evbuffer *b, ev_ssize_t len_bytes);
unsigned char *__wrap_evbuffer_pullup(struct evbuffer *b, ev_ssize_t len_bytes);
unsigned char *__wrap_evbuffer_pullup(struct evbuffer *b, ev_ssize_t len_bytes)
{
    return is_refused() ? NULL : __real_evbuffer_pullup(b, len_bytes);
}

/* A long answer, of pieces that are given back. */
struct stream {
    struct http_request *request;
    unsigned left;
};

static unsigned lent;      /* the server's thread */
static atomic_bool starve; /* the next stream, of memory for its second piece */
static atomic_uint streams_gone;

static void on_given_back(void *arg)
{
    free(arg);
    lent--;
}

static void stream_on(void *arg)
{
    struct stream *s = arg;
    while (s->left > 0 && http_reply_room(s->request) > 0) {
        char *piece = malloc(PIECE);
        CHECK(piece);
        memset(piece, 'p', PIECE);
        lent++;
        s->left--;
        refuse = s->left == PIECES - 2 && atomic_exchange(&starve, false);
        http_reply_lend(s->request, piece, PIECE, on_given_back, piece);
    }
    if (s->left > 0)
        return;
    http_reply_end(s->request);
    http_request_release(s->request);
    free(s);
}

static void stream_gone(void *arg)
{
    struct stream *s = arg;
    atomic_fetch_add(&streams_gone, 1);
    http_request_release(s->request);
    free(s);
}

static void stream(void *arg, struct http_request *r)
{
    static const struct http_watch watch = {.writable = stream_on, .gone = stream_gone};
    struct stream *s = calloc(1, sizeof *s);
    (void)arg;
    CHECK(s);
    s->request = http_request_hold(r);
    s->left = PIECES;
    http_request_watch(r, &watch, s);
    http_reply_begin(r, 200, "text/plain", HTTP_LENGTH_UNKNOWN);
    stream_on(s);
}

/* Counts a body that it takes in small pieces. */
struct count {
    struct http_request *request;
    size_t bytes;
};

static void count_on(void *arg)
{
    struct count *c = arg;
    char piece[1000], text[32];
    size_t got;
    while ((got = http_body_take(c->request, piece, sizeof piece)) > 0)
        c->bytes += got;
    if (!http_body_is_over(c->request))
        return;
    snprintf(text, sizeof text, "%zu", c->bytes);
    http_reply_text(c->request, 200, text);
    http_request_release(c->request);
    free(c);
}

static void count_gone(void *arg)
{
    struct count *c = arg;
    http_request_release(c->request);
    free(c);
}

static void count(void *arg, struct http_request *r)
{
    static const struct http_watch watch = {.readable = count_on, .gone = count_gone};
    struct count *c = calloc(1, sizeof *c);
    (void)arg;
    CHECK(c);
    c->request = http_request_hold(r);
    http_request_watch(r, &watch, c);
    count_on(c);
}

static void say_pieces(void *arg, struct http_request *r)
{
    (void)arg;
    http_reply_begin(r, 200, "text/plain", HTTP_LENGTH_UNKNOWN);
    http_reply_write(r, "one piece, ", 11);
    http_reply_write(r, "and another", 11);
    http_reply_end(r);
}

static const struct http_route routes[] = {
    {.methods = HTTP_GET, .path = "/pieces", .handle = say_pieces},
    {.methods = HTTP_GET, .path = "/hello", .handle = say_hello},
    {.methods = HTTP_POST, .path = "/echo", .body_max_bytes = 1000, .handle = echo},
    {.methods = HTTP_GET, .path = "/later", .handle = answer_later},
    {.methods = HTTP_GET, .path = "/stream", .handle = stream},
    {.methods = HTTP_PUT,
     .path = "/count/",
     .prefix = true,
     .streams = true,
     .body_max_bytes = 10u << 20,
     .handle = count}};

/* ---- clients --------------------------------------------------------------------------------- */

static int dial(void)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = endpoint_connect(&at, 5000);
    CHECK(fd >= 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
    return fd;
}

static void say(int fd, const char *text)
{
    size_t len = strlen(text);
    CHECK(send(fd, text, len, MSG_NOSIGNAL) == (ssize_t)len);
}

/* To the end of the connection. */
static size_t hear(int fd, char *out, size_t size)
{
    size_t total = 0;
    ssize_t got;
    while (total < size - 1 && (got = recv(fd, out + total, size - 1 - total, 0)) > 0)
        total += (size_t)got;
    out[total] = '\0';
    return total;
}

/* Sends, and expects something in the answer. */
static void expect(const char *request, const char *wanted)
{
    int fd = dial();
    say(fd, request);
    shutdown(fd, SHUT_WR);
    hear(fd, answer, sizeof answer);
    if (!strstr(answer, wanted))
        fprintf(stderr, "%.60s: wanted %s, not %s\n", request, wanted, answer);
    CHECK(strstr(answer, wanted));
    close(fd);
}

#define HOST "Host: [::1]:1\r\n"

static void check_answers(void)
{
    expect("GET /hello HTTP/1.1\r\n" HOST "\r\n", "\r\nX-Split: a??b\r\n\r\nhello");
    expect("HEAD /hello HTTP/1.1\r\n" HOST "\r\n", "Content-Length: 5\r\n");
    CHECK(!strstr(answer, "hello"));
    expect("GET /hello HTTP/1.0\r\n\r\n", "Connection: close\r\n");
    expect("GET /later HTTP/1.1\r\n" HOST "\r\n", "{\"late\": true}");
    expect("GET /hello HTTP/1.1\r\n" HOST "\r\n\r\nGET /later HTTP/1.1\r\n" HOST
           "\r\nGET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
           "{\"late\": true}HTTP/1.1 200 OK");
    expect("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", "\r\n\r\nabc");
    expect("POST /echo HTTP/1.1\r\n" HOST "\r\n", "Content-Length: 0\r\n");
    expect("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
           "\r\n\r\nabc");
    expect("PUT /count/x HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
           "\r\n\r\n3");
    CHECK(strncmp(answer, "HTTP/1.1 200", 12) == 0 || strstr(answer, "100 Continue\r\n\r\nHTTP/"));
    expect("GET /stream HTTP/1.0\r\n\r\n", "200 OK");
}

/* Whoever has a file of the page in this version isn't sent it again. */
static void check_page(void)
{
    for (const struct embedded *f = page_files; f->name; f++) {
        char request[256];
        const char *folder = strcmp(f->name, "status.html") == 0 ? "" : "page/";
        const char *name = *folder ? f->name : "";
        snprintf(request, sizeof request, "GET /%s%s HTTP/1.1\r\n" HOST "\r\n", folder, name);
        expect(request, "HTTP/1.1 200 ");
        CHECK(strstr(answer, f->etag) && strstr(answer, "default-src 'none'"));
        CHECK(memmem(answer, sizeof answer, f->bytes, f->len_bytes));
        memset(answer, 0, sizeof answer);
        snprintf(request, sizeof request,
                 "GET /%s%s HTTP/1.1\r\n" HOST "If-None-Match: W/\"a\", W/%s\r\n\r\n", folder, name,
                 f->etag);
        expect(request, "HTTP/1.1 304 ");
        CHECK(!memmem(answer, sizeof answer, f->bytes, f->len_bytes));
    }
}

static void check_refusals(void)
{
    struct http_counts before, after;
    http_counted(server, &before);
    expect("rubbish\r\n\r\n", "HTTP/1.1 400 ");
    expect("GET / HTTP/1.1\n\n", "HTTP/1.1 400 ");
    expect("\x16\x03\x01\x02", "HTTP/1.1 400 ");
    expect("GET /hello HTTP/1.1\r\nHo", "HTTP/1.1 400 ");
    expect("GET / HTTP/3.0\r\n" HOST "\r\n", "HTTP/1.1 505 ");
    expect("PUT /count/ HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nab", "HTTP/1.1 400 ");
    expect("PUT /count/ HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nxyz",
           "HTTP/1.1 400 ");
    http_counted(server, &after);
    CHECK(after.malformed - before.malformed == 7);
    expect("GET /nothing HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 404 ");
    expect("BREW /hello HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 501 ");
    expect("POST /hello HTTP/1.1\r\n" HOST "\r\n", "Allow: GET, HEAD\r\n");
    expect("PUT /count/ HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 411 ");
}

static void check_bodies(void)
{
    static char chunk[2048];
    expect("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n", "HTTP/1.1 413 ");
    expect("GET /hello HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\na", "HTTP/1.1 413 ");
    size_t len = (size_t)snprintf(chunk, sizeof chunk,
                                  "POST /echo HTTP/1.1\r\n" HOST
                                  "Transfer-Encoding: chunked\r\n\r\n3e9\r\n");
    memset(chunk + len, 'c', 1001);
    expect(chunk, "HTTP/1.1 413 ");
}

static void check_heads(void)
{
    static char head[HTTP_HEAD_MAX + 1];
    memset(head, 'a', HTTP_HEAD_MAX);
    memcpy(head, "GET /", 5);
    expect(head, "HTTP/1.1 431 ");
}

/* A stream that has no memory to go on ends, and whoever writes it is told: he waited for ever, and
 * the server with him when it was to stop. */
static void check_stream_without_memory(void)
{
    unsigned before = atomic_load(&streams_gone);
    int fd = dial();
    atomic_store(&starve, true);
    say(fd, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    CHECK(hear(fd, answer, sizeof answer) < 2 * PIECE);
    close(fd);
    CHECK(!atomic_load(&starve) && atomic_load(&streams_gone) == before + 1);
}

/* The whole answer without its date, which may be another. */
static size_t ask(const char *request, char *out, size_t size)
{
    int fd = dial();
    say(fd, request);
    size_t len = hear(fd, out, size);
    char *date = strstr(out, "Date: ");
    if (date)
        memset(date, 'd', strcspn(date, "\r"));
    close(fd);
    return len;
}

/* A line of the head, the mark of a chunk or bytes of a body that there was no memory for were left
 * out, and the rest went on: a value could be stored without its middle. */
static void check_nothing_is_left_out(void)
{
    static const char *const requests[] = {
        "GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
        "GET /pieces HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Connection: close\r\nContent-Length: 5\r\n\r\nplain",
        "POST /echo HTTP/1.1\r\n" HOST "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
        "PUT /count/x HTTP/1.1\r\n" HOST "Connection: close\r\nExpect: 100-continue\r\n"
        "Content-Length: 3\r\n\r\nabc"};
    static char whole[ANSWER_MAX];
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        size_t whole_len = ask(requests[i], whole, sizeof whole);
        unsigned at_one = 0;
        do {
            atomic_store(&adds, 0);
            atomic_store(&refuse_add, ++at_one);
            size_t len = ask(requests[i], answer, sizeof answer);
            if (atomic_load(&adds) < at_one)
                CHECK(len == whole_len);
            else if (!strstr(answer, "HTTP/1.1 503 "))
                CHECK(len < whole_len && memcmp(answer, whole, len) == 0);
        } while (atomic_load(&adds) >= at_one);
        CHECK(at_one > 5);
        atomic_store(&refuse_add, 0);
    }
}

/* What isn't sent in time, and who doesn't read in time, doesn't stay. */
static void check_slow_ones(void)
{
    struct http_counts before, after;
    int head = dial(), body = dial(), reader = dial(), idle = dial();
    http_counted(server, &before);
    say(head, "GET /hel");
    say(body, "PUT /count/ HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\na");
    say(reader, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    CHECK(hear(head, answer, sizeof answer) > 0 && strstr(answer, "HTTP/1.1 408 "));
    CHECK(hear(body, answer, sizeof answer) > 0 && strstr(answer, "HTTP/1.1 408 "));
    CHECK(hear(idle, answer, sizeof answer) == 0);
    uint64_t until_ms = clock_now_ms() + 20000;
    do {
        poll(NULL, 0, 1);
        http_counted(server, &after);
    } while (after.slow - before.slow < 3 && clock_now_ms() < until_ms);
    CHECK_EQ(after.slow - before.slow, 3);
    close(head);
    close(body);
    close(reader);
    close(idle);
}

/* Many at once, half of which go before they are answered. */
static void *be_a_client(void *arg)
{
    static const char *const requests[] = {
        "GET /later HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
        "GET /stream HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
        "PUT /count/ HTTP/1.1\r\n" HOST "Connection: close\r\nContent-Length: 6\r\n\r\nsix"};
    static __thread char heard[4096];
    for (int i = 0; i < ROUNDS; i++) {
        const char *request = requests[i % 3];
        int fd = dial();
        say(fd, request);
        if (i % 2 == 0 && i % 3 != 2)
            CHECK(hear(fd, heard, sizeof heard) > 0);
        close(fd);
    }
    return arg;
}

static void check_many(void)
{
    pthread_t threads[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        CHECK(pthread_create(&threads[i], NULL, be_a_client, NULL) == 0);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
}

static const struct {
    const char *name;
    void (*check)(void);
} cases[] = {{"answers", check_answers},
             {"page", check_page},
             {"refusals", check_refusals},
             {"bodies", check_bodies},
             {"heads", check_heads},
             {"stream", check_stream_without_memory},
             {"left_out", check_nothing_is_left_out},
             {"slow_ones", check_slow_ones},
             {"many", check_many}};

/* Those that are named; all, if none is. */
static void check_cases(int count, char **names)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool wanted = count == 0;
        for (int k = 0; k < count; k++)
            wanted = wanted || strcmp(names[k], cases[i].name) == 0;
        if (wanted)
            cases[i].check();
    }
}

int main(int argc, char **argv)
{
    pthread_t thread;
    int left;
    signal(SIGPIPE, SIG_IGN); /* as cenoted does */
    server = http_new(IDLE_MS);
    CHECK(server && endpoint_parse("127.0.0.1:0", &at) == CENOTE_OK);
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        http_route(server, &routes[i]);
    page_route(server);
    CHECK(http_start(server, &at) == CENOTE_OK);
    CHECK(endpoint_parse(http_endpoint(server), &at) == CENOTE_OK);
    CHECK(pthread_create(&thread, NULL, do_jobs, NULL) == 0);

    check_cases(argc - 1, argv + 1);

    /* Stopped with requests that wait for another thread, and a reader that doesn't read. */
    left = dial();
    say(left, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    http_stop(server);
    CHECK(lent == 0);
    pthread_mutex_lock(&lock);
    ending = true;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
    close(left);
    http_free(server);
    printf("passed\n");
    return 0;
}
