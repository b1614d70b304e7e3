/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators write: sizes, times, endpoints, maps of slots, the configuration file and the
 * options of cenoted. What is taken means the same when it is written out again.
 *
 * The first byte says which of them; the rest is the text. Names are never resolved here.
 */
#include <assert.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/config/options.h"
#include "server/config/slot_list.h"
#include "tests/fuzz/fuzz.h"
#include "transport/base/config_value.h"
#include "transport/base/endpoint.h"

#define TEXT_LEN_MAX 2048u
#define WORDS_MAX    64

enum what { WHAT_NUMBERS, WHAT_ENDPOINT, WHAT_SLOTS, WHAT_FILE, WHAT_OPTIONS, WHATS };

/* In place of the C library's: no question leaves this process. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **out)
{
    typedef int (*function)(const char *, const char *, const struct addrinfo *,
                            struct addrinfo **);
    static function real;
    struct addrinfo numeric = *hints;
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    numeric.ai_flags |= AI_NUMERICHOST;
    return real(host, port, &numeric, out);
}

static void try_numbers(const char *text)
{
    uint64_t v, again;
    char out[32];
    if (config_parse_size(text, &v)) {
        snprintf(out, sizeof out, "%llu", (unsigned long long)v);
        assert(config_parse_size(out, &again) && again == v);
    }
    if (config_parse_ms(text, &v)) {
        snprintf(out, sizeof out, "%llu", (unsigned long long)v);
        assert(config_parse_ms(out, &again) && again == v);
    }
}

static void try_endpoint(const char *text)
{
    struct endpoint e, back;
    char out[256];
    if (endpoint_parse(text, &e) != CENOTE_OK)
        return;
    endpoint_format(&e, out, sizeof out);
    int status = endpoint_parse(out, &back);
    assert(status == CENOTE_OK && endpoint_is_unix(&e) == endpoint_is_unix(&back));
    assert(endpoint_is_local(&e) == endpoint_is_local(&back));
}

static size_t words(char *text, char *out[WORDS_MAX])
{
    size_t count = 0;
    for (char *at = strtok(text, " \n"); at != NULL && count < WORDS_MAX; at = strtok(NULL, " \n"))
        out[count++] = at;
    return count;
}

static void try_slots(char *text)
{
    static struct slot_list list;
    char *all[WORDS_MAX], error[256];
    size_t count = words(text, all), half = (count + 1) / 2;
    struct config_list shards = {all, half}, slots = {all + half, count - half};
    uint32_t slot;
    if (slot_list_parse(&shards, &slots, 1, &list, error, sizeof error) == CENOTE_OK)
        assert(slot_map_whole(&list.map, &slot));
}

static void set_nothing(void *arg, unsigned line, const char *name, const char *value)
{
    (void)arg;
    assert(line > 0 && name != NULL && value != NULL && strchr(name, '\n') == NULL);
}

/* The text as a file: the name by which it can be opened. */
static const char *as_file(const char *text, size_t len)
{
    static char path[64];
    static int fd = -1;
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, len, 0) != (ssize_t)len)
        abort();
    return path;
}

static struct config_report report;

/* Whatever is wrong, there is a line about it, of which a terminal shows what it says. */
static void check_report(int status)
{
    assert((status != CENOTE_OK) == (report.faults > 0));
    assert(strlen(report.text) == report.len_bytes && report.len_bytes < sizeof report.text);
    unsigned lines = 0;
    for (const char *c = report.text; *c != '\0'; c++) {
        assert(*c == '\n' || ((unsigned char)*c >= ' ' && *c != 0x7f));
        lines += *c == '\n';
    }
    assert(lines <= report.faults);
}

static void try_file(const char *text, size_t len)
{
    report = (struct config_report){.file = "f"};
    config_file_read(as_file(text, len), set_nothing, NULL, &report);
    check_report(report.faults == 0 ? CENOTE_OK : CENOTE_INVALID);
}

/* What was read comes back from its own text. */
static void check_values(const struct options *o)
{
    static char text[CONFIG_VALUE_MAX];
    const struct config_spec *spec = options_spec();
    struct options copy = {0};
    char why[256];
    struct config_error error = {why, sizeof why};
    for (size_t i = 0; i < spec->count; i++) {
        config_value_text(&spec->options[i], o, text);
        int status = config_value_set(&spec->options[i], &copy, text, &error);
        assert(status == CENOTE_OK && config_value_equal(&spec->options[i], o, &copy));
    }
    options_free(&copy);
}

static void try_options(char *text, size_t len)
{
    struct options o = {0};
    char *argv[WORDS_MAX + 3] = {"cenoted"};
    char config[80];
    char *split = strstr(text, "\n\n"); /* behind an empty line: a file */
    int argc = 1;
    if (split != NULL) {
        size_t before = (size_t)(split + 2 - text);
        snprintf(config, sizeof config, "--config=%s", as_file(split + 2, len - before));
        argv[argc++] = config;
        *split = '\0';
    }
    argc += (int)words(text, argv + argc);
    int status = options_parse(&o, argc, argv, &report);
    bool only_asks = o.help || o.version;
    if (!only_asks)
        check_report(status);
    if (status == CENOTE_OK && !only_asks) {
        assert(o.segment_count <= OPTIONS_SEGMENTS_MAX && o.listen.count <= OPTIONS_LISTEN_MAX);
        check_values(&o);
    }
    options_free(&o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[TEXT_LEN_MAX + 1];
    if (size < 1 || size - 1 > TEXT_LEN_MAX)
        return 0;
    size_t len = size - 1;
    memcpy(text, data + 1, len);
    text[len] = '\0';
    switch (data[0] % WHATS) {
    case WHAT_NUMBERS:
        try_numbers(text);
        break;
    case WHAT_ENDPOINT:
        try_endpoint(text);
        break;
    case WHAT_SLOTS:
        try_slots(text);
        break;
    case WHAT_FILE:
        try_file(text, len);
        break;
    default:
        try_options(text, len);
        break;
    }
    return 0;
}
