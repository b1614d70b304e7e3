/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/testswitch.h"

#include <criterion/criterion.h>
#include <stdlib.h>

Test(testswitch, off__nothing_without_the_variable)
{
    unsetenv("CENOTE_TEST_OFF");
    for (int i = 0; i < TEST_SWITCHES; i++)
        cr_assert_not(test_off((enum test_switch)i));
}

Test(testswitch, off__only_what_is_named)
{
    setenv("CENOTE_TEST_OFF", "seal,no-such,,gran,reign", 1);
    for (int i = 0; i < TEST_SWITCHES; i++)
        cr_assert_eq(test_off((enum test_switch)i), i == TEST_SEAL || i == TEST_REIGN);
}
