/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "client/hello.h"

static struct hello h;
static const struct wire_value nothing = {NULL};

static void method_of(char method[WIRE_METHOD_MAX])
{
    struct wire_buf b = {0};
    struct wire_msg m;

    hello_request(&h, &b);
    cr_assert_eq(wire_parse(b.data, b.len, &m), CENOTE_OK);
    memcpy(method, m.method, WIRE_METHOD_MAX);
    wire_msg_free(&m);
    wire_buf_free(&b);
}

static void expect_request(const char *want)
{
    char method[WIRE_METHOD_MAX];
    method_of(method);
    cr_assert_str_eq(method, want);
}

static void open_session(void)
{
    struct wire_buf b = {0};
    struct wire_msg holder;
    struct wire_value v;

    strcpy(h.name_space, "default");
    strcpy(h.client, "test");
    expect_request(METHOD_SESSION_OPEN);
    session_open_result_put(&b, &(struct session_open_result){.session = 5, .name_space = 2});
    cr_assert_eq(wire_parse_value(b.data, b.len, &holder, &v), CENOTE_OK);
    cr_assert_eq(hello_answer(&h, CENOTE_OK, v), CENOTE_OK);
    wire_msg_free(&holder);
    wire_buf_free(&b);
}

Test(hello, opens_then_resumes)
{
    open_session();
    cr_assert_eq(h.who.session, 5);
    cr_assert_eq(h.who.name_space, 2);
    expect_request(METHOD_SESSION_RESUME);
    cr_assert_eq(hello_answer(&h, CENOTE_OK, nothing), CENOTE_OK);
    cr_assert_eq(hello_answer(&h, CENOTE_UNAVAILABLE, nothing), CENOTE_UNAVAILABLE);
    expect_request(METHOD_SESSION_RESUME);
}

Test(hello, session_has_ended__opens_again)
{
    open_session();
    cr_assert_eq(hello_answer(&h, CENOTE_NO_SESSION, nothing), CENOTE_NO_SESSION);
    open_session();
    cr_assert_eq(hello_answer(&h, CENOTE_DENIED, nothing), CENOTE_NO_SESSION);
    open_session();
}

Test(hello, refused)
{
    cr_assert_eq(hello_answer(&h, CENOTE_VERSION, nothing), CENOTE_VERSION);
    cr_assert_eq(hello_answer(&h, CENOTE_NO_SESSION, nothing), CENOTE_PROTOCOL);
    cr_assert_eq(hello_answer(&h, CENOTE_OK, nothing), CENOTE_PROTOCOL);
    cr_assert_not(h.open);
}
