/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway of a whole daemon, by many connections at once: values that are put, fetched, fetched
 * in part, listed and removed, clients that go in the middle of an answer, the page of metrics, the
 * status, and traces being switched on and off meanwhile. The daemon is a process, built as this
 * program is, so that sanitizers look at all of it.
 *
 * Usage: scenario_gateway CENOTED
 */
#include <cenote/status.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/scenario/check.h"
#include "transport/base/endpoint.h"

#define THREADS    6u
#define ROUNDS     8u
#define VALUE_MAX  300000u
#define ANSWER_MAX (VALUE_MAX + 65536u)
#define READY_MAX  1024u

struct visitor {
    pthread_t thread;
    unsigned number;
    int fd;
    char answer[ANSWER_MAX + 1];
    size_t answer_len;
};

static struct endpoint at;
static struct visitor visitors[THREADS];

/* ---- the daemon ------------------------------------------------------------------------------ */

static pid_t start(const char *program, const char *folder, int *out)
{
    char data[128], listen[128], shm[128];
    int ends[2];
    snprintf(data, sizeof data, "--data-dir=%s/m", folder);
    snprintf(listen, sizeof listen, "--listen=unix:%s/c", folder);
    snprintf(shm, sizeof shm, "--shm-dir=%s/s", folder);
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl(program, program, data, listen, shm, "--http=127.0.0.1:0", "--gateway=on",
              "--dram=64MiB", "--lease=50ms", "--meta-map-size=16MiB", "--rdma=none",
              "--huge-pages=none", "--log-level=warn", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *out = ends[0];
    return child;
}

/* Its first line says where it serves HTTP. */
static void find_it(int out)
{
    char line[READY_MAX];
    size_t len = 0;
    while (len < sizeof line - 1 && read(out, line + len, 1) == 1 && line[len] != '\n')
        len++;
    line[len] = '\0';
    const char *http = strstr(line, "http ");
    CHECK(http);
    line[strcspn(http, ",\n") + (size_t)(http - line)] = '\0';
    CHECK(endpoint_parse(http + strlen("http "), &at) == CENOTE_OK);
}

/* ---- one connection -------------------------------------------------------------------------- */

static void dial(struct visitor *v)
{
    v->fd = endpoint_connect(&at, 5000);
    CHECK(v->fd >= 0);
}

static void send_all(struct visitor *v, const void *data, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(v->fd, (const char *)data + sent, len - sent, MSG_NOSIGNAL);
        CHECK(n > 0);
        sent += (size_t)n;
    }
}

static void ask(struct visitor *v, const char *method, const char *path, const char *headers,
                const void *body, size_t len)
{
    char head[512];
    int n = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s", method, path,
                     headers);
    if (body)
        n += snprintf(head + n, sizeof head - (size_t)n, "Content-Length: %zu\r\n", len);
    n += snprintf(head + n, sizeof head - (size_t)n, "\r\n");
    send_all(v, head, (size_t)n);
    if (body)
        send_all(v, body, len);
}

/* Reads an answer whose length is announced; its status. *content: behind the head. */
static int hear(struct visitor *v, bool is_head, const char **content, size_t *len)
{
    const char *end = NULL, *length;
    size_t whole = ANSWER_MAX;
    v->answer_len = 0;
    while (v->answer_len < whole) {
        ssize_t n = recv(v->fd, v->answer + v->answer_len, ANSWER_MAX - v->answer_len, 0);
        CHECK(n > 0);
        v->answer_len += (size_t)n;
        v->answer[v->answer_len] = '\0';
        if (end || !(end = strstr(v->answer, "\r\n\r\n")))
            continue;
        length = strstr(v->answer, "Content-Length: ");
        *len = length && length < end && !is_head ? strtoul(length + 16, NULL, 10) : 0;
        whole = (size_t)(end + 4 - v->answer) + *len;
        CHECK(whole <= ANSWER_MAX);
    }
    CHECK(v->answer_len == whole);
    *content = end + 4;
    return atoi(v->answer + strlen("HTTP/1.1 "));
}

static int talk(struct visitor *v, const char *method, const char *path, const char *headers,
                const void *body, size_t body_len, const char **content, size_t *len)
{
    ask(v, method, path, headers, body, body_len);
    return hear(v, strcmp(method, "HEAD") == 0, content, len);
}

/* On a connection of its own, which ends with the answer. */
static void once(struct visitor *v, const char *method, const char *path, const char *wanted)
{
    char request[256];
    int kept = v->fd;
    ssize_t n;
    dial(v);
    snprintf(request, sizeof request, "%s %s HTTP/1.0\r\n\r\n", method, path);
    send_all(v, request, strlen(request));
    v->answer_len = 0;
    while ((n = recv(v->fd, v->answer + v->answer_len, ANSWER_MAX - v->answer_len, 0)) > 0)
        v->answer_len += (size_t)n;
    v->answer[v->answer_len] = '\0';
    CHECK(strstr(v->answer, " 200 ") && strstr(v->answer, wanted));
    close(v->fd);
    v->fd = kept;
}

/* ---- what a visitor does --------------------------------------------------------------------- */

static size_t fill(uint8_t *value, unsigned number, unsigned round)
{
    size_t len = (number * 7919u + round * 104729u) % VALUE_MAX;
    for (size_t i = 0; i < len; i++)
        value[i] = (uint8_t)((i * 2654435761u + number * 31u + round) >> 9);
    return len;
}

/* Of an answer, and of a value, which is not to be seen then. */
static void leave_in_the_middle(struct visitor *v, const char *path, const uint8_t *value)
{
    int kept = v->fd;
    dial(v);
    ask(v, "GET", path, "", NULL, 0);
    close(v->fd);
    dial(v);
    ask(v, "PUT", "/v1/objects/default/cut", "Content-Length: 299999\r\n", NULL, 0);
    send_all(v, value, v->number % 2 ? 100000 : 100);
    close(v->fd);
    v->fd = kept;
}

static void visit(struct visitor *v, unsigned round, uint8_t *value)
{
    char path[64];
    const char *content;
    size_t len = 0, value_len = fill(value, v->number, round);
    snprintf(path, sizeof path, "/v1/objects/default/v%u-%u", v->number, round);
    CHECK_EQ(talk(v, "PUT", path, "", value, value_len, &content, &len), 201);
    CHECK_EQ(talk(v, "GET", path, "", NULL, 0, &content, &len), 200);
    CHECK(len == value_len && memcmp(content, value, len) == 0);
    if (value_len > 100) {
        CHECK_EQ(talk(v, "GET", path, "Range: bytes=10-99\r\n", NULL, 0, &content, &len), 206);
        CHECK(len == 90 && memcmp(content, value + 10, len) == 0);
    }
    leave_in_the_middle(v, path, value);
    CHECK_EQ(talk(v, "GET", "/v1/objects/default/cut", "", NULL, 0, &content, &len), 404);
    CHECK_EQ(talk(v, "HEAD", path, "", NULL, 0, &content, &len), 200);
    once(v, "GET", "/metrics", "cenote_objects ");
    once(v, "GET", "/v1/status", "\"nodes\"");
    once(v, "POST", v->number % 2 ? "/v1/trace?on=1" : "/v1/trace?on=0", "");
    once(v, "GET", "/v1/objects/default", "");
    CHECK_EQ(talk(v, "DELETE", path, "", NULL, 0, &content, &len), 204);
    CHECK_EQ(talk(v, "GET", path, "", NULL, 0, &content, &len), 404);
}

static void *run(void *arg)
{
    struct visitor *v = arg;
    uint8_t *value = calloc(1, VALUE_MAX);
    CHECK(value);
    dial(v);
    for (unsigned round = 0; round < ROUNDS; round++)
        visit(v, round, value);
    close(v->fd);
    free(value);
    return NULL;
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/scenario_gateway.XXXXXX", command[64];
    int out, status;
    CHECK(argc == 2 && mkdtemp(folder));
    pid_t daemon = start(argv[1], folder, &out);
    CHECK(daemon > 0);
    find_it(out);
    for (unsigned i = 0; i < THREADS; i++) {
        visitors[i].number = i;
        CHECK(pthread_create(&visitors[i].thread, NULL, run, &visitors[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(visitors[i].thread, NULL);
    kill(daemon, SIGTERM);
    CHECK(waitpid(daemon, &status, 0) == daemon);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(out);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CHECK(system(command) == 0);
    printf("passed\n");
    return 0;
}
