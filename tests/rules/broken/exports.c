/* SPDX-License-Identifier: MIT */
/* A library that exports what no header declares. */
int tarn_exported_but_not_declared(void);
int tarn_exported_but_not_declared(void)
{
    return 0;
}
