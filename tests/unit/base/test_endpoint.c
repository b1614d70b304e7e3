/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/endpoint.h"

#include <cenote/status.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX 128

static struct endpoint parsed(const char *text)
{
    struct endpoint e;
    cr_assert_eq(endpoint_parse(text, &e), CENOTE_OK, "%s", text);
    return e;
}

Test(endpoint, parse__good)
{
    static const struct {
        const char *text, *formatted;
        bool local, is_unix;
    } good[] = {
        {"127.0.0.1:7000", "127.0.0.1:7000", true, false},
        {"127.9.9.9:0", "127.9.9.9:0", true, false},
        {"0.0.0.0:65535", "0.0.0.0:65535", false, false},
        {"10.1.2.3:00080", "10.1.2.3:80", false, false},
        {"[::1]:7000", "[::1]:7000", true, false},
        {"[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]:1", true, false},
        {"[::]:1", "[::]:1", false, false},
        {"[2001:db8::7]:9", "[2001:db8::7]:9", false, false},
        {"localhost:80", "127.0.0.1:80", true, false},
        {"unix:/run/x.sock", "unix:/run/x.sock", true, true},
        {"unix:rel", "unix:rel", true, true},
        {"unix:@name", "unix:@name", true, true},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char text[TEXT_MAX];
        struct endpoint e = parsed(good[i].text);
        endpoint_format(&e, text, sizeof text);
        cr_assert_str_eq(text, good[i].formatted);
        cr_assert_eq(endpoint_is_local(&e), good[i].local, "%s", text);
        cr_assert_eq(endpoint_is_unix(&e), good[i].is_unix, "%s", text);
    }
}

Test(endpoint, parse__bad)
{
    static const char *const bad[] = {
        "",       ":",        ":80",           "host",          "127.0.0.1",      "127.0.0.1:",
        "1.2:x",  "1.2.3.4:", "1.2.3.4:-1",    "1.2.3.4:65536", "1.2.3.4:8 ",     "1.2.3.4:1:2",
        "::1:80", "[::1]",    "[::1",          "[]:80",         "[::1]80",        "[1.2.3.4]:80",
        "unix:",  "unix:@",   "[localhost]:1", "[::1]:",        "1.2.3.4:000080", "1.2.3.4:+1",
    };
    struct endpoint e = {.addr_len = 77};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(endpoint_parse(bad[i], &e), CENOTE_INVALID, "%s", bad[i]);
    cr_assert_eq(e.addr_len, 77); /* untouched */
}

Test(endpoint, parse__length_limits)
{
    char text[400];
    struct endpoint e;
    memset(text, 'a', sizeof text);
    memcpy(text, "unix:/", 6);
    text[5 + 107] = '\0';
    cr_assert_eq(endpoint_parse(text, &e), CENOTE_OK);
    text[5 + 107] = 'a', text[5 + 108] = '\0';
    cr_assert_eq(endpoint_parse(text, &e), CENOTE_INVALID);
    text[5] = '@';
    cr_assert_eq(endpoint_parse(text, &e), CENOTE_OK);
    memset(text, 'a', 300);
    memcpy(text + 300, ":80", 4);
    cr_assert_eq(endpoint_parse(text, &e), CENOTE_INVALID);
}

/* It could fail, and said "?". */
Test(endpoint, format__a_scope)
{
    struct endpoint e;
    char text[64];
    cr_assert_eq(endpoint_parse("[fe80::1%1]:7", &e), CENOTE_OK);
    endpoint_format(&e, text, sizeof text);
    cr_assert_str_eq(text, "[fe80::1%1]:7");
}

Test(endpoint, format__small_buffer)
{
    char text[8] = "xxxxxxx";
    struct endpoint e = parsed("127.0.0.1:7000");
    endpoint_format(&e, text, sizeof text);
    cr_assert_str_eq(text, "127.0.0");
    endpoint_format(&e, text, 1);
    cr_assert_str_eq(text, "");
    endpoint_format(&e, text, 0);
}

/* A connection between the two ends, both as promised. */
static void talk(int listener, const struct endpoint *bound)
{
    char c = 'x';
    int fd = endpoint_connect(bound, 2000);
    cr_assert_geq(fd, 0);
    int peer = accept(listener, NULL, NULL);
    cr_assert_geq(peer, 0);
    cr_assert_eq(write(fd, &c, 1), 1);
    cr_assert_eq(read(peer, &c, 1), 1);
    cr_assert_eq(fcntl(listener, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    cr_assert_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    cr_assert_eq(fcntl(listener, F_GETFD), FD_CLOEXEC);
    cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(peer);
    close(fd);
}

Test(endpoint, listen__tcp_port_0_tells_its_port)
{
    char text[TEXT_MAX];
    struct endpoint e = parsed("127.0.0.1:0"), bound;
    int fd = endpoint_listen(&e, 8, &bound);
    cr_assert_geq(fd, 0);
    endpoint_format(&bound, text, sizeof text);
    cr_assert_str_neq(text, "127.0.0.1:0");
    talk(fd, &bound);
    cr_assert_eq(endpoint_listen(&bound, 8, NULL), CENOTE_IO);
    cr_assert_eq(errno, EADDRINUSE);
    close(fd);
    cr_assert_eq(endpoint_connect(&bound, 2000), CENOTE_UNAVAILABLE);
}

Test(endpoint, listen__abstract)
{
    char text[TEXT_MAX];
    snprintf(text, sizeof text, "unix:@cenote-test-%d", (int)getpid());
    struct endpoint e = parsed(text), bound;
    int fd = endpoint_listen(&e, 8, &bound);
    cr_assert_geq(fd, 0);
    talk(fd, &bound);
    cr_assert_eq(endpoint_listen(&e, 8, NULL), CENOTE_IO);
    cr_assert_eq(errno, EADDRINUSE);
    close(fd);
}

static char dir[] = "/tmp/cenote-endpoint-XXXXXX";
static char path[64];

static struct endpoint in_new_dir(void)
{
    char text[TEXT_MAX];
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/sock", dir);
    snprintf(text, sizeof text, "unix:%s", path);
    return parsed(text);
}

static void remove_dir(void)
{
    unlink(path);
    rmdir(dir);
}

Test(endpoint, listen__unix_mode_and_life)
{
    struct endpoint e = in_new_dir(), bound;
    struct stat st;
    mode_t old_mask = umask(0);
    int fd = endpoint_listen(&e, 8, &bound);
    umask(old_mask);
    cr_assert_geq(fd, 0);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert(S_ISSOCK(st.st_mode));
    cr_assert_eq(st.st_mode & 0777, 0600);
    talk(fd, &bound);
    close(fd);
    remove_dir();
}

Test(endpoint, listen__unix_refused_when_somebody_is_there)
{
    struct endpoint e = in_new_dir();
    int fd = endpoint_listen(&e, 8, NULL);
    cr_assert_geq(fd, 0);
    cr_assert_eq(endpoint_listen(&e, 8, NULL), CENOTE_IO);
    cr_assert_eq(errno, EADDRINUSE);
    /* That attempt left a connection in the backlog, and the first listener unharmed. */
    close(accept(fd, NULL, NULL));
    talk(fd, &e);
    close(fd);
    remove_dir();
}

Test(endpoint, listen__unix_replaces_a_stale_file)
{
    struct endpoint e = in_new_dir();
    int dead = endpoint_listen(&e, 8, NULL);
    close(dead);
    cr_assert_eq(access(path, F_OK), 0);
    int fd = endpoint_listen(&e, 8, NULL);
    cr_assert_geq(fd, 0);
    talk(fd, &e);
    close(fd);
    remove_dir();
}

Test(endpoint, listen__unix_keeps_a_file_that_is_no_socket)
{
    struct endpoint e = in_new_dir();
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    cr_assert_eq(write(file, "precious", 8), 8);
    close(file);
    cr_assert_eq(endpoint_listen(&e, 8, NULL), CENOTE_IO);
    cr_assert_eq(errno, EADDRINUSE);
    cr_assert_eq(access(path, F_OK), 0);
    remove_dir();
}

Test(endpoint, connect__nobody_there)
{
    struct endpoint e = parsed("unix:/nonexistent/sock");
    cr_assert_eq(endpoint_connect(&e, 100), CENOTE_UNAVAILABLE);
}

Test(endpoint, connect__full_backlog_times_out)
{
    struct endpoint e = in_new_dir();
    int fds[8], rc = 0;
    size_t count = 0;
    int fd = endpoint_listen(&e, 1, NULL);
    while (count < 8 && (rc = endpoint_connect(&e, 30)) >= 0)
        fds[count++] = rc;
    cr_assert_eq(rc, CENOTE_TIMED_OUT);
    while (count > 0)
        close(fds[--count]);
    close(fd);
    remove_dir();
}
