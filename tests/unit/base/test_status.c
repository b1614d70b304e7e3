/* SPDX-License-Identifier: Apache-2.0 */
#include <cenote/status.h>
#include <criterion/criterion.h>

static const int statuses[] = {
#define STATUS_NUMBER(name, number, text) number,
    CENOTE_STATUS_MAP(STATUS_NUMBER)
#undef STATUS_NUMBER
};

Test(status, every_code_has_its_own_name_and_text)
{
    size_t count = sizeof statuses / sizeof *statuses;
    for (size_t i = 0; i < count; i++) {
        cr_assert_str_neq(cenote_status_name(statuses[i]), "?");
        for (size_t j = 0; j < i; j++)
            cr_assert_str_neq(cenote_status_text(statuses[i]), cenote_status_text(statuses[j]));
    }
}

Test(status, text__unknown_number)
{
    cr_assert_str_eq(cenote_status_text(77), "unknown status");
    cr_assert_str_eq(cenote_status_name(-9999), "?");
}
