/* SPDX-License-Identifier: MIT */

/* A library that another needs and that is taken away after linking. */
int standin_dependency(void);
int standin_dependency(void)
{
    return 1;
}
