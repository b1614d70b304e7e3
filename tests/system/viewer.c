/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at values where they lie, at the word of a test: reads commands line by line, answers each
 * with one line.
 *
 *   put KEY LENGTH ID   puts a payload                       the name of the status
 *   fill LENGTH ID      puts payloads until there is no more space      "N stored"
 *   open KEY            opens the next view                  "INDEX LENGTH PUT-ID", or the status
 *   check INDEX ID      compares all bytes of a view         "same" or "differs"
 *   release INDEX       twice, by way of a copy              "released"
 *   every KEY           opens views until one is refused     "N open" and why there are no more
 *   close               closes the client and opens another; views are released afterwards
 *   fork INDEX          what a child may do                  "child 0"
 *
 * Usage: viewer ENDPOINT auto|shm|tcp|rdma full|seal
 */
#include <cenote/namespace.h>
#include <cenote/policy.h>
#include <cenote/view.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/payload.h"
#include "tests/support/transport.h"

static struct cenote *client;
static struct cenote_options options;
static struct cenote_view views[CENOTE_VIEWS_MAX + 1];
static unsigned count;

static int put(const char *key, size_t len, uint64_t id, enum cenote_pin pin)
{
    const struct cenote_policy policy = {.pin = pin};
    uint8_t *value = malloc(len + 1);
    if (!value)
        return CENOTE_NO_MEMORY;
    payload_fill(id, value, len);
    struct cenote_buffer whole = {value, len};
    struct cenote_put_item item = {.key = {key, strlen(key)}, .buffers = &whole, .buffer_count = 1};
    int status = cenote_put_with(client, &item, 1, 0, &policy);
    free(value);
    return status;
}

static void fill(size_t len, uint64_t id)
{
    char key[32];
    unsigned stored = 0;
    const struct cenote_namespace_settings settings = {.pin_limit_bytes = UINT64_MAX / 2};
    int status = cenote_namespace_set(client, "default", &settings);
    while (status == CENOTE_OK) {
        snprintf(key, sizeof key, "fill%u", stored);
        status = put(key, len, id + stored, CENOTE_PIN_HARD); /* it doesn't go for the next one */
        stored += status == CENOTE_OK;
    }
    printf("%u stored %s\n", stored, cenote_status_name(status));
}

static int open_next(const char *key)
{
    if (count > CENOTE_VIEWS_MAX)
        return CENOTE_INVALID;
    int status = cenote_view_get(client, key, strlen(key), &views[count]);
    count += status == CENOTE_OK;
    return status;
}

static void open_one(const char *key)
{
    int status = open_next(key);
    if (status == CENOTE_OK)
        printf("%u %llu %llu\n", count - 1, (unsigned long long)views[count - 1].len_bytes,
               (unsigned long long)views[count - 1].put_id);
    else
        printf("%s\n", cenote_status_name(status));
}

static void open_every(const char *key)
{
    unsigned before = count;
    int status = CENOTE_OK;
    while (status == CENOTE_OK)
        status = open_next(key);
    printf("%u open %s\n", count - before, cenote_status_name(status));
    while (count > before)
        cenote_view_release(client, &views[--count]);
}

static void check(unsigned index, uint64_t id)
{
    const struct cenote_view *v = &views[index];
    printf("%s\n", payload_is(id, v->data, v->len_bytes) ? "same" : "differs");
}

static void release(unsigned index)
{
    struct cenote_view copy = views[index];
    cenote_view_release(client, &views[index]);
    cenote_view_release(client, &copy);
    cenote_view_release(client, &copy);
    printf("%s\n", views[index].data == NULL && copy.private_ == NULL ? "released" : "not zeroed");
}

static void reopen(void)
{
    cenote_close(&client);
    for (unsigned i = 0; i < count; i++)
        cenote_view_release(NULL, &views[i]);
    int status = cenote_open(&options, &client);
    for (unsigned i = 0; i < count; i++)
        cenote_view_release(client, &views[i]);
    count = 0;
    printf("%s\n", cenote_status_name(status));
}

/* The child can neither release what is its parent's nor open a view of its own. */
static void in_child(unsigned index)
{
    int code = -1;
    pid_t child = fork();
    if (child == 0) {
        struct cenote_view v = views[index], other;
        cenote_view_release(client, &v);
        int status = cenote_view_get(client, "key", 3, &other);
        cenote_close(&client);
        _exit(status == CENOTE_FORKED && v.data == NULL ? 0 : 1);
    }
    if (waitpid(child, &code, 0) == child && WIFEXITED(code))
        code = WEXITSTATUS(code);
    printf("child %d\n", code);
}

static int obey(const char *verb, const char *a, const char *b, const char *c)
{
    unsigned long long n = strtoull(a, NULL, 10), m = strtoull(b, NULL, 10);
    if (strcmp(verb, "put") == 0)
        printf("%s\n", cenote_status_name(put(a, m, strtoull(c, NULL, 10), CENOTE_PIN_NONE)));
    else if (strcmp(verb, "fill") == 0)
        fill(n, m);
    else if (strcmp(verb, "open") == 0)
        open_one(a);
    else if (strcmp(verb, "every") == 0)
        open_every(a);
    else if (strcmp(verb, "close") == 0)
        reopen();
    else if (n >= count)
        return 2;
    else if (strcmp(verb, "check") == 0)
        check((unsigned)n, m);
    else if (strcmp(verb, "release") == 0)
        release((unsigned)n);
    else if (strcmp(verb, "fork") == 0)
        in_child((unsigned)n);
    else
        return 2;
    return fflush(stdout);
}

int main(int argc, char **argv)
{
    char line[1200], verb[16], a[1100], b[24], c[24];
    int status = argc == 4 ? CENOTE_OK : 2;

    if (status != CENOTE_OK)
        return status;
    options.meta = argv[1];
    options.transport = transport_named(argv[2]);
    options.verify = strcmp(argv[3], "seal") == 0 ? CENOTE_VERIFY_SEAL : CENOTE_VERIFY_FULL;
    options.timeout_ms = 60000;
    if (cenote_open(&options, &client) != CENOTE_OK)
        return 2;
    while (status == 0 && fgets(line, sizeof line, stdin) != NULL) {
        a[0] = b[0] = c[0] = '\0';
        if (sscanf(line, "%15s %1099s %23s %23s", verb, a, b, c) < 1)
            break;
        status = obey(verb, a, b, c);
    }
    cenote_close(&client);
    return status;
}
