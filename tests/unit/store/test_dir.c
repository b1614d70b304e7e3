/* SPDX-License-Identifier: Apache-2.0 */
#include <cenote/status.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/magic.h>

#include "meta/store/dir.h"

Test(dir, is_network__by_type)
{
    cr_assert(dir_is_network(NFS_SUPER_MAGIC));
    cr_assert(dir_is_network(0xff534d42));         /* CIFS */
    cr_assert(dir_is_network(0xffffffffff534d42)); /* as a signed 32-bit f_type gives it */
    cr_assert(dir_is_network(V9FS_MAGIC));
    cr_assert(!dir_is_network(EXT4_SUPER_MAGIC));
    cr_assert(!dir_is_network(TMPFS_MAGIC));
    cr_assert(!dir_is_network(OVERLAYFS_SUPER_MAGIC));
    cr_assert(!dir_is_network(0));
}

Test(dir, status_of__what_the_operator_can_mend)
{
    cr_assert_eq(dir_status_of(EROFS), CENOTE_READ_ONLY);
    cr_assert_eq(dir_status_of(EACCES), CENOTE_READ_ONLY);
    cr_assert_eq(dir_status_of(ENOSPC), CENOTE_META_FULL);
    cr_assert_eq(dir_status_of(EFBIG), CENOTE_META_FULL);
    cr_assert_eq(dir_status_of(ENOMEM), CENOTE_NO_MEMORY);
    cr_assert_eq(dir_status_of(EIO), CENOTE_IO);
}
