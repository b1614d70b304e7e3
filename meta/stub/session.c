/* SPDX-License-Identifier: Apache-2.0 */
/* Messages by which sessions begin and come back. */
#include "meta/stub/fields.h"
#include "meta/stub/messages.h"

void session_open_params_put(struct wire_buf *b, const struct session_open_params *p)
{
    wire_put_array(b, 3);
    wire_put_uint(b, p->protocol);
    wire_put_str(b, p->name_space);
    wire_put_str(b, p->client);
}

bool session_open_params_get(struct wire_value v, struct session_open_params *p)
{
    struct fields f = fields_of(v);
    p->protocol = fields_u32(&f);
    fields_str(&f, p->name_space, sizeof(p->name_space));
    fields_str(&f, p->client, sizeof(p->client));
    return fields_ok(&f);
}

void session_open_result_put(struct wire_buf *b, const struct session_open_result *r)
{
    wire_put_array(b, 4);
    wire_put_uint(b, r->session);
    wire_put_bin(b, r->token.b, sizeof(r->token.b));
    wire_put_uint(b, r->name_space);
    wire_put_uint(b, r->reign);
}

bool session_open_result_get(struct wire_value v, struct session_open_result *r)
{
    struct fields f = fields_of(v);
    r->session = fields_uint(&f);
    fields_fixed(&f, r->token.b, sizeof(r->token.b));
    r->name_space = fields_u32(&f);
    r->reign = fields_uint(&f);
    return fields_ok(&f);
}

void session_resume_params_put(struct wire_buf *b, const struct session_resume_params *p)
{
    wire_put_array(b, 4);
    wire_put_uint(b, p->protocol);
    wire_put_uint(b, p->session);
    wire_put_bin(b, p->token.b, sizeof(p->token.b));
    wire_put_uint(b, p->name_space);
}

bool session_resume_params_get(struct wire_value v, struct session_resume_params *p)
{
    struct fields f = fields_of(v);
    p->protocol = fields_u32(&f);
    p->session = fields_uint(&f);
    fields_fixed(&f, p->token.b, sizeof(p->token.b));
    p->name_space = fields_u32(&f);
    return fields_ok(&f);
}
